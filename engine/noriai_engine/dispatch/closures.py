"""Closed roads: whom a vehicle can no longer serve, and where it waits and ends while its depot is cut off."""

from noriai_engine.dispatch.plan_store import PlanStore
from noriai_engine.model.places import Spot
from noriai_engine.model.plan import ActivityKind
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.roads import TravelTimes


def shelter(store: PlanStore, times: TravelTimes, vehicle: int) -> bool:
    """Give a vehicle whose depot cannot be reached from where it is another place to wait, pause and end: where it is.
    Back to its depot once that can be reached again. True where the place changed."""
    base = int(store.plans.first[vehicle])
    here, now = store.spot(base), store.depot[vehicle]
    places = (store.home[vehicle], now, here)
    place = next(spot for spot in places if spot == here or _is_way(times, here, spot))
    if place == now:
        return False
    store.depot[vehicle] = place
    for row in store.plans.rows[base + 1 : base + int(store.plans.count[vehicle])]:
        if row.kind in (ActivityKind.BREAK, ActivityKind.END):
            row.state, row.offset = place
    return True


def cut_off(store: PlanStore, times: TravelTimes, vehicle: int) -> list[int]:
    """Riders (requests) whom the vehicle cannot serve any more, in the order of its plan: there is no way to one of
    their stops, or none from there to where the vehicle ends. The plan's drives must have been measured: where all that
    is well and a drive still has no way, the riders at its two ends."""
    rows = store.rows_of(vehicle)
    spots = [Spot(row.state, row.offset) for row in rows]
    gaps = [k for k, row in enumerate(rows) if k and row.leg >= FOREVER_MS]
    if not gaps:
        return []
    found: dict[int, None] = {}
    for row, stop in zip(rows[1:-1], spots[1:-1], strict=True):
        before = spots[row.partner] if row.partner > 0 else spots[0]
        if row.request >= 0 and not (_is_way(times, before, stop) and _is_way(times, stop, spots[-1])):
            found[row.request] = None
    if not found:
        found = {rows[k].request: None for gap in gaps for k in (gap - 1, gap) if rows[k].request >= 0}
    return list(found)


def _is_way(times: TravelTimes, source: Spot, target: Spot) -> bool:
    return times.between(source, target) < FOREVER_MS
