"""The doors to numba: one machine code for a kernel, whichever whole numbers other kernels hand it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from noriai_engine.kernels import inlined_kernel, kernel, lean_kernel


@kernel
def _twice(x: int) -> int:
    return 2 * x


@lean_kernel
def _least(x: int, up: bool) -> int:
    return x if up else -x


@inlined_kernel
def _next(x: int) -> int:
    return x + 1


@kernel
def _all_of_them(short: Any, small: Any, wide: int) -> int:
    up = wide > 0
    total = _twice(short[0]) + _twice(3) + _twice(short[0] + wide) + _twice(small[1])
    total += _least(short[0], True) + _least(-1, up) + _least(wide, False)
    return total + _next(short[0]) + _next(4)


@pytest.mark.compiled
def test_a_kernel_is_compiled_once_for_all_whole_numbers() -> None:
    """Constants, elements of small arrays and wide numbers; negative ones stay what they are."""
    from numba import types

    short, small = np.array([-7, 0], np.int32), np.array([0, -100], np.int8)
    expected = 2 * -7 + 2 * 3 + 2 * (-7 + 5) + 2 * -100 + -7 + -1 + -5 + -6 + 5
    assert _all_of_them(short, small, 5) == expected
    _all_of_them.recompile()  # from a cache it comes without what it calls
    assert _all_of_them(short, small, 5) == expected
    assert list(_twice.overloads) == [(types.int64,)]
    assert list(_least.overloads) == [(types.int64, types.boolean)]
    assert len(_next.overloads) == 2  # inlined: each as it comes
