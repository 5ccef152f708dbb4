"""Golden decisions: what each pack says of a trip, written by hand from the published conditions they model, at the
dates they are about. A question mark where a person must confirm.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from noriai_engine.model import Place
from noriai_engine.rules.pack_file import shipped_packs

IN, OUT = Place(140.0, 36.0), Place(141.0, 36.0)
HOLIDAYS = {date(2026, 11, 3), date(2026, 11, 23), date(2026, 5, 3), date(2026, 5, 6)}


def at(day: str, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}")


SHORT, PAID, TAXI, AV = "jp.78-3.default-window", "jp.78-2.paid-transport", "jp.20.taxi-area", "jp.av4.example"
FRI, SAT, SUN = "2026-11-27", "2026-11-28", "2026-11-29"

CALM = {"rain_mm_h": 0.0, "wind_m_s": 0.0, "speed_km_h": 30.0}

GOLDEN: list[tuple[str, dict[str, Any], str]] = [
    # L1: the window of 78-3, keyed to the day it starts on
    *[(SHORT, {"departs": at(d, c)}, want) for d, c, want in (
        (FRI, "15:59", "shortage.window"), (FRI, "16:00", "permit"), (SAT, "05:59", "permit"),
        (SAT, "06:00", "shortage.window"), (SAT, "16:00", "permit"), (SUN, "05:59", "permit"),
        (SUN, "06:00", "shortage.window"), (SUN, "16:00", "shortage.window"), ("2026-11-26", "20:00", "shortage.window"),
        ("2026-11-30", "05:00", "shortage.window"), (SAT, "00:00", "permit"), (FRI, "05:00", "shortage.window"),
    )],
    # L2: its quota
    *[(SHORT, {"taxis_of_area": n, "on_duty": k, "declared_number": own}, want) for n, k, own, want in (
        (200, 9, None, "permit"), (200, 10, None, "shortage.quota"), (200, 8, None, "permit"),
        (39, 0, None, "permit"), (19, 0, None, "shortage.quota"), (39, 1, None, "shortage.quota"),
        (200, 10, 30, "permit"), (200, 3, 3, "shortage.quota"), (None, 0, None, "shortage.quota"), (None, 0, 1, "permit"),
        (200, None, None, "shortage.quota"),
    )],
    # L3: how the trip comes about
    (SHORT, {"fixed_before": False}, "trip.not_fixed"), (SHORT, {"fixed_before": None}, "trip.not_fixed"),
    (SHORT, {"street_hail": True}, "trip.street_hail"), (SHORT, {"street_hail": None}, "trip.street_hail"),
    (SHORT, {"cash": True}, "pay.cash"), (SHORT, {"cash": None}, "pay.cash"),
    # L4: driver and car
    (SHORT, {"licensed": date(2025, 11, 28)}, "driver.requirement"), (SHORT, {"licensed": date(2025, 11, 27)}, "permit"),
    (SHORT, {"licensed": None}, "driver.requirement"), (SHORT, {"rollcall": False}, "driver.no_rollcall"),
    (SHORT, {"rollcall": None}, "driver.no_rollcall"), (SHORT, {"inspected": date(2026, 8, 26)}, "vehicle.inspection"),
    (SHORT, {"inspected": date(2026, 8, 27)}, "permit"), (SHORT, {"inspected": None}, "vehicle.inspection"),
    # L5, L6, L7: 78-2
    (PAID, {}, "permit"), (PAID, {"destination": OUT}, "area.outside"), (PAID, {"origin": OUT}, "area.outside"),
    (PAID, {"origin": None}, "area.outside"), (PAID, {"registered": False}, "rider.not_registered"),
    (PAID, {"registered": None}, "rider.not_registered"), (PAID, {"visitor": True}, "rider.not_eligible"),
    (PAID, {"fare": 800}, "permit"), (PAID, {"fare": 801}, "fare.over_cap"), (PAID, {"fare": 100}, "permit"),
    (PAID, {"fare": None}, "fare.over_cap"), (PAID, {"taxi_fare": None}, "fare.over_cap"),
    (PAID, {"fare": 799, "taxi_fare": 999}, "permit"), (PAID, {"fare": 800, "taxi_fare": 999}, "fare.over_cap"),
    (PAID, {"fare_posted": False}, "fare.not_posted"), (PAID, {"course_until": None}, "driver.requirement"),
    (PAID, {"course_until": date(2026, 11, 26)}, "driver.expired"), (PAID, {"course_until": date(2026, 11, 27)}, "permit"),
    (PAID, {"rollcall": False}, "driver.no_rollcall"),
    # L8: taxis
    *[(pack, {"origin": a, "destination": b}, want) for pack, a, b, want in (
        (TAXI, IN, IN, "permit"), (TAXI, OUT, IN, "permit"), (TAXI, IN, OUT, "permit"), (TAXI, OUT, OUT, "taxi.area"),
        (f"{TAXI}-strict", IN, IN, "permit"), (f"{TAXI}-strict", OUT, IN, "taxi.area"),
        (f"{TAXI}-strict", IN, OUT, "permit"), (f"{TAXI}-strict", OUT, OUT, "taxi.area"),
    )],
    # L9, L10: automated vehicles
    *[(AV, {"departs": at(FRI, "10:00")} | change, want) for change, want in (
        ({}, "permit"),
        ({"weather": {"rain_mm_h": 5.0, "wind_m_s": 12.0, "speed_km_h": 35.0}}, "permit"),
        ({"weather": {"rain_mm_h": 5.1, "wind_m_s": 0.0, "speed_km_h": 30.0}}, "odd.weather"),
        ({"weather": {"rain_mm_h": 0.0, "wind_m_s": 12.5, "speed_km_h": 30.0}}, "odd.weather"),
        ({"weather": {"rain_mm_h": 0.0, "wind_m_s": 0.0, "speed_km_h": 36.0}}, "odd.weather"),
        ({"weather": {"wind_m_s": 0.0, "speed_km_h": 30.0}}, "odd.weather"),
        ({"roads": frozenset({"route-1", "route-2"})}, "permit"), ({"roads": frozenset({"route-3"})}, "odd.road"),
        ({"roads": None}, "odd.road"), ({"departs": at(FRI, "07:59")}, "odd.hours"),
        ({"departs": at(FRI, "08:00")}, "permit"), ({"departs": at(FRI, "16:59")}, "permit"),
        ({"departs": at(FRI, "17:00")}, "odd.hours"), ({"supervised": 2}, "permit"), ({"supervised": 3}, "av.supervisor"),
        ({"supervised": None}, "av.supervisor"), ({"on_site": False}, "av.on_site"),
    )],
    # L11: Nokkaru, the day before by 17:00
    *[("service.nokkaru", {"departs": at(FRI, "09:00"), "booked": at(d, c)}, want) for d, c, want in (
        ("2026-11-26", "16:59", "permit"), ("2026-11-26", "17:00", "permit"), ("2026-11-26", "17:01", "booking.cutoff"),
        (FRI, "08:00", "booking.cutoff"), ("2026-11-20", "23:00", "permit"),
    )],
    ("service.nokkaru", {"booked": None}, "booking.cutoff"),
    # L12, L19: Ushiku
    *[("service.ushiku", {"departs": at(d, c)}, want) for d, c, want in (
        (FRI, "07:59", "service.closed"), (FRI, "08:00", "permit"), (FRI, "14:59", "permit"), (FRI, "15:00", "service.closed?"),
        (FRI, "15:01", "service.closed"), (SUN, "10:00", "service.closed"), ("2026-11-23", "10:00", "service.closed"),
        ("2026-05-06", "10:00", "service.closed"), ("2026-12-28", "10:00", "permit"), ("2026-12-29", "10:00", "service.closed"),
        ("2027-01-01", "10:00", "service.closed"), ("2027-01-03", "10:00", "service.closed"), ("2027-01-04", "10:00", "permit"),
    )],
    ("service.ushiku", {"departs": at(FRI, "10:00"), "home_end": False}, "area.home"),
    ("service.ushiku", {"departs": at(FRI, "15:00"), "registered": False}, "rider.not_registered"),
    # L14: the bank of four cities
    *[("service.driver-bank", {"born": b, "applied": date(2026, 4, 1), "licensed": held}, want) for b, held, want in (
        (date(2005, 4, 2), date(2000, 1, 1), "driver.requirement"), (date(2005, 4, 1), date(2020, 1, 1), "permit"),
        (date(1956, 4, 2), date(2000, 1, 1), "permit"), (date(1956, 4, 1), date(2000, 1, 1), "driver.requirement"),
        (date(1980, 1, 1), date(2023, 4, 2), "driver.requirement"), (date(1980, 1, 1), date(2023, 4, 1), "permit"),
        (None, date(2000, 1, 1), "driver.requirement"),
    )],
    # L15: Shimotsuma's desk
    *[("service.shimotsuma", {"booked": at("2026-11-26", c)}, want) for c, want in (
        ("07:29", "booking.desk"), ("07:30", "permit"), ("18:59", "permit"), ("19:00", "booking.desk?"),
        ("19:01", "booking.desk"),
    )],
    ("service.shimotsuma", {"destination": OUT}, "area.outside"),
    # L17: disasters
    ("jp.78-1.disaster", {"origin": OUT, "destination": OUT}, "permit"),
    ("jp.78-1.disaster", {"event_declared": False}, "disaster.not_declared"),
    ("jp.78-1.disaster", {"event_declared": None}, "disaster.not_declared"),
    ("jp.78-1.disaster", {"event_declared": False, "boarded": True}, "permit"),
    # L18: the day before and the day after every pack
    *[(pack, {"departs": at("2024-03-31", "17:00")}, "pack.expired") for pack in shipped_packs()],
    *[(pack, {"departs": at("2027-04-01", "17:00")}, "pack.expired") for pack in shipped_packs()],
]  # fmt: skip

# the same families, minute by minute and day by day
_WEEK = (
    "2026-11-23",
    "2026-11-24",
    "2026-11-25",
    "2026-11-26",
    "2026-11-27",
    "2026-11-28",
    "2026-11-29",
)  # from Monday
_OPEN = {
    #       00:00 05:59 06:00 15:59 16:00 23:59
    "2026-11-23": "......", "2026-11-24": "......", "2026-11-25": "......", "2026-11-26": "......",
    "2026-11-27": "....oo", "2026-11-28": "oo..oo", "2026-11-29": "oo....",
}  # fmt: skip
GOLDEN += [  # L1: a whole week of the default window
    (SHORT, {"departs": at(day, clock)}, "permit" if open_ == "o" else "shortage.window")
    for day in _WEEK
    for clock, open_ in zip(("00:00", "05:59", "06:00", "15:59", "16:00", "23:59"), _OPEN[day], strict=True)
]
GOLDEN += [
    # L1: to the second
    (SHORT, {"departs": at(FRI, "15:59:59")}, "shortage.window"), (SHORT, {"departs": at(SAT, "05:59:59")}, "permit"),
    (SHORT, {"departs": at(SUN, "05:59:59")}, "permit"), (SHORT, {"departs": at(SUN, "06:00:01")}, "shortage.window"),
    # L2: five per cent of so many taxis, rounded down, is so many vehicles: the last that runs, and one more
    *[(SHORT, {"taxis_of_area": taxis, "on_duty": running}, want) for taxis, most in (
        (20, 1), (40, 2), (59, 2), (60, 3), (99, 4), (100, 5), (199, 9), (1000, 50))
      for running, want in ((most - 1, "permit"), (most, "shortage.quota"))],
    *[(SHORT, {"taxis_of_area": taxis, "on_duty": 0}, "shortage.quota") for taxis in (0, 1, 10)],
    (SHORT, {"declared_number": 0, "on_duty": 0}, "shortage.quota"),
    (SHORT, {"declared_number": 1, "on_duty": 1}, "shortage.quota"),
    (SHORT, {"taxis_of_area": 10, "declared_number": 7, "on_duty": 6}, "permit"),
    # L4: a year is 365 days, over a leap day as well; three months end on the month's last day where it is shorter
    *[(SHORT, {"departs": at(day, "17:00"), "inspected": date.fromisoformat(last), "licensed": date(2000, 1, 1)}, want)
      for last, day, want in (
        ("2026-08-31", "2026-11-28", "permit"), ("2026-08-28", SAT, "permit"), ("2026-08-27", SAT, "vehicle.inspection"),
        ("2026-11-30", "2027-02-26", "permit"), ("2026-11-26", "2027-02-26", "permit"),
        ("2026-11-25", "2027-02-26", "vehicle.inspection"), ("2026-05-01", FRI, "vehicle.inspection"),
        ("2026-11-27", FRI, "permit"))],
    *[(SHORT, {"departs": at(day, "17:00"), "licensed": date.fromisoformat(since)}, want) for since, day, want in (
        ("2025-11-27", FRI, "permit"), ("2025-11-28", FRI, "driver.requirement"), ("2025-11-28", SAT, "permit"),
        ("2025-11-29", SAT, "driver.requirement"), ("2026-11-27", FRI, "driver.requirement"), ("1999-12-31", FRI, "permit"))],
    (SHORT, {"licensed": date(2025, 11, 21), "applied": date(2025, 2, 28)}, "permit"),  # licensed after applying
    (SHORT, {"origin": OUT}, "permit"), (SHORT, {"destination": OUT}, "permit"),
    (SHORT, {"origin": OUT, "destination": OUT}, "area.outside"), (SHORT, {"destination": None}, "area.outside"),
    (SHORT, {"registered": None, "visitor": True, "fare_posted": None}, "permit"),  # nobody need be of the place
    # L5: every way of two ends and a rider
    *[(PAID, {"origin": a, "destination": b, "registered": r, "visitor": v}, want) for a, b, r, v, want in (
        (OUT, OUT, True, False, "area.outside"), (OUT, OUT, False, True, "area.outside"),
        (IN, None, True, False, "area.outside"), (None, None, True, False, "area.outside"),
        (IN, IN, False, True, "rider.not_eligible"), (IN, IN, None, True, "rider.not_eligible"),
        (IN, IN, False, False, "rider.not_registered"), (IN, IN, True, None, "permit"))],
    # L6: eighty per cent of the taxi's fare, to the yen
    *[(PAID, {"fare": fare, "taxi_fare": taxi}, want) for taxi, cap in (
        (500, 400), (710, 568), (1010, 808), (1234, 987), (5, 4), (1, 0), (10_000, 8_000))
      for fare, want in ((cap, "permit"), (cap + 1, "fare.over_cap"))],
    (PAID, {"fare": 0}, "permit"), (PAID, {"fare_posted": None}, "fare.not_posted"),
    # L7
    *[(PAID, {"course_until": date.fromisoformat(until), "departs": at(day, "12:00")}, want) for until, day, want in (
        ("2026-11-27", SAT, "driver.expired"), ("2026-11-28", SAT, "permit"), ("2027-03-31", "2027-03-31", "permit"),
        ("2020-01-01", FRI, "driver.expired"))],
    (PAID, {"rollcall": None}, "driver.no_rollcall"), (PAID, {"licensed": None, "born": None}, "permit"),
    (PAID, {"departs": at(SUN, "03:00"), "cash": True, "street_hail": True}, "permit"),  # no such condition here
    # L8: an end nobody knows is no end inside
    *[(pack, {"origin": a, "destination": b}, "taxi.area") for pack in (TAXI, f"{TAXI}-strict")
      for a, b in ((None, IN), (IN, None), (None, None), (None, OUT))],
    # L9: each limit just inside, on it, just outside, and not measured
    *[(AV, {"departs": at(FRI, "10:00"), "weather": {**CALM, name: value}}, want) for name, limit in (
        ("rain_mm_h", 5.0), ("wind_m_s", 12.0), ("speed_km_h", 35.0))
      for value, want in ((limit - 0.1, "permit"), (limit, "permit"), (limit + 0.1, "odd.weather"))],
    *[(AV, {"departs": at(FRI, "10:00"), "weather": {k: v for k, v in CALM.items() if k != name}}, "odd.weather")
      for name in CALM],
    (AV, {"departs": at(FRI, "10:00"), "weather": {}}, "odd.weather"),
    *[(AV, {"departs": at(FRI, "10:00"), "roads": frozenset(roads)}, want) for roads, want in (
        (("route-2",), "permit"), (("route-1", "route-3"), "odd.road"), ((), "permit"), (("route-11",), "odd.road"))],
    *[(AV, {"departs": at(day, clock)}, want) for day, clock, want in (
        (SUN, "08:00", "permit"), (SUN, "16:59:59", "permit"), (SUN, "17:00", "odd.hours"), (SAT, "07:59:59", "odd.hours"),
        (SAT, "00:00", "odd.hours"), (SAT, "23:59", "odd.hours"))],
    # L10: the nth of n, and nobody at the place
    *[(AV, {"departs": at(FRI, "10:00"), "supervised": n, "on_site": there}, want) for n, there, want in (
        (0, True, "permit"), (1, True, "permit"), (2, False, "av.on_site"), (3, True, "av.supervisor"),
        (4, True, "av.supervisor"), (0, None, "av.on_site"), (None, True, "av.supervisor"), (3, False, "av.supervisor"))],
    # L11: a day before by 17:00, over a month's and a year's end
    *[("service.nokkaru", {"departs": at(day, "09:00"), "booked": at(when, clock)}, want) for day, when, clock, want in (
        ("2026-12-01", "2026-11-30", "17:00", "permit"), ("2026-12-01", "2026-11-30", "17:01", "booking.cutoff"),
        ("2027-01-01", "2026-12-31", "16:59", "permit"), ("2027-01-01", "2026-12-31", "18:00", "booking.cutoff"),
        ("2027-03-01", "2027-02-28", "17:00", "permit"), ("2027-03-01", "2027-02-28", "17:00:59", "permit"),
        (FRI, "2026-11-26", "00:00", "permit"), (FRI, FRI, "00:00", "booking.cutoff"), (FRI, FRI, "09:00", "booking.cutoff"))],
    # L12, L19: Ushiku day by day; 3 May 2026 is a Sunday and a holiday, 6 May the holiday that stands in for it
    *[("service.ushiku", {"departs": at(day, "10:00")}, want) for day, want in (
        ("2026-11-24", "permit"), ("2026-11-25", "permit"), ("2026-11-26", "permit"), (SAT, "permit"),
        ("2026-11-30", "permit"), ("2026-11-03", "service.closed"), ("2026-05-03", "service.closed"),
        ("2026-05-07", "permit"), ("2026-05-05", "permit"),  # of a list of holidays that has only these
        ("2026-12-30", "service.closed"), ("2026-12-31", "service.closed"), ("2027-01-02", "service.closed"),
        ("2027-01-05", "permit"))],
    *[("service.ushiku", {"departs": at(SAT, clock)}, want) for clock, want in (
        ("07:59:59", "service.closed"), ("08:00:01", "permit"), ("14:59:59", "permit"), ("15:00:01", "service.closed"),
        ("00:00", "service.closed"), ("23:59", "service.closed"))],
    *[("service.ushiku", {"departs": at(FRI, "10:00")} | change, want) for change, want in (
        ({"origin": OUT}, "area.outside"), ({"destination": OUT}, "area.outside"), ({"home_end": None}, "area.home"),
        ({"visitor": True}, "rider.not_eligible"), ({"registered": None}, "rider.not_registered"))],
    ("service.ushiku", {"departs": at(SUN, "15:00")}, "service.closed"),  # a day without service is no open question
    # L14: ages at application, counted in whole years; one born on 29 February has them on 1 March
    *[("service.driver-bank", {"born": date.fromisoformat(born), "applied": date.fromisoformat(applied)}, want)
      for born, applied, want in (
        ("2005-11-27", "2026-11-26", "driver.requirement"), ("2005-11-27", "2026-11-27", "permit"),
        ("1956-11-28", "2026-11-27", "permit"), ("1956-11-27", "2026-11-27", "driver.requirement"),
        ("2004-02-29", "2025-02-28", "driver.requirement"), ("2004-02-29", "2025-03-01", "permit"),
        ("1956-02-29", "2026-02-28", "permit"), ("1956-02-29", "2026-03-01", "driver.requirement"),
        ("1990-01-01", "2026-01-01", "permit"))],
    ("service.driver-bank", {"applied": None}, "driver.requirement"),
    ("service.driver-bank", {"born": date(1956, 12, 1), "applied": date(2026, 4, 1)}, "permit"),  # turns 70 in service
    *[("service.driver-bank", {"licensed": date.fromisoformat(held), "applied": date(2026, 4, 1)}, want)
      for held, want in (("2023-04-01", "permit"), ("2023-03-31", "permit"), ("2023-04-02", "driver.requirement"),
                         ("2026-04-01", "driver.requirement"))],
    # L15: the desk by the minute; the day of the ride makes no difference
    *[("service.shimotsuma", {"booked": at(day, clock)}, want) for day, clock, want in (
        ("2026-11-26", "00:00", "booking.desk"), ("2026-11-26", "07:29:59", "booking.desk"),
        ("2026-11-26", "07:30:00", "permit"), ("2026-11-26", "12:00", "permit"), ("2026-11-26", "18:59:59", "permit"),
        ("2026-11-26", "19:00:01", "booking.desk"), ("2026-11-26", "23:59", "booking.desk"), (FRI, "08:00", "permit"),
        ("2026-11-01", "08:00", "permit"))],
    ("service.shimotsuma", {"booked": None}, "booking.desk"), ("service.shimotsuma", {"origin": OUT}, "area.outside"),
    ("service.shimotsuma", {"booked": at("2026-11-26", "19:00"), "destination": OUT}, "area.outside"),
    # L17: nothing new starts once it is over, and who is aboard of an event nobody declared is not known to be
    ("jp.78-1.disaster", {"event_declared": None, "boarded": True}, "disaster.not_declared"),
    ("jp.78-1.disaster", {"event_declared": True, "registered": False, "visitor": True, "rollcall": False}, "permit"),
    # L18: the first and the last day of every pack
    *[(pack, {"departs": at("2024-04-01", "17:00")}, "permit") for pack in (TAXI, f"{TAXI}-strict")],
    *[(pack, {"departs": at("2027-03-31", "10:00")}, "permit") for pack in (
        TAXI, f"{TAXI}-strict", "service.ushiku", "service.driver-bank", "jp.78-1.disaster", AV)],
]  # fmt: skip
