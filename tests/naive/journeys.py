"""Journeys by trying everything: the plain twin of the round-based search.

A trip is a list of (stop, arrive, depart, can board, can alight). Between two rides lies at most one footpath.
"""

from __future__ import annotations

Trip = list[tuple[int, int, int, bool, bool]]
FAR = 10**12


def least_arrivals(
    trips: list[Trip], walks: dict[tuple[int, int], int], origin: int, target: int, depart: int, change: int, rides: int,
    longest: int,
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
        for trip in trips:
            for i, (stop, _, leaves, can_board, _) in enumerate(trip[:-1]):
                if not can_board or ready.get(stop, FAR) > leaves:
                    continue
                for other, arrives, _, _, can_alight in trip[i + 1 :]:
                    if can_alight and arrives - depart <= longest:
                        arrived[other] = min(arrived.get(other, FAR), arrives)
        later = {stop: time + change for stop, time in arrived.items()}
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
