"""Run a scenario: the same Dispatcher the service drives, on a virtual clock, with vehicles that do as planned."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noriai_engine.dispatch import Dispatcher
from noriai_engine.dispatch.matching import MatchParams
from noriai_engine.dispatch.rebalancing import RebalanceParams, flow_solver
from noriai_engine.kpis import Kpi, Ride, compute_kpis, rides_of
from noriai_engine.model import Event, IdSource, Leg, UtcMs, VirtualClock
from noriai_engine.plans import annealing
from noriai_engine.roads import TravelTimes
from noriai_engine.tables import replace_folder
from noriai_engine.world.day import Batch, Day, Improve, PlanAhead
from noriai_engine.world.whims import draw_whims
from noriai_simulations import run_folder
from noriai_simulations.report import write_report, write_run_sheets
from noriai_simulations.scenario import Scenario
from noriai_simulations.scenario_file import DispatchTable, day_plan_ms

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Result:
    """A finished run in memory."""

    scenario: Scenario
    events: tuple[Event, ...]
    legs: tuple[Leg, ...]
    rides: dict[str, Ride]
    kpis: tuple[Kpi, ...]

    @property
    def refusals(self) -> dict[str, int]:
        return dict(Counter(ride.reason for ride in self.rides.values() if ride.reason is not None))


def simulate(scenario: Scenario, progress: Progress | None = None) -> Result:
    """Simulate the day of a scenario. The same scenario gives the same events to the byte."""
    plan, instants = scenario.source.day_plan, [r.placed_at for r in scenario.requests]
    instants += [v.shift.start for v in scenario.vehicles] + [i.at for i in scenario.life.incidents]
    if plan is not None:
        instants.append(scenario.day.to_utc(day_plan_ms(plan.at)))
    clock = VirtualClock(UtcMs(min(instants)))
    ids = IdSource(clock, np.random.default_rng([scenario.source.seed, 7]))
    dispatcher = Dispatcher(
        TravelTimes(scenario.region.network), scenario.service, scenario.vehicles, scenario.day, clock, ids,
        scenario.params,
    )  # fmt: skip
    demand, rng = scenario.source.demand, np.random.default_rng([scenario.source.seed, 8])
    whims = draw_whims(scenario.requests, demand.cancelled, demand.no_show, rng)
    ahead = None
    if plan is not None:
        params = annealing(scenario.source.seed, iterations=plan.iterations)
        ahead = PlanAhead(scenario.day.to_utc(day_plan_ms(plan.at)), params, aims=plan.what_for())
    table, improve = scenario.source.dispatch, None
    if table.improve_every_min > 0:
        params = annealing(scenario.source.seed, table.improve_iterations)
        improve = Improve(round(table.improve_every_min * 60_000), params)
    day = Day(dispatcher, clock, scenario.requests, whims, ahead, improve, _batch(table), scenario.life)
    day.run(progress)
    legs = tuple(sorted(day.legs, key=lambda leg: (leg.depart, leg.vehicle_id, leg.arrive)))
    rides = rides_of(scenario.requests, dispatcher.events)
    kpis = compute_kpis(rides.values(), legs, scenario.vehicles)
    return Result(scenario, tuple(dispatcher.events), legs, rides, tuple(kpis))


def _batch(table: DispatchTable) -> Batch | None:
    """How riders are matched in batches, None where each is answered alone."""
    if table.batch_every_s == 0:
        return None
    if table.rebalance_every_s > 0:
        flow_solver()  # say now, not after half a day, that it is missing
    rebalance = RebalanceParams(round(table.rebalance_every_s * 1_000), round(table.rebalance_drive_min * 60_000))
    params = MatchParams(freeze_ms=round(table.freeze_min * 60_000), rider_permille=round(table.rider_weight * 1_000))
    return Batch(round(table.batch_every_s * 1_000), params, table.answer == "at_once", rebalance)


def check_output(folder: Path) -> None:
    """Raise InputError now, not after the work, where the output folder cannot be used."""
    with replace_folder(folder, marker="run.json", dry_run=True):
        pass


def write_result(result: Result, folder: Path, *, language: str = "en", csv: bool = False) -> None:
    """Write the run folder, whole or not at all."""
    with replace_folder(folder, marker="run.json") as out:
        run_folder.write_run(out, result.scenario)
        run_folder.write_tables(out, result.scenario, result.events, result.legs, csv=csv)
        run_folder.write_kpis(out, result.kpis, result.refusals, len(result.scenario.requests))
        run_folder.write_plan_geojson(out, result.scenario, result.legs, result.rides.values())
        write_report(result, out / "report.html", language)
        write_run_sheets(result, out / "run-sheets.html", language)
