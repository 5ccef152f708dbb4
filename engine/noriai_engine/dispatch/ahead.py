"""Planning ahead: requests heard before the day begins are planned as a whole, and the plan is where the day starts.

Limits are the ones an online request would get (terms), and every ride goes into the plans by the same insertion that
online requests go through: what the optimiser finds is accepted here or nowhere.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from noriai_engine.dispatch.ahead_problem import Rides, day_problem, nodes_of
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.snapshots import Snapshot, put_back, take
from noriai_engine.dispatch.terms import Ends, from_begin, told
from noriai_engine.model.errors import StalePlanError
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.places import Spot
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.requests import Booking, Quote, Refusal, Request
from noriai_engine.model.units import BookingId, RequestId
from noriai_engine.plans.aims import Aims
from noriai_engine.plans.params import SolveParams
from noriai_engine.plans.problem import Problem
from noriai_engine.plans.run import Progress, Solution
from noriai_engine.plans.solver import solve

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher


@dataclass(frozen=True)
class DayPlan:
    """What became of the requests that waited, and the optimiser's own account of it (None: no vehicle was free)."""

    bookings: tuple[Booking, ...]
    refusals: tuple[Refusal, ...]
    problem: Problem | None
    solution: Solution | None
    vehicles: tuple[int, ...]
    """Rows of the vehicles planned for, in the problem's order; others had begun their day."""


@dataclass(frozen=True)
class Search:
    """What is to be searched for before a plan goes on. It shares nothing with the dispatcher that changes, so that
    the search may run in another thread."""

    problem: Problem
    given: list[list[int]]
    share: tuple[float, float]
    """Which part of the whole search this is: (where it begins, its length), both of 1."""

    def solve(
        self, params: SolveParams, cpu_clock: Callable[[], float] = lambda: 0.0, progress: Progress | None = None
    ) -> Solution:
        """Search with this part of the budget of `params`."""
        said = None if progress is None else _part(progress, *self.share)
        return solve(self.problem, _scaled(params, self.share[1]), cpu_clock, begin_with=self.given, progress=said)


T = TypeVar("T")
Planning = Generator[Search, Solution, T]
"""A plan in the making: each search it yields is for the caller to solve, where and when it likes."""


def at_once(
    steps: Planning[T], params: SolveParams, cpu_clock: Callable[[], float] = lambda: 0.0,
    progress: Progress | None = None,
) -> T:  # fmt: skip
    """Make a plan here and now."""
    solution: Solution | None = None
    while True:
        try:
            search = next(steps) if solution is None else steps.send(solution)
        except StopIteration as end:
            made: T = end.value
            return made
        solution = search.solve(params, cpu_clock, progress)


class Ahead:
    """The part of one Dispatcher that plans before the day."""

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._d = dispatcher

    def hear(self, request: Request) -> Refusal | None:
        """Take a request down for the next plan; it is answered then, or now where nothing could make it possible.

        Raises ValueError where the same request id is asked twice.
        """
        d = self._d
        d.bookings.add(request)
        d._say("request_received", request_id=request.id)
        ends = d.finder.area.ends_of(request)
        d.bookings.ends.append(Ends(Spot(-1), Spot(-1)) if isinstance(ends, str) else ends)
        reason = ends if isinstance(ends, str) else self.wish(request)
        if isinstance(reason, str):
            return d._refuse(request, reason, ends=None if isinstance(ends, str) else ends).refusal
        d.bookings.waiting.append(request.id)
        return None

    def plan(
        self,
        params: SolveParams,
        cpu_clock: Callable[[], float],
        *,
        aims: Aims = Aims(),  # noqa: B008 - a frozen value
        weight: Callable[[Request], float] = lambda request: 1.0,
        progress: Progress | None = None,
    ) -> DayPlan:
        """Plan all who wait, and the bookings of vehicles that have not begun their day anew with them.

        Promises come first (bookings stay, within the times promised), then requests left out (by `weight`), then the
        rest of the `aims`. Those left out are asked for online, so that a refusal says what stood in the way and which
        time would do. Vehicles under way or with stops announced keep their plans.
        """
        return at_once(self.planning(aims=aims, weight=weight), params, cpu_clock, progress)

    def planning(
        self,
        *,
        aims: Aims = Aims(),  # noqa: B008 - a frozen value
        weight: Callable[[Request], float] = lambda request: 1.0,
    ) -> Planning[DayPlan]:
        """The same step by step.

        Nothing is changed before the last step, so that a plan may be given up. A step raises StalePlanError where the
        day has changed since the one before: quotes are none of its business, bookings and vehicles are.
        """
        d = self._d
        vehicles = [k for k in range(len(d.vehicles)) if self._is_free(k)]
        waiting, late = list(d.bookings.waiting), list[tuple[RequestId, str]]()
        rides = self._rides(vehicles)
        for name in waiting:
            request = d.bookings.requests[d.bookings.row_of[name]]
            wish = self.wish(request)
            if isinstance(wish, str):  # the evening is later than when it was heard
                late.append((name, wish))
                continue
            rides.rows.append(d.bookings.row_of[name])
            rides.wishes.append(wish)
            rides.accepted.append(False)
        bookings, problem, solution = list[Booking](), None, None
        ends = dict[int, Ends]()
        if vehicles:
            problem, solution, ends = yield from self._solved(vehicles, rides, (weight, aims))
        d.bookings.waiting.clear()
        refusals = [
            self._refusal(d._refuse(d.bookings.requests[d.bookings.row_of[name]], reason, ends=d.ends_of(name)))
            for name, reason in late
        ]
        if problem is not None and solution is not None:
            self._end_at(ends)
            bookings = self._adopt(vehicles, rides, solution, problem)
        for name in waiting:
            if d.bookings.states[name] == BookingState.WAITING_FOR_ANSWER:
                more, refused = self.ask(name, waiting)
                bookings += more
                refusals += refused
        return DayPlan(tuple(bookings), tuple(refusals), problem, solution, tuple(vehicles))

    def _solved(
        self, vehicles: Sequence[int], rides: Rides, aims: tuple[Callable[[Request], float], Aims]
    ) -> Planning[tuple[Problem, Solution, dict[int, Ends]]]:
        """The best plan found. Where riders may walk to meeting points, half the budget goes into a plan from door to
        door, and the other half into one with the walks that help there: ends by row, others than so far."""
        problem = day_problem(self._d, vehicles, rides, *aims)
        given = [nodes_of(self._d, vehicle, k, rides, problem) for k, vehicle in enumerate(vehicles)]
        if self._d.service.mode != "meet":
            solution = yield from self._searched(Search(problem, given, (0.0, 1.0)))
            return problem, solution, {}
        solution = yield from self._searched(Search(problem, given, (0.0, 0.5)))
        given, ends = self._with_walks(vehicles, rides, solution, problem)
        before = self._end_at(ends)
        problem = day_problem(self._d, vehicles, rides, *aims)
        self._end_at(before)
        solution = yield from self._searched(Search(problem, given, (0.5, 0.5)))
        return problem, solution, ends

    def _searched(self, search: Search) -> Planning[Solution]:
        """What is found of a search, which may take its time. Raises StalePlanError where the day has changed."""
        before = self._day()
        solution = yield search
        if self._day() != before:
            raise StalePlanError(f"{self._d.day.date} has changed while its plan was searched for; plan it anew")
        return solution

    def _day(self) -> tuple[object, ...]:
        """What a plan of the day rests on, plans and promises by their versions."""
        store, book = self._d._store, self._d.bookings
        return (
            store.version.tobytes(), store.fleet.can.tobytes(), store.fleet.shift_end.tobytes(),
            self._d.travel_times.metric.version, tuple(book.waiting), frozenset(book.pinned),
        )  # fmt: skip

    def _end_at(self, ends: dict[int, Ends]) -> dict[int, Ends]:
        """Let requests begin and end there, by row; returns where they did before."""
        book = self._d.bookings
        before = {row: book.ends[row] for row in ends}
        for row, new in ends.items():
            book.ends[row] = new
        return before

    def _with_walks(
        self, vehicles: Sequence[int], rides: Rides, solution: Solution, problem: Problem
    ) -> tuple[list[list[int]], dict[int, Ends]]:
        """Let new rides of a solution, and who is left out, begin and end where that costs least, one after another;
        limits in `rides` become theirs. Returns the routes, by node, and their ends, by row."""
        d, kept = self._d, take(self._d)
        now = d.day.to_day_ms(d._clock.now())
        home = self._write_all(vehicles, rides, solution, now, kept)
        chosen = {}
        for task, row in enumerate(rides.rows):
            if not rides.accepted[task]:
                if task in home:
                    d.incidents.take_out(home[task], row)
                request = d.bookings.requests[row]
                found = d.choosing.cheapest(request, set(vehicles))
                if found is not None:
                    ends, wish, candidate = found
                    d.finder.insert(candidate, row, wish, d._clock.now())
                    chosen[row], rides.wishes[task] = ends, wish
        routes = [nodes_of(self._d, vehicle, k, rides, problem) for k, vehicle in enumerate(vehicles)]
        put_back(d, kept)
        return routes, chosen

    # --- the problem ----------------------------------------------------------------------------------------

    def wish(self, request: Request) -> Wish | str:
        """A request's limits as of now, or the reason that rules it out."""
        d = self._d
        apart = np.array(d.bookings.kept_apart(request), np.int32)
        return d.finder.wish(request, d.ends_of(request.id), apart, d._clock.now())

    def _is_free(self, vehicle: int) -> bool:
        """Nothing of the vehicle's day has begun, and nothing is announced."""
        store, d = self._d._store, self._d
        if int(store.plans.count[vehicle]) < 2 or d.vehicles[vehicle].shift.start < d._clock.now():
            return False
        d._settle(vehicle)
        now = d.day.to_day_ms(d._clock.now())
        if not store.has_energy(vehicle, now):  # less charge than thought: mending comes first
            return False
        return store.first_free(vehicle) == 0 and not store.plans.aboard[vehicle].any()

    def _rides(self, vehicles: Sequence[int]) -> Rides:
        """The bookings of these vehicles."""
        d, found = self._d, Rides([], [], [])
        for vehicle in vehicles:
            for activity in d.plan(vehicle).activities:
                if activity.kind == ActivityKind.PICKUP and activity.request_id is not None:
                    row = d.bookings.row_of[activity.request_id]
                    found.rows.append(row)
                    found.wishes.append(d.bookings.promised[row])
                    found.accepted.append(True)
        return found

    # --- the plan -------------------------------------------------------------------------------------------

    def _adopt(self, vehicles: Sequence[int], rides: Rides, solution: Solution, problem: Problem) -> list[Booking]:
        """Write the solution into the plans, all of it or nothing, and log what was promised."""
        d, store = self._d, self._d._store
        kept = take(d)
        now = d.day.to_day_ms(d._clock.now())
        homes = self._write_all(vehicles, rides, solution, now, kept)
        bookings = []
        starts = {node: s for route, times in zip(solution.routes, solution.start, strict=True)
                  for node, s in zip(route, times, strict=True)}  # fmt: skip
        for task, vehicle in sorted(homes.items(), key=lambda item: rides.rows[item[0]]):
            request = d.bookings.requests[rides.rows[task]]
            if rides.accepted[task]:
                if d.bookings.booked[request.id].vehicle_id != d.vehicles[vehicle].id:
                    before = d.bookings.booked[request.id].vehicle_id
                    d._move_booking(request.id, vehicle)
                    d._say("booking_moved", vehicle=vehicle, request_id=request.id, reason="plan",
                           details={"from": before})  # fmt: skip
                continue
            planned = int(starts[int(problem.pickup[task])]), int(starts[int(problem.delivery[task])])
            bookings.append(self._book(request, rides.wishes[task], task, vehicle, planned, rides))
        for vehicle in vehicles:
            if store.plans.count[vehicle] > 2:
                d._say_plan(vehicle)
        return bookings

    def _write_all(
        self, vehicles: Sequence[int], rides: Rides, solution: Solution, now: int, kept: Snapshot
    ) -> dict[int, int]:
        """Write a solution into the plans; returns the vehicle of each ride, by task."""
        d, homes = self._d, {}
        for k, vehicle in enumerate(vehicles):
            route = [(node, int(start)) for node, start in zip(solution.routes[k], solution.start[k], strict=True)]
            if not self._write(vehicle, route, rides, now):
                put_back(d, kept)
                raise AssertionError(f"the optimiser's plan for {d.vehicles[vehicle].id} breaks a rule of dispatch")
            homes.update({node: vehicle for node, _ in route if node < len(rides.rows)})
        return homes

    def _write(self, vehicle: int, route: Sequence[tuple[int, int]], rides: Rides, now: int) -> bool:
        """Insert the rides of a route one after the other into the empty plan, by the insertion of online requests."""
        store = self._d._store
        store.clear(vehicle)
        with store.without_battery(vehicle):  # which lasts for the whole route, and may not for a part of it
            good = self._insert_all(vehicle, route, rides, now)
        return good and store.has_energy(vehicle, now)

    def _insert_all(self, vehicle: int, route: Sequence[tuple[int, int]], rides: Rides, now: int) -> bool:
        d, store = self._d, self._d._store
        riders, horizon = len(rides.rows), now + d.service.commit_horizon_ms
        place = {node: q for q, (node, _) in enumerate(route)}
        pauses = [q for q, (node, _) in enumerate(route) if node >= 2 * riders]
        inside = sorted(pauses)  # places of what stands in the plan already
        for q, (node, start) in enumerate(route):
            if node >= riders:
                continue
            wish = self._promised(node, start, rides)
            later = place[riders + node]
            i = sum(1 for other in inside if other < q)
            j = sum(1 for other in inside if other < later)
            if not store.insert(vehicle, rides.rows[node], wish, i, j, now, horizon):
                return False
            inside = sorted([*inside, q, later])
            d.bookings.promised[rides.rows[node]] = wish
        return True

    def _promised(self, task: int, start: int, rides: Rides) -> Wish:
        """The limits to promise: who asked for an arrival gets a pickup interval that begins as planned."""
        d, wish = self._d, rides.wishes[task]
        if rides.accepted[task] or d.bookings.requests[rides.rows[task]].latest_arrival is None:
            return wish
        return from_begin(wish, start, d.service)

    def _book(
        self, request: Request, wish: Wish, task: int, vehicle: int, planned: tuple[int, int], rides: Rides
    ) -> Booking:
        d, utc = self._d, self._d.day.to_utc
        who, promised = d.vehicles[vehicle], d.bookings.promised[rides.rows[task]]
        booking = Booking(BookingId(d._ids.new_id()), request.id, who.id, who.operator_id, *told(promised, d.day))
        d.bookings.booked[request.id] = booking
        d.log_booking(booking, (utc(planned[0]), utc(planned[1])), wish.direct, reason="plan")
        return booking

    def ask(self, name: RequestId, waiting: Sequence[RequestId]) -> tuple[list[Booking], list[Refusal]]:
        """Online after all, with the other half of its pair: places the optimiser missed, or what stands in the way."""
        d = self._d
        pair = [name] + [other for other in waiting if name in self._pair_of(other) or other in self._pair_of(name)]
        kept, bookings = take(d), []
        for one in pair:
            quote = d._answer(d.bookings.requests[d.bookings.row_of[one]])
            if quote.refusal is None:
                bookings.append(d.commit(quote.offers[0]))
                continue
            if len(pair) == 1:
                return [], [quote.refusal]
            put_back(d, kept)
            requests = [d.bookings.requests[d.bookings.row_of[x]] for x in pair]
            reasons = [quote.refusal.reason if x == one else "plan.other_half" for x in pair]
            refused = [d._refuse(q, r, ends=d.ends_of(q.id)) for q, r in zip(requests, reasons, strict=True)]
            return [], [self._refusal(answer) for answer in refused]
        return bookings, []

    def _pair_of(self, name: RequestId) -> tuple[RequestId, ...]:
        other = self._d.bookings.requests[self._d.bookings.row_of[name]].return_of
        return () if other is None else (other,)

    def _refusal(self, quote: Quote) -> Refusal:
        assert quote.refusal is not None
        return quote.refusal


def _scaled(params: SolveParams, size: float) -> SolveParams:
    """A part of the budget."""
    return replace(
        params, seconds=None if params.seconds is None else params.seconds * size,
        iterations=None if params.iterations is None else max(1, int(params.iterations * size)),
    )  # fmt: skip


def _part(progress: Progress, begin: float, size: float) -> Progress:
    """Of a search that is a part of the whole."""
    return lambda share, absent, cost: progress(begin + share * size, absent, cost)
