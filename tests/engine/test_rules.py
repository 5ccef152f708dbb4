"""Rules as data: golden decisions of every family, judged at the dates they are about; and two judges who share no code
agree on cases nobody thought of."""

from __future__ import annotations

import random
import tomllib
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest

from noriai_engine.checker import law
from noriai_engine.model import InputError, Place
from noriai_engine.rules.judge import Facts, Verdict, judge
from noriai_engine.rules.pack_file import load_pack, shipped_packs
from noriai_engine.texts import LANGUAGES, text

IN, OUT = Place(140.0, 36.0), Place(141.0, 36.0)
HOLIDAYS = {date(2026, 11, 3), date(2026, 11, 23), date(2026, 5, 3), date(2026, 5, 6)}


def at(day: str, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}")


def known(**change: Any) -> Facts:
    """A trip with nothing against it under any pack, on a Friday evening."""
    good = Facts(
        at("2026-11-27", "17:00"), lambda area, place: place == IN, frozenset(HOLIDAYS), IN, IN,
        at("2026-11-26", "10:00"), registered=True, groups=frozenset(), visitor=False, home_end=True, fixed_before=True,
        street_hail=False, cash=False, fare=800, taxi_fare=1000, fare_posted=True, born=date(1980, 1, 1),
        applied=date(2026, 1, 1), licensed=date(2000, 1, 1), course_until=date(2027, 1, 1), rollcall=True,
        inspected=date(2026, 11, 1), taxis_of_area=200, on_duty=0,
        weather={"rain_mm_h": 0.0, "wind_m_s": 0.0, "speed_km_h": 30.0}, roads=frozenset({"route-1"}), supervised=0,
        on_site=True, event_declared=True,
    )  # fmt: skip
    return replace(good, **change)


def said(pack: str, **change: Any) -> str:
    """permit, or the key of what fell; a question mark where a person must confirm."""
    decision = judge(load_pack(pack), known(**change))
    if decision.verdict == Verdict.PERMIT:
        return "permit"
    return decision.key + ("?" if decision.verdict == Verdict.NEEDS_CONFIRMATION else "")


SHORT, PAID, TAXI, AV = "jp.78-3.default-window", "jp.78-2.paid-transport", "jp.20.taxi-area", "jp.av4.example"
FRI, SAT, SUN = "2026-11-27", "2026-11-28", "2026-11-29"

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
    # L18: validity of every pack
    *[(pack, {"departs": at("2024-03-31", "17:00")}, "pack.expired") for pack in shipped_packs()],
    *[(pack, {"departs": at("2027-04-01", "17:00")}, "pack.expired") for pack in shipped_packs()],
]  # fmt: skip


@pytest.mark.parametrize(("pack", "change", "want"), GOLDEN)
def test_golden(pack: str, change: dict[str, Any], want: str) -> None:
    assert said(pack, **change) == want


def case_of(facts: Facts) -> dict[str, Any]:
    """The same case in the plain judge's words."""
    day = facts.departs.date()
    days = [
        {"date": d.isoformat(), "weekday": law.NAMES[d.weekday()], "holiday": d in facts.holidays}
        for d in (day, day - timedelta(days=1))
    ]
    midnight = datetime.combine(day, datetime.min.time())
    booked = None if facts.booked is None else int((facts.booked - midnight).total_seconds() // 60)
    ends = [None if p is None else facts.inside("operating", p) for p in (facts.origin, facts.destination)]
    same = ("registered", "groups", "visitor", "home_end", "fixed_before", "street_hail", "cash", "fare", "taxi_fare",
            "fare_posted", "born", "applied", "licensed", "course_until", "rollcall", "inspected", "taxis_of_area",
            "declared_number", "on_duty", "weather", "roads", "supervised", "on_site", "event_declared",
            "boarded")  # fmt: skip
    return {
        "day": day, "days": days, "minute": facts.departs.hour * 60 + facts.departs.minute,
        "second": facts.departs.second, "booked_minute": booked, "origin_inside": ends[0],
        "destination_inside": ends[1], **{name: getattr(facts, name) for name in same},
    }  # fmt: skip


def plain(pack: str) -> dict[str, Any]:
    return tomllib.loads(files("noriai_engine.rules").joinpath("packs", f"{pack}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("pack", "change", "want"), GOLDEN)
def test_the_plain_judge_says_the_same(pack: str, change: dict[str, Any], want: str) -> None:
    verdict, keys = law.verdict(plain(pack), case_of(known(**change)))
    if want == "permit":
        assert verdict == "permit"
    else:
        assert verdict == ("needs_confirmation" if want.endswith("?") else "refuse")
        assert want.rstrip("?") in keys


def a_case(rng: random.Random) -> Facts:
    """Anything: most facts near a limit, some unknown."""
    moment = datetime.fromisoformat("2026-10-25") + timedelta(minutes=rng.randrange(0, 60 * 24 * 80))
    if rng.random() < 0.3:
        moment = moment.replace(hour=rng.choice([0, 5, 6, 7, 8, 14, 15, 16, 17]), minute=rng.choice([0, 0, 59]))
    some = lambda *values: rng.choice([*values, None])  # noqa: E731
    near = lambda day: day + timedelta(days=rng.randrange(-3, 4))  # noqa: E731
    day = moment.date()
    change: dict[str, Any] = {
        "departs": moment, "origin": some(IN, IN, OUT), "destination": some(IN, IN, OUT),
        "booked": some(moment - timedelta(minutes=rng.randrange(0, 3000)),
                       datetime.combine(day, datetime.min.time()) - timedelta(hours=7, minutes=rng.randrange(-2, 3))),
        "registered": some(True, True, False), "visitor": some(False, False, True), "home_end": some(True, False),
        "fixed_before": some(True, True, False), "street_hail": some(False, False, True), "cash": some(False, True),
        "fare": some(799, 800, 801), "taxi_fare": some(1000, 999), "fare_posted": some(True, False),
        "born": some(near(date(2005, 1, 1)), near(date(1956, 1, 1)), date(1980, 2, 29)),
        "applied": some(date(2026, 1, 1), date(2025, 2, 28)), "licensed": some(near(day - timedelta(days=365)),
                                                                             near(date(2023, 1, 1)), date(2024, 2, 29)),
        "course_until": some(near(day)), "rollcall": some(True, True, False),
        "inspected": some(near(day - timedelta(days=92)), date(2026, 8, 31), date(2026, 9, 30)),
        "taxis_of_area": some(200, 19, 39), "declared_number": some(None, None, 5), "on_duty": some(0, 1, 9, 10),
        "weather": {k: rng.choice([0.0, v, v + 0.5]) for k, v in (("rain_mm_h", 5.0), ("wind_m_s", 12.0),
                                                                  ("speed_km_h", 35.0)) if rng.random() < 0.95},
        "roads": some(frozenset({"route-1"}), frozenset({"route-1", "x"})), "supervised": some(0, 2, 3),
        "on_site": some(True, False), "event_declared": some(True, False), "boarded": rng.random() < 0.3,
    }  # fmt: skip
    keep = [name for name in change if name == "departs" or rng.random() < 0.5]
    return known(**{name: change[name] for name in keep})


def agree(cases: int, seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    packs = [(name, load_pack(name), plain(name)) for name in shipped_packs()]
    seen: dict[str, int] = {}
    for number in range(cases):
        facts = a_case(rng)
        name, pack, document = packs[number % len(packs)]
        mine = judge(pack, facts)
        verdict, keys = law.verdict(document, case_of(facts))
        assert mine.verdict.value == verdict, (name, facts, mine, keys)
        assert mine.verdict == Verdict.PERMIT or mine.key in keys, (name, facts, mine, keys)
        seen[mine.key or "permit"] = seen.get(mine.key or "permit", 0) + 1
    return seen


def test_two_judges_agree_on_anything() -> None:
    seen = agree(20_000, 1)
    assert len(seen) >= 22, seen  # every key fell at least once
    assert seen["permit"] > 500


@pytest.mark.long
def test_two_judges_agree_on_a_million() -> None:
    assert agree(1_000_000, 2)["permit"] > 10_000


def test_every_refusal_has_its_article_and_its_sentence() -> None:
    """In both languages, with what it is about filled in."""
    rng, values = random.Random(3), {"n": 3, "day": "x", "what": "x", "value": 1, "limit": 2}
    for number in range(4_000):
        name = shipped_packs()[number % len(shipped_packs())]
        decision = judge(load_pack(name), a_case(rng))
        assert decision.article
        assert decision.pack == name
        if decision.key:
            for language in LANGUAGES:
                assert text(decision.key, language, **values)


def test_the_quota_is_never_exceeded() -> None:
    """Vehicles come and go at random: never more than the share run at one time."""
    rng, pack, running = random.Random(4), load_pack(SHORT), 0
    for _ in range(2_000):
        if rng.random() < 0.4 and running:
            running -= 1
        elif judge(pack, known(on_duty=running)).verdict == Verdict.PERMIT:
            running += 1
        assert running <= 10


def test_a_pack_with_a_mistake_names_the_field(tmp_path: Any) -> None:
    good = files("noriai_engine.rules").joinpath("packs", "service.nokkaru.toml").read_text(encoding="utf-8")
    for wrong, said_ in ((good.replace("17:00", "7pm"), "booking.until"), (good.replace("version = 1", "version = 0"), "pack.version"),
                         (good.replace("valid_to = 2027", "valid_to = 2020"), "valid_to is before"),
                         (good.replace("[booking]", "[bookings]"), "bookings"), (good + "=", "is not TOML")):  # fmt: skip
        (tmp_path / "p.toml").write_text(wrong)
        with pytest.raises(InputError, match=said_):
            load_pack("p.toml", tmp_path)
    with pytest.raises(InputError, match="is no pack"):
        load_pack("nothing")
