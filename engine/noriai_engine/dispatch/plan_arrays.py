"""The fleet and all its plans as structures of arrays (design: a block of rows per vehicle with spare room).

Row 0 of a block is the POSITION: where the vehicle is free next. Then come its activities in order, and last
END, the return to the depot, or a row nowhere (state -1) for a vehicle that may end where it is. Times are int32 ms
from the service day's start.
"""

from typing import NamedTuple

import numpy as np

from noriai_engine.model.units import ByteArray, IntArray, LongArray, SmallArray


class FleetArrays(NamedTuple):
    """What the vehicles are (V,): `operator` rows, `can` (bits of what vehicle and driver are fit for), `shift_end`;
    `layout_first` (V + 1,) into `layout` (L, R), the loads each interior holds. `together` is 1 where riders at one
    stop board and alight at the same time instead of one party after another."""

    operator: IntArray
    can: LongArray
    shift_end: IntArray
    layout_first: IntArray
    layout: SmallArray
    together: int


class PlanArrays(NamedTuple):
    """Blocks: `first`, `count`, `room` (V,) rows of each vehicle; `aboard` (V, R) load at the position.

    Rows (N,): `state` and `offset` (the spot); `kind` (ActivityKind); `request` (row of the dispatcher's requests, -1
    for none); `earliest` and `latest` begin of service; `begin` as planned; `service` duration; `done` when the vehicle
    may leave; `leg` drive from the row before; `partner` row within the block of a dropoff's pickup, -1 where the rider
    is aboard already; `ride_limit` longest ride of a dropoff with a partner; `locked` 1 where the row may move no more;
    `load` (N, R) change of load when service begins.
    """

    first: LongArray
    count: IntArray  # type: ignore[assignment]  # the design's name; tuple.count is never used
    room: IntArray
    aboard: SmallArray
    state: IntArray
    offset: IntArray
    kind: ByteArray
    request: IntArray
    earliest: IntArray
    latest: IntArray
    begin: IntArray
    service: IntArray
    done: IntArray
    leg: IntArray
    partner: IntArray
    ride_limit: IntArray
    locked: ByteArray
    load: SmallArray


ROW_FIELDS = (
    "state", "offset", "kind", "request", "earliest", "latest", "begin", "service", "done", "leg", "partner",
    "ride_limit", "locked", "load",
)  # fmt: skip


def empty_plans(vehicle_count: int, room: int, resources: int) -> PlanArrays:
    """Plans of `vehicle_count` vehicles with space for `room` rows each, nothing in them yet."""
    rows = vehicle_count * room

    def ints() -> IntArray:
        return np.zeros(rows, np.int32)

    return PlanArrays(
        first=np.arange(vehicle_count, dtype=np.int64) * room,
        count=np.zeros(vehicle_count, np.int32),
        room=np.full(vehicle_count, room, np.int32),
        aboard=np.zeros((vehicle_count, resources), np.int16),
        state=ints(), offset=ints(), kind=np.zeros(rows, np.int8), request=np.full(rows, -1, np.int32), earliest=ints(),
        latest=ints(), begin=ints(), service=ints(), done=ints(), leg=ints(), partner=np.full(rows, -1, np.int32),
        ride_limit=ints(), locked=np.zeros(rows, np.int8), load=np.zeros((rows, resources), np.int16),
    )  # fmt: skip


def with_room(plans: PlanArrays, vehicle: int, rows: int) -> PlanArrays:
    """Plans in which the vehicle's block can hold `rows`; a full block moves to the end with doubled room."""
    if rows <= plans.room[vehicle]:
        return plans
    room = max(2 * int(plans.room[vehicle]), rows)
    old, end = int(plans.first[vehicle]), len(plans.state)
    count = int(plans.count[vehicle])
    grown = {}
    for name in ROW_FIELDS:
        column = getattr(plans, name)
        longer = np.zeros((end + room, *column.shape[1:]), column.dtype)
        longer[:end] = column
        longer[end : end + count] = column[old : old + count]
        grown[name] = longer
    plans.first[vehicle], plans.room[vehicle] = end, room
    return plans._replace(**grown)
