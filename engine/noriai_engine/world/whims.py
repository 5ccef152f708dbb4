"""What riders do that nobody planned: some cancel, some do not come. Drawn before the day, so that it replays."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from noriai_engine.model.requests import Request
from noriai_engine.model.units import RequestId


@dataclass(frozen=True, slots=True)
class Whims:
    """Who cancels, and after which share of the time from booking to planned pickup; who does not come."""

    cancels: dict[RequestId, float] = field(default_factory=dict)
    absent: frozenset[RequestId] = frozenset()


def draw_whims(requests: Sequence[Request], cancelled: float, no_show: float, rng: np.random.Generator) -> Whims:
    """Shares (0 to 1) of all requests; whoever cancels does so at any moment before the planned pickup alike."""
    chance, when = rng.random(len(requests)), rng.random(len(requests))
    cancels = {r.id: float(when[k]) for k, r in enumerate(requests) if chance[k] < cancelled}
    absent = frozenset(r.id for k, r in enumerate(requests) if cancelled <= chance[k] < cancelled + no_show)
    return Whims(cancels, absent)
