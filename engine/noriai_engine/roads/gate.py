"""Many may read at once, one may change, and never both at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, local


class Gate:
    """A change waits for the readers inside and goes before those who come after it. A reader may read again within its
    own reading; to change within one's own reading raises RuntimeError, for it would wait for itself."""

    def __init__(self) -> None:
        self._free, self._readers, self._waiting, self._own = Condition(), 0, 0, local()

    @contextmanager
    def reading(self) -> Iterator[None]:
        depth = getattr(self._own, "depth", 0)
        if depth == 0:
            with self._free:
                while self._waiting:
                    self._free.wait()
                self._readers += 1
        self._own.depth = depth + 1
        try:
            yield
        finally:
            self._own.depth = depth
            if depth == 0:
                with self._free:
                    self._readers -= 1
                    self._free.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        if getattr(self._own, "depth", 0):
            raise RuntimeError("a change of traffic from within a query")
        with self._free:
            self._waiting += 1
            try:
                while self._readers:
                    self._free.wait()
                yield
            finally:
                self._waiting -= 1
                self._free.notify_all()
