"""Estimates that add up: noisy counts of a tree's nodes made consistent by weighted least squares.

Two passes over the tree give the exact solution (Hay et al., "Boosting the accuracy of differentially private
histograms through consistency", VLDB 2010, here with a variance for each node and any number of children).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def consistent(children: Sequence[tuple[int, ...]], measured: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """(estimates, variances) with each parent the sum of its children. Node 0 is the root and parents come before
    their children; `variance` is infinite where a node was not measured. Leaves are all measured."""
    count = len(children)
    best, spread = measured.astype(np.float64), variance.astype(np.float64)
    for node in range(count - 1, -1, -1):
        if children[node]:
            parts = list(children[node])
            total, total_spread = best[parts].sum(), spread[parts].sum()
            weight = 0.0 if np.isinf(variance[node]) else 1 / variance[node]
            share = 1 / (weight + 1 / total_spread)
            best[node] = share * ((measured[node] * weight if weight else 0.0) + total / total_spread)
            spread[node] = share
    final, final_spread = best.copy(), spread.copy()
    for node in range(count):
        if children[node]:
            parts = list(children[node])
            total_spread = spread[parts].sum()
            missing = final[node] - best[parts].sum()
            for part in parts:
                share = spread[part] / total_spread
                final[part] = best[part] + share * missing
                final_spread[part] = spread[part] * (1 - share) + share**2 * final_spread[node]
    return final, final_spread
