"""Points to the nearest piece of street, by a grid of cells on a local plane."""

from typing import NamedTuple

import numpy as np

from noriai_engine.kernels import kernel
from noriai_engine.model.units import ByteArray, FloatArray, IntArray


class Grid(NamedTuple):
    """Pieces k between points k and k + 1 of one street, on a plane in metres.

    `x`, `y` (points,); `along` (points,) metres from the street's first point; `street` (points,) -1 where no piece
    begins (the last point of a street); `street_first`
    (streets + 1,); `flags` (streets,); cells of `size` metres, `columns` x `rows` from
    (`west`, `south`): `first` (cells + 1,) into `piece`.
    """

    x: FloatArray
    y: FloatArray
    along: FloatArray
    street: IntArray
    street_first: IntArray
    flags: ByteArray
    west: float
    south: float
    size: float
    columns: int
    rows: int
    first: IntArray
    piece: IntArray


@kernel
def _column(grid: Grid, x: float) -> int:
    return min(max(int((x - grid.west) / grid.size), 0), grid.columns - 1)


@kernel
def _row(grid: Grid, y: float) -> int:
    return min(max(int((y - grid.south) / grid.size), 0), grid.rows - 1)


@kernel
def count_cells(grid: Grid, first: IntArray) -> None:
    """first[c + 1] becomes the number of pieces whose box touches cells up to c."""
    first[:] = 0
    for k in range(grid.street.shape[0]):
        if grid.street[k] < 0:
            continue
        for row in range(_row(grid, min(grid.y[k], grid.y[k + 1])), _row(grid, max(grid.y[k], grid.y[k + 1])) + 1):
            low = _column(grid, min(grid.x[k], grid.x[k + 1]))
            for column in range(low, _column(grid, max(grid.x[k], grid.x[k + 1])) + 1):
                first[row * grid.columns + column + 1] += 1
    for c in range(first.shape[0] - 1):
        first[c + 1] += first[c]


@kernel
def fill_cells(grid: Grid) -> None:
    """Write the pieces of each cell, ascending."""
    at = grid.first[:-1].copy()
    for k in range(grid.street.shape[0]):
        if grid.street[k] < 0:
            continue
        for row in range(_row(grid, min(grid.y[k], grid.y[k + 1])), _row(grid, max(grid.y[k], grid.y[k + 1])) + 1):
            low = _column(grid, min(grid.x[k], grid.x[k + 1]))
            for column in range(low, _column(grid, max(grid.x[k], grid.x[k + 1])) + 1):
                cell = row * grid.columns + column
                grid.piece[at[cell]] = k
                at[cell] += 1


@kernel
def _share(grid: Grid, k: int, x: float, y: float) -> float:
    """How far along piece k its nearest point to (x, y) lies, 0 to 1."""
    dx, dy = grid.x[k + 1] - grid.x[k], grid.y[k + 1] - grid.y[k]
    square = dx * dx + dy * dy
    if square == 0.0:
        return 0.0
    return min(1.0, max(0.0, ((x - grid.x[k]) * dx + (y - grid.y[k]) * dy) / square))


@kernel
def _across(grid: Grid, k: int, x: float, y: float) -> float:
    """Metres a point lies to the left of piece k's direction. At a bend the sum over both pieces tells the side: each
    alone may be wrong beyond the other (Baerentzen and Aanaes, "Signed distance computation", 2005)."""
    dx, dy = grid.x[k + 1] - grid.x[k], grid.y[k + 1] - grid.y[k]
    length = np.sqrt(dx * dx + dy * dy)
    return (dx * (y - grid.y[k]) - dy * (x - grid.x[k])) / length if length > 0.0 else 0.0


@kernel
def snap(
    grid: Grid, x: FloatArray, y: FloatArray, needed: int, limit: float, street: IntArray, share: FloatArray,
    metres: FloatArray, side: ByteArray,
) -> None:  # fmt: skip
    """For each point the nearest street within `limit` metres that has all flags `needed`; -1 where there is none.

    `share` is how far along the street (0 to 1), `side` 1 where the point lies left of the street's direction, -1
    right, 0 on it. Among equally near pieces the lowest row wins.
    """
    for p in range(x.shape[0]):
        px, py = x[p], y[p]
        column = int(np.floor((px - grid.west) / grid.size))
        row = int(np.floor((py - grid.south) / grid.size))
        best, found = limit * limit, -1
        ring = max(0, -column, column - grid.columns + 1, -row, row - grid.rows + 1)
        while True:
            inner = (ring - 1) * grid.size  # everything nearer than this has been seen
            if ring > 0 and inner > 0 and inner * inner > best:
                break
            if ring > 0 and inner > limit:
                break
            some = False
            for r in range(max(0, row - ring), min(grid.rows - 1, row + ring) + 1):
                edge = r == row - ring or r == row + ring
                step = 1 if edge else max(1, 2 * ring)
                c = column - ring
                while c <= column + ring:
                    if 0 <= c < grid.columns:
                        some = True
                        cell = r * grid.columns + c
                        for h in range(grid.first[cell], grid.first[cell + 1]):
                            k = grid.piece[h]
                            if grid.flags[grid.street[k]] & needed != needed:
                                continue
                            t = _share(grid, k, px, py)
                            dx = px - (grid.x[k] + t * (grid.x[k + 1] - grid.x[k]))
                            dy = py - (grid.y[k] + t * (grid.y[k + 1] - grid.y[k]))
                            square = dx * dx + dy * dy
                            if square < best or (square == best and (found < 0 or k < found)):
                                best, found = square, k
                    c += step
            if not some and ring > grid.columns + grid.rows:
                break
            ring += 1
        street[p] = -1
        if found < 0:
            continue
        k = found
        t = _share(grid, k, px, py)
        line = grid.street[k]
        total = grid.along[grid.street_first[line + 1] - 1]
        street[p] = line
        here = grid.along[k] + t * (grid.along[k + 1] - grid.along[k])
        share[p] = min(1.0, here / total) if total > 0.0 else 0.0
        metres[p] = np.sqrt(best)
        cross = _across(grid, k, px, py)
        if t == 0.0 and k > grid.street_first[line]:
            cross += _across(grid, k - 1, px, py)
        elif t == 1.0 and k + 2 < grid.street_first[line + 1]:
            cross += _across(grid, k + 1, px, py)
        side[p] = 1 if cross > 0.0 else (-1 if cross < 0.0 else 0)
