"""The KPIs of a run. Names and definitions stand in the text catalogue under `kpi.<key>` and `kpi.<key>_def`."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from noriai_engine.kpis.rides import Ride
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.plan import Leg

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Kpi:
    """A figure with what it is a figure of. `value` is None where the denominator is 0."""

    key: str
    value: float | int | None
    unit: str
    denominator: float | int
    denominator_unit: str


def _ratio(key: str, unit: str, top: int, bottom: int, of: str, *, scale: Fraction = Fraction(1)) -> Kpi:
    """scale x top / bottom, rounded half to even at 3 decimals from the exact fraction."""
    value = None if bottom == 0 else float(round(Fraction(top, bottom) * scale, 3))
    return Kpi(key, value, unit, bottom, of)


def _percent(key: str, part: int, whole: int, of: str = "requests") -> Kpi:
    return _ratio(key, "percent", part, whole, of, scale=Fraction(100))


def _mean_minutes(key: str, values_ms: Sequence[int], of: str) -> Kpi:
    return _ratio(key, "minutes", sum(values_ms), len(values_ms), of, scale=Fraction(1, 60_000))


def nearest_rank(values: Collection[int], percent: int) -> int | None:
    """Smallest value that at least `percent` % of all do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)] if ordered else None


def compute_kpis(rides: Iterable[Ride], legs: Sequence[Leg], vehicles: Sequence[Vehicle]) -> list[Kpi]:
    """All KPIs of a finished run, in the order of the report."""
    rides = list(rides)
    served = [ride for ride in rides if ride.state == BookingState.DONE]
    chairs = [ride for ride in rides if ride.request.party.wheelchairs]
    waits = [ride.wait_ms for ride in served if ride.wait_ms is not None]
    times = [(ride.ride_ms or 0, ride.direct_ms or 0) for ride in served]
    timed = [ride for ride in served if ride.request.latest_arrival is not None]
    on_time = [r for r in timed if r.arrival is not None and r.arrival <= (r.request.latest_arrival or 0)]
    late = [ride.late_ms for ride in served if ride.late_ms > 0]
    riders = sum(ride.request.party.riders for ride in served)
    shared = {rider for leg in legs if len(leg.request_ids) > 1 for rider in leg.request_ids}
    driven_mm = sum(leg.distance_mm for leg in legs)
    loaded_mm = sum(leg.distance_mm for leg in legs if leg.request_ids)
    rider_mm = sum(leg.distance_mm * leg.aboard.riders for leg in legs)
    driven_ms = sum(leg.arrive - leg.depart for leg in legs)
    shift_ms = sum(vehicle.shift.end - vehicle.shift.start for vehicle in vehicles)
    p95 = nearest_rank(waits, 95)
    return [
        Kpi("requests", len(rides), "requests", 1, "runs"),
        Kpi("served", len(served), "requests", len(rides), "requests"),
        _percent("service_rate", len(served), len(rides)),
        _percent(
            "service_rate_wheelchair", sum(r.state == BookingState.DONE for r in chairs), len(chairs),
            "wheelchair requests",
        ),
        *(
            Kpi(key, sum(r.state == state for r in rides), "requests", len(rides), "requests")
            for key, state in (
                ("cancelled", BookingState.CANCELLED), ("no_shows", BookingState.NO_SHOW),
                ("dropped", BookingState.DROPPED),
            )
        ),
        Kpi("riders_served", riders, "riders", len(served), "served requests"),
        _mean_minutes("wait_mean", waits, "served requests with a wished departure"),
        Kpi(
            "wait_p95", None if p95 is None else round(p95 / 60_000, 3), "minutes", len(waits),
            "served requests with a wished departure",
        ),
        _mean_minutes("walk_mean", [ride.walk_ms for ride in served], "served requests"),
        _mean_minutes("ride_mean", [ride for ride, _ in times], "served requests"),
        _ratio("ride_ratio", "ratio", sum(r for r, _ in times), sum(d for _, d in times), "ms of direct driving"),
        _mean_minutes("detour_mean", [ride - direct for ride, direct in times], "served requests"),
        _percent("shared_share", sum(r.request.id in shared for r in served), len(served), "served requests"),
        _percent("on_time_arrivals", len(on_time), len(timed), "served requests with a wished arrival"),
        _percent("promises_kept", sum(r.is_kept for r in served), len(served), "served requests"),
        _mean_minutes("late_mean", late, "served requests picked up or set down late"),
        _ratio("vehicle_km", "km", driven_mm, 1, "runs", scale=Fraction(1, 1_000_000)),
        _percent("empty_share", driven_mm - loaded_mm, driven_mm, "mm driven"),
        _ratio(
            "km_per_served", "km_per_request", driven_mm, len(served), "served requests",
            scale=Fraction(1, 1_000_000),
        ),
        _ratio("occupancy", "riders", rider_mm, loaded_mm, "mm driven with riders"),
        _ratio("drive_hours", "hours", driven_ms, 1, "runs", scale=Fraction(1, HOUR_MS)),
        _ratio("shift_hours", "hours", shift_ms, 1, "runs", scale=Fraction(1, HOUR_MS)),
        _ratio("riders_per_hour", "riders_per_hour", riders, shift_ms, "ms of shifts", scale=Fraction(HOUR_MS)),
    ]  # fmt: skip
