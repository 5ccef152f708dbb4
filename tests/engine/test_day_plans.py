"""The optimiser keeps every rule, finds what trying everything finds, and repeats itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from naive.day_plan import best_insertion, fragments_by_trying, given_up, may_drive, optimum, route_cost
from ortools.sat.python import cp_model
from scipy.optimize import Bounds, LinearConstraint, milp

from noriai_engine.checker import check_plan
from noriai_engine.cli import main
from noriai_engine.model import InputError
from noriai_engine.plans import (
    Problem,
    SolveParams,
    StopSearch,
    best_of_seeds,
    document_of,
    read_instance,
    read_routes,
    solve,
)
from noriai_engine.plans.arc_bound import ArcBound
from noriai_engine.plans.certificate import certified, prove
from noriai_engine.plans.closing import Proof
from noriai_engine.plans.exact import all_fragments
from noriai_engine.plans.fleet import find_fleet
from noriai_engine.plans.kernels.anneal import load_routes, take_back
from noriai_engine.plans.kernels.exchange import BROKEN, DONE, NOTHING, exchange
from noriai_engine.plans.kernels.place import best_place
from noriai_engine.plans.partition import Master
from noriai_engine.plans.problem import NO_LIMIT, Comfort, Energy, tasks_of
from noriai_engine.plans.recombination import Recombination
from noriai_engine.plans.run import Run


def a_problem(seed: int, tasks: int = 6, vehicles: int = 3, *, whole: bool = True) -> Problem:
    """A random town with everything at once: two kinds of vehicles, a folding seat, breaks, masks, pairs kept apart,
    optional and linked tasks. `whole`: int32 times and one-way streets; else float64 and straight lines."""
    rng = np.random.default_rng(seed)
    pauses = 1 if vehicles > 1 and rng.random() < 0.5 else 0
    riders = tasks - pauses
    n = 2 * riders + pauses + 2 * vehicles
    where = rng.integers(0, 60, (n, 2)).astype(float)
    travel = np.hypot(*(where[:, None] - where[None]).transpose(2, 0, 1))
    if whole:
        raw = np.ceil(travel + rng.integers(0, 15, (n, n))).astype(np.int64)
        for k in range(n):
            raw = np.minimum(raw, raw[:, k : k + 1] + raw[k : k + 1])
        np.fill_diagonal(raw, 0)
        travel = raw.astype(np.int32)
    time = travel.dtype
    pickup = np.concatenate([np.arange(riders), 2 * riders + np.arange(pauses)])
    delivery = np.concatenate([riders + np.arange(riders), 2 * riders + np.arange(pauses)])
    start = 2 * riders + pauses + np.arange(vehicles)
    end = start + vehicles
    kind = np.arange(vehicles) // 2
    early, late = np.zeros(n), np.full(n, 600.0)
    early[: 2 * riders] = rng.integers(0, 300, 2 * riders)
    early[riders : 2 * riders] = np.where(rng.random(riders) < 0.5, 0, early[riders : 2 * riders])
    late[: 2 * riders] = early[: 2 * riders] + rng.integers(20, 260, 2 * riders)
    late[start] = late[end] = 480
    service = np.concatenate([rng.integers(0, 6, 2 * riders), np.full(pauses, 30), np.zeros(2 * vehicles)])
    may = rng.random((tasks, vehicles)) < 0.8
    if pauses:
        may[riders:] = False
        may[riders, 0] = True
        travel[:, 2 * riders] = travel[:, start[0]]  # the break is at the depot
        travel[2 * riders] = travel[start[0]]
    for a in range(vehicles):  # vehicles of one kind may serve the same tasks from the same depot
        for b in range(a):
            if kind[a] == kind[b] and not pauses:
                may[:, a] = may[:, b]
                for x, y in ((start[a], start[b]), (end[a], end[b])):
                    travel[:, x], travel[x] = travel[:, y], travel[y]
    if pauses:
        kind = np.arange(vehicles)
    kinds = int(kind.max()) + 1
    layouts = [np.array([[3, 0], [1, 1]]), np.array([[2, 0]]), np.array([[4, 1]])]
    cost = np.stack([travel.astype(np.float64) * (1 + 0.3 * c) for c in range(kinds)])
    demand = np.stack([rng.integers(1, 3, tasks), (rng.random(tasks) < 0.3).astype(int)], axis=1)
    price = np.where(rng.random(tasks) < 0.7, rng.integers(100, 400, tasks), 1_000.0)
    link = np.full(tasks, -1)
    if riders >= 4:
        link[0], link[3] = 3, 0
    return Problem(
        name=f"town {seed}", label=tuple(str(i) for i in range(n)), travel=travel, cost=cost,
        early=early.astype(time), late=late.astype(time), service=service.astype(time), pickup=pickup,
        delivery=delivery, demand=demand, layouts=tuple(layouts[c % 3] for c in range(kinds)), kind=kind, start=start,
        end=end, duration=np.full(vehicles, 400 if seed % 2 else NO_LIMIT), fixed=np.full(vehicles, float(seed % 3)),
        max_ride=rng.integers(40, 120, tasks) if seed % 5 else np.full(tasks, NO_LIMIT), price=price, may=may,
        apart=((0, 1),) if riders >= 2 else (), link=link,
    )  # fmt: skip


def with_batteries(problem: Problem, seed: int, share: float = 0.7) -> Problem:
    """Some kinds of vehicles electric. Lengths are drawn beside the times and keep no triangle inequality: the fastest
    way may be a long one. Breaks charge."""
    rng = np.random.default_rng([seed, 5])
    n, kinds = len(problem.label), int(problem.kind.max()) + 1
    length = (problem.travel * rng.uniform(0.5, 3.0, (n, n))).astype(np.int64)
    np.fill_diagonal(length, 0)
    full = np.where(rng.random(kinds) < share, rng.integers(100, 700, kinds), 0)
    left, reserve = (full * rng.uniform(0.6, 1.0, kinds)).astype(np.int64), full // 10
    gain = np.where(np.isin(np.arange(n), problem.pickup[problem.pickup == problem.delivery]), 80, 0)
    for nodes in (problem.start, problem.end):  # of equal vehicles equal
        for k, node in enumerate(nodes):
            same = nodes[int(np.argmax(problem.kind == problem.kind[k]))]
            length[node], length[:, node] = length[same], length[:, same]
    length[problem.start, problem.end] = 0  # who stays at home needs nothing
    by_kind = (column[problem.kind] for column in (full, left, reserve))
    return replace(problem, energy=Energy(length, *by_kind, gain.astype(np.int64)))


def with_comfort(problem: Problem, seed: int, early_rate: float = 0.0) -> Problem:
    """Soft windows within the hard ones; riders' time costs something, on some days only rides or only lateness."""
    rng = np.random.default_rng([seed, 6])
    room = (problem.late - problem.early).astype(np.float64)
    early = problem.early + (room * rng.uniform(0.0, 0.5, len(room))).astype(problem.early.dtype)
    late = problem.early + (room * rng.uniform(0.0, 1.0, len(room))).astype(problem.early.dtype)
    late[problem.pickup[problem.pickup == problem.delivery]] = 10_000  # nobody minds when a break begins
    early[problem.pickup[problem.pickup == problem.delivery]] = 0
    rates = rng.choice([0.0, 0.4, 2.0], 2)
    return replace(
        problem, comfort=Comfort(np.minimum(early, late), late, early_rate, float(rates[0]), float(rates[1]))
    )


MORE = {
    "plain": lambda problem, seed: problem,
    "electric": with_batteries,
    "soft": with_comfort,
    "both": lambda problem, seed: with_comfort(with_batteries(problem, seed), seed),
}


def no_clock() -> float:
    return 0.0


def by_iterations(count: int, seed: int = 1) -> SolveParams:
    return SolveParams(seconds=None, iterations=count, seed=seed)


@given(st.integers(0, 10_000), st.booleans(), st.sampled_from(sorted(MORE)))
@hypothesis_settings(max_examples=100)
def test_best_places_are_those_of_trying_every_pair(seed: int, whole: bool, more: str) -> None:
    problem = MORE[more](a_problem(seed, tasks=9, vehicles=3, whole=whole), seed)
    run = Run(problem, by_iterations(1, seed), no_clock, None)
    run.begin(None)
    run.search(15, 20.0)
    t, r = run.tasks, run.routes
    for task in np.flatnonzero(r.home < 0)[:4]:
        for k in range(3):
            run.memo["stamp"][task, k] = -1
            route = [int(x) for x in r.rows["node"][k, 1 : r.heads["count"][k] - 1]]
            best = best_insertion(problem, k, route, int(task))
            for enough in (0.5 * best, best, best + 1.0, np.inf):  # asked again, each time with a wider limit
                found = best_place(t, r, run.memo, run.work, task, k, enough)
                if best < enough - 1e-9:
                    assert found == pytest.approx(best, abs=1e-9)
                    assert run.memo["i"][task, k] >= 0
                else:
                    assert found >= enough - 1e-9


@pytest.mark.parametrize("more", ["plain", "soft"])
@pytest.mark.parametrize("whole", [True, False])
def test_routes_that_exchange_segments_keep_every_rule(more: str, whole: bool) -> None:
    """Whoever is not in a route any more waits to be put back; what cannot be driven is said, and taken back whole.

    Batteries are looked at after tasks were put back, as between those steps they may not last.
    """
    outcomes = {NOTHING: 0, DONE: 0, BROKEN: 0}
    for seed in range(60):
        problem = MORE[more](a_problem(seed, tasks=14, vehicles=4, whole=whole), seed)
        held = np.random.default_rng(seed).random(problem.count) < 0.1
        first = solve(problem, by_iterations(20, seed), no_clock)
        run = Run(replace(problem, held=held), by_iterations(1, seed), no_clock, None)
        run.begin(list(first.routes))
        for _ in range(80):
            before, absent = [x.tolist() for x in run.routes_of(run.routes)], int(run.work.counts[0])
            was_held = [[x for x in route if held[run.tasks.stops["task"][x]]] for route in before]
            run.work.kept[:] = run.work.absent
            run.work.dirty[:] = 0
            outcome = exchange(run.tasks, run.routes, run.old, run.work)
            outcomes[outcome] += 1
            if outcome == BROKEN:
                take_back(run.tasks, run.routes, run.old, absent, run.work)
            after = [x.tolist() for x in run.routes_of(run.routes)]
            served = sorted(node for route in after for node in route)
            left_out = run.work.absent[: run.work.counts[0]].tolist()
            both = {node for task in left_out for node in (problem.pickup[task], problem.delivery[task])}
            assert served == sorted({*problem.pickup.tolist(), *problem.delivery.tolist()} - both)
            assert [[x for x in route if held[run.tasks.stops["task"][x]]] for route in after] == was_held
            if outcome != DONE:
                assert after == before
            for k, route in enumerate(after):
                assert may_drive(problem, k, route)
                assert all(run.routes.home[run.tasks.stops["task"][node]] == k for node in route)
                cost = route_cost(replace(problem, comfort=None), k, route)
                assert run.routes.heads["cost"][k] - run.routes.heads["given_up"][k] == pytest.approx(cost)
            assert (run.routes.home[left_out] == -1).all()
            assert not run.work.marked.any()
    assert min(outcomes.values()) > 15


@given(st.integers(0, 10_000), st.booleans(), st.sampled_from(sorted(MORE)))
@hypothesis_settings(max_examples=100)
def test_plans_keep_every_rule_and_state_their_cost(seed: int, whole: bool, more: str) -> None:
    problem = MORE[more](a_problem(seed, tasks=12, vehicles=3, whole=whole), seed)
    solution = solve(problem, by_iterations(60, seed), no_clock)
    for k, route in enumerate(solution.routes):
        assert may_drive(problem, k, list(route)), (k, route)
        for node, start in zip(route, solution.start[k], strict=True):
            assert problem.early[node] <= start <= problem.late[node]
    drives = replace(problem, comfort=None)
    assert solution.cost == pytest.approx(sum(route_cost(drives, k, list(x)) for k, x in enumerate(solution.routes)))
    counted = sum(given_up(problem, k, list(route)) for k, route in enumerate(solution.routes))
    assert solution.given_up >= counted - 1e-6
    served = {int(problem.pickup.tolist().index(node)) for x in solution.routes for node in x if node in problem.pickup}
    assert served | set(solution.absent) == set(range(problem.count))
    assert not served & set(solution.absent)


@pytest.mark.parametrize("seed", range(36))
def test_small_problems_are_solved_to_the_optimum(seed: int) -> None:
    problem = a_problem(seed, tasks=4, vehicles=2, whole=bool(seed % 2))
    if seed >= 12:
        problem = with_batteries(problem, seed, 1.0) if seed < 24 else with_comfort(problem, seed)
    solution = solve(problem, by_iterations(4_000 if seed >= 12 else 400, seed), no_clock)
    cost = sum(route_cost(problem, k, list(route)) for k, route in enumerate(solution.routes)) + sum(
        float(problem.price[task])
        + (
            float(problem.price[problem.link[task]])
            if problem.link[task] >= 0 and problem.link[task] not in solution.absent
            else 0.0
        )
        for task in solution.absent
    )
    assert cost == pytest.approx(optimum(problem))


@hypothesis_settings(max_examples=15)
@given(seed=st.integers(0, 100_000))
def test_a_bound_never_exceeds_the_optimum_and_a_proof_is_true(seed: int) -> None:
    """Against trying everything. Linked pairs and route durations are outside the relaxation, so not in this test."""
    problem = replace(a_problem(seed, tasks=4, vehicles=2, whole=bool(seed % 2)), link=None)
    best = optimum(problem)
    first = solve(problem, by_iterations(1, seed), no_clock)
    certificate = prove(problem, first, no_clock, 1.0)
    assert certificate.bound <= best + 1e-6
    assert certificate.is_optimal == (certificate.bound >= best - 1e-3)
    if certificate.routes is not None:
        for k, route in enumerate(certificate.routes):
            assert may_drive(problem, k, list(route))


@hypothesis_settings(max_examples=15)
@given(seed=st.integers(0, 100_000))
def test_a_bound_holds_with_linked_pairs_short_durations_and_batteries(seed: int) -> None:
    """What the relaxation leaves out: the bound stays below the optimum, and plans found on the way are lawful."""
    problem = a_problem(seed, tasks=4, vehicles=2, whole=bool(seed % 2))
    problem = with_batteries(problem, seed) if seed % 3 == 0 else problem
    problem = replace(problem, duration=np.full(len(problem.kind), 150))
    try:
        first = solve(problem, by_iterations(1, seed), no_clock)
    except InputError:  # a task that nobody can serve in so short a time
        return
    best, certified_one = optimum(problem), certified(problem, first, no_clock, 1.0)
    assert certified_one.bound is not None
    assert certified_one.bound <= best + 1e-6
    for k, route in enumerate(certified_one.routes):
        assert may_drive(problem, k, list(route))
    if certified_one.is_optimal:
        assert certified_one.total == pytest.approx(best, rel=1e-5)


@hypothesis_settings(max_examples=20)
@given(seed=st.integers(0, 100_000), more=st.sampled_from(["", "batteries", "comfort"]))
def test_a_bound_by_arcs_never_exceeds_the_optimum(seed: int, more: str) -> None:
    """Against trying everything, whatever the problem names; its cuts hold for the best plan."""
    problem = a_problem(seed, tasks=4, vehicles=2, whole=bool(seed % 2))
    if more:
        problem = with_batteries(problem, seed) if more == "batteries" else with_comfort(problem, seed)
    arcs = ArcBound(problem)
    arcs.rise(lambda: 1.0)
    assert np.isfinite(arcs.bound)
    assert arcs.bound <= optimum(problem) + 1e-6
    keeps_all_rows(arcs, solve(problem, by_iterations(60, seed), no_clock).routes)


def keeps_all_rows(arcs: ArcBound, routes: Sequence[Sequence[int]]) -> None:
    """A lawful plan is one of those that the relaxation allows."""
    value = np.zeros(len(arcs.cost))
    place = {int(node): k for k, node in enumerate(arcs.stop)}
    for route in routes:
        for a, b in pairwise(route):
            column = arcs.arc[place[a], place[b]]
            assert column >= 0, f"{a} to {b} is left out"
            value[column] = 1.0
        if len(route):
            value[arcs.leave[place[route[0]]]] = value[arcs.back[place[route[-1]]]] = 1.0
    served = {int(arcs.task[place[node]]) for route in routes for node in route}
    value[arcs.out[[task for task in range(arcs.m) if task not in served]]] = 1.0
    assert (value <= arcs.upper).all()
    for columns, weights, lower, upper in arcs.rows:
        assert lower - 1e-9 <= float(value[columns] @ weights) <= upper + 1e-9


@pytest.mark.parametrize(("name", "share"), [("a3-24", 0.99), ("b2-20", 0.97), ("a4-48", 0.96), ("R1a", 0.9)])
def test_a_bound_by_arcs_is_near_what_is_known(shared: Path, name: str, share: float) -> None:
    """Below the proven optimum, and not far; the stored solution keeps every cut."""
    rows = csv.DictReader((shared / "darp" / "best_known.csv").open())
    known = next(float(row["best_known_cost"]) for row in rows if row["instance"] == name)
    arcs = ArcBound(read_instance(next((shared / "darp").glob(f"*/{name}.txt"))))
    arcs.rise(lambda: 1.0)
    assert share * known <= arcs.bound <= known + 0.01
    stored = (shared / "darp" / "solutions" / f"{name}.sol").read_text()
    lines = [line.split(":", 1)[1].split() for line in stored.splitlines() if line.startswith("Route")]
    keeps_all_rows(arcs, [[int(word) for word in line] for line in lines])


@hypothesis_settings(max_examples=15)
@given(seed=st.integers(0, 100_000))
def test_fragments_are_all_the_ways_from_an_empty_vehicle_to_the_next(seed: int) -> None:
    """For every set of tasks and ends there is a fragment as cheap as the cheapest sequence found by trying all."""
    problem = replace(a_problem(seed, tasks=4, vehicles=2, whole=bool(seed % 2)), link=None)
    tasks = tasks_of(problem)
    found, count = all_fragments(tasks, 0, 1_000_000)
    assert count >= 0
    cheapest: dict[tuple[frozenset[int], int, int], float] = {}
    for row in range(count):
        nodes = found.node[found.begin[row] : found.begin[row + 1]].tolist()
        key = frozenset(tasks.stops["task"][nodes].tolist()), nodes[0], nodes[-1]
        cheapest[key] = min(cheapest.get(key, np.inf), float(found.cost[row]))
    free = replace(problem, duration=np.full(len(problem.kind), NO_LIMIT))
    wanted = fragments_by_trying(free, 0)
    assert set(wanted) <= set(cheapest)
    for key, cost in wanted.items():
        assert cheapest[key] <= cost + 1e-6


@pytest.mark.compiled
def test_the_fragments_of_every_published_a_file_are_listed(shared: Path) -> None:
    """Narrow windows and short rides leave few; without looking ahead at who can still alight, most steps led nowhere."""
    files = sorted((shared / "darp" / "cordeau_ropke_ab").glob("a*.txt"))
    assert len(files) == 16
    for file in files:
        assert all_fragments(tasks_of(read_instance(file)), 0, 2_000_000)[1] > 0, file.name


@pytest.mark.compiled
def test_no_integer_program_begins_after_the_budget(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS takes a time limit below 0 for none: a search ran on where the relaxation had taken all its time."""
    problem = read_instance(shared / "darp" / "cordeau_ropke_ab" / "a5-60.txt")
    poor = solve(problem, by_iterations(300), no_clock)
    left = 1.0
    proof = Proof(tasks_of(problem), lambda: left, 1_000_000, 10_000)
    proof.begin(poor.routes, poor.total, poor.met)
    proof.relax()
    assert proof.bound < poor.total - 1.0
    left = -1.0
    monkeypatch.setattr(Master, "search", lambda *_, **__: pytest.fail("the time was over"))
    before = proof.bound
    proof.close()
    assert proof.bound == before
    assert not proof.is_closed


@pytest.mark.parametrize("seconds", [0.0, -3.0, float("nan")])
def test_no_time_is_told_before_any_search(seconds: float) -> None:
    problem = a_problem(1)
    with pytest.raises(InputError, match="more than 0 seconds"):
        prove(problem, solve(problem, by_iterations(5), no_clock), no_clock, seconds)
    with pytest.raises(InputError, match="more than 0 seconds"):
        SolveParams(seconds=seconds)


@pytest.mark.compiled
def test_annealing_begins_hot_where_vehicles_are_scarce_and_leaves_nobody_out(shared: Path) -> None:
    problem = read_instance(shared / "pdptw" / "li_lim_100" / "lr112.txt")
    params = by_iterations(100_000, 3)
    run = Run(problem, params, no_clock, None)
    run.begin(None)
    find_fleet(run)
    assert run.done() < 0.95
    heat = run.first_heat(0.4)
    assert heat > params.hot * run.scale
    assert (run.routes.home >= 0).all()


@pytest.mark.compiled
def test_several_plans_with_the_fewest_vehicles_are_tried_and_the_cheapest_is_kept(shared: Path) -> None:
    """Each is found from nothing; stopped anywhere, the search goes on from the cheapest so far."""
    problem = read_instance(shared / "pdptw" / "li_lim_100" / "lrc208.txt")
    first, starts = {}, []
    for stop in (None, 2, 4):
        run = Run(problem, replace(by_iterations(30_000, 3), fleet_patience=100, start_iterations=20), no_clock, None)
        run.begin(None)
        cool, costs = run.cool, []

        def cool_and_tell(end: float, hot: float, cold: float, run=run, cool=cool, costs=costs, stop=stop) -> None:
            if not costs:
                first[stop] = len(run.tasks.cars), float(run.costs[1])
            if len(costs) == stop:
                raise StopSearch
            cool(end, hot, cold)
            costs.append(float(run.costs[1]))

        run.cool = cool_and_tell  # type: ignore[method-assign]
        with suppress(StopSearch):
            find_fleet(run)
        fleet, cost = first[stop]
        assert len(run.tasks.cars) == fleet < len(problem.kind)
        assert not (run.best.home < 0).any()
        assert float(run.costs[1]) == pytest.approx(min([*costs, cost]), abs=1e-6)
        assert run.solution().cost == pytest.approx(float(run.costs[1]))
        starts.append(len(costs))
    assert starts[0] > 4
    assert starts[1:] == [2, 4]


def test_a_seed_and_an_iteration_budget_give_the_same_plan(shared: Path) -> None:
    problem = read_instance(shared / "darp" / "cordeau_ropke_ab" / "a3-36.txt")
    one, two = (solve(problem, by_iterations(300, 7), no_clock) for _ in range(2))
    assert one == two
    assert solve(problem, by_iterations(300, 8), no_clock) != one


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["a2-16", "b2-20", "R1a"])
def test_known_optima_are_reached(shared: Path, name: str) -> None:
    file = next((shared / "darp").rglob(f"{name}.txt"))
    rows = csv.DictReader((shared / "darp" / "best_known.csv").open())
    known = next(float(row["best_known_cost"]) for row in rows if row["instance"] == name)
    assert solve(read_instance(file), by_iterations(20_000), no_clock).cost == pytest.approx(known, abs=0.01)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["a5-60", "R2a", "lr112", "lrc206", "bar-n100-1"])
def test_the_checker_agrees_with_every_plan(shared: Path, tmp_path: Path, name: str) -> None:
    file = next(x for x in shared.rglob(f"{name}.txt"))
    problem = read_instance(file)
    solution = solve(problem, by_iterations(2_000), no_clock)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(document_of(problem, solution)))
    assert not solution.absent
    report = check_plan(file, plan)
    assert report.ok, report.breaches[:3]


def test_the_search_stops_when_told_and_keeps_the_best(shared: Path) -> None:
    problem = read_instance(shared / "darp" / "cordeau_ropke_ab" / "a2-16.txt")
    costs: list[float] = []

    def stop(share: float, absent: int, cost: float) -> None:
        costs.append(cost)
        raise StopSearch

    solution = solve(problem, by_iterations(5_000), no_clock, progress=stop)
    assert solution.cost == costs[-1]
    assert not solution.absent


@pytest.mark.compiled
@pytest.mark.parametrize("calls", [1, 3, 20])
def test_a_search_stopped_in_the_fleet_phase_serves_everybody(shared: Path, calls: int) -> None:
    problem = read_instance(shared / "pdptw" / "li_lim_100" / "lr112.txt")
    told: list[float] = []

    def stop(share: float, absent: int, cost: float) -> None:
        told.append(cost)
        if len(told) >= calls:
            raise StopSearch

    solution = solve(problem, by_iterations(100_000), no_clock, progress=stop)
    assert not solution.absent
    assert solution.cost == pytest.approx(told[-1])


@given(st.integers(0, 10_000))
@hypothesis_settings(max_examples=15)
def test_held_tasks_stay_where_a_given_plan_has_them(seed: int) -> None:
    problem = a_problem(seed, tasks=10, vehicles=3)
    given_plan = solve(problem, by_iterations(30, seed), no_clock)
    held = np.zeros(problem.count, bool)
    served = [task for task in range(problem.count) if task not in given_plan.absent]
    held[served[::2]] = True
    fixed = replace(problem, held=held)
    solution = solve(fixed, by_iterations(60, seed + 1), no_clock, begin_with=given_plan.routes)
    for before, after in zip(given_plan.routes, solution.routes, strict=True):
        stays = {int(x) for task in np.flatnonzero(held) for x in (problem.pickup[task], problem.delivery[task])}
        assert [node for node in before if node in stays] == [node for node in after if node in stays]


@given(st.integers(0, 10_000))
@hypothesis_settings(max_examples=40)
def test_times_are_those_that_riders_like_best(seed: int) -> None:
    """Against CP-SAT on the same sequences: earliness, lateness and rides with their waits."""
    problem = a_problem(seed, tasks=10, vehicles=3)
    problem = with_comfort(problem, seed, early_rate=float(seed % 3) / 2)
    solution = solve(problem, by_iterations(40, seed), no_clock)
    comfort, least = problem.comfort, 0.0
    assert comfort is not None
    for k, route in enumerate(solution.routes):
        if not route:
            continue
        model = cp_model.CpModel()
        nodes = [int(problem.start[k]), *route, int(problem.end[k])]
        times = [model.new_int_var(int(problem.early[node]), int(problem.late[node]), "") for node in nodes]
        for q, (a, b) in enumerate(pairwise(nodes)):
            model.add(times[q + 1] >= times[q] + int(problem.service[a] + problem.travel[a, b]))
        model.add(times[-1] - times[0] <= int(problem.duration[k]))
        terms = []
        for q, node in enumerate(route, 1):
            for rate, gap in ((comfort.early_rate, int(comfort.early[node]) - times[q]),
                              (comfort.late_rate, times[q] - int(comfort.late[node]))):  # fmt: skip
                much = model.new_int_var(0, 100_000, "")
                model.add(much >= gap)
                terms.append(int(10 * rate) * much)
        for p, d, most in zip(problem.pickup.tolist(), problem.delivery.tolist(), problem.max_ride, strict=True):
            if p != d and p in route:
                ride = times[nodes.index(d)] - times[nodes.index(p)] - int(problem.service[p])
                model.add(ride <= int(most))
                terms.append(int(10 * comfort.ride_rate) * (ride - int(problem.travel[p, d])))
        model.minimize(sum(terms))
        solver = cp_model.CpSolver()
        assert solver.solve(model) == cp_model.OPTIMAL
        least += solver.objective_value / 10
        starts = dict(zip(route, solution.start[k], strict=True))
        for (a, b), drive in zip(pairwise(route), problem.travel[list(route[:-1]), list(route[1:])], strict=True):
            assert starts[b] >= starts[a] + problem.service[a] + drive
    assert solution.given_up == pytest.approx(least, abs=1e-6)
    assert solution.total == pytest.approx(
        solution.cost + solution.given_up + problem.price[list(solution.absent)].sum()
    )


def test_who_pays_more_for_riders_time_gives_up_less_of_it() -> None:
    """The order of aims: over ten towns, plans with dear minutes give up fewer of them, and drive more for it."""
    drives, minutes, absent = [0.0, 0.0], [0.0, 0.0], [0, 0]
    for seed in range(10):
        problem = replace(a_problem(seed, tasks=12), price=np.full(12, 1e6))
        for k, rate in enumerate((0.01, 10.0)):
            comfort = Comfort(problem.early, problem.early, 0.0, rate, rate)
            solution = solve(replace(problem, comfort=comfort), by_iterations(600, seed), no_clock)
            drives[k] += solution.cost
            minutes[k] += solution.given_up / rate
            absent[k] += len(solution.absent)
    assert absent[0] == absent[1]
    assert minutes[1] < minutes[0]
    assert drives[1] > drives[0]


@pytest.mark.parametrize("seed", range(15))
def test_a_vehicle_that_no_task_pays_alone_is_opened_for_several(seed: int) -> None:
    problem = replace(a_problem(seed, tasks=4, vehicles=2), fixed=np.full(2, 220.0), price=np.full(4, 170.0), link=None)
    assert solve(problem, by_iterations(400, seed), no_clock).total == pytest.approx(optimum(problem))


@pytest.mark.parametrize("given", [None, [[], []]])
def test_where_there_is_nothing_to_do_vehicles_stay_at_home(given: list[list[int]] | None) -> None:
    problem = without_tasks(a_problem(1, vehicles=2))
    solution = solve(problem, by_iterations(50), no_clock, begin_with=given)
    assert (solution.routes, solution.absent, solution.total) == (((), ()), (), 0.0)


def without_tasks(problem: Problem) -> Problem:
    nobody = np.zeros(0, int)
    return replace(
        problem, pickup=nobody, delivery=nobody, demand=problem.demand[:0], max_ride=problem.max_ride[:0],
        price=problem.price[:0], may=None, apart=(), link=None, held=None,
    )  # fmt: skip


def test_a_search_without_dives_ends() -> None:
    """Its last iterations are spent all the same."""
    for iterations in (1, 7, 30, 61):
        params = SolveParams(seconds=None, iterations=iterations, dives=0)
        assert solve(a_problem(3, tasks=10), params, no_clock).iterations >= iterations


def test_a_warm_start_is_never_made_worse(shared: Path) -> None:
    problem = read_instance(shared / "darp" / "cordeau_ropke_ab" / "b2-20.txt")
    good = solve(problem, by_iterations(2_000), no_clock)
    again = solve(problem, by_iterations(1), no_clock, begin_with=list(good.routes))
    assert again.cost <= good.cost + 1e-9


def test_a_given_plan_that_breaks_a_limit_is_refused(shared: Path) -> None:
    problem = read_instance(shared / "darp" / "cordeau_ropke_ab" / "a2-16.txt")
    everyone = [*range(1, 17), *range(17, 33)]
    with pytest.raises(InputError, match="breaks a limit"):
        solve(problem, by_iterations(1), no_clock, begin_with=[everyone])


BAD_FILES = {
    "empty": ("", "is empty"),
    "header": ("1 2 3 4\n", "4 numbers in the header"),
    "rows": ("1 4 480 3 30\n0 0 0 0 0 0 10\n", "rows follow"),
    "number": ("1 2 480 3 30\n0 0 0 0 0 0 10\n1 x 0 0 1 0 10\n2 0 0 0 -1 0 10\n", "row 3, field 2"),
    "load": ("1 2 480 3 30\n0 0 0 0 0 0 10\n1 1 0 0 1 0 10\n2 0 0 0 1 0 10\n", "loads 1 and 1"),
    "window": ("1 2 480 3 30\n0 0 0 0 0 0 10\n1 1 0 0 1 9 3\n2 0 0 0 -1 0 10\n", "row 3: window"),
    "order": ("1 2 480 3 30\n0 0 0 0 0 0 10\n2 1 0 0 1 0 10\n1 0 0 0 -1 0 10\n", "node 2 where 1 is due"),
    "pairs": ("1\t9\t1\n0 0 0 0 0 9 0 0 0\n1 0 0 1 0 9 0 0 1\n", "name no pair"),
    "speed": ("1\t9\t2\n0 0 0 0 0 9 0 0 0\n", "speed 2"),
    "matrix": ("NAME: x\nSIZE: 3\nCAPACITY: 3\nNODES\n0 0 0 0 0 9 0 0 0\n", "not 3 nodes"),
    "size": ("NAME: x\nCAPACITY: 3\nNODES\n", "lacks 'SIZE'"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_broken_files_are_refused_with_their_row(tmp_path: Path, what: str) -> None:
    text, message = BAD_FILES[what]
    file = tmp_path / "broken.txt"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_instance(file)


@pytest.mark.shared
def test_every_published_file_is_read(shared: Path) -> None:
    """Eight of Li & Lim say speed 0; sets and sizes are those of the best-known tables."""
    read = 0
    for folder in ("darp", "pdptw"):
        with (shared / folder / "best_known.csv").open(newline="") as table:
            for row in csv.DictReader(table):
                problem = read_instance(shared / folder / row["set"] / f"{row['instance']}.txt")
                assert problem.count == int(row["requests"]), row["instance"]
                read += 1
    assert read == 47 + 169


def test_an_end_depot_in_the_last_row_is_left_out(shared: Path) -> None:
    with_row = read_instance(shared / "darp" / "cordeau_ropke_ab" / "a3-24.txt")
    assert with_row.count == 24
    assert len(with_row.label) == 49


def test_windows_are_tightened_without_losing_a_plan(shared: Path) -> None:
    """The published optimal routes still have a schedule within the tightened windows."""
    for file in sorted((shared / "darp" / "solutions").glob("*.sol")):
        problem = read_instance(next((shared / "darp").rglob(f"{file.stem}.txt")))
        lines = [line.split(":")[1].split() for line in file.read_text().splitlines() if line.startswith("Route")]
        run = Run(problem, by_iterations(1), no_clock, None)
        for k, line in enumerate(lines):
            run.routes.rows["node"][k, 1 : len(line) + 2] = [*map(int, line), 0]
            run.routes.heads["count"][k] = len(line) + 2
        assert load_routes(run.tasks, run.routes, run.work), file.stem


def mutants(document: dict, capacity_route: int = 0) -> dict[str, dict]:
    """Plans that break one rule each."""

    def changed(change) -> dict:
        copy = json.loads(json.dumps(document))
        change(copy)
        return copy

    def swap(copy: dict) -> None:
        nodes = copy["routes"][0]["nodes"]
        nodes[0], nodes[-1] = nodes[-1], nodes[0]
        copy["routes"][0]["start"] = None

    def move(copy: dict) -> None:
        copy["routes"][1]["nodes"].append(copy["routes"][0]["nodes"].pop())
        copy["routes"][0]["start"] = copy["routes"][1]["start"] = None

    def late(copy: dict) -> None:
        copy["routes"][0]["start"][-1] += 10_000.0

    def early(copy: dict) -> None:
        copy["routes"][0]["start"][1] = copy["routes"][0]["start"][0]

    return {
        "cost": changed(lambda copy: copy.update(cost=copy["cost"] - 0.01)),
        "bound": changed(lambda copy: copy.update(bound=copy["cost"] + 1)),
        "vehicles": changed(lambda copy: copy.update(vehicles=copy["vehicles"] + 1)),
        "once": changed(lambda copy: copy["routes"].pop()),
        "order": changed(swap),
        "pair": changed(move),
        "window": changed(late),
        "drive": changed(early),
    }


def test_the_checker_finds_every_broken_rule(shared: Path, tmp_path: Path) -> None:
    file = shared / "darp" / "cordeau_ropke_ab" / "a2-16.txt"
    problem = read_instance(file)
    document = document_of(problem, solve(problem, by_iterations(200), no_clock))
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(document))
    assert check_plan(file, plan).ok
    for rule, mutant in mutants(document).items():
        plan.write_text(json.dumps(mutant))
        found = {breach.rule for breach in check_plan(file, plan).breaches}
        assert {"vehicles": "cost"}.get(rule, rule) in found, (rule, found)


@pytest.mark.parametrize(
    ("field", "value", "rule"), [(1, 20, "duration"), (3, 1, "load"), (4, 5, "ride"), (0, 1, "fleet")]
)
def test_the_checker_finds_limits_made_tighter(shared: Path, tmp_path: Path, field: int, value: int, rule: str) -> None:
    """The plan of the true file against the file with one limit of its header made tighter."""
    file = shared / "darp" / "cordeau_ropke_ab" / "a2-16.txt"
    problem = read_instance(file)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(document_of(problem, solve(problem, by_iterations(2_000), no_clock))))
    head, *rows = file.read_text().splitlines()
    words = head.split()
    words[{0: 0, 1: 2, 3: 3, 4: 4}[field]] = str(value)
    tighter = tmp_path / "tighter.txt"
    tighter.write_text("\n".join([" ".join(words), *rows]))
    found = {breach.rule for breach in check_plan(tighter, plan).breaches}
    assert rule in found
    assert rule in ("load", "fleet") or "schedule" in found


def test_stored_solutions_are_clean(shared: Path) -> None:
    files = sorted(shared.rglob("*.sol"))
    assert len(files) == 189
    for file in files[::9]:
        instance = next(x for x in shared.rglob(f"{file.stem}.txt"))
        assert check_plan(instance, file).ok, file


@pytest.mark.long
@pytest.mark.shared
def test_all_stored_solutions_are_clean(shared: Path) -> None:
    for file in sorted(shared.rglob("*.sol")):
        assert check_plan(next(x for x in shared.rglob(f"{file.stem}.txt")), file).ok, file


def test_plans_written_are_read_again(shared: Path, tmp_path: Path) -> None:
    problem = read_instance(shared / "darp" / "cordeau_ropke_ab" / "a2-16.txt")
    solution = solve(problem, by_iterations(50), no_clock)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(document_of(problem, solution)))
    assert [x for x in solution.routes if x] == [tuple(x) for x in read_routes(plan, problem)]
    for text, message in (
        ("{}", "no plan"),
        ('{"routes": [{"nodes": [99]}]}', "no stop of"),
        ('{"routes": [{"nodes": [1, 1]}]}', "comes twice"),
        ('{"routes": [{"nodes": [1]}]}', "not in one route"),
        ('{"routes": [{"nodes": [17, 1]}]}', "comes before its pickup"),
    ):
        plan.write_text(text)
        with pytest.raises(InputError, match=message):
            read_routes(plan, problem)


@given(st.integers(0, 10_000))
@hypothesis_settings(max_examples=20)
def test_every_route_in_the_pool_is_lawful_and_costs_what_it_says(seed: int) -> None:
    """Those met by the search and those found by pricing; and the choice among them is no worse than what was known."""
    problem = replace(a_problem(seed, tasks=12, vehicles=3), link=None)
    problem = MORE[sorted(MORE)[seed % 4]](problem, seed)
    run = Run(problem, by_iterations(400, seed), no_clock, None)
    run.begin(None)
    run.cool(0.5, 20.0, 5.0)
    before = float(run.costs[1])
    routes = Recombination(run)
    routes.recombine()
    pool = run.pool
    kinds = run.tasks.cars["kind"].tolist()
    for row in range(int(pool.used[0])):
        route = [int(node) for node in pool.node[pool.first[row] : pool.first[row + 1]]]
        vehicle = kinds.index(int(pool.kind[row]))
        assert may_drive(problem, vehicle, route)
        assert pool.cost[row] == pytest.approx(route_cost(problem, vehicle, route))
        assert len(set(route)) == len(route)
    assert run.costs[1] <= before + 1e-9
    assert routes.master is not None
    fixed = routes.master.dive(routes.chance)
    stops = [int(node) for row in fixed for node in pool.node[pool.first[row] : pool.first[row + 1]]]
    assert len(set(stops)) == len(stops)
    assert routes.master.bound <= run.costs[1] + 1e-6


@given(st.integers(0, 10_000))
@hypothesis_settings(max_examples=20)
def test_the_choice_of_routes_is_the_best_there_is(seed: int) -> None:
    """Against scipy's own integer program over the same pool."""
    problem = replace(a_problem(seed, tasks=10, vehicles=3), link=None)
    run = Run(problem, by_iterations(200, seed), no_clock, None)
    run.begin(None)
    run.cool(0.3, 20.0, 5.0)
    t, pool = run.tasks, run.pool
    count = int(pool.used[0])
    master = Master(t, pool)
    bound = master.relax()
    choice = master.choose(1e6, np.zeros(0, int), None)
    assert choice is not None
    kinds = int(t.cars["kind"].max()) + 1
    matrix = np.zeros((problem.count + kinds, count + problem.count))
    for row in range(count):
        nodes = pool.node[pool.first[row] : pool.first[row + 1]]
        matrix[t.stops["task"][nodes], row] = 1
        matrix[problem.count + pool.kind[row], row] = 1
    matrix[np.arange(problem.count), count + np.arange(problem.count)] = 1
    fleet = np.bincount(t.cars["kind"], minlength=kinds)
    whole = milp(
        np.concatenate([pool.cost[:count], t.jobs["price"]]),
        constraints=LinearConstraint(
            matrix, np.r_[np.ones(problem.count), np.zeros(kinds)], np.r_[np.ones(problem.count), fleet]
        ),
        integrality=np.ones(count + problem.count), bounds=Bounds(0, 1),
    )  # fmt: skip
    assert choice.cost == pytest.approx(whole.fun, rel=1e-5)
    assert bound <= whole.fun + 1e-6
    stops = [int(node) for row in choice.rows for node in pool.node[pool.first[row] : pool.first[row + 1]]]
    assert len(set(stops)) == len(stops)


def test_a_seed_has_its_own_dice_in_every_search() -> None:
    """Two searches side by side do not disturb each other."""
    problem = a_problem(3, tasks=8)
    alone = solve(problem, by_iterations(40, 5), no_clock)
    first, second = (Run(problem, by_iterations(40, 5), no_clock, None) for _ in range(2))
    first.begin(None)
    second.begin(None)
    for _ in range(4):
        for run in (first, second):
            run.search(10, 1.0)
    assert np.array_equal(first.routes.rows["node"], second.routes.rows["node"])
    assert alone == solve(problem, by_iterations(40, 5), no_clock)


def test_no_task_is_priced_below_serving_it_alone() -> None:
    problem = a_problem(1)
    prices = tasks_of(replace(problem, price=np.full(problem.count, np.inf))).jobs["price"]
    assert prices.min() > route_cost(problem, 0, [0, int(problem.delivery[0])])


def test_seeds_side_by_side_give_the_best_of_them() -> None:
    problem = a_problem(3, tasks=12, vehicles=3)
    together = best_of_seeds(problem, by_iterations(60, 5), 3)
    alone = [solve(problem, by_iterations(60, seed), no_clock) for seed in (5, 6, 7)]
    assert together == min(alone, key=lambda solution: solution.total)


def test_solve_prints_what_its_bound_says(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, plan = shared / "darp" / "cordeau_ropke_ab" / "a2-16.txt", tmp_path / "plan.json"
    with pytest.raises(SystemExit) as stop:
        main(["solve", str(file), "--iterations", "50", "--bound", "20", "-o", str(plan)])
    assert stop.value.code == 0
    assert "proven: no plan is cheaper" in capsys.readouterr().out
    document = json.loads(plan.read_text())
    assert document["bound"] == pytest.approx(document["cost"], abs=1e-3)
    assert document["cost"] == pytest.approx(294.25, abs=0.01)
    assert check_plan(file, plan).ok
    with pytest.raises(SystemExit) as stop:
        main(["solve", str(shared / "pdptw" / "li_lim_100" / "lr112.txt"), "--bound", "20"])
    assert stop.value.code == 2
    assert "fewer vehicles come before lower cost" in capsys.readouterr().err
