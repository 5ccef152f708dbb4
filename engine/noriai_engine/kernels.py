"""`@kernel` and `@lean_kernel`, the only doors to numba: cached, nogil, plain Python with NUMBA_DISABLE_JIT=1.

numba's cache does not notice a change in another file that a kernel calls, so the cache folder is named after
the content of all kernel files (the engine's, and those of the package that asks) together with numba's and Python's
versions, and whether indices are checked.
"""

import hashlib
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


@cache
def cache_folder(package: str) -> Path:
    """Where a package's compiled kernels are kept: below NUMBA_CACHE_DIR where that is set, else the user's cache, or a
    temporary folder where there is none."""
    import numba

    settings: Any = numba.config
    digest = hashlib.sha256(f"{numba.__version__} {sys.version} {settings.BOUNDSCHECK}".encode())
    digest.update(Path(__file__).read_bytes())
    for root in sorted({Path(__file__).parent, Path(sys.modules[package].__file__ or "").parent}):
        for file in sorted(root.glob("*/kernels/*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    name = f"kernels-{digest.hexdigest()[:16]}"
    given = [Path(settings.CACHE_DIR)] if settings.CACHE_DIR else []
    for base in (*given, Path.home() / ".cache" / "noriai", Path(tempfile.gettempdir()) / "noriai-cache"):
        folder = base / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="noriai-"))


def kernel(function: F) -> F:
    """Compile `function` with numba. It must be a plain function over numbers, arrays and NamedTuples of them."""
    return _compiled(function)


def lean_kernel(function: F) -> F:
    """A kernel that makes no arrays and keeps none: compiled without reference counts.

    numba counts references each time an array is taken out of a NamedTuple, by atomic instructions; in a search over
    plans they took two thirds of the time.
    """
    return _compiled(function, _nrt=False)


def inlined_kernel(function: F) -> F:
    """A lean kernel whose code goes into its callers.

    A call hands over every field of every array of its NamedTuples; for a small step in an inner loop, that costs more
    than the step.
    """
    return _compiled(function, _nrt=False, forceinline=True)


def _compiled(function: F, **options: Any) -> F:
    import numba

    settings: Any = numba.config  # its attributes are set at run time
    given = settings.CACHE_DIR
    if not settings.DISABLE_JIT:
        settings.CACHE_DIR = str(cache_folder(function.__module__.partition(".")[0]))
    try:
        compiled = numba.njit(cache=True, nogil=True, **options)(function)
    finally:
        settings.CACHE_DIR = given
    if not settings.DISABLE_JIT and "forceinline" not in options:
        _take_whole_numbers_as_int64(compiled)
    return cast(F, compiled)


def _take_whole_numbers_as_int64(compiled: Any) -> None:
    """Let other kernels pass a kernel every whole number as int64, every truth value as bool.

    numba compiles a kernel anew for a constant, an element of an int32 array and a sum of the two, and everything that
    it calls, too: a third of the time to compile was for the same code again. Inlined kernels take what they are given,
    since constants make them faster.
    """
    import numba

    types: Any = numba.types
    fold = compiled._compiler.fold_argument_types

    def folded(args: Any, kws: Any) -> Any:
        signature, kinds = fold(args, kws)
        return signature, tuple(widened(kind) for kind in kinds)

    def widened(kind: Any) -> Any:
        plain = types.unliteral(kind)
        return types.int64 if isinstance(plain, types.Integer) and plain.signed else plain

    compiled._compiler.fold_argument_types = folded
