"""Idle vehicles for opportunities: which party could drive which, and what it would cost. Proposed, never imposed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from noriai_api.broker.opportunities import Opportunity
from noriai_api.exchange.privacy.mesh import centres_of
from noriai_engine.model.errors import InputError

METRES_A_DEGREE = 111_195.0
SETUP_MIN = 15
"""Before and after: the way from the base and back is paid at the vehicle's speed, this for getting ready."""
SPEED_M_PER_MIN = 500.0


@dataclass(frozen=True, slots=True)
class Idle:
    """A vehicle with nothing to do: a taxi between peaks, a school bus at noon, a care home's van."""

    party: str
    kind: str
    weekday: int
    begin: int
    """Minute of the day, as `end`."""
    end: int
    seats: int
    mesh: int
    yen_per_hour: int

    def __post_init__(self) -> None:
        if not 0 <= self.weekday <= 6 or not 0 <= self.begin < self.end <= 1440 or self.seats < 1:
            raise InputError(
                f"weekday {self.weekday}, {self.begin} to {self.end}, {self.seats} seats", where=f"idle {self.party}",
                remedy="give a weekday from 0 (Monday), minutes of the day in order, and at least a seat",
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposal:
    """A vehicle for an opportunity on one day of the week: riders it would take on such a day, and the price."""

    opportunity: Opportunity
    idle: Idle
    riders: float
    yen: int

    @property
    def yen_per_rider(self) -> int:
        return round(self.yen / self.riders)


def proposals(opportunities: Sequence[Opportunity], idle: Sequence[Idle], most_yen_per_rider: int) -> list[Proposal]:
    """Each vehicle for one opportunity at most and the reverse, so that as many riders as can be are served, then as
    cheaply as can be (a linear assignment). Nothing dearer than `most_yen_per_rider` is proposed."""
    from scipy.optimize import linear_sum_assignment

    options = [[_proposal(one, vehicle) for vehicle in idle] for one in opportunities]
    if not options or not idle:
        return []
    worth = np.zeros((len(opportunities), len(idle)))
    for row, found in enumerate(options):
        for column, proposal in enumerate(found):
            if proposal is not None and proposal.yen_per_rider <= most_yen_per_rider:
                worth[row, column] = proposal.riders - proposal.yen / 1e7
    rows, columns = linear_sum_assignment(worth, maximize=True)
    chosen = [options[r][c] for r, c in zip(rows, columns, strict=True) if worth[r, c] > 0]
    return [proposal for proposal in chosen if proposal is not None]


def _proposal(one: Opportunity, idle: Idle) -> Proposal | None:
    """None where the vehicle is not idle then."""
    if one.weekday not in (None, idle.weekday):
        return None
    lon, lat = centres_of(np.array([one.mesh, *one.others[:3], idle.mesh]))
    far = np.hypot((lon - lon[0]) * np.cos(np.radians(lat[0])), lat - lat[0]) * METRES_A_DEGREE
    way, tour = far[-1] / SPEED_M_PER_MIN, 2 * far[:-1].max() / SPEED_M_PER_MIN
    begin, end = one.begin - SETUP_MIN - way, one.end + SETUP_MIN + way
    if idle.begin > begin or idle.end < end:
        return None
    rounds = max(1, int((one.end - one.begin) // max(tour, 1)))
    riders = min(one.wishes / max(one.days, 1), float(idle.seats * rounds))
    return Proposal(one, idle, riders, round((end - begin) / 60 * idle.yen_per_hour))
