"""Output files: written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from noriai_engine.model.errors import InputError


@contextmanager
def replace_file(path: Path) -> Iterator[TextIO]:
    """A text file (UTF-8, newlines as written) that takes the place of `path` when the block ends well.

    Raises InputError at once where it cannot be written there.
    """
    if path.is_dir():
        raise InputError("is a folder", where=path, remedy="name a file")
    partial = path.with_name(path.name + ".part")
    try:
        file = partial.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", where=path, remedy="choose a folder that exists and is yours"
        ) from error
    try:
        with file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
