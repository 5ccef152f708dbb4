"""Tomorrow's plan for what is booked by tonight, and what answering one by one would have given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.dispatch import Dispatcher
from noriai_engine.dispatch.ahead import DayPlan
from noriai_engine.model import IdSource, Plan, Refusal, UtcMs, VirtualClock
from noriai_engine.model.errors import InputError
from noriai_engine.model.plan import ActivityKind
from noriai_engine.plans import SolveParams
from noriai_engine.plans.run import Progress
from noriai_engine.roads import TravelTimes
from noriai_simulations.scenario import Scenario
from noriai_simulations.scenario_file import DayPlanTable, day_plan_ms


@dataclass(frozen=True)
class Tomorrow:
    """The plans of all vehicles as they stand after planning at `at`."""

    scenario: Scenario
    at: UtcMs
    asked: int
    plans: tuple[Plan, ...]
    refusals: tuple[Refusal, ...]
    day_plan: DayPlan
    given_up_ms: int
    """What its riders give up: waits, early arrivals, rides longer than the direct drive."""
    one_by_one: tuple[int, int, int]
    """Served, ms driven and ms given up where the same requests are answered one after the other."""

    @property
    def served(self) -> int:
        return self.asked - len(self.refusals)

    @property
    def drive_ms(self) -> int:
        return sum(drive_ms(plan) for plan in self.plans)


def drive_ms(plan: Plan) -> int:
    """ms a plan drives."""
    return sum(row.drive_ms for row in plan.activities)


def rides(plan: Plan) -> int:
    return sum(row.kind == ActivityKind.PICKUP for row in plan.activities)


def given_up_ms(dispatcher: Dispatcher) -> int:
    """What riders give up by the plans as they stand: they wait from when they wished to leave, are there before they
    wished to arrive, ride longer than the direct drive. Walks are their own."""
    total, boarded = 0, dict[str, int]()
    for k in range(len(dispatcher.vehicles)):
        for row in dispatcher.plan(k, with_places=False).activities:
            if row.request_id is None:
                continue
            request = dispatcher.bookings.requests[dispatcher.bookings.row_of[row.request_id]]
            ends = dispatcher.ends_of(request.id)
            if row.kind == ActivityKind.PICKUP:
                boarded[request.id] = row.begin + row.service_ms
                if request.earliest_pickup is not None:
                    total += max(0, row.begin - request.earliest_pickup - ends.walk_to_ms)
            elif row.kind == ActivityKind.DROPOFF and request.id in boarded:
                direct = dispatcher.travel_times.between(ends.origin, ends.destination)
                total += row.begin - boarded[request.id] - direct
                if request.latest_arrival is not None:
                    total += max(0, request.latest_arrival - row.begin - ends.walk_from_ms)
    return total


def plan_tomorrow(
    scenario: Scenario, params: SolveParams, cpu_clock: Callable[[], float], progress: Progress | None = None
) -> Tomorrow:
    """Plan all requests that are placed by the scenario's planning time (the evening before, 20:00, if it names none).

    Raises InputError where no request is placed by then.
    """
    table = scenario.source.day_plan or DayPlanTable()
    at = scenario.day.to_utc(day_plan_ms(table.at))
    known = sorted((r for r in scenario.requests if r.placed_at <= at), key=lambda r: r.placed_at)
    if not known:
        raise InputError(
            f"none of {len(scenario.requests):,} requests is placed by {scenario.day.rfc3339(at)}",
            where="day_plan.at", remedy="plan later (at = \"05:30\"), or give requests a placed_at before",
        )  # fmt: skip
    dispatcher, clock = _dispatcher(scenario, known[0].placed_at)
    refusals = []
    for request in known:
        clock.advance_to(request.placed_at)
        refusals.append(dispatcher.ahead.hear(request))
    clock.advance_to(at)
    day_plan = dispatcher.ahead.plan(params, cpu_clock, aims=table.what_for(), progress=progress)
    plans = tuple(dispatcher.plan(k) for k in range(len(scenario.vehicles)))
    other, clock = _dispatcher(scenario, at)
    for request in known:
        quote = other.quote(request)
        if quote.offers:
            other.commit(quote.offers[0])
    driven = sum(drive_ms(other.plan(k)) for k in range(len(scenario.vehicles)))
    one_by_one = len(other.bookings.booked), driven, given_up_ms(other)
    refused = (*(r for r in refusals if r is not None), *day_plan.refusals)
    return Tomorrow(scenario, at, len(known), plans, refused, day_plan, given_up_ms(dispatcher), one_by_one)


def _dispatcher(scenario: Scenario, now: UtcMs) -> tuple[Dispatcher, VirtualClock]:
    clock = VirtualClock(now)
    ids = IdSource(clock, np.random.default_rng([scenario.source.seed, 7]))
    times = TravelTimes(scenario.region.network)
    return Dispatcher(
        times, scenario.service, scenario.vehicles, scenario.day, clock, ids, scenario.params
    ), clock  # fmt: skip


def document_of(tomorrow: Tomorrow) -> dict[str, Any]:
    """The plan as JSON: figures, refusals, and each vehicle's stops with their local times."""
    day, who = tomorrow.scenario.day, {v.id: v for v in tomorrow.scenario.vehicles}
    return {
        "scenario": tomorrow.scenario.source.name,
        "service_date": day.date.isoformat(),
        "planned_at": day.rfc3339(tomorrow.at),
        "requests": tomorrow.asked,
        "served": tomorrow.served,
        "drive_min": round(tomorrow.drive_ms / 60_000, 1),
        "given_up_min": round(tomorrow.given_up_ms / 60_000, 1),
        "one_by_one": {
            "served": tomorrow.one_by_one[0], "drive_min": round(tomorrow.one_by_one[1] / 60_000, 1),
            "given_up_min": round(tomorrow.one_by_one[2] / 60_000, 1),
        },
        "iterations": solution.iterations if (solution := tomorrow.day_plan.solution) is not None else 0,
        "refused": [
            {
                "request_id": refusal.request_id, "reason": refusal.reason,
                "nearest": None if refusal.nearest is None else day.rfc3339(refusal.nearest),
            }
            for refusal in tomorrow.refusals
        ],
        "routes": [
            {
                "vehicle_id": plan.vehicle_id,
                "operator_id": who[plan.vehicle_id].operator_id,
                "stops": [
                    {
                        "kind": row.kind.name.lower(), "request_id": row.request_id,
                        "lon": round(row.stop.place.lon, 6), "lat": round(row.stop.place.lat, 6),
                        "begin": day.rfc3339(row.begin), "drive_s": round(row.drive_ms / 1000),
                    }
                    for row in plan.activities
                ],
            }
            for plan in tomorrow.plans
            if rides(plan)
        ],
    }  # fmt: skip
