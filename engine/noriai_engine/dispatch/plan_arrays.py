"""The fleet and all its plans as structures of arrays (design: a block of rows per vehicle with spare room).

Row 0 of a block is the POSITION: where the vehicle is free next. Then come its activities in order, and last
END, the return to the depot, or a row nowhere (state -1) for a vehicle that may end where it is. Times are int32 ms
from the service day's start.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.model.resources import RESOURCE_NAMES
from noriai_engine.model.units import IntArray, LongArray, RecordArray, SmallArray

RESOURCES = len(RESOURCE_NAMES)


class Batteries(NamedTuple):
    """Energy in mm of road (V,): `range_mm` of a full battery (0: no battery, drives without limit), `reserve_mm` that
    is never used, `charge_m_min` gained in breaks (m of road a minute); `left_mm` when the vehicle was at the spot
    `state`, `offset`, from where it has driven the fastest way to its position."""

    range_mm: LongArray
    reserve_mm: LongArray
    charge_m_min: LongArray
    left_mm: LongArray
    state: IntArray
    offset: IntArray


class FleetArrays(NamedTuple):
    """What the vehicles are (V,): `operator` rows, `can` (bits of what vehicle and driver are fit for), `shift_end`;
    `layout_first` (V + 1,) into `layout` (L, R), the loads each interior holds. `together` is 1 where riders at one
    stop board and alight at the same time instead of one party after another. `battery`: energy."""

    operator: IntArray
    can: LongArray
    shift_end: IntArray
    layout_first: IntArray
    layout: SmallArray
    together: int
    battery: Batteries


ROW = np.dtype(
    [
        ("state", "i4"), ("offset", "i4"), ("request", "i4"), ("earliest", "i4"), ("latest", "i4"), ("begin", "i4"),
        ("service", "i4"), ("done", "i4"), ("leg", "i4"), ("partner", "i4"), ("ride_limit", "i4"),
        ("load", "i2", (RESOURCES,)), ("kind", "i1"), ("locked", "i1"), ("promised", "i4"), ("ride_spare", "i4"),
        ("spare", "i4"),
    ]
)  # fmt: skip
"""A row of a plan, 64 bytes: what one search step reads lies in one line of the cache."""


class PlanRow(NamedTuple):
    """A row as plain values: to read many fields of a row one by one is slow on records."""

    state: int
    offset: int
    request: int
    earliest: int
    latest: int
    begin: int
    service: int
    done: int
    leg: int
    partner: int
    ride_limit: int
    load: SmallArray
    kind: int
    locked: int
    promised: int
    ride_spare: int
    spare: int


class PlanArrays(NamedTuple):
    """Blocks: `first`, `count`, `room` (V,) rows of each vehicle; `aboard` (V, R) load at the position.

    Fields of `rows` (N,): `state` and `offset` (the spot); `kind` (ActivityKind); `request` (row of the dispatcher's
    requests, -1 for none); `earliest` and `latest` begin of service; `begin` as planned; `service` duration; `done`
    when the vehicle may leave; `leg` drive from the row before; `partner` row within the block of a dropoff's pickup,
    -1 where the rider is aboard already; `ride_limit` longest ride of a dropoff with a partner; `locked` 1 where the
    row may move no more; `promised` latest begin as told to the rider, `ride_spare` by how much the ride may be longer
    than `ride_limit` before a promise is broken; `load` (R,) change of load when service begins.
    """

    first: LongArray
    count: IntArray  # type: ignore[assignment]  # the design's name; tuple.count is never used
    room: IntArray
    aboard: SmallArray
    rows: RecordArray


def no_batteries(vehicles: int) -> Batteries:
    """Vehicles that drive without limit."""

    def zeros() -> LongArray:
        return np.zeros(vehicles, np.int64)

    nowhere = np.zeros(vehicles, np.int32), np.zeros(vehicles, np.int32)
    return Batteries(zeros(), zeros(), zeros(), zeros(), *nowhere)


def empty_rows(count: int) -> RecordArray:
    """Rows with nothing in them."""
    rows = np.zeros(count, ROW).view(np.recarray)
    rows.request = rows.partner = -1
    return rows


def empty_plans(vehicle_count: int, room: int) -> PlanArrays:
    """Plans of `vehicle_count` vehicles with space for `room` rows each, nothing in them yet."""
    return PlanArrays(
        np.arange(vehicle_count, dtype=np.int64) * room, np.zeros(vehicle_count, np.int32),
        np.full(vehicle_count, room, np.int32), np.zeros((vehicle_count, RESOURCES), np.int16),
        empty_rows(vehicle_count * room),
    )  # fmt: skip


def with_room(plans: PlanArrays, vehicle: int, rows: int) -> PlanArrays:
    """Plans in which the vehicle's block can hold `rows`; a full block moves to the end with doubled room."""
    if rows <= plans.room[vehicle]:
        return plans
    room = max(2 * int(plans.room[vehicle]), rows)
    old, end = int(plans.first[vehicle]), len(plans.rows)
    longer = empty_rows(end + room)
    longer[:end] = plans.rows
    longer[end : end + int(plans.count[vehicle])] = plans.rows[old : old + int(plans.count[vehicle])]
    plans.first[vehicle], plans.room[vehicle] = end, room
    return plans._replace(rows=longer)
