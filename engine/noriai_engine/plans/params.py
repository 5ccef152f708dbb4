"""Budget and habits of the optimiser."""

from dataclasses import dataclass, field

from noriai_engine.model.errors import InputError
from noriai_engine.plans.kernels.arrays import Moves

FEW, MANY = 100, 1_000
"""Iterations a task in the first cooling: what counts as a small and as a large budget."""


@dataclass(frozen=True)
class SolveParams:
    """Budget and habits of the search. Give `seconds` (of the clock that is passed in) or `iterations`, or both."""

    seconds: float | None = 10.0
    iterations: int | None = None
    seed: int = 1
    hot: float = 1.0
    """First temperature, in mean drive costs, where the budget has room for MANY iterations a task."""
    warm: float = 0.3
    """The same where it has room for FEW: what is hot must be cooled slowly."""
    cold: float = 0.12
    """Last temperature."""
    cold_drives: float = 0.25
    """The same in mean costs of the best plan's own drives, where that is less."""
    reheat: float = 0.5
    """First temperature of each further cooling, which begins at the best plan; at least half of the first one's."""
    reheat_share: float = 0.2
    """Share of the budget for each further cooling, about: they share what is left."""
    moves: Moves = field(
        default_factory=lambda: Moves(
            exchange=0.7, strings=0.6, mean=12.0, longest=10.0, kin=20.0, power=3.0, regret=0.4, noise=0.3, blink=0.01
        )
    )
    anneal_share: float = 0.4
    """Share of the budget for annealing from hot to cold; the rest recombines and cools again from the best."""
    dives: int = 3
    """Starts from the relaxation after the first recombination, where all routes can be priced exactly."""
    quench_share: float = 0.02
    """Share of the budget for annealing after each dive."""
    recombine_share: float = 0.03
    """Most of the budget that one recombination may take."""
    price_share: float = 0.04
    """Most of the budget that the pricing of new routes may take each time."""
    anneal_share_exact: float = 0.2
    """The same where all routes can be priced exactly."""
    exact_share: float = 0.95
    """Most of what is left of the budget for the relaxation over all routes and for closing its gap."""
    exact_steps: int = 60_000
    """Steps in which to list fragments (ways from an empty vehicle to the next), for each second of the budget."""
    exact_pace: float = 2_200.0
    """Most fragments of a class, for each second of the budget: the relaxation would not be done in time with more."""
    exact_patience: float = 3.0
    """Where that many times as long as the last round of closing took is not left, annealing is of more use."""
    price_iterations: int = 300
    """Variations of each route in use, each time."""
    price_heat: float = 0.2
    """Temperature of the pricing, in mean drive costs."""
    fleet_share: float = 0.5
    """Most of the budget for the fleet phase, where fewer vehicles come first."""
    fleet_patience: int = 1_500
    """Most iterations a task of it in which no vehicle is saved."""
    starts: int = 8
    """Most plans with the fewest vehicles that are tried after it, each cooled for a moment."""
    start_iterations: int = 300
    """Least iterations a task of each of them: fewer plans in small budgets, and only the first one in the smallest."""
    starts_share: float = 0.5
    """Share of what is left of the budget then for all of them."""

    def __post_init__(self) -> None:
        if self.seconds is None and self.iterations is None:
            raise InputError("neither seconds nor iterations", remedy="give the search a budget")
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"{self.seconds} seconds", remedy="give more than 0 seconds")
        if self.iterations is not None and self.iterations < 1:
            raise InputError(f"{self.iterations} iterations", remedy="give at least 1")
        if self.starts < 1:
            raise InputError(f"starts = {self.starts}", remedy="give at least 1: the plan that is found first")
        for name in (
            "anneal_share",
            "anneal_share_exact",
            "exact_share",
            "quench_share",
            "recombine_share",
            "price_share",
            "fleet_share",
            "starts_share",
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name} = {getattr(self, name)}", remedy="give a share from 0 to 1")
        if not 0.0 < self.reheat_share <= 1.0:
            raise InputError(f"reheat_share = {self.reheat_share}", remedy="give a share above 0, and 1 at most")
        if not 0.0 < self.cold <= self.hot:
            raise InputError(f"temperatures {self.hot} to {self.cold}", remedy="let it fall, and stay above 0")


def annealing(seed: int, iterations: int) -> SolveParams:
    """A search that costs as much as its iterations and repeats itself: no integer programs, no pricing."""
    return SolveParams(seconds=None, iterations=iterations, seed=seed, anneal_share=1.0)
