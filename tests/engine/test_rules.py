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
from golden_rules import GOLDEN, HOLIDAYS, IN, OUT, SHORT, TAXI, at

from noriai_engine.checker import law
from noriai_engine.model import InputError
from noriai_engine.rules.judge import Facts, Verdict, judge
from noriai_engine.rules.pack_file import check_versions, in_force, load_pack, shipped_packs
from noriai_engine.texts import LANGUAGES, text


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


def test_there_are_golden_decisions_enough() -> None:
    assert len({(pack, str(sorted(change.items())), want) for pack, change, want in GOLDEN}) >= 300
    assert {pack for pack, _, _ in GOLDEN} == set(shipped_packs())


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
        "second": facts.departs.second, "booked_minute": booked,
        "booked_second": 0 if facts.booked is None else facts.booked.second, "origin_inside": ends[0],
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


def test_a_new_version_at_midnight_splits_a_nights_trips() -> None:
    """Each trip by the version that holds when it departs; where none does, the newest says that it has expired."""
    old = load_pack(SHORT)
    ended = old.model_copy(update={"pack": old.pack.model_copy(update={"valid_to": date(2026, 11, 27)})})
    fresh = old.model_copy(update={
        "pack": old.pack.model_copy(update={"version": 2, "valid_from": date(2026, 11, 28)}),
        "quota": old.quota.model_copy(update={"permille_of_taxis": 0}) if old.quota else None,
    })  # fmt: skip
    check_versions([fresh, ended], "here")
    for day, clock, version, verdict in (
        ("2026-11-27", "23:59", 1, "permit"), ("2026-11-28", "00:00", 2, "shortage.quota"),
        ("2027-04-02", "20:00", 2, "pack.expired"), ("2024-01-05", "20:00", 2, "pack.expired"),
    ):  # fmt: skip
        facts = known(departs=at(day, clock))
        (pack,) = in_force([ended, fresh], facts.departs.date())
        decision = judge(pack, facts)
        assert (decision.version, decision.key or "permit") == (version, verdict), (day, clock)
    both = in_force([ended, load_pack(TAXI), fresh], date(2026, 11, 28))
    assert [(pack.pack.id, pack.pack.version) for pack in both] == [(SHORT, 2), (TAXI, 1)]
    for wrong in (
        [old, fresh],
        [ended, fresh.model_copy(update={"pack": fresh.pack.model_copy(update={"version": 1})})],
    ):
        with pytest.raises(InputError, match="overlap, or do not follow"):
            check_versions(wrong, "here")


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
