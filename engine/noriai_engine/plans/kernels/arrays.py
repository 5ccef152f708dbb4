"""What the optimiser's kernels read and write: the tasks of a problem, the routes of a solution, working space.

A *task* is a request (pickup and delivery) or a single stop that one vehicle must make (a break). Times are in the
problem's own unit: int32 ms on roads, float64 in benchmark files that demand it; costs are float64. What is read
together lies together in records, which also keeps calls between kernels short.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = NDArray[Any]
Floats = NDArray[np.float64]


def stop_record(time: Any) -> np.dtype[Any]:
    """A node: its window and service time, its task (-1: depot) and role (1 pickup, -1 delivery, 0 neither); `gain`:
    what a battery is charged there (mm of road); `wished`: the latest start of service that nobody minds."""
    return np.dtype(
        [
            ("early", time), ("late", time), ("service", time), ("wished", time), ("task", np.int32),
            ("role", np.int32), ("gain", np.int64),
        ],
        align=True,
    )  # fmt: skip


def job_record(time: Any) -> np.dtype[Any]:
    """A task.

    pickup, delivery: nodes, equal for a single stop; span: the most time from start of service at the pickup to that
    at the delivery; code: what it takes up, as a number that adds up along a route; price: of leaving it out; link: the
    other half of a linked pair, worth nothing alone (-1: none); held: it must stay where it is; direct: the drive from
    pickup to delivery.
    """
    return np.dtype(
        [
            ("span", time), ("direct", time), ("price", np.float64), ("pickup", np.uint32), ("delivery", np.uint32),
            ("code", np.int32), ("link", np.int32), ("held", np.int32),
        ],
        align=True,
    )  # fmt: skip


def car_record(time: Any) -> np.dtype[Any]:
    """A vehicle: its class (equal vehicles are one class), `rate` (row of the costs of drives), depots, most time from
    departure to return, fixed cost. Of its battery, in mm of road: `full` (0: it drives without limit), what is `left`
    at its start, and the `reserve`."""
    return np.dtype(
        [
            ("duration", time), ("fixed", np.float64), ("kind", np.int32), ("rate", np.int32), ("start", np.uint32),
            ("end", np.uint32), ("full", np.int64), ("left", np.int64), ("reserve", np.int64),
        ],
        align=True,
    )  # fmt: skip


def rule_record(time: Any) -> np.dtype[Any]:
    """`slack`: tolerance of comparisons (0 for integers); `tight`: whether ride times or durations can bind at all;
    `late_rate`, `ride_rate`: cost of a unit of time that service starts after it was wished, and that a ride is longer
    than the direct drive."""
    return np.dtype(
        [("slack", time), ("late_rate", np.float64), ("ride_rate", np.float64), ("tight", np.int32)], align=True
    )


def row_record(time: Any) -> np.dtype[Any]:
    """A position of a route.

    first, last: earliest and latest start of service that keep every limit of the route; room: the longest detour on
    the way to the next position that no rider aboard forbids; path: driving and service time from the depot to here;
    drive, toll: time and cost of the drive to the next position; load: load number on that drive; mate: position of
    the pickup of the delivery here (-1 elsewhere); span: its limit.
    """
    return np.dtype(
        [
            ("node", np.uint32), ("mate", np.int32), ("first", time), ("last", time), ("path", time), ("drive", time),
            ("room", time), ("toll", np.float64), ("span", time), ("load", np.int32),
        ],
        align=True,
    )  # fmt: skip


HEAD = np.dtype([("cost", np.float64), ("given_up", np.float64), ("stamp", np.int64), ("count", np.int32)], align=True)
"""A route: its cost with the vehicle's and with what its riders give up (`given_up`: that part alone), a stamp that
changes with the content, positions with both depots."""

CELL = np.dtype([("stamp", np.int64), ("cost", np.float64), ("i", np.int32), ("j", np.int32)], align=True)
"""The best place of a task in a route of that stamp: pickup behind position i, delivery behind position j of the old
route. i = -1: there is none below `cost`, which is inf where there is none at all."""


def line_record(time: Any) -> np.dtype[Any]:
    """A position of a sequence that is tried: node, time, position of the pickup of a delivery (-1 elsewhere)."""
    return np.dtype([("x", time), ("node", np.uint32), ("mate", np.int32)], align=True)


class Tasks(NamedTuple):
    """A problem, read only. n nodes, m tasks, v vehicles in c classes."""

    travel: Array  # (n, n) time from row to column
    travel_to: Array  # (n, n) its transpose: the drives to a node lie in one row
    cost: Floats  # (rates, n, n) cost of the drive from row to column
    cost_to: Floats  # (rates, n, n)
    length: Ints  # (n, n) int64 mm of road from row to column; (0, 0) where no vehicle has a battery
    stops: Array  # (n,) stop_record
    jobs: Array  # (m,) job_record
    cars: Array  # (v,) car_record
    rule: Array  # (1,) rule_record
    fits: Ints  # (c, k) uint8: whether a load of this number can be carried
    may: Ints  # (m, v) uint8: whether the vehicle may serve the task
    near: Ints  # (2, n, b) int32: for each stop the others, the nearest first, by cost and by cost and waiting
    kin: Ints  # (m, b) int32: for each task the others, the most alike in places and times first
    apart_first: Ints  # (m + 1,) int32
    apart: Ints  # int32: tasks that may not be aboard together with this one


class Routes(NamedTuple):
    """A solution. Row k belongs to vehicle k; positions 0 and count - 1 are its depots."""

    rows: Array  # (v, w) row_record
    heads: Array  # (v,) HEAD
    home: Ints  # (m,) int32 vehicle of each task, -1 where none serves it
    at: Ints  # (n,) int32 position of each node in its route


class Work(NamedTuple):
    """Working space of one search."""

    line: Array  # (w,) line_record
    add_d: Floats  # (w,)
    least_d: Floats  # (w,)
    way: Floats  # (w,) driving and service up to each position of a sequence that is tried
    absent: Ints  # (m,) int32
    kept: Ints  # (m,) int32 the absent ones when the iteration began
    order: Floats  # (m,)
    dirty: Ints  # (v,) uint8
    marked: Ints  # (m,) uint8
    counts: Ints  # (2,) int64: absent tasks, last stamp given
    dice: Ints  # (1,) uint64 state of the random sequence


class Pool(NamedTuple):
    """Routes met by the search, one for each set of tasks and class of vehicle: the cheapest sequence."""

    name: Ints  # (m,) uint64 random number of each task; a set's key is their sum
    slot: Ints  # (2^x,) int32 hash table of rows, -1: free
    key: Ints  # (rows,) uint64
    kind: Ints  # (rows,) int32
    cost: Floats  # (rows,)
    first: Ints  # (rows + 1,) int64
    node: Ints  # (...,) int32 sequences without depots
    used: Ints  # (2,) int64 rows, nodes in use


class Moves(NamedTuple):
    """How ruin and recreate go about it."""

    exchange: float  # share of iterations that exchange segments between routes; the others ruin
    strings: float  # share of ruins that take out strings; the others take out tasks alike
    mean: float  # stops a ruin takes out on average by strings
    longest: float  # most stops a string takes out of one route
    kin: float  # most tasks alike taken out at once
    power: float  # how strongly the most alike are preferred
    regret: float  # share of iterations that insert by regret
    noise: float  # how much costs are shaken where they are
    blink: float  # chance to pass over a route
