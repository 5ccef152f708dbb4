"""Plans after something happened: rows taken out, drives measured anew, times worked out again, kept or not."""

from noriai_engine.dispatch.kernels.insertion import Scratch, copy_row, earliest_schedule, free_from, joins
from noriai_engine.dispatch.kernels.positions import Paths
from noriai_engine.dispatch.plan_arrays import FleetArrays, PlanArrays
from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.roads.kernels.bounds import RoadView
from noriai_engine.roads.kernels.spots import spot_pair


@lean_kernel
def remove_request(plans: PlanArrays, vehicle: int, request: int) -> int:
    """Take a request's rows out of a plan; returns how many there were. One who is aboard leaves the load."""
    base, count = plans.first[vehicle], plans.count[vehicle]
    pickup, dropoff = 0, 0
    for k in range(1, count):
        if plans.rows[base + k].request == request:
            if plans.rows[base + k].load[0] + plans.rows[base + k].load[1] > 0:
                pickup = k
            else:
                dropoff = k
    if dropoff == 0:
        return 0
    if pickup == 0:
        for r in range(plans.aboard.shape[1]):
            plans.aboard[vehicle, r] += plans.rows[base + dropoff].load[r]
    kept = 1
    for k in range(1, count):
        if k in (dropoff, pickup):
            continue
        partner = plans.rows[base + k].partner
        if partner > 0:
            partner -= (1 if 0 < pickup < partner else 0) + (1 if dropoff < partner else 0)
        plans.rows[base + kept] = plans.rows[base + k]
        plans.rows[base + kept].partner = partner
        kept += 1
    plans.count[vehicle] = kept
    return int(count - kept)


@lean_kernel
def measure(roads: RoadView, plans: PlanArrays, vehicle: int) -> None:
    """The drives of a plan, under the metric in force."""
    base = plans.first[vehicle]
    for k in range(base + 1, base + plans.count[vehicle]):
        before, row = plans.rows[k - 1], plans.rows[k]
        if row.state < 0:
            row.leg = 0
        else:
            row.leg = spot_pair(roads.labels, roads.states, before.state, before.offset, row.state, row.offset)


@lean_kernel
def reschedule(
    fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, now: int, with_buffers: bool, s: Scratch
) -> bool:
    """The earliest times that keep every limit; False, and no change, where there are none.

    A row announced for a time keeps its place, and may be as late as was promised; the time that comes out is announced
    now. `with_buffers`: so may all others, and what they take of their buffers is gone: the limits of the plan grow to
    what is needed.
    """
    base, count = plans.first[vehicle], plans.count[vehicle]
    for k in range(1, count):
        row = plans.rows[base + k]
        copy_row(plans, fleet, base + k, row.partner, s, k)
        if row.locked or with_buffers:
            s.rows[k].latest = row.promised
        if with_buffers:
            s.rows[k].ride_limit += row.ride_spare
    if not earliest_schedule(count, free_from(plans, paths, vehicle, now), s):
        return False
    for k in range(1, count):
        plans.rows[base + k].begin = s.rows[k].begin
        plans.rows[base + k].done = s.rows[k].done
        _announce(plans, base + k)
    if with_buffers:
        _grow(plans, vehicle)
    return True


@inlined_kernel
def _announce(plans: PlanArrays, row: int) -> None:
    """What was announced for another time is so for the new one: nobody who asks later moves it."""
    if plans.rows[row].locked:
        plans.rows[row].earliest = plans.rows[row].latest = plans.rows[row].begin


@inlined_kernel
def _grow(plans: PlanArrays, vehicle: int) -> None:
    """Widen a plan's limits to its times, those promised only where they must be."""
    base = plans.first[vehicle]
    for k in range(1, plans.count[vehicle]):
        row = plans.rows[base + k]
        row.latest = max(row.latest, row.begin)
        row.promised = max(row.promised, row.begin)
        _announce(plans, base + k)
        if row.partner > 0:
            departs = plans.rows[base + row.partner].begin + plans.rows[base + row.partner].service
            over = max(0, row.begin - departs - row.ride_limit)
            row.ride_limit += over
            row.ride_spare = max(0, row.ride_spare - over)


@lean_kernel
def lateness(fleet: FleetArrays, plans: PlanArrays, paths: Paths, vehicle: int, now: int, s: Scratch) -> int:
    """Sum of ms by which the rows' earliest possible begins miss what was promised, ride limits included; begins and
    ends are left in `s`."""
    base, count = plans.first[vehicle], plans.count[vehicle]
    s.rows[0].begin = free_from(plans, paths, vehicle, now)
    s.rows[0].done = s.rows[0].begin
    total = 0
    for k in range(1, count):
        row = plans.rows[base + k]
        together = joins(plans, fleet, base + k - 1, base + k)
        begin = max(s.rows[k - 1].begin if together else s.rows[k - 1].done + row.leg, row.earliest)
        s.rows[k].begin = begin
        s.rows[k].done = max(begin + row.service, s.rows[k - 1].done if together else 0)
        total += max(0, begin - row.promised)
        if row.partner > 0:
            departs = s.rows[row.partner].begin + plans.rows[base + row.partner].service
            total += max(0, begin - departs - row.ride_limit - row.ride_spare)
    return int(total)


@lean_kernel
def soften(plans: PlanArrays, vehicle: int, s: Scratch) -> None:
    """Take the times that `lateness` found, and widen the limits they miss."""
    base = plans.first[vehicle]
    for k in range(1, plans.count[vehicle]):
        plans.rows[base + k].begin, plans.rows[base + k].done = s.rows[k].begin, s.rows[k].done
    _grow(plans, vehicle)
