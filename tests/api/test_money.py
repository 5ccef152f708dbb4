"""Fares: by rule, never more for sharing, whole to the last yen between rider and payer; receipts and settlements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from serving import Serving, serving, some_settings

from noriai_engine.model import InputError, Place
from noriai_engine.rules.tariff import FareTable, Heads, Tariff, read_zones, tariff_of
from noriai_engine.rules.town_file import load_town_file

HERE, THERE = Place(137.0, 36.0), Place(137.1, 36.1)


def fare(table: dict[str, object], heads: Heads, *, metres: int = 0, entitled: tuple[str, ...] = (),
         shared: bool = False) -> tuple[int, int]:  # fmt: skip
    """(total, rider pays)."""
    found = Tariff(FareTable.model_validate(table)).fare(
        heads, HERE, THERE, metres, dict.fromkeys(entitled, "2099-01-01"), shared=shared
    )
    assert found is not None
    return found.total, found.rider_pays


def test_the_published_local_fares() -> None:
    """Conditions of real services as published (2024 to 2026), worked out by hand."""
    nokkaru = {"flat": 600, "shared": 400}
    assert fare(nokkaru, Heads(1)) == (600, 600)
    assert fare(nokkaru, Heads(1), shared=True) == (400, 400)
    tsukuba = {"flat": 1000, "child_percent": 50, "infant_percent": 0}
    assert fare(tsukuba, Heads(1, 1, 1)) == (1500, 1500)
    ushiku = {"flat": 700, "entitlements": [{"name": "over65", "pays": 600}, {"name": "disabled", "pays": 600}]}
    assert fare(ushiku, Heads(1)) == (700, 700)
    assert fare(ushiku, Heads(1), entitled=("over65", "disabled")) == (700, 600)
    assert fare(ushiku, Heads(2), entitled=("over65",)) == (1400, 1300)  # who comes along pays in full


@pytest.mark.parametrize(
    ("metres", "wanted"), [(0, 500), (2000, 500), (2001, 550), (2500, 550), (2501, 600), (99_999, 1500)]
)
def test_by_distance_each_begun_step_counts(metres: int, wanted: int) -> None:
    table = {"distance": {"first_m": 2000, "first": 500, "step_m": 500, "step": 50, "most": 1500}}
    assert fare(table, Heads(1), metres=metres) == (wanted, wanted)


def test_by_zone(tmp_path: Path) -> None:
    """A place on the border belongs to the zone; outside all there is no fare; a zone without a drawing is told."""
    square = lambda x: {"type": "Polygon", "coordinates": [[[x, 0], [x + 1, 0], [x + 1, 1], [x, 1], [x, 0]]]}  # noqa: E731
    import json

    features = [{"type": "Feature", "properties": {"zone": n}, "geometry": square(x)} for n, x in (("A", 0), ("B", 2))]
    (tmp_path / "z.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    table = FareTable.model_validate({"zones": "z.geojson", "between": [["A", "A", 200], ["A", "B", 450]]})
    tariff = tariff_of(table, read_zones(table, lambda name: tmp_path / name))
    price = lambda a, b: f.total if (f := tariff.fare(Heads(), a, b, 0)) else None  # noqa: E731
    assert price(Place(0.5, 0.5), Place(1.0, 1.0)) == 200
    assert price(Place(2.5, 0.5), Place(0.5, 0.5)) == 450
    assert price(Place(2.5, 0.5), Place(2.6, 0.5)) is None
    assert price(Place(1.5, 0.5), Place(0.5, 0.5)) is None
    wrong = FareTable.model_validate({"zones": "z.geojson", "between": [["A", "C", 200]]})
    with pytest.raises(InputError, match="zone C"):
        read_zones(wrong, lambda name: tmp_path / name)


@pytest.mark.parametrize(
    "table",
    [{}, {"flat": 1, "zones": "z"}, {"flat": -1}, {"flat": 1, "shared": 1, "shared_percent": 2}, {"zones": "z"},
     {"flat": 1, "entitlements": [{"name": "a"}]}, {"flat": 1, "colour": 2}],
)  # fmt: skip
def test_a_tariff_that_says_two_things_or_none_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FareTable.model_validate(table)


def test_a_town_file_tells_the_field(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text('name = "A"\n[fare]\nflat = "much"\n')
    with pytest.raises(InputError, match=r"fare\.flat"):
        load_town_file(tmp_path / "service.toml")


@given(
    flat=st.integers(0, 5000), child=st.integers(0, 100), infant=st.integers(0, 100), rounding=st.integers(1, 100),
    shared=st.integers(0, 100), heads=st.tuples(*[st.integers(0, 4)] * 4), pays=st.integers(0, 6000),
    entitled=st.booleans(),
)  # fmt: skip
def test_money_adds_up(flat: int, child: int, infant: int, rounding: int, shared: int, heads: tuple[int, ...],
                       pays: int, *, entitled: bool) -> None:  # fmt: skip
    """Whatever the tariff: rider and payer together pay the total, the lines are the total, sharing and being entitled
    never cost more."""
    table = FareTable.model_validate({
        "flat": flat, "child_percent": child, "infant_percent": infant, "rounding": rounding, "shared_percent": shared,
        "entitlements": [{"name": "e", "pays": pays}],
    })  # fmt: skip
    who = {"e": "2099-01-01"} if entitled else {}
    alone, together, plain = (
        Tariff(table).fare(Heads(*heads), HERE, THERE, 0, w, shared=s)
        for w, s in ((who, False), (who, True), ({}, False))
    )
    assert alone is not None
    assert together is not None
    assert plain is not None
    for found in (alone, together):
        assert found.total == found.rider_pays + found.subsidy == sum(count * each for _, count, each in found.lines)
        assert min(found.rider_pays, found.subsidy) >= 0
        assert (found.payer is not None) == (found.subsidy > 0)
    assert together.total <= alone.total
    assert alone.rider_pays <= plain.rider_pays


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(some_settings(tmp_path_factory.mktemp("money"), moves_itself=False)) as running:
        yield running


def test_from_quote_to_settlement(driven: Serving) -> None:
    """What was quoted is what the receipt says and what the operator is owed; an entitlement counts for its holder."""
    profile = {"entitlements": {"over75": "2099-01-01"}, "extra_boarding_s": 60}
    assert driven.ask("desk", "PUT", "/v1/riders/old", json=profile).status_code == 201
    paid: dict[str, list[int]] = {}
    for number, rider in enumerate((None, "old", "rider-demo")):
        quote = driven.offered(
            100 * number, role="desk", minutes=20 + 40 * number, **({"rider": rider} if rider else {})
        )
        offered = quote["offers"][0]["fare"]
        if rider == "old":
            assert offered["rider_pays"] == 300
            assert offered["payer"] == "municipality"
        taken = driven.ask("desk", "POST", "/v1/bookings", key=f"s{number}", json={"quote": quote["quote"]}).json()
        name, vehicle = taken["booking"], taken["vehicle"]
        assert taken["fare"] == offered
        before = driven.ask("desk", "GET", f"/v1/bookings/{name}/receipt").json()
        assert (before["final"], before["fare"]) == (False, offered)
        for step in ("end", "end"):
            done = driven.ask("desk", "POST", f"/v1/vehicles/{vehicle}/steps", json={"step": step, "booking": name})
            assert done.status_code == 200, done.text
        after = driven.ask("desk", "GET", f"/v1/bookings/{name}/receipt").json()
        assert (after["final"], after["state"], after["fare"]) == (True, "done", offered)
        paid.setdefault(taken["operator"], []).append(offered["total"])
    day = taken["day"]
    settled = driven.ask("administrator", "GET", f"/v1/settlements?first={day}&last={day}").json()["operators"]
    assert {s["operator"]: (s["rides"], s["total"]) for s in settled} == {o: (len(v), sum(v)) for o, v in paid.items()}
    assert all(s["total"] == s["rider_pays"] + sum(s["subsidy"].values()) for s in settled)
    one = next(iter(paid))
    own = driven.ask(f"dispatcher-{one}", "GET", f"/v1/settlements?first={day}&last={day}").json()["operators"]
    assert [s["operator"] for s in own] == [one]
    assert driven.ask("partner", "GET", f"/v1/settlements?first={day}&last={day}").status_code == 403
