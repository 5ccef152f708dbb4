"""Life as it is, for simulated days: drives that take longer than travel times say, vehicles that fail, drivers who
come late or not at all, traffic. All of it is drawn from seeds, so that the day replays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.units import MINUTE_MS, UtcMs, VehicleId
from noriai_engine.roads.traffic import Traffic


@dataclass(frozen=True, slots=True)
class HeldUp:
    """Vehicles under way are held up now and then: on average every `every_ms` of driving, in all for `share_permille`
    of the driving time. Both how long they drive until then and how long they stand are drawn from exponential
    distributions, so a hold-up does not depend on how drives are cut."""

    share_permille: int = 0
    every_ms: int = 4 * MINUTE_MS

    def __post_init__(self) -> None:
        if self.share_permille < 0 or self.every_ms < 1:
            raise InputError(f"{self}", where="held up", remedy="give a share of 0 or more, and a time above 0")


class HoldUps:
    """Each vehicle's hold-ups, from a seed and its row: what one vehicle does changes nothing for another."""

    def __init__(self, params: HeldUp, seed: int) -> None:
        self._params, self._seed = params, seed
        self._next: dict[int, tuple[np.random.Generator, int]] = {}

    def at(self, vehicle: int) -> int | None:
        """After how much driving in all (ms) a vehicle is held up next; None: never."""
        if self._params.share_permille == 0:
            return None
        if vehicle not in self._next:
            rng = np.random.default_rng([self._seed, vehicle])
            self._next[vehicle] = rng, self._drawn(rng, self._params.every_ms)
        return self._next[vehicle][1]

    def take(self, vehicle: int) -> int:
        """For how long (ms) the vehicle is held up now; the next one is drawn."""
        rng, at = self._next[vehicle]
        lasts = self._drawn(rng, self._params.every_ms * self._params.share_permille / 1_000)
        self._next[vehicle] = rng, at + self._drawn(rng, self._params.every_ms)
        return lasts

    @staticmethod
    def _drawn(rng: np.random.Generator, mean_ms: float) -> int:
        return 1 + int(rng.exponential(mean_ms))


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A vehicle or its driver is out of service for the rest of the day."""

    at: UtcMs
    vehicle: VehicleId
    cause: str = "breakdown"


LATE_DRIVER = "driver_late"
"""The cause logged where a driver comes late."""


@dataclass(frozen=True, slots=True)
class LateDriver:
    """A driver calls at `at`: the vehicle sets out no sooner than `until`."""

    at: UtcMs
    vehicle: VehicleId
    until: UtcMs


@dataclass(frozen=True, slots=True)
class TrafficChange:
    """Other travel times and closures from `at` on."""

    at: UtcMs
    traffic: Traffic
    cause: str = "traffic"


Incident = Breakdown | LateDriver | TrafficChange


@dataclass(frozen=True)
class Life:
    """What happens on a day that nobody planned."""

    held_up: HeldUp = HeldUp()
    seed: int = 0
    incidents: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True)
class Mishaps:
    """Shares (0 to 1) of vehicles that fail at some moment of their shift, all moments alike; whose driver does not
    come; and whose driver comes late, by any time up to `late_ms`."""

    fail: float = 0.0
    absent: float = 0.0
    late: float = 0.0
    late_ms: int = 30 * MINUTE_MS


def draw_mishaps(vehicles: Sequence[Vehicle], mishaps: Mishaps, rng: np.random.Generator) -> list[Incident]:
    """What befalls each vehicle, one thing at most, in order of time. Drivers call a minute before their shift."""
    chance, when = rng.random(len(vehicles)), rng.random(len(vehicles))
    found: list[Incident] = []
    for k, vehicle in enumerate(vehicles):
        start, end, p = vehicle.shift.start, vehicle.shift.end, float(chance[k])
        calls = UtcMs(start - MINUTE_MS)
        if p < mishaps.fail:
            found.append(Breakdown(UtcMs(start + int((end - start) * when[k])), vehicle.id))
        elif p < mishaps.fail + mishaps.absent:
            found.append(Breakdown(calls, vehicle.id, "driver_absent"))
        elif p < mishaps.fail + mishaps.absent + mishaps.late:
            late_ms = min(int(mishaps.late_ms * when[k]), end - start - 1)
            found.append(LateDriver(calls, vehicle.id, UtcMs(start + late_ms)))
    return sorted(found, key=lambda incident: incident.at)
