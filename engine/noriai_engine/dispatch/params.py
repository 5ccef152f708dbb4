"""Parameters of dispatch."""

from dataclasses import dataclass

from noriai_engine.model.units import HOUR_MS, MINUTE_MS


@dataclass(frozen=True, slots=True)
class DispatchParams:
    """`max_offers`: offers in a quote, one per operator. `nearest_step_ms`, `nearest_reach_ms`: the grid on which a
    refusal looks for the nearest feasible time, and how far from the wished time it looks either way (0: not at all).
    """

    max_offers: int = 3
    nearest_step_ms: int = 5 * MINUTE_MS
    nearest_reach_ms: int = 12 * HOUR_MS

    def __post_init__(self) -> None:
        if self.max_offers < 1:
            raise ValueError(f"max_offers = {self.max_offers}: a quote needs room for at least 1 offer")
        if self.nearest_step_ms < 1 or self.nearest_reach_ms < 0:
            raise ValueError(
                f"nearest_step_ms = {self.nearest_step_ms}, nearest_reach_ms = {self.nearest_reach_ms}: "
                "the step must be above 0 and the reach not below"
            )
