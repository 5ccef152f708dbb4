"""The obvious way to know whether a battery lasts: from what was driven and charged so far, drive by drive."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from naive.insertion import Row

from noriai_engine.world.day import Day


def naive_battery(day: Day, vehicle: int) -> Callable[[list[Row]], bool]:
    """Whether a sequence can be driven: what was driven is counted from the legs, breaks from the log."""
    dispatcher = day.dispatcher
    who = dispatcher.vehicles[vehicle]
    if (battery := who.battery) is None:
        return lambda rows: True
    moments = [(leg.arrive, -leg.distance_mm) for leg in day.legs if leg.vehicle_id == who.id]
    gain = who.breaks[0].duration_ms * battery.charge_m_per_min // 60 if who.breaks else 0
    moments += [(e.time, gain) for e in dispatcher.events if e.kind == "break_started" and e.vehicle_id == who.id]
    left, full = 1_000 * (battery.start_m or battery.range_m), 1_000 * battery.range_m
    for _, change in sorted(moments):  # a leg that ends where a break begins counts first
        left = min(full, left + change)
    order = day.motion.under_way(vehicle)

    def lasts(rows: list[Row]) -> bool:
        mm = left
        spots = [order.drive.source] if order is not None else []
        if spots:
            mm -= dispatcher.travel_times.drive(spots[0], rows[0].spot).mm
        for a, b in pairwise(rows):
            mm -= dispatcher.travel_times.drive(a.spot, b.spot).mm
            if mm < 1_000 * battery.reserve_m:
                return False
            if b.must_be_empty:
                mm = min(full, mm + gain)
        return True

    return lasts
