"""Label rows of the nodes in use, for graphs too large to keep one for every node."""

from threading import Lock

import numpy as np

from noriai_engine.model.units import IntArray, SmallArray
from noriai_engine.roads.kernels import climbing, metric, queries

POOL_ENTRIES = 32 << 20
"""Row entries kept in each direction: 128 MiB."""


class RowPool:
    """Rows are made when first asked for and stay until the pool is full; then it starts anew."""

    def __init__(self, tree: metric.Tree, least_depth: SmallArray, up: IntArray, down: IntArray) -> None:
        self._tree, self._least_depth, self._weights = tree, least_depth, (up, down)
        self._lock, self._used = Lock(), 0
        self._row = np.full(len(tree.parent) + 1, -1, np.int64)
        self._rows = np.empty(1 << 16, np.int32), np.empty(1 << 16, np.int32)

    def with_rows(self, numbers: IntArray) -> queries.Labels:
        """Labels in which the rows of these tree numbers stand, in arrays that no later call changes."""
        with self._lock:
            missing = numbers[self._row[numbers] < 0]
            needed = int((self._tree.depth[missing] + 1).sum())
            if self._used + needed > POOL_ENTRIES and self._used:
                self._row = np.full_like(self._row, -1)
                self._rows, self._used, missing = self._fresh(0), 0, numbers
                needed = int((self._tree.depth[missing] + 1).sum())
            if self._used + needed > len(self._rows[0]):
                grown = self._fresh(2 * (self._used + needed))
                for old, new in zip(self._rows, grown, strict=True):
                    new[: self._used] = old[: self._used]
                self._rows = grown
            if len(missing):
                at = np.full(len(missing) + 1, self._used, np.int64)
                at[1:] += np.cumsum(self._tree.depth[missing] + 1)
                row = self._row.copy()
                row[missing] = at[:-1]
                for weight, rows in zip(self._weights, self._rows, strict=True):
                    climbing.climb_rows(self._tree, weight, metric.INF, missing, at, rows)
                self._row, self._used = row, int(at[-1])
            return queries.Labels(self._least_depth, self._tree.depth, self._row, *self._rows)

    @staticmethod
    def _fresh(entries: int) -> tuple[IntArray, IntArray]:
        size = max(entries, 1 << 16)
        return np.empty(size, np.int32), np.empty(size, np.int32)
