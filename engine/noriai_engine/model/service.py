"""A service: who is carried where, when, and under which limits. A town's rules are data, never code."""

from dataclasses import dataclass
from typing import Literal

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place
from noriai_engine.model.units import HOUR_MS, MINUTE_MS, SECOND_MS, DayMs


@dataclass(frozen=True, slots=True)
class Service:
    """Limits promised to every rider. Durations in ms; `opens`/`closes` count from the service day's start.

    - A rider who asks for a departure is picked up within `max_wait_ms` of it; one who asks for an arrival
      gets there at most `arrival_margin_ms` early, and a pickup interval no longer than `max_wait_ms`.
    - The ride, from departure at the pickup to the start of alighting, takes at most
      min(`max_ride_ms`, `detour_factor_permille`/1000 x direct + `detour_extra_ms`), fixed at booking.
    - A request must reach us between `max_ahead_ms` and `min_lead_ms` before its earliest pickup.
    - Mode "door": from door to door. "stops": riders walk up to `max_walk_m` to and from the nearest stop. "meet":
      from door to door, or on foot to one of the `most_meeting_stops` nearest stops and from another, where that is
      the cheapest: a ms on foot weighs `walk_permille`/1000 of a ms of driving.
    - Promises are made with a buffer against travel times that prove wrong: plans have pickups `pickup_buffer_ms`
      earlier than promised at the latest, and rides shorter by `ride_buffer_permille`/1000 of the direct drive.
    - An accepted rider whose vehicle can come no longer, and for whom there is no other, is given up `give_up_ms`
      before the pickup promised at the latest; until then another one is looked for.
    - Stops that start within `commit_horizon_ms` are announced to driver and rider and move no more.
    """

    id: str = "service"
    name: str = "Shared rides"
    opens: DayMs = DayMs(0)
    closes: DayMs = DayMs(24 * HOUR_MS)
    max_wait_ms: int = 15 * MINUTE_MS
    max_ride_ms: int = 90 * MINUTE_MS
    detour_factor_permille: int = 1_500
    detour_extra_ms: int = 5 * MINUTE_MS
    arrival_margin_ms: int = 20 * MINUTE_MS
    min_lead_ms: int = 0
    max_ahead_ms: int = 14 * 24 * HOUR_MS
    boarding_ms: int = 30 * SECOND_MS
    alighting_ms: int = 20 * SECOND_MS
    wheelchair_boarding_ms: int = 180 * SECOND_MS
    wheelchair_alighting_ms: int = 120 * SECOND_MS
    commit_horizon_ms: int = 60 * SECOND_MS
    pickup_buffer_ms: int = 0
    ride_buffer_permille: int = 0
    give_up_ms: int = HOUR_MS
    max_snap_m: int = 200
    mode: Literal["door", "stops", "meet"] = "door"
    max_walk_m: int = 500
    walking_speed_mm_s: int = 1_000
    stops: tuple[Place, ...] = ()
    most_meeting_stops: int = 4
    walk_permille: int = 200
    area: tuple[tuple[tuple[float, float], ...], ...] = ()
    """Outer rings (lon, lat) of the service area; empty: the whole region."""

    def __post_init__(self) -> None:
        for name in (
            "max_wait_ms", "max_ride_ms", "detour_extra_ms", "arrival_margin_ms", "min_lead_ms", "boarding_ms",
            "alighting_ms", "wheelchair_boarding_ms", "wheelchair_alighting_ms", "commit_horizon_ms", "max_snap_m",
            "pickup_buffer_ms", "ride_buffer_permille", "give_up_ms",
        ):  # fmt: skip
            if getattr(self, name) < 0:
                raise InputError(f"{name} = {getattr(self, name)}", where="service", remedy="give 0 or more")
        if self.detour_factor_permille < 1_000:
            raise InputError(
                f"detour factor {self.detour_factor_permille / 1000}",
                where="service",
                remedy="give at least 1: the direct ride itself",
            )
        if self.closes <= self.opens:
            raise InputError("closes before it opens", where="service", remedy="past midnight write e.g. 26:00")
        if self.mode != "door" and not self.stops:
            raise InputError(f"mode is {self.mode}, but there is no stop", where="service", remedy="name a stops file")
        if not 1 <= self.most_meeting_stops <= 16 or self.walk_permille < 0:
            raise InputError(
                f"{self.most_meeting_stops} meeting points, walks that weigh {self.walk_permille} permille",
                where="service", remedy="give 1 to 16 stops, and a weight of 0 or more",
            )  # fmt: skip
        if self.walking_speed_mm_s <= 0:
            raise InputError("walking speed is not above 0", where="service", remedy="give about 1000 mm/s")

    def ride_limit_ms(self, direct_ms: int) -> int:
        """Longest ride for a direct drive of `direct_ms`; may be below it, then the trip is refused."""
        relative = direct_ms * self.detour_factor_permille // 1_000 + self.detour_extra_ms
        return min(self.max_ride_ms, relative)
