"""Journeys by trying everything: the plain twin of the round-based search.

A trip is a list of (stop, arrive, depart, can board, can alight). Between two rides lies at most one footpath, or the
time to change at the stop. Whoever rides a trip to its end may stay aboard as it goes on as another.
"""

from __future__ import annotations

Trip = list[tuple[int, int, int, bool, bool]]
FAR = 10**12


def least_arrivals(
    trips: list[Trip], walks: dict[tuple[int, int], int], origin: int, target: int, depart: int, change: int, rides: int,
    longest: int, changes: dict[int, int] | None = None, onward: dict[int, list[int]] | None = None,
) -> list[tuple[int, int]]:  # fmt: skip
    """(rides, arrival) at `target`, each with fewer rides or sooner than the others, fewest rides first."""
    ready = {origin: depart}
    for (a, b), ms in walks.items():
        if a == origin:
            ready[b] = min(ready.get(b, FAR), depart + ms)
    best = ready.get(target, FAR)
    out = [(0, best)] if best - depart <= longest else []
    for k in range(1, rides + 1):
        arrived: dict[int, int] = {}
        for number, trip in enumerate(trips):
            for i, (stop, _, leaves, can_board, _) in enumerate(trip[:-1]):
                if not can_board or ready.get(stop, FAR) > leaves:
                    continue
                for other, arrives, _, _, can_alight in trip[i + 1 :] + stays(trips, number, onward or {}, 2):
                    if can_alight and arrives - depart <= longest:
                        arrived[other] = min(arrived.get(other, FAR), arrives)
        later = {stop: time + (changes or {}).get(stop, change) for stop, time in arrived.items()}
        here = arrived.get(target, FAR)
        for (a, b), ms in walks.items():
            if a in arrived and arrived[a] + ms - depart <= longest:
                later[b] = min(later.get(b, FAR), arrived[a] + ms)
                if b == target:
                    here = min(here, arrived[a] + ms)
        if here < best:
            best = here
            out.append((k, here))
        for stop, time in later.items():
            ready[stop] = min(ready.get(stop, FAR), time)
    return out


def stays(trips: list[Trip], number: int, onward: dict[int, list[int]], most: int) -> Trip:
    """Where one comes who stays aboard at the end of a trip, for so many trips more."""
    out: Trip = []
    for later in onward.get(number, []) if most else []:
        out += trips[later][1:] + stays(trips, later, onward, most - 1)
    return out
