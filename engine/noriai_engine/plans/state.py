"""Empty routes, memos and working space for a problem's kernels."""

from typing import Any

import numpy as np

from noriai_engine.plans.kernels.arrays import CELL, HEAD, Array, Pool, Routes, Tasks, Work, line_record, row_record


def records(shape: int | tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeroed records whose fields are attributes, in kernels and in plain Python alike."""
    return np.zeros(shape, dtype).view(np.recarray)


def empty_routes(t: Tasks) -> Routes:
    """Vehicles that go straight home."""
    v, m, n = len(t.cars), len(t.jobs), len(t.stops)
    rows = records((v, 2 * m + 3), row_record(t.travel.dtype))
    rows["node"][:, 0], rows["node"][:, 1] = t.cars["start"], t.cars["end"]
    rows["mate"] = -1
    heads = records(v, HEAD)
    heads["count"] = 2
    return Routes(rows=rows, heads=heads, home=np.full(m, -1, np.int32), at=np.zeros(n, np.int32))


def empty_memo(t: Tasks) -> Array:
    memo = records((len(t.jobs), len(t.cars)), CELL)
    memo["stamp"] = -1
    return memo


def working_space(t: Tasks, seed: int) -> Work:
    v, m = len(t.cars), len(t.jobs)
    w = 2 * m + 5
    return Work(
        line=records(w, line_record(t.travel.dtype)),
        add_d=np.zeros(w),
        least_d=np.zeros(w),
        way=np.zeros(w),
        absent=np.arange(m, dtype=np.int32),
        kept=np.zeros(m, np.int32),
        order=np.zeros(m),
        dirty=np.zeros(v, np.uint8),
        marked=np.zeros(m, np.uint8),
        counts=np.zeros(2, np.int64),
        dice=np.array([seed * 0x9E3779B97F4A7C15 % 2**64], np.uint64),
    )


def empty_pool(t: Tasks, rows: int = 60_000) -> Pool:
    """Room for `rows` routes."""
    names = np.random.default_rng(20_021).integers(1, 2**63, len(t.jobs), dtype=np.uint64)
    slots = 1 << (4 * rows - 1).bit_length()
    return Pool(
        name=names * np.uint64(2) + np.uint64(1),
        slot=np.full(slots, -1, np.int32),
        key=np.zeros(rows, np.uint64),
        kind=np.zeros(rows, np.int32),
        cost=np.zeros(rows),
        first=np.zeros(rows + 1, np.int64),
        node=np.zeros(rows * 40, np.int32),
        used=np.zeros(2, np.int64),
    )
