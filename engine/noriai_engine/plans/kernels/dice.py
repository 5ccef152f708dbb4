"""Random numbers from a state that is passed in (splitmix64, Steele, Lea & Flood 2014), so that threads repeat."""

import numpy as np
from numpy.typing import NDArray

from noriai_engine.kernels import inlined_kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
S30, S27, S31, S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
UNIT = 1.0 / 9007199254740992.0


@inlined_kernel
def uniform(dice: NDArray[np.uint64]) -> float:
    """The next number in [0, 1)."""
    dice[0] = dice[0] + GOLDEN
    z = dice[0]
    z = (z ^ (z >> S30)) * MIX_1
    z = (z ^ (z >> S27)) * MIX_2
    z = z ^ (z >> S31)
    return float(z >> S11) * UNIT


@inlined_kernel
def below(dice: NDArray[np.uint64], n: int) -> int:
    """The next number in 0 .. n - 1."""
    return int(uniform(dice) * n)
