"""Rules whose sources contradict or are silent: simulated rides show what they would mean, real riders are carried under
them only once a named person has confirmed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving import Serving, SetClock, serving, some_settings
from sqlalchemy import select

from noriai_api.store.tables import audit, regions

STRICT = "jp.20.taxi-area-strict"
TOWN = f"""
name = "Taxis, strictly"
fares_posted = true
fare = {{ flat = 700 }}

[[licences]]
id = "taxi"
packs = ["{STRICT}", "jp.20.taxi-area"]
"""


def settings_in(folder: Path, rural: Path | None, database: str = "") -> Any:
    """A town of its own has real vehicles; without one it is made up, and simulated."""
    (folder / "service.toml").write_text(TOWN)
    return some_settings(folder / "node", database, region=rural, service=folder / "service.toml")


def a_taxi(node: Serving) -> None:
    lon, lat = node.somewhere_now()["lon"], node.somewhere_now()["lat"]
    assert node.ask("administrator", "PUT", "/v1/operators/cab", json={"name": "Cab", "kind": "taxi"}).is_success
    body = {"region": node.region, "operator": "cab", "layouts": [{"seats": 4}], "licence": "taxi",
            "depot": {"lon": lon, "lat": lat}, "kind": "taxi",
            "shifts": {day: ["06:00", "22:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}}  # fmt: skip
    assert node.ask("administrator", "PUT", "/v1/vehicles/c1", json=body).is_success


def reason(node: Serving) -> str:
    for number in range(30):
        wish = node.wish(number, minutes=90)
        said = node.ask("partner", "POST", f"/v1/regions/{node.region}/quotes", json=wish).json()
        if said["offers"]:
            return "offered"
        if said["refusal"]["reason"].startswith("pack."):
            return str(said["refusal"]["reason"])
    raise AssertionError("nobody serves any of 30 wishes")


def test_real_rides_wait_for_a_person_in_charge(tmp_path: Path, rural: Path, database: str) -> None:
    """Asked of a pack of mark C: refused with its article, until confirmed; a restart remembers; another version, and
    whoever is no administrator, confirm nothing."""
    clock = SetClock("2026-11-26T09:00:00+09:00")
    with serving(settings_in(tmp_path, rural, database), clock) as node:
        a_taxi(node)
        path = f"/v1/regions/{node.region}/rules"
        rules = {rule["pack"]: rule for rule in node.ask("planner", "GET", path).json()["rules"]}
        assert {name: (r["mark"], r["waits"], r["in_force"]) for name, r in rules.items()} == {
            STRICT: ("C", True, True), "jp.20.taxi-area": ("S", False, True)
        }  # fmt: skip
        assert reason(node) == "pack.unconfirmed"
        said = node.ask("partner", "POST", f"/v1/regions/{node.region}/quotes", json=node.wish(1, minutes=90)).json()
        (rule,) = said["refusal"]["rules"]
        assert (rule["pack"], rule["article"]) == (STRICT, "20")
        assert set(rule["text"]) == {"en", "ja"}
        confirmation = {"version": 1, "name": "Tanaka Hanako"}
        for role, version, pack, status in (("desk", 1, STRICT, 403), ("administrator", 2, STRICT, 409),
                                            ("administrator", 1, "none", 404)):  # fmt: skip
            answer = node.ask(role, "PUT", f"{path}/{pack}/confirmation", json=confirmation | {"version": version})
            assert answer.status_code == status, (role, answer.text)
        assert reason(node) == "pack.unconfirmed"
        for _ in range(2):  # again changes nothing
            said = node.ask("administrator", "PUT", f"{path}/{STRICT}/confirmation", json=confirmation).json()
            assert [(r["confirmed"], r["waits"]) for r in said["rules"] if r["pack"] == STRICT] == [(True, False)]
        assert reason(node) == "offered"
        keys = node.keys
    with serving(settings_in(tmp_path, rural, database), clock, keys, seed=2) as again:
        assert reason(again) == "offered"
        entries = again.node.database.read(
            lambda c: c.execute(select(audit).where(audit.c.resource.like("%/rule/%"))).mappings().all()
        )
        assert [(e["action"], e["actor"]) for e in entries] == [("service.control", "administrator")]
        body = again.node.database.read(lambda c: c.execute(select(regions.c.body)).scalar_one())
        assert body.count("Tanaka Hanako") == 1


def test_simulated_rides_show_what_a_rule_would_mean(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, None), SetClock("2026-11-26T09:00:00+09:00")) as node:
        a_taxi(node)
        assert reason(node) == "offered"
