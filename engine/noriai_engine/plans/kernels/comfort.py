"""What riders give up: starts of service after they wished for them, and rides longer than the direct drive.

Both only grow as stops are added to a route. Lateness is that of the least schedule, and so the least of all; of a ride
the driving and the stops on the way count, as a vehicle that waits can pick its rider up later.
"""

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Routes, Tasks, Work


@inlined_kernel
def is_soft(t: Tasks) -> bool:
    return bool(t.rule[0].late_rate > 0.0 or t.rule[0].ride_rate > 0.0)


@lean_kernel
def given_up(t: Tasks, r: Routes, k: int) -> float:
    """Of a route whose times are settled, at the rates of the problem."""
    late, ride = 0.0, 0.0
    for q in range(1, r.heads[k].count - 1):
        node = r.rows[k, q].node
        late += max(0.0, float(r.rows[k, q].first - t.stops[node].wished))
        mate = r.rows[k, q].mate
        if mate >= 0:
            ride += float(r.rows[k, q].path - r.rows[k, mate].path - t.stops[r.rows[k, mate].node].service)
            ride -= float(t.jobs[t.stops[node].task].direct)
    return late * t.rule[0].late_rate + ride * t.rule[0].ride_rate


@lean_kernel
def given_up_in_line(t: Tasks, w: Work, size: int) -> float:
    """Of a sequence that is tried, whose least times stand in `w.line`."""
    late, ride = 0.0, 0.0
    w.way[0] = 0.0
    for q in range(1, size):
        before, node = w.line[q - 1].node, w.line[q].node
        w.way[q] = w.way[q - 1] + float(t.stops[before].service + t.travel[before, node])
        if q == size - 1:
            break
        late += max(0.0, float(w.line[q].x - t.stops[node].wished))
        mate = w.line[q].mate
        if mate >= 0:
            ride += w.way[q] - w.way[mate] - float(t.stops[w.line[mate].node].service)
            ride -= float(t.jobs[t.stops[node].task].direct)
    return late * t.rule[0].late_rate + ride * t.rule[0].ride_rate
