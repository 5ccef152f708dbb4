"""The earliest schedule of a plan by repeating its rules until nothing moves: the twin of what kernels keep up."""

from __future__ import annotations

from naive.roads import Times

from noriai_engine.model import Plan
from noriai_engine.model.plan import ActivityKind


def earliest_begins(plan: Plan, now: int, max_ride: dict[str, int], times: Times) -> list[int]:
    """Least begins of all activities: after the drive, not before the window, no ride too long."""
    rows = plan.activities
    begins = [max(rows[0].begin, now), *(row.earliest for row in rows[1:])]
    pickups = {row.request_id: k for k, row in enumerate(rows) if row.kind == ActivityKind.PICKUP}
    moved = True
    while moved:
        moved = False
        for k in range(1, len(rows)):
            service = rows[k - 1].service_ms if k > 1 else 0
            soonest = begins[k - 1] + service + times[rows[k - 1].stop.spot][rows[k].stop.spot]
            if soonest > begins[k]:
                begins[k], moved = soonest, True
            pickup = pickups.get(rows[k].request_id) if rows[k].kind == ActivityKind.DROPOFF else None
            if pickup is not None:
                needed = begins[k] - max_ride[str(rows[k].request_id)] - rows[pickup].service_ms
                if needed > begins[pickup]:
                    begins[pickup], moved = needed, True
    return begins
