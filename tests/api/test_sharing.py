"""What a node makes of its own day to share: demand and supply, with nobody in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from serving import Serving, SetClock, serving, some_settings
from sqlalchemy import select

from noriai_api.sharing import demand, supply
from noriai_api.store.exchange_tables import records

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A made-up town at ten in the morning, which offers both."""
    settings = some_settings(tmp_path_factory.mktemp("town"), moves_itself=False, exchange_area="jis:08220")
    clock = SetClock("2026-11-24T10:20:00+09:00")
    with serving(settings, clock) as running:
        for kind in ("demand", "supply"):
            about = {
                "title": {"ja": kind, "en": kind}, "description": {"ja": kind, "en": kind}, "owner": "urn:a",
                "kind": "operations", "schema_id": f"urn:noriai:schema:{kind}", "schema_version": "1.0",
                "area": ["jis:08220"], "coverage": "all", "formats": ["HttpData-PULL"],
            }  # fmt: skip
            body = {"about": about, "terms": {"purposes": ["service-planning"]}}
            path = f"/v1/exchange/datasets/urn:noriai:dataset:home:{kind}"
            assert running.ask("administrator", "PUT", path, json=body).status_code == 200
        running.clock = clock  # type: ignore[attr-defined]  # the test moves it
        yield running


def made(town: Serving, dataset: str, count: int) -> list[dict[str, Any]]:
    query = select(records).where(records.c.dataset == dataset).order_by(records.c.sequence)
    for _ in range(200):
        found = town.node.database.read(lambda c: c.execute(query).mappings().all())
        if len(found) >= count:
            return [{"time": r["time"], "area": r["area"].split(), **json.loads(r["body"])} for r in found]
        time.sleep(0.05)
    raise AssertionError(len(found))


def test_what_happens_to_wishes_is_there_and_whose_they_are_is_not(town: Serving) -> None:
    booking = town.booked(0, rider="rider-demo")
    town.ask("partner", "POST", f"/v1/bookings/{booking['booking']}/cancel")
    town.ask("partner", "POST", f"/v1/regions/{town.region}/quotes", json=town.wish(3, party={"seats": 60}))
    found = made(town, demand.dataset_of("home"), 5)
    assert {"requested", "booked", "cancelled", "refused"} <= {record["what"] for record in found}
    assert {name for record in found for name in record} == {"time", "area", "what", "reason", "from", "to", "riders"}
    text = json.dumps(found)
    for known in (booking["booking"], booking["quote"], "rider-demo", "partner"):
        assert known not in text
    assert all(record["time"] % 900_000 == 0 and record["area"] == [record["from"], "jis:08220"] for record in found)
    assert all(len(record["from"]) == len("mesh:54400098") for record in found)
    refused = next(record for record in found if record["what"] == "refused")
    assert (refused["riders"], refused["reason"] is not None) == (60, True)


def test_each_row_of_the_log_is_looked_at_once(town: Serving) -> None:
    before = made(town, demand.dataset_of("home"), 1)
    time.sleep(2.5)  # two looks more
    assert made(town, demand.dataset_of("home"), 1) == before


def test_capacity_by_hour_adds_up_to_the_fleet(town: Serving) -> None:
    found = made(town, supply.dataset_of("home"), 1)
    fleet = town.ask("administrator", "GET", "/v1/vehicles").json()["vehicles"]
    assert sum(record["vehicles"] for record in found) == len(fleet) == 8
    assert sum(record["seats"] for record in found) == sum(max(x["seats"] for x in v["layouts"]) for v in fleet)
    assert sum(record["wheelchairs"] for record in found) == sum(
        max(x["wheelchairs"] for x in v["layouts"]) for v in fleet
    )
    assert {name for record in found for name in record} == {
        "time",
        "area",
        "kind",
        "vehicles",
        "seats",
        "wheelchairs",
        "at",
    }
    town.clock.ms += 3_600_000  # type: ignore[attr-defined]
    later = made(town, supply.dataset_of("home"), 2 * len(found))
    assert len({record["time"] for record in later}) == 2
    assert len(later) == 2 * len(found)


def test_the_service_itself_is_shared_as_gtfs_flex(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A neighbour that agreed to it reads our feed, over the exchange: the bytes that we publish ourselves, each edition
    once, the newest as a file; and everything received as Parquet."""
    import io

    import pyarrow.parquet as pq
    from neighbouring import agree_on, manage, neighbours

    from noriai_api.sharing import definitions

    with neighbours(tmp_path_factory.mktemp("service"), a=2, b=2) as (a, b):
        dataset = definitions.dataset_of("home")
        about = {
            "title": {"ja": "運行", "en": "Service"}, "description": {"ja": "運行", "en": "GTFS-Flex"}, "owner": "urn:a",
            "kind": "operations", "schema_id": "urn:noriai:schema:service", "schema_version": "1.0",
            "area": ["jis:08220"], "coverage": "all", "formats": ["noriai:Stream-PULL"], "standard": "gtfs",
        }  # fmt: skip
        manage(a, "PUT", f"datasets/{dataset}", json={"about": about, "terms": {"purposes": ["service-planning"]}})
        assert b.ask("planner", "GET", f"/v1/exchange/datasets/{dataset}/received/file").status_code == 404
        agreement = agree_on(b, a, dataset, "service-planning")
        body = {"agreement": agreement, "way": "noriai:Stream-PULL", "purpose": "service-planning"}
        manage(b, "POST", "transfers", json=body)
        path = f"/v1/exchange/datasets/{dataset}/received"
        for _ in range(900):
            if b.ask("planner", "GET", path).json()["records"]:
                break
            time.sleep(0.05)
        file = b.ask("planner", "GET", f"{path}/file")
        assert file.status_code == 200
        assert file.content == a.http.get(f"/feeds/home/{a.region}/gtfs-flex.zip").content
        rows = pq.read_table(io.BytesIO(b.ask("planner", "GET", f"{path}?form=parquet").content)).to_pylist()
        records = b.ask("planner", "GET", path).json()["records"]
        assert [row["sha256"] for row in rows] == [record["sha256"] for record in records]
        assert len(records) == 1

        exchange = a.exchanges["home"]
        changed = b"another edition"

        def put(connection: Any, here: Any) -> None:
            definitions.put(connection, here, a.region, changed, ("jis:08220",))

        a.on_loop(exchange.change(put))
        for _ in range(200):
            if b.ask("planner", "GET", f"{path}/file").content == changed:
                break
            time.sleep(0.05)
        assert b.ask("planner", "GET", f"{path}/file").content == changed
        kept = made(a, dataset, 1)
        assert [record["bytes"] for record in kept] == [len(changed)], "older editions are gone here"


def test_demand_is_as_coarse_as_each_dataset_says(town: Serving) -> None:
    """A second dataset of the same wishes, by mesh of 10 km and hour: each wish once in each, told as agreed; one that
    is offered later has what happened before it."""
    name = f"{demand.dataset_of('home')}-coarse"
    about = {
        "title": {"ja": "粗い需要", "en": "Coarse demand"}, "description": {"ja": "需要", "en": "Demand"}, "owner": "urn:a",
        "kind": "operations", "schema_id": "urn:noriai:schema:demand", "schema_version": "1.0", "area": ["jis:08220"],
        "coverage": "all", "formats": ["HttpData-PULL"], "coarseness": {"mesh_digits": 6, "minutes": 60},
    }  # fmt: skip
    body = {"about": about, "terms": {"purposes": ["service-planning"]}}
    assert town.ask("administrator", "PUT", f"/v1/exchange/datasets/{name}", json=body).status_code == 200
    wrong = {**body, "about": about | {"coarseness": {"mesh_digits": 7}}}
    assert town.ask("administrator", "PUT", f"/v1/exchange/datasets/{name}", json=wrong).status_code == 422
    town.ask("partner", "POST", f"/v1/regions/{town.region}/quotes", json=town.wish(77))
    fine = made(town, demand.dataset_of("home"), 6)
    coarse = made(town, name, len(fine))
    for one, other in zip(fine, coarse, strict=True):
        assert (one["what"], one["riders"], one["reason"]) == (other["what"], other["riders"], other["reason"])
        assert other["time"] == one["time"] // 3_600_000 * 3_600_000
        for end in ("from", "to"):
            assert other[end] == one[end][: len("mesh:544000")]
    assert coarse[0]["area"] == [coarse[0]["from"], "jis:08220"]
