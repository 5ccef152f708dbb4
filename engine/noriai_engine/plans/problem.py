"""A day-plan problem: tasks, vehicles, travel; benchmark files and regions are both read into this one form."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noriai_engine.model.errors import InputError
from noriai_engine.plans.kernels.arrays import Tasks, car_record, job_record, rule_record, stop_record
from noriai_engine.plans.state import records

Array = NDArray[Any]
NEIGHBOURS = 120
FLOAT_SLACK = 1e-9
"""Sums of the same drives in another order differ by less than this, and checkers allow more."""
NO_LIMIT = 2**29
"""Durations that never bind: far above a service day in ms, and two of them still fit int32."""


@dataclass(frozen=True, eq=False)
class Energy:
    """Batteries, in mm of road: the `length` (n, n) of every drive; of each vehicle (v,) what a `full` battery is good
    for (0: it has none, and drives without limit), what is `left` at its start, and the `reserve` that is never used;
    a vehicle without any stop must get from its start to its end, too. `gain` (n,): what a stop there charges."""

    length: Array
    full: Array
    left: Array
    reserve: Array
    gain: Array


@dataclass(frozen=True, eq=False)
class Comfort:
    """Soft windows: service is best started between `early` and `late` (n,), inside the hard window. A unit of time
    earlier, later, or that a ride is longer than the direct drive costs so much."""

    early: Array
    late: Array
    early_rate: float = 0.0
    late_rate: float = 0.0
    ride_rate: float = 0.0

    def __post_init__(self) -> None:
        if min(self.early_rate, self.late_rate, self.ride_rate) < 0:
            raise InputError("a rate of comfort is below 0", remedy="give 0 or more")


@dataclass(frozen=True, eq=False)
class Problem:
    """n nodes, m tasks, v vehicles. Times are int32 ms or float64, whichever `travel` has; costs are float64.

    A task is a pickup and a delivery; where both are the same node it is a stop that needs an empty vehicle (a break).
    Vehicles of one `kind` are equal in all but their index: same depots, windows, layouts, costs, batteries, tasks they
    may serve.
    """

    name: str
    label: tuple[str, ...]  # (n,) what the outside calls the node
    travel: Array  # (n, n)
    cost: Array  # (c, n, n), or (1, n, n) for all classes
    early: Array  # (n,)
    late: Array  # (n,)
    service: Array  # (n,)
    pickup: Array  # (m,)
    delivery: Array  # (m,)
    demand: Array  # (m, resources) int
    layouts: tuple[Array, ...]  # of each kind: (layouts, resources) int
    kind: Array  # (v,)
    start: Array  # (v,) node
    end: Array  # (v,) node
    duration: Array  # (v,)
    fixed: Array  # (v,)
    max_ride: Array  # (m,) from the end of service at the pickup to the start of service at the delivery
    price: Array  # (m,) cost of leaving it out; inf: it must be served
    may: Array | None = None  # (m, v) bool
    apart: tuple[tuple[int, int], ...] = ()
    link: Array | None = None  # (m,)
    held: Array | None = None  # (m,) bool
    energy: Energy | None = None
    comfort: Comfort | None = None
    fewest_vehicles: bool = False
    """Fewer vehicles come before lower cost."""
    vehicle_limit: bool = True
    """False: the file names no fleet; v vehicles are enough for every task alone."""
    unit: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Tasks."""
        return len(self.pickup)


def tasks_of(problem: Problem, vehicles: int | None = None) -> Tasks:
    """The kernels' form of a problem, windows tightened; `vehicles`: only the first so many.

    Raises InputError where a task cannot be served by anybody even alone and has no price.
    """
    n, m = len(problem.label), problem.count
    v = len(problem.kind) if vehicles is None else vehicles
    time = problem.travel.dtype
    travel = np.ascontiguousarray(problem.travel)
    cost = np.ascontiguousarray(problem.cost, np.float64)
    # one matrix in the processor's cache is faster than four equal ones
    travel_to = travel if np.array_equal(travel, travel.T) else np.ascontiguousarray(travel.T)
    if cost.shape[0] == 1 and time == np.float64 and np.array_equal(cost[0], travel):
        cost, cost_to = travel[None], travel_to[None]
    else:
        cost_to = np.ascontiguousarray(cost.transpose(0, 2, 1))
    pickup, delivery = problem.pickup.astype(np.int32), problem.delivery.astype(np.int32)
    pair = pickup != delivery
    service = problem.service.astype(time)
    span = np.minimum(problem.max_ride.astype(np.float64) + service[pickup], NO_LIMIT).astype(time)
    early, late = tightened(problem, travel, span)
    code, fits = load_codes(problem)

    stops = records(n, stop_record(time))
    stops["early"], stops["late"], stops["service"] = early, late, service
    stops["wished"] = late if problem.comfort is None else problem.comfort.late
    stops["task"] = -1
    stops["task"][pickup] = stops["task"][delivery] = np.arange(m)
    stops["role"][pickup[pair]], stops["role"][delivery[pair]] = 1, -1
    jobs = records(m, job_record(time))
    jobs["pickup"], jobs["delivery"], jobs["span"], jobs["code"] = pickup, delivery, span, code
    jobs["direct"] = travel[pickup, delivery]
    jobs["price"] = finite_prices(problem)
    jobs["link"] = -1 if problem.link is None else problem.link
    jobs["held"] = 0 if problem.held is None else problem.held
    cars = records(v, car_record(time))
    cars["kind"], cars["start"], cars["end"] = problem.kind[:v], problem.start[:v], problem.end[:v]
    cars["duration"] = np.minimum(problem.duration[:v].astype(np.float64), NO_LIMIT)
    cars["fixed"] = problem.fixed[:v]
    cars["rate"] = problem.kind[:v] if len(problem.cost) > 1 else 0
    if problem.energy is not None:
        stops["gain"] = problem.energy.gain
        for name in ("full", "left", "reserve"):
            cars[name] = getattr(problem.energy, name)[:v]
    rule = records(1, rule_record(time))
    if problem.comfort is not None:
        rule["late_rate"], rule["ride_rate"] = problem.comfort.late_rate, problem.comfort.ride_rate
    rule["slack"] = FLOAT_SLACK if time == np.float64 else 0
    rule["tight"] = bool((span < NO_LIMIT).any() or (problem.duration[:v] < NO_LIMIT).any())

    first = np.zeros(m + 1, np.int32)
    both = sorted({*problem.apart, *((b, a) for a, b in problem.apart)})
    for a, _ in both:
        first[a + 1] += 1
    return Tasks(
        travel=travel,
        travel_to=travel_to,
        cost=cost,
        cost_to=cost_to,
        length=np.zeros((0, 0), np.int64) if problem.energy is None else problem.energy.length,
        stops=stops,
        jobs=jobs,
        cars=cars,
        rule=rule,
        fits=fits,
        may=np.ones((m, v), np.uint8) if problem.may is None else problem.may[:, :v].astype(np.uint8),
        near=neighbours(travel, early, late, service, cost[0], pickup, delivery),
        kin=alike(travel, early, late, cost[0], pickup, delivery),
        apart_first=np.cumsum(first).astype(np.int32),
        apart=np.array([b for _, b in both], np.int32),
    )


def finite_prices(problem: Problem) -> Array:
    """Prices; of tasks that must be served: more than a vehicle that drives for each of them alone."""
    start, end = problem.start[0], problem.end[0]
    alone = (
        problem.cost[0][start, problem.pickup]
        + problem.cost[0][problem.pickup, problem.delivery]
        + problem.cost[0][problem.delivery, end]
    )
    dear = 10.0 * (float(alone.max(initial=1.0)) + float(problem.fixed.max(initial=0.0)))
    dear += 2.0 * most_given_up(problem)
    finite = problem.price[np.isfinite(problem.price)]
    dear = max(dear, 10.0 * float(finite.max(initial=0.0)), 2.0 * float(finite.sum()))
    return np.where(np.isfinite(problem.price), problem.price, dear).astype(np.float64)


def most_given_up(problem: Problem) -> float:
    """What the riders of any plan give up at most."""
    if (comfort := problem.comfort) is None:
        return 0.0
    p, d = problem.pickup, problem.delivery
    stops = np.concatenate([p, d])
    late = np.maximum(0.0, (problem.late - comfort.late)[stops].astype(np.float64)).sum()
    early = np.maximum(0.0, (comfort.early - problem.early)[stops].astype(np.float64)).sum()
    ride = np.maximum(0.0, np.minimum(problem.max_ride, problem.late[d] - problem.early[p]).astype(np.float64)).sum()
    return float(comfort.late_rate * late + comfort.early_rate * early + comfort.ride_rate * ride)


def tightened(problem: Problem, travel: Array, span: Array) -> tuple[Array, Array]:
    """Windows without the parts that no schedule can use (design notes, section 3)."""
    early, late = problem.early.astype(travel.dtype), problem.late.astype(travel.dtype)
    p, d = problem.pickup, problem.delivery
    out = travel[np.ix_(np.unique(problem.start), p)].min(axis=0) + problem.early[problem.start].min()
    home = travel[np.ix_(d, np.unique(problem.end))].min(axis=1)
    early[p] = np.maximum(early[p], out)
    late[d] = np.minimum(late[d], problem.late[problem.end].max() - home - problem.service[d])
    pair = p != d
    p, d, span = p[pair], d[pair], span[pair]
    direct = problem.service[p] + travel[p, d]
    late[p] = np.minimum(late[p], late[d] - direct)
    early[d] = np.maximum(early[d], early[p] + direct)
    early[p] = np.maximum(early[p], early[d] - span)
    late[d] = np.minimum(late[d], late[p] + span)
    return early, late


def load_codes(problem: Problem) -> tuple[Array, Array]:
    """Loads as numbers in mixed radix with room for twice the largest layout, so that sums never carry over."""
    largest = np.max([layouts.max(axis=0) for layouts in problem.layouts], axis=0)
    radix = 2 * largest + 2
    weight = np.concatenate([[1], np.cumprod(radix[:-1])]).astype(np.int64)
    size = int(np.prod(radix.astype(np.int64)))
    if size > 50_000_000:
        raise InputError(
            f"{problem.name}: layouts of up to {tuple(int(x) for x in largest)} have too many combinations",
            remedy="count luggage in larger pieces",
        )
    index = np.arange(size)
    fits = np.zeros((len(problem.layouts), size), np.uint8)
    for row, layouts in enumerate(problem.layouts):
        for layout in layouts:
            held = np.ones(size, bool)
            for resource in range(len(radix)):
                held &= (index // weight[resource]) % radix[resource] <= layout[resource]
            fits[row] |= held
    demand = np.minimum(problem.demand, largest + 1)  # above every layout: fits nowhere, and never carries over
    return (demand @ weight).astype(np.int32), fits


def neighbours(
    travel: Array, early: Array, late: Array, service: Array, cost: Array, pickup: Array, delivery: Array
) -> Array:
    """For each stop the others, nearest first: by cost, and by cost with the waiting or lateness between windows."""
    stops = np.unique(np.concatenate([pickup, delivery]))
    width = min(len(stops) - 1, NEIGHBOURS)
    near = np.zeros((2, len(travel), max(width, 0)), np.int32)
    if width <= 0:
        return near
    square = np.ix_(stops, stops)
    drive = travel[square].astype(np.float64)
    by_cost = (cost[square] + cost[square].T) / 2
    leave_last = (late + service)[stops][:, None].astype(np.float64) + drive
    leave_first = (early + service)[stops][:, None].astype(np.float64) + drive
    wait = np.maximum(0.0, early[stops][None, :] - leave_last)
    lateness = np.maximum(0.0, leave_first - late[stops][None, :])
    onward = cost[square] + (wait + 10.0 * lateness) * (cost[square].mean() / max(drive.mean(), 1e-9))
    for row, measure in enumerate((by_cost, np.minimum(onward, onward.T))):
        own = measure.copy()
        np.fill_diagonal(own, np.inf)
        near[row][stops] = stops[np.argsort(own, axis=1, kind="stable")[:, :width]]
    return near


def alike(travel: Array, early: Array, late: Array, cost: Array, pickup: Array, delivery: Array) -> Array:
    """For each task the others, most alike first: ends near each other, windows at the same time (Shaw 1998)."""
    m = len(pickup)
    width = min(m - 1, NEIGHBOURS)
    if width <= 0:
        return np.zeros((m, 0), np.int32)
    rate = cost.mean() / max(float(travel.mean()), 1e-9)
    measure = np.zeros((m, m))
    for stop in (pickup, delivery):
        square = np.ix_(stop, stop)
        middle = (early[stop].astype(np.float64) + late[stop]) / 2
        apart = np.maximum(
            0.0, np.maximum(early[stop][:, None] - late[stop][None, :], early[stop][None, :] - late[stop][:, None])
        )
        measure += (cost[square] + cost[square].T) / 2 + rate * (
            0.1 * np.abs(middle[:, None] - middle[None, :]) + 0.5 * apart
        )
    np.fill_diagonal(measure, np.inf)
    return np.argsort(measure, axis=1, kind="stable")[:, :width].astype(np.int32)
