"""Energy of electric vehicles in the optimiser: whether a route can be driven with what is in the battery.

The rule is the dispatcher's (dispatch.kernels.energy): mm of road along the drives, never below the reserve, breaks
charge up to the whole range. The shortest among the fastest ways may be longer than a way over a third place, so a
route that lasts need not last any more when a stop is taken out: whole routes are looked at.
"""

from noriai_engine.kernels import lean_kernel
from noriai_engine.plans.kernels.arrays import Routes, Tasks, Work


@lean_kernel
def lasts(t: Tasks, r: Routes, k: int, task: int, i: int, j: int) -> bool:
    """Whether vehicle k's battery lasts for its route with the task's stops behind positions i and j (task -1: for the
    route as it is)."""
    full = t.cars[k].full
    if full == 0:
        return True
    left, reserve = t.cars[k].left, t.cars[k].reserve
    node = r.rows[k, 0].node
    for q in range(r.heads[k].count):
        if q > 0:
            here = r.rows[k, q].node
            left -= t.length[node, here]
            node = here
        if left < reserve:
            return False
        left = min(full, left + t.stops[node].gain)
        if task >= 0 and q == i:
            here = t.jobs[task].pickup
            left -= t.length[node, here]
            node = here
            if left < reserve:
                return False
            left = min(full, left + t.stops[node].gain)
        if task >= 0 and q == j and t.jobs[task].delivery != t.jobs[task].pickup:
            here = t.jobs[task].delivery
            left -= t.length[node, here]
            node = here
    return bool(left >= reserve)


@lean_kernel
def all_last(t: Tasks, r: Routes, w: Work) -> bool:
    """Whether batteries last for all routes that were changed."""
    if t.length.shape[0] == 0:
        return True
    good = True
    for k in range(r.heads.shape[0]):
        good = good and (not w.dirty[k] or lasts(t, r, k, -1, 0, 0))
    return good
