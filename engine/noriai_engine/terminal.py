"""Words and progress in the terminal: plain lines for pipes, colour and bars for people."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def out(line: str) -> None:
    """A line of result on standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def tell(line: str) -> None:
    """A line about what is going on, on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar of (done, total) on standard error; a line every tenth where that is no terminal; nothing if quiet."""
    if quiet:
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        told = [0]

        def plain(done: int, total: int) -> None:
            tenth = 10 * done // max(1, total)
            if tenth > told[0]:
                told[0] = tenth
                tell(f"{title}: {done:,} of {total:,}")

        yield plain
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
