"""What a plan of the day is for, in a stated order."""

from dataclasses import dataclass
from typing import Literal

from noriai_engine.model.errors import InputError

Aim = Literal["unserved", "inconvenience", "cost"]

OUTWEIGHS = 20.0
"""A minute of the aim that comes first outweighs so many minutes of the one behind it."""


@dataclass(frozen=True, slots=True)
class Aims:
    """`order`: requests left out always come first; then driving (`cost`) and what riders give up (`inconvenience`:
    minutes they wait, arrive too early, or ride longer than the direct drive), in either order or `cost` alone.
    `rider_weight`: instead of an order, what a minute that a rider gives up weighs beside a minute of driving.

    Raises InputError where the order is none of these, or says something else than the weight.
    """

    order: tuple[Aim, ...] = ("unserved", "cost")
    rider_weight: float | None = None

    def __post_init__(self) -> None:
        known = (("unserved", "cost"), ("unserved", "cost", "inconvenience"), ("unserved", "inconvenience", "cost"))
        if self.order not in known:
            raise InputError(
                f"aims in the order {', '.join(self.order) or '(none)'}", where="aims",
                remedy=" or ".join(f"[{', '.join(order)}]" for order in known),
            )  # fmt: skip
        if self.rider_weight is None:
            return
        if not 0.0 <= self.rider_weight <= OUTWEIGHS:
            raise InputError(
                f"rider_weight = {self.rider_weight}",
                where="aims",
                remedy=f"give 0 to {OUTWEIGHS:g} minutes of driving",
            )
        if len(self.order) == 3:
            raise InputError(
                "an order of cost and inconvenience, and a weight between them", where="aims", remedy="give one of both"
            )

    @property
    def rate(self) -> float:
        """What a minute that a rider gives up weighs, in minutes of driving."""
        if self.rider_weight is not None:
            return self.rider_weight
        if "inconvenience" not in self.order:
            return 0.0
        return OUTWEIGHS if self.order.index("inconvenience") < self.order.index("cost") else 1.0 / OUTWEIGHS
