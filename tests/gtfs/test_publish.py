"""What goes out: GTFS-Flex keeps its meaning, every document is valid under the official schemas, states are legal."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import MINUTE, a_scenario_text, a_vehicle
from gtfs.feeds_made import TOWN, plain, zipped
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource

from noriai_engine.model import Place, Resources, Service, Spot
from noriai_engine.model.errors import InputError
from noriai_gtfs import read_feed
from noriai_gtfs.feeds.write import write_feed
from noriai_gtfs.publish import HEADERS, PublishedService, flex_of, read_flex, write_flex
from noriai_gtfs.publish.flex import calendars_of
from noriai_gtfs.publish.gofs import gofs_documents
from noriai_gtfs.publish.mds import LEGAL, Aboard, Authority
from noriai_gtfs.services import service_days
from noriai_gtfs.validation import validate

H = 3_600_000
RING = ((137.5, 36.9), (137.6, 36.9), (137.6, 37.0), (137.5, 37.0))


def a_service(name: str = "nokkaru", **change: Any) -> PublishedService:
    limits = Service(
        id=name, name="ノッカルあさひまち", opens=8 * H, closes=18 * H, min_lead_ms=60 * MINUTE,  # type: ignore[arg-type]
    )  # fmt: skip
    known: dict[str, Any] = {
        "service": limits, "agency_id": "163431", "agency_name": "朝日町", "url": "https://example.com/asahi",
        "timezone": "Asia/Tokyo", "language": "ja", "valid_from": date(2026, 4, 1), "valid_to": date(2027, 3, 31),
        "weekdays": frozenset(range(5)), "except_dates": frozenset({date(2026, 5, 5)}), "area": (RING,),
        "phone": "0765-83-1100", "email": "ride@example.com", "message": "前日までにお電話ください。",
        "info_url": "https://example.com/asahi/ride",
    }  # fmt: skip
    return PublishedService(**(known | change))


def stops_service() -> PublishedService:
    stops = (Place(137.55, 36.95, "泊駅"), Place(137.56, 36.95, "あさひ総合病院"), Place(137.57, 36.96, "サンリーナ"))
    limits = replace(a_service("bus").service, name="あさひまちバス予約便", mode="stops", stops=stops, min_lead_ms=0)
    return a_service("bus", service=limits, area=(), last_call_day_before=17 * H)


@pytest.mark.parametrize(
    "name", ["ctran-flex-adopted", "brockton-flex", "cobblinc-flex", "aspen-flex", "uckermark-rufbus"]
)
def test_flex_feeds_keep_their_meaning(shared: Path, tmp_path: Path, name: str) -> None:
    """In and out and in again: adopted form and drafts alike."""
    once = read_flex(read_feed(shared / "gtfs" / "flex" / f"{name}.zip"))
    assert once.trips
    assert any(visit.is_window or visit.kind != "stop" for trip in once.trips.values() for visit in trip.visits)
    tables, zones = write_flex(once)
    write_feed(tmp_path / "out.zip", tables, zones)
    again = read_flex(read_feed(tmp_path / "out.zip"))
    assert again.trips == once.trips
    assert again.services == dict(once.services.items())
    assert (again.zones, again.groups, again.rules, again.routes) == (once.zones, once.groups, once.rules, once.routes)
    assert again.stops == once.stops
    assert (again.agencies, again.info) == (once.agencies, once.info)


def test_every_published_feed_comes_back_with_its_meaning(shared: Path, tmp_path: Path) -> None:
    """All feeds of the folder: those without flexible trips have none afterwards either."""
    flexible = 0
    for path in sorted((shared / "gtfs").glob("*/*.zip")):
        if path.parent.name in ("errors", "realtime"):
            continue
        once = read_flex(read_feed(path))
        flexible += bool(once.trips)
        if once.trips and path.parent.name != "flex":
            tables, zones = write_flex(once)
            write_feed(tmp_path / "out.zip", tables, zones)
            assert read_flex(read_feed(tmp_path / "out.zip")).trips == once.trips, path.name
    assert flexible >= 5


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(20_000, 20_120), min_size=1, max_size=100))
def test_calendars_run_on_the_very_days(days: set[int]) -> None:
    calendar, dates = calendars_of({"s": frozenset(days)})
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        write_feed(Path(folder) / "f.zip", {"calendar": calendar, "calendar_dates": dates, "stops": [{"stop_id": "A"}]})
        assert service_days(read_feed(Path(folder) / "f.zip"))["s"] == days


@pytest.mark.parametrize("services", [[a_service()], [stops_service()], [a_service(), stops_service()]])
def test_our_flex_has_no_canonical_error_or_warning(tmp_path: Path, services: list[PublishedService]) -> None:
    tables, zones = write_flex(flex_of(services, "2026-1"))
    write_feed(tmp_path / "ours.zip", tables, zones, HEADERS)
    report = validate(tmp_path / "ours.zip", date(2026, 11, 21), "JP")
    found = {code for severity, code, _ in report.codes() if severity != "INFO" and code in report.totals}
    assert found == set()
    flex = read_flex(read_feed(tmp_path / "ours.zip"))
    assert flex == flex_of(services, "2026-1")


def test_a_safe_duration_that_is_none_is_named(tmp_path: Path) -> None:
    tables, zones = write_flex(flex_of([a_service()], "1"))
    tables["trips"][0]["safe_duration_factor"] = "twice"
    write_feed(tmp_path / "f.zip", tables, zones)
    with pytest.raises(InputError, match="safe_duration_factor"):
        read_flex(read_feed(tmp_path / "f.zip"))


def test_services_that_mean_nothing_are_refused() -> None:
    for change, message in (
        ({"valid_to": date(2026, 3, 1)}, "ends before"), ({"weekdays": frozenset()}, "no day"), ({"area": ()}, "no area"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            a_service(**change)
    with pytest.raises(InputError, match="no service"):
        flex_of([], "1")


def test_gofs_is_valid_and_complete(shared: Path) -> None:
    """Every file under the official schema, and the required ones by the reference's table."""
    fleet = [
        a_vehicle("v1", place=Place(137.5, 36.9)), a_vehicle("v2", place=Place(137.5, 36.9), seats=8, wheelchairs=1)
    ]  # fmt: skip
    for services in ([a_service(phone="+81765831100")], [a_service(), stops_service()]):
        documents = gofs_documents(services, fleet, "https://example.com/gofs", 1_790_000_000)
        folder = shared.parent / "standards" / "gofs" / "schema"
        for file in folder.glob("*.json"):
            Draft7Validator(json.loads(file.read_text())).validate(documents[file.name])
        assert {"gofs.json", "system_information.json", "service_brands.json", "zones.json", "operating_rules.json",
                "calendars.json"} <= set(documents)  # fmt: skip
        zones = {z["zone_id"] for z in documents["zones.json"]["data"]["zones"]["features"]}
        calendars = {c["calendar_id"] for c in documents["calendars.json"]["data"]["calendars"]}
        types = {t["vehicle_type_id"] for t in documents["vehicle_types.json"]["data"]["vehicle_types"]}
        for rule in documents["operating_rules.json"]["data"]["operating_rules"]:
            assert {rule["from_zone_id"], rule["to_zone_id"]} <= zones
            assert set(rule["calendars"]) <= calendars
            assert set(rule["vehicle_type_id"]) <= types
        assert not any(" " in zone for zone in zones)


def mended(schema: Any) -> Any:
    """The models with what is amiss put right: `contains` with a list of values, as event.yaml has it, is no schema (one of
    them is meant); and `oneOf` all modes cannot hold for what modes have in common, so the mode is ours."""
    if isinstance(schema, dict):
        found = {key: mended(value) for key, value in schema.items()}
        if "" in found.get("patternProperties", ()):  # matches every name, which the judge's library does not see
            found["patternProperties"] = {".*": found["patternProperties"][""]}
        if isinstance(found.get("contains"), list):
            found["contains"] = {"enum": found["contains"]}
        if any(
            "/modes/" in str(branch.get("$ref", "")) for branch in found.get("oneOf", []) if isinstance(branch, dict)
        ):
            found["oneOf"] = [branch for branch in found["oneOf"] if "passenger-services" in branch["$ref"]]
        return found
    return [mended(item) for item in schema] if isinstance(schema, list) else schema


def mds_validator(shared: Path, model: str) -> Draft202012Validator:
    """A model of the MDS OpenAPI with its references across YAML files."""
    root = shared.parent / "standards" / "mds" / "models"

    def load(uri: str) -> Resource[Any]:
        path = Path(uri.removeprefix("file://"))
        return Resource.from_contents(mended(yaml.safe_load(path.read_text())), default_specification=_DRAFT)

    from referencing.jsonschema import DRAFT202012 as _DRAFT

    registry: Registry[Any] = Registry(retrieve=load)  # type: ignore[call-arg]
    return Draft202012Validator({"$ref": f"file://{root}/{model}.yaml"}, registry=registry)


@pytest.fixture(scope="module")
def a_day(rural: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from noriai_simulations.scenario import load_scenario
    from noriai_simulations.simulate import simulate

    folder = tmp_path_factory.mktemp("mds")
    (folder / "day.toml").write_text(a_scenario_text(rural, requests=150), encoding="utf-8")
    return simulate(load_scenario(folder / "day.toml"))


def test_a_simulated_day_in_mds(shared: Path, a_day: Any) -> None:
    """Vehicles, events, trips, telemetry of a whole day: valid, and states move by the 42 rows of the table."""
    scenario = a_day.scenario
    network = scenario.region.network

    def place_of(event: Any) -> Place | None:
        return None if event.state is None else network.place_at(Spot(event.state, event.offset_ms))

    authority = Authority("noriai.example", scenario.vehicles, scenario.requests)
    vehicle = mds_validator(shared, "vehicle")
    for one in scenario.vehicles:
        vehicle.validate(authority.vehicle(one))
    rows = list(csv.DictReader((shared.parent / "standards/mds/passenger-services-state-machine.csv").open()))
    legal = {(row["from_vehicle_state"], row["to_vehicle_state"], row["event_type"]) for row in rows}
    assert len(rows) == 42
    assert {(a, b, event) for (a, event), b in LEGAL.items()} <= legal
    events = list(authority.events(a_day.events, place_of))
    assert len(events) > 300
    judge = mds_validator(shared, "event")
    state = {authority.uuid("vehicle", one.id): "non_operational" for one in scenario.vehicles}
    for event in events:
        judge.validate(event)
        before = state[event["device_id"]]
        assert (before, event["vehicle_state"], event["event_types"][0]) in legal
        state[event["device_id"]] = event["vehicle_state"]
    assert set(state.values()) == {"non_operational"}
    assert len({event["event_id"] for event in events}) == len(events)
    trips = list(authority.trips(a_day.events, place_of, lambda begin, end: 1000))
    served = sum(event.kind == "dropped_off" for event in a_day.events)
    assert len(trips) == served > 60
    judge = mds_validator(shared, "trip")
    for trip in trips:
        judge.validate(trip)
    assert {trip["trip_type"][0] for trip in trips} == {"shared", "reservation"}
    named = {t for event in events for t in event.get("trip_ids", [])}
    assert {trip["trip_id"] for trip in trips} <= named
    telemetry = mds_validator(shared, "telemetry")
    aboard, seen = Aboard(a_day.events), set()
    for event in a_day.events:
        if event.kind in ("picked_up", "dropped_off"):
            point = authority.telemetry(event.vehicle_id, int(event.time), Place(137.5, 36.9), aboard)
            telemetry.validate(point)
            assert authority.uuid("trip", event.request_id) in point["trip_ids"]
            seen.add(len(point["trip_ids"]))
    assert {1, 2} <= seen
    telemetry.validate(authority.telemetry("nobody", 1_790_000_000_000, Place(137.5, 36.9), aboard))
    again = Authority("noriai.example", scenario.vehicles, scenario.requests)
    assert list(again.events(a_day.events, place_of)) == events


def test_flex_is_held_against_the_fleet() -> None:
    from builders import DAY

    from noriai_gtfs.validation.fleet import fleet_notices

    flex = flex_of([a_service()], "1")

    def found(*shifts: tuple[str, str], chairs: int = 1) -> list[str]:
        fleet = [
            a_vehicle(f"v{k}", place=Place(137.5, 36.9), operator="op", shift=shift, wheelchairs=chairs)
            for k, shift in enumerate(shifts)
        ]  # fmt: skip
        return [f"{n.code} {n.value}".strip() for n in fleet_notices(flex, fleet, DAY, {"op": "163431"})]

    assert found(("08:00", "18:00")) == []
    assert found(("07:00", "12:00"), ("11:00", "19:00")) == []
    part = "flex_window_partly_without_vehicle nokkaru:trip: "
    assert found(("09:00", "12:00"), ("13:00", "18:00")) == [
        f"{part}08:00:00 to 09:00:00", f"{part}12:00:00 to 13:00:00",
    ]  # fmt: skip
    assert found(("19:00", "22:00")) == ["flex_window_without_vehicle nokkaru:trip"]
    assert found(("08:00", "18:00"), chairs=0) == ["flex_service_without_wheelchair_place nokkaru:trip"]


def tomp_judge(shared: Path) -> Draft7Validator:
    """The schema of the answer to search-offers. It wants `type` of a feature to be Feature and offer at once, and a
    geometry's coordinates to fit one shape of four that overlap: these two are put right here."""
    schema = json.loads((shared.parent / "standards" / "tomp" / "jsonschemas" / "searchOffers_post.json").read_text())

    def put_right(part: Any) -> Any:
        if isinstance(part, dict):
            if part.get("pattern") == "^(offer)$":
                return {"type": "string"}
            return {("anyOf" if key == "oneOf" else key): put_right(value) for key, value in part.items()}
        return [put_right(item) for item in part] if isinstance(part, list) else part

    return Draft7Validator(put_right(schema))


def test_tomp_offers_are_valid(shared: Path, tmp_path: Path) -> None:
    from builders import DAY
    from gtfs.test_joint import PARAMS, a_traveller, a_world

    from noriai_gtfs.joint import JointSearch
    from noriai_gtfs.publish.tomp import offer_collection

    network, dispatcher, lines = a_world(tmp_path)
    who = a_traveller(network, 12, 56)
    offers = JointSearch(dispatcher, lines, PARAMS).offers(who)
    document = offer_collection("s1", who, offers, lines.day, DAY)
    tomp_judge(shared).validate(document)
    assert len(document["features"]) == len(offers) > 0
    assert json.loads(json.dumps(document)) == document


def test_fixed_feeds_have_no_flexible_trips(tmp_path: Path) -> None:
    flex = read_flex(read_feed(zipped(tmp_path / "f.zip", plain(TOWN))))
    assert not flex.trips
    assert Resources(1).riders == 1
