"""The obvious way to match riders in a batch: every rider to every vehicle or to none, every order of every plan.

Slow beyond a handful of riders, and shares no code with the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product

from naive.insertion import Fleet, Row, capacity_holds, driving, times_hold
from naive.roads import Times

from noriai_engine.model import Resources


@dataclass(frozen=True)
class Ride:
    """A rider of the batch: both rows, the vehicles that may carry them, whether a promise was made."""

    name: str
    pickup: Row
    dropoff: Row
    vehicles: frozenset[int]
    promised: bool


@dataclass(frozen=True)
class Van:
    """A vehicle: announced rows with the position first, rows that stay but whose order is free, the end."""

    announced: tuple[Row, ...]
    stays: tuple[Row, ...]
    end: Row
    start: int
    aboard: Resources
    layouts: tuple[Resources, ...]
    lasts: Callable[[list[Row]], bool] = lambda rows: True


def optimum(
    vans: list[Van], rides: list[Ride], fleet: Fleet, apart: set[frozenset[str]], times: Times
) -> tuple[int, int]:
    """(riders left out, driving ms of all vehicles): the least there is, in this order."""

    @cache
    def cost(van: int, riding: frozenset[int]) -> int | None:
        return least_driving(vans[van], [rides[k] for k in sorted(riding)], fleet, apart, times)

    best = None
    for choice in product(*(sorted(ride.vehicles | (set() if ride.promised else {-1})) for ride in rides)):
        total: int | None = 0
        for van in range(len(vans)):
            one = cost(van, frozenset(k for k, where in enumerate(choice) if where == van))
            total = None if one is None or total is None else total + one
        if total is not None and (best is None or (choice.count(-1), total) < best):
            best = (choice.count(-1), total)
    assert best is not None, "the plans as they are keep every promise"
    return best


def least_driving(van: Van, rides: list[Ride], fleet: Fleet, apart: set[frozenset[str]], times: Times) -> int | None:
    rows = [*van.stays, *(row for ride in rides for row in (ride.pickup, ride.dropoff))]
    best = None
    for order in orders(van.announced, rows, van.start, times):
        sequence = [*van.announced, *order, van.end]
        cost = driving(sequence, times)
        if best is not None and cost >= best:
            continue
        if capacity_holds(sequence, van.aboard, van.layouts) and not clash(sequence, apart) and van.lasts(sequence):  # noqa: SIM102
            if times_hold(sequence, van.start, fleet.max_ride, times):
                best = cost
    return best


def orders(announced: tuple[Row, ...], rows: list[Row], start: int, times: Times) -> Iterator[list[Row]]:
    """All orders in which nobody leaves before boarding and each stop is reached in time, ride limits aside."""

    def onward(before: Row, done: int, row: Row) -> int | None:
        begin = max(done + times[before.spot][row.spot], row.earliest)
        return None if begin > row.latest else begin + row.service

    def after(before: Row, done: int, left: list[Row]) -> Iterator[list[Row]]:
        if not left:
            yield []
        for row in left:
            rest = [other for other in left if other is not row]
            if row.rider and not row.is_pickup and any(r.rider == row.rider for r in rest):
                continue
            if (free := onward(before, done, row)) is not None:
                for tail in after(row, free, rest):
                    yield [row, *tail]

    done: int | None = start
    for before, row in pairwise(announced):
        assert done is not None
        done = onward(before, done, row)
    if done is not None:
        yield from after(announced[-1], done, rows)


def clash(rows: list[Row], apart: set[frozenset[str]]) -> bool:
    """True where two of a pair that must not meet are aboard together."""
    aboard = {r.rider for r in rows if r.rider and not r.is_pickup} - {r.rider for r in rows if r.is_pickup}
    for row in rows:
        if row.rider and row.is_pickup:
            aboard.add(row.rider)
        elif row.rider:
            aboard.discard(row.rider)
        if any(pair <= aboard for pair in apart):
            return True
    return False
