"""Noise that hides any one rider: the discrete Laplace mechanism of OpenDP, which also says what it is worth.

Counts, noise and results are integers; there is no floating point to look through (Mironov 2012).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noriai_engine.model.errors import InputError

Ints = NDArray[np.int64]

Measure = Callable[[Ints, float], Ints]
"""(exact counts, scale) -> the counts with discrete Laplace noise of that scale."""


def measure(counts: Ints, scale: float) -> Ints:
    """Counts with noise from the operating system's random source, by OpenDP."""
    return np.array(_mechanism(scale)(counts.tolist()), np.int64)


def micro_epsilon(scale: float, sensitivity: int) -> int:
    """What a measurement of a vector costs where one rider changes it by at most `sensitivity` (L1), in millionths of
    epsilon, rounded up; OpenDP's own privacy map says it."""
    return int(np.ceil(float(_mechanism(scale).map(sensitivity)) * 1_000_000 - 1e-6))


def _mechanism(scale: float) -> Any:
    try:
        import opendp.prelude as dp
    except ImportError:
        raise InputError("statistics need OpenDP", where="noriai exchange publish",
                         remedy="pip install 'noriai[privacy]'") from None  # fmt: skip
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l1_distance(T=int)
    return dp.m.make_laplace(*space, scale=scale)
