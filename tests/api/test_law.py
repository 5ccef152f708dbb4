"""The law at the door: who may carry whom is asked of rule packs at each quote, kept by the dispatcher afterwards, and
judged once more here by the plain judge, from the bookings alone."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, SetClock, serving, some_settings
from sqlalchemy import select

from noriai_api.store.tables import bookings
from noriai_engine.checker import law
from noriai_engine.model import UtcMs

TOWN = """
name = "Two licences"
max_wait_min = 25
detour_factor = 2.0
detour_extra_min = 20
fares_posted = true
taxis_of_area = 39
holidays = ["2026-11-23"]
fare = { flat = 700 }
taxi_fare = { distance = { first_m = 1000, first = 700, step_m = 250, step = 100 } }

[[licences]]
id = "taxi"
packs = ["jp.20.taxi-area"]

[[licences]]
id = "private"
packs = ["jp.78-3.default-window"]
"""


@pytest.fixture(scope="module")
def town(rural: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Taxis and private cars in one pool; private cars may run on Friday and Saturday nights only."""
    folder = tmp_path_factory.mktemp("law")
    (folder / "service.toml").write_text(TOWN)
    settings = some_settings(folder / "node", region=rural, service=folder / "service.toml", quote_lifetime_s=3600)
    clock = SetClock("2026-11-26T09:00:00+09:00")  # a Thursday
    with serving(settings, clock) as running:
        import numpy as np

        rng = np.random.default_rng(0)
        for number, (operator, kind, licence) in enumerate(
            [("town-taxi", "taxi", "taxi")] * 2 + [("neighbours", "volunteer", "private")] * 3 + [("odd", "taxi", None)]
        ):
            if number in (0, 2, 5):
                assert running.ask("administrator", "PUT", f"/v1/operators/{operator}",
                                   json={"name": operator, "kind": "taxi"}).status_code == 201  # fmt: skip
            body: dict[str, Any] = {
                "region": running.region, "operator": operator, "kind": kind, "layouts": [{"seats": 4}],
                "depot": running.somewhere(rng), "licence": licence,
                "shifts": {day: ["00:00", "30:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")},
            }  # fmt: skip
            said = running.ask("administrator", "PUT", f"/v1/vehicles/v{number}", json=body)
            assert said.status_code == 201, said.text
        yield running


def wish_at(town: Serving, number: int, when: str) -> dict[str, Any]:
    return town.wish(number) | {"earliest_pickup": f"{when}:00+09:00"}


def test_only_licensed_operators_offer_and_only_in_their_hours(town: Serving) -> None:
    """On Thursday noon taxis alone; on Friday night both; a vehicle without a licence never."""
    seen: dict[str, set[str]] = {}
    for when in ("2026-11-26T12:00", "2026-11-27T15:00", "2026-11-27T20:00", "2026-11-28T03:00", "2026-11-28T20:00"):
        for number in range(6):
            quote = town.ask("partner", "POST", f"/v1/regions/{town.region}/quotes", json=wish_at(town, number, when))
            seen.setdefault(when, set()).update(o["operator"] for o in quote.json()["offers"])
    assert seen["2026-11-26T12:00"] == seen["2026-11-27T15:00"] == {"town-taxi"}
    assert (
        seen["2026-11-27T20:00"] == seen["2026-11-28T03:00"] == seen["2026-11-28T20:00"] == {"town-taxi", "neighbours"}
    )


def test_a_refusal_names_rule_and_article_and_when_it_would_be_lawful(town: Serving) -> None:
    """Asked of the private cars alone on a Thursday: refused by the window of article 78-3, until Friday 16:00."""
    wish = wish_at(town, 3, "2026-11-26T12:00") | {"operator": "neighbours"}
    said = town.ask("partner", "POST", f"/v1/regions/{town.region}/quotes", json=wish).json()
    assert said["offers"] == []
    (rule,) = said["refusal"]["rules"]
    assert (rule["licence"], rule["pack"], rule["article"]) == ("private", "jp.78-3.default-window", "78-3")
    assert set(rule["text"]) == {"en", "ja"}
    assert said["refusal"]["permitted_from"] == "2026-11-27T16:00:00+09:00"
    outside = wish_at(town, 3, "2026-11-26T12:00") | {
        "origin": {"lon": 135.0, "lat": 35.0}, "destination": {"lon": 135.1, "lat": 35.0}
    }  # fmt: skip
    said = town.ask("partner", "POST", f"/v1/regions/{town.region}/quotes", json=outside).json()
    assert {r["licence"] for r in said["refusal"]["rules"]} == {"taxi", "private"}
    assert said["refusal"]["reason"] == "taxi.area"


def test_a_driver_goes_on_duty_only_as_the_rules_have_it(town: Serving) -> None:
    """Friday evening: without roll call, without a year's licence, with an overdue inspection, or as one vehicle too
    many a private car does not start; a taxi is bound by none of it. Each refusal names its rule."""
    clock: Any = town.node.clock
    clock.ms = UtcMs(int(datetime.fromisoformat("2026-11-27T17:00:00+09:00").timestamp() * 1000))
    held = {"licence": "driving", "valid_from": "2010-01-01", "valid_to": "2030-01-01"}
    for name, licences in (("d1", [held]), ("d2", [held | {"valid_from": "2026-01-01"}]), ("d3", [])):
        body = {"operator": "neighbours", "licences": licences}
        assert town.ask("desk", "PUT", f"/v1/drivers/{name}", json=body).status_code == 201
    for vehicle, inspected in (("v2", "2026-10-01"), ("v3", "2026-08-01"), ("v4", "2026-11-01")):
        known = next(v for v in town.ask("desk", "GET", "/v1/vehicles").json()["vehicles"] if v["vehicle"] == vehicle)
        known = {k: v for k, v in known.items() if k != "vehicle"} | {"inspected": inspected}
        assert town.ask("desk", "PUT", f"/v1/vehicles/{vehicle}", json=known).status_code == 200

    def start(vehicle: str, **more: Any) -> str:
        said = town.ask("desk", "POST", f"/v1/vehicles/{vehicle}/steps", json={"step": "start_shift", **more})
        return "on duty" if said.status_code == 200 else said.json()["rule"]["text"]["en"].split(":")[0]

    assert "health and alcohol" in start("v2", driver="d1")
    assert "health and alcohol" in start("v2", driver="d1", rollcall=False)
    assert "meets what is required" in start("v2", driver="d2", rollcall=True)
    assert "meets what is required" in start("v2", driver="d3", rollcall=True)
    assert "meets what is required" in start("v2", rollcall=True)
    assert "inspection" in start("v3", driver="d1", rollcall=True)
    assert start("v2", driver="d1", rollcall=True) == "on duty"
    assert "As many such vehicles" in start("v4", driver="d1", rollcall=True)  # 5 % of 39 taxis is one
    assert start("v1") == "on duty"
    unknown = town.ask("desk", "POST", "/v1/vehicles/v4/steps", json={"step": "start_shift", "driver": "nobody"})
    assert unknown.status_code == 404


def test_no_booking_ever_breaks_a_rule(town: Serving) -> None:
    """A hundred wishes of all hours, booked, improved, a vehicle broken down: the plain judge permits every booking with
    the vehicle it ended up with."""
    clock: Any = town.node.clock
    made = 0
    for number in range(100):
        day, hour = 27 + number % 4, (number * 5) % 24
        if (day, hour) <= (27, 18):
            continue
        wish = wish_at(town, 100 + number, f"2026-11-{day}T{hour:02d}:00")
        quote = town.ask("partner", "POST", f"/v1/regions/{town.region}/quotes", json=wish).json()
        if quote["offers"]:
            offer = len(quote["offers"]) - 1
            taken = town.ask("partner", "POST", "/v1/bookings", key=f"l{number}",
                             json={"quote": quote["quote"], "offer": offer})  # fmt: skip
            made += taken.status_code == 201
    actor = next(iter(town.node.actors.values()))
    town.on_loop(actor.ask(lambda r: ([r.improve(run) for run in r.days.values()], None), "improve"))
    clock.ms = UtcMs(clock.ms + 60_000)
    down = {"action": "break_down", "vehicle": "v0", "commit": True}
    assert town.ask("desk", "POST", f"/v1/regions/{town.region}/overrides", json=down).status_code == 200
    assert made > 40
    packs = {
        "town-taxi": "jp.20.taxi-area", "neighbours": "jp.78-3.default-window",
    }  # fmt: skip
    judged = dict.fromkeys(packs, 0)
    for row in town.node.database.read(lambda c: c.execute(select(bookings)).mappings().all()):
        if row["state"] in ("cancelled", "dropped"):
            continue
        quote = town.ask("partner", "GET", f"/v1/quotes/{row['quote']}").json()
        said = town.node.database.read(
            lambda c, q=row["quote"]: c.exec_driver_sql(f"SELECT body FROM quotes WHERE quote = '{q}'").scalar()
        )
        request = json.loads(str(said))["request"]
        moment = datetime.fromtimestamp(
            request["earliest_pickup"] / 1000, datetime.fromisoformat(quote["expires"]).tzinfo
        )
        pack = tomllib.loads(
            files("noriai_engine.rules").joinpath("packs", f"{packs[row['operator']]}.toml").read_text(encoding="utf-8")
        )
        for later in ("driver", "inspection_months", "quota"):  # judged when a vehicle goes on duty
            pack.pop(later, None)
        day = moment.date()
        days = [{"date": d.isoformat(), "weekday": law.NAMES[d.weekday()], "holiday": d.isoformat() == "2026-11-23"}
                for d in (day, day - timedelta(days=1))]  # fmt: skip
        case = {"day": day, "days": days, "minute": moment.hour * 60 + moment.minute, "second": moment.second,
                "origin_inside": True, "destination_inside": True, "fixed_before": True, "street_hail": False,
                "cash": False}  # fmt: skip
        assert law.verdict(pack, case) == ("permit", set()), (row["operator"], moment)
        judged[row["operator"]] += 1
    assert min(judged.values()) >= 5, judged
