"""A folder that appears whole or not at all: an interrupted run leaves nothing half written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noriai_engine.model.errors import InputError


@contextmanager
def replace_folder(target: Path, *, marker: str, dry_run: bool = False) -> Iterator[Path]:
    """Yield a new folder beside `target` to write into; on success it takes the target's place in one rename.

    An existing `target` is replaced only if it holds the file `marker` (an earlier result of the same kind) or
    is empty; anything else is refused with InputError, so that no user's folder is ever overwritten. `dry_run`
    only finds out whether it would work.
    """
    target = Path(os.path.abspath(target))
    if target.exists() and not (target.is_dir() and ((target / marker).exists() or not any(target.iterdir()))):
        raise InputError(
            f"exists and is not an earlier result (no {marker} in it)",
            where=target,
            remedy="name another output folder, or remove this one yourself",
        )
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}", where=target, remedy="name a folder you may write to"
            ) from error
        yield partial
        if dry_run:
            return
        old = target.with_name(f"{target.name}.partial-{os.getpid()}-old")
        if target.exists():
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
