"""Figures of several regions together, without anybody in the middle: each region counts its own riders over the same
parts, adds its own noise, and gives the noisy counts to the others, who add them up. No exact count leaves a region.

Parts are the same where public data and the number of trips expected are: the regions agree on both beforehand. A rider
who is counted in two regions is protected by the sum of both budgets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noriai_api.exchange.privacy.partition import PublicData
from noriai_api.exchange.privacy.release import (
    Question,
    estimated,
    fixed_parts,
    said_of,
    scales_of,
)
from noriai_engine.model.errors import InputError


def summed(question: Question, data: PublicData, measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of what regions measured (`measured` of their releases) over the parts that a question fixes.

    Raises InputError where one was measured over others, or none is given.
    """
    parts, digest = fixed_parts(question, data)
    if not measured:
        raise InputError("has nothing to add", where="sum", remedy="publish with --expected, or ask neighbours")
    for one in measured:
        if not _fits(one, digest, len(parts.leaves)):
            raise InputError(
                "was measured over other parts", where=f"figures of {one.get('area', 'a region')}",
                remedy="agree on the same public data, period, epsilon and expected trips",
            )  # fmt: skip
    leaves = np.sum([np.array(one["leaves"], np.int64) for one in measured], axis=0)
    total = int(sum(one["total"] for one in measured))
    count = len(measured)
    scales = [float(np.sqrt(count)) * scale for scale in scales_of(question)]
    estimates, variances = estimated(parts, leaves, scales[0], total, scales[1])
    said = said_of(question, parts, estimates, variances, scales[0])
    return said | {"regions": count, "left_out": f"{said['left_out']}, in each region"}


def _fits(one: Mapping[str, Any], digest: str, parts: int) -> bool:
    """Is it what a region measures over these parts? A neighbour may err or lie."""
    leaves, total = one.get("leaves"), one.get("total")
    whole = isinstance(leaves, list) and all(type(leaf) is int for leaf in [*leaves, total])
    return whole and one.get("partition") == digest and len(leaves or ()) == parts
