"""Drives: the way from one spot to another."""

from dataclasses import dataclass

from noriai_engine.model.places import Spot
from noriai_engine.model.units import IntArray


@dataclass(frozen=True, slots=True)
class Drive:
    """A way from one spot to another, times in ms from departure.

    `states` (j,), the `turns` (j - 1,) between them; `enter_ms` (j,) when the start of each state's arc is passed,
    at most 0 for the first, which is entered before departure; `ms` until arrival, `mm` driven.
    """

    source: Spot
    target: Spot
    states: IntArray
    turns: IntArray
    enter_ms: IntArray
    ms: int
    mm: int
