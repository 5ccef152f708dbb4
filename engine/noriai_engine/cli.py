"""The `noriai` command. Sub-commands are entry points in the group `noriai.commands`, one file each."""

import os
import signal
import sys
from importlib.metadata import entry_points
from types import FrameType

from noriai_engine import __version__
from noriai_engine.model.errors import NoriaiError


def _stop(number: int, frame: FrameType | None) -> None:
    """A polite request to end is treated like Ctrl-C: open folders are cleaned up."""
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> None:
    """Run a command. Exit status: 0 done, 1 a check failed, 2 bad input, 130 interrupted, 70 a fault of ours."""
    from cyclopts import App, CycloptsError

    signal.signal(signal.SIGTERM, _stop)
    app = App(
        name="noriai",
        version=__version__,
        help="Pool taxis, volunteer drivers and shuttles; simulate a service and read what it brings.\n\n"
        "Start with: noriai demo -o demo",
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for point in sorted(entry_points(group="noriai.commands"), key=lambda p: p.name):
        app.command(point.load(), name=point.name)
    try:
        status = app(
            sys.argv[1:] if arguments is None else arguments,
            exit_on_error=False,
            result_action="return_value",
        )
    except CycloptsError:
        sys.exit(2)  # cyclopts has printed what is wrong
    except NoriaiError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was written\n")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if os.environ.get("NORIAI_TRACEBACK"):
            raise
        sys.stderr.write(
            f"error: a fault of noriai's own ({type(error).__name__}: {error}); nothing was written\n"
            "  remedy: run it again with NORIAI_TRACEBACK=1 and report what it prints\n"
        )
        sys.exit(70)
    sys.exit(status if isinstance(status, int) else 0)
