"""noriai warmup: compile all kernels once, so that no rider waits for it."""


def warmup() -> int:
    """Compile all kernels into the user's cache, so that the first request is as fast as any other.

    Run it once after installing or updating, and when building an image.

    Example: noriai warmup
    """
    import time

    from noriai_engine.kernels import cache_folder
    from noriai_engine.terminal import out as say
    from noriai_engine.terminal import tell
    from noriai_simulations.warmup import STEPS

    began = time.process_time()
    for name, step in STEPS:
        tell(f"compiling: {name} ...")
        step()
    say(f"kernels: {cache_folder('noriai_engine')} ({time.process_time() - began:.1f} CPU s)")
    return 0
