"""A day of the service in other people's formats, each read or judged by something that is not ours; and its KPIs."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from google.transit import gtfs_realtime_pb2
from gtfs.test_publish import mds_validator
from serving import Serving, SetClock, serving, some_settings
from sqlalchemy import select

from noriai_api.store.tables import bookings
from noriai_engine.model import UtcMs
from noriai_engine.roads import haversine_m
from noriai_gtfs.validation import validate

HOUR = 3_600_000
NGSI = Path(__file__).parents[3] / "shared/standards/dataspace-protocol/related/ngsi-ld/FleetVehicleStatus.schema.json"


@pytest.fixture(scope="module")
def a_day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Bookings through a morning, while the vehicles move by themselves; it is afternoon when the tests look."""
    clock = SetClock("2026-11-24T08:00:00+09:00")
    with serving(some_settings(tmp_path_factory.mktemp("day"), desk_phone="0765-00-0000"), clock) as running:
        made = 0
        for number in range(60):
            quote = running.quote(number, minutes=10 + number % 50)
            if quote["offers"]:
                running.ask("partner", "POST", "/v1/bookings", key=quote["quote"], json={"quote": quote["quote"]})
                made += 1
            clock.ms = UtcMs(clock.ms + 4 * 60_000)
        running.ask("partner", "POST", "/v1/bookings/none/cancel")
        booking = running.booked(900, minutes=90)["booking"]
        running.ask("partner", "POST", f"/v1/bookings/{booking}/cancel")
        clock.ms = UtcMs(clock.ms + 3 * HOUR)
        running.on_loop(next(iter(running.node.actors.values())).ask(lambda r: (r.tick(), None), "tick"))
        assert made > 30
        yield running


def states(a_day: Serving) -> list[str]:
    return list(a_day.node.database.read(lambda c: c.execute(select(bookings.c.state)).scalars().all()))


def test_everybody_was_driven_and_the_kpis_say_so(a_day: Serving) -> None:
    """Figures recounted from the bookings table alone."""
    found = states(a_day)
    assert set(found) == {"done", "cancelled"}
    said = a_day.ask("planner", "GET", f"/v1/regions/{a_day.region}/kpis?day=2026-11-24").json()
    kpis = said["kpis"]
    assert kpis["served"]["value"] == found.count("done")
    assert kpis["cancelled"]["value"] == found.count("cancelled")
    assert kpis["requests"]["value"] == kpis["served"]["denominator"]["value"] == 60 + 1 + said_again(a_day)
    assert kpis["vehicle_km"]["value"] > 50
    assert sum(said["refusals"].values()) <= 60
    assert all(set(kpi["definition"]) == {"en", "ja"} for kpi in kpis.values())


def said_again(a_day: Serving) -> int:
    """Quotes that `booked` asked for before one had offers."""
    from noriai_api.store.tables import quotes

    return len(a_day.node.database.read(lambda c: c.execute(select(quotes.c.quote)).all())) - 61


def test_the_month_is_its_days(a_day: Serving) -> None:
    """One day has been: the month's figures are that day's, in JSON as in the table."""
    said = a_day.ask("planner", "GET", f"/v1/regions/{a_day.region}/reports/2026-11").json()
    (day,) = said["days"]
    assert said["whole"]["kpis"] == day["kpis"]
    table = a_day.ask("planner", "GET", f"/v1/regions/{a_day.region}/reports/2026-11?form=csv").text.splitlines()
    cells = {line.split(",")[0]: line.split(",") for line in table}
    assert cells["kpi"] == ["kpi", "unit", "month", "2026-11-24"]
    assert cells["served"][2] == cells["served"][3] == str(day["kpis"]["served"]["value"])
    empty = a_day.ask("planner", "GET", f"/v1/regions/{a_day.region}/reports/2025-01").json()
    assert empty["days"] == []


def test_flex_is_valid_and_names_the_desk(a_day: Serving, tmp_path: Path) -> None:
    """The canonical validator's rules: no error and no warning."""
    answer = a_day.http.get(f"/feeds/home/{a_day.region}/gtfs-flex.zip")
    (tmp_path / "flex.zip").write_bytes(answer.content)
    report = validate(tmp_path / "flex.zip", date(2026, 11, 24), "JP")
    assert {code for severity, code, _ in report.codes() if severity != "INFO" and code in report.totals} == set()
    assert b"0765-00-0000" in b"".join(p.encode() for p in texts_of(tmp_path / "flex.zip"))
    assert a_day.http.get("/feeds/home/nowhere/gtfs-flex.zip").status_code == 404


def texts_of(path: Path) -> list[str]:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return [archive.read(name).decode() for name in archive.namelist()]


def test_vehicles_are_in_the_realtime_feed(a_day: Serving) -> None:
    from google.transit.gtfs_realtime_pb2 import FeedMessage

    message = FeedMessage()
    message.ParseFromString(a_day.http.get(f"/feeds/home/{a_day.region}/vehicle_positions.pb").content)
    fleet = {v["vehicle"] for v in a_day.ask("desk", "GET", "/v1/vehicles").json()["vehicles"]}
    assert {e.vehicle.vehicle.id for e in message.entity} == fleet
    assert message.header.timestamp == a_day.node.clock.now() // 1000
    assert all(137 < e.vehicle.position.longitude < 138 for e in message.entity)


def test_a_suspension_is_an_alert_of_the_route_in_the_flex_feed(a_day: Serving, tmp_path: Path) -> None:
    def alerts() -> list[Any]:
        answer = a_day.http.get(f"/feeds/home/{a_day.region}/alerts.pb")
        return list(gtfs_realtime_pb2.FeedMessage.FromString(answer.content).entity)

    assert alerts() == []
    pause = f"/v1/regions/{a_day.region}/pause"
    said = {"ja": "大雪のため運休します。", "en": "No rides today: heavy snow."}
    assert a_day.ask("administrator", "PUT", pause, json=said).status_code == 200
    (alert,) = (entity.alert for entity in alerts())
    assert a_day.ask("administrator", "PUT", pause, json={}).status_code == 200
    assert alerts() == []
    assert {t.language: t.text for t in alert.header_text.translation} == said
    assert alert.effect == gtfs_realtime_pb2.Alert.NO_SERVICE
    flex = a_day.http.get(f"/feeds/home/{a_day.region}/gtfs-flex.zip").content
    with zipfile.ZipFile(io.BytesIO(flex)) as feed:
        routes = list(csv.DictReader(io.StringIO(feed.read("routes.txt").decode("utf-8-sig"))))
    (informed,) = alert.informed_entity
    assert (informed.agency_id, informed.route_id) in {(row["agency_id"], row["route_id"]) for row in routes}


def test_gofs_names_files_that_are_there(a_day: Serving) -> None:
    base = f"/feeds/home/{a_day.region}/gofs"
    feeds = a_day.http.get(f"{base}/gofs.json").json()["data"]["ja"]["feeds"]
    assert len(feeds) == 7
    for feed in feeds:
        assert a_day.http.get(feed["url"]).json()["version"] == "1.0"
    assert a_day.http.get(f"{base}/nothing.json").status_code == 404


def test_mds_documents_are_valid_and_complete(a_day: Serving, shared: Path) -> None:
    """Every document by the published schema; every ride a trip; hour by hour the same as in one piece."""
    vehicles = a_day.ask("planner", "GET", "/mds/vehicles").json()["vehicles"]
    for vehicle in vehicles:
        mds_validator(shared, "vehicle").validate(vehicle)
    judge, trips, events = mds_validator(shared, "trip"), [], []
    telemetry: list[dict[str, Any]] = []
    now = a_day.node.clock.now()
    for hour in range((now - int(datetime(2026, 11, 23, 22, tzinfo=UTC).timestamp() * 1000)) // HOUR):
        moment = datetime(2026, 11, 23, 22, tzinfo=UTC) + timedelta(hours=hour)
        stamp = moment.strftime("%Y-%m-%dT%H")
        telemetry += a_day.ask("planner", "GET", f"/mds/telemetry?telemetry_time={stamp}").json()["telemetry"]
        trips += a_day.ask("planner", "GET", f"/mds/trips?end_time={stamp}").json()["trips"]
        events += a_day.ask("planner", "GET", f"/mds/events/historical?event_time={stamp}").json()["events"]
    for trip in trips:
        judge.validate(trip)
    assert len(trips) == states(a_day).count("done")
    for trip in trips:  # nobody was driven a shorter way than the crow flies
        a, b = trip["start_location"], trip["end_location"]
        assert trip["distance"] >= 0.99 * float(haversine_m(a["lng"], a["lat"], b["lng"], b["lat"])) - 10
    assert sum(trip["distance"] > 500 for trip in trips) > len(trips) // 2
    judge = mds_validator(shared, "telemetry")
    for point in telemetry:
        judge.validate(point)
    seen = {(trip, point["timestamp"]): point["location"] for point in telemetry for trip in point["trip_ids"] or ()}
    for trip in trips:  # at least where it began and where it ended
        for when, where in (("start_time", "start_location"), ("end_time", "end_location")):
            assert seen[trip["trip_id"], trip[when]] == trip[where]
    spans: dict[str, list[tuple[int, int]]] = {}
    for trip in trips:
        (journey,) = {p["journey_id"] for p in telemetry if trip["trip_id"] in (p["trip_ids"] or ())}
        spans.setdefault(journey, []).append((trip["start_time"], trip["end_time"]))
    assert max(map(len, spans.values())) > 1  # shared rides are one journey
    for rides in spans.values():
        for ride in rides:
            assert len(rides) == 1 or any(a <= ride[1] and ride[0] <= b for a, b in rides if (a, b) != ride)
    judge = mds_validator(shared, "event")
    for event in events[::5]:
        judge.validate(event)
    assert len({e["event_id"] for e in events}) == len(events) > 100
    recent = a_day.ask("planner", "GET", f"/mds/events/recent?start_time={now - 10 * HOUR}&end_time={now}").json()
    assert {e["event_id"] for e in recent["events"]} >= {
        e["event_id"] for e in events if e["timestamp"] > now - 10 * HOUR
    }
    status = a_day.ask("planner", "GET", "/mds/vehicles/status").json()["vehicles_status"]
    assert len(status) == len(vehicles)
    for one in status:
        mds_validator(shared, "vehicle-status").validate(one)
        assert a_day.ask("planner", "GET", f"/mds/vehicles/status/{one['device_id']}").json()["vehicles_status"] == [
            one
        ]
        assert a_day.ask("planner", "GET", f"/mds/vehicles/{one['device_id']}").json()["vehicles"][0] in vehicles
    later = (datetime.fromtimestamp(now / 1000, UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H")
    assert a_day.ask("planner", "GET", f"/mds/trips?end_time={later}").status_code == 404
    assert a_day.ask("planner", "GET", "/mds/vehicles/6f0b8f5e-3a52-5c0e-9d1c-1b7f6e0a7a11").status_code == 404
    wrong = a_day.ask("planner", "GET", "/mds/trips?end_time=2026-02-30T08")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid")


def test_vehicles_as_ngsi_ld(a_day: Serving) -> None:
    """FleetVehicleStatus by its own schema, whose common part is published elsewhere; the same vehicles as in GTFS
    Realtime, at the same places."""
    base = f"/feeds/home/{a_day.region}"
    found = a_day.http.get(f"{base}/ngsi-ld/fleet_vehicle_status.json").json()
    assert found
    feed = gtfs_realtime_pb2.FeedMessage()
    feed.ParseFromString(a_day.http.get(f"{base}/vehicle_positions.pb").content)
    places = {e.vehicle.vehicle.id: (e.vehicle.position.longitude, e.vehicle.position.latitude) for e in feed.entity}
    assert {one["fleetVehicle"].rsplit(":", 1)[1] for one in found} == set(places)
    for one in found:
        lon, lat = one["lastKnownPosition"]["coordinates"]
        assert places[one["fleetVehicle"].rsplit(":", 1)[1]] == pytest.approx((lon, lat), abs=1e-4)
        assert datetime.fromisoformat(one["lastKnownPositionUpdatedAt"]).tzinfo is not None
    if not NGSI.is_file():
        return
    own = json.loads(NGSI.read_text())["allOf"][2]
    own["properties"].pop("lastKnownPosition")
    for one in found:
        jsonschema.validate(one, own)
        assert {"id", "type"} <= one.keys()


GIF_XSD = NGSI.parents[1] / "gif/GIF_Core_DataModel.xsd"


@pytest.mark.shared
@pytest.mark.skipif(not GIF_XSD.is_file(), reason="needs ../shared/standards/dataspace-protocol")
def test_places_and_operators_in_the_core_model_of_gif(a_day: Serving) -> None:
    """Every element by the published XSD, read by a library; each place and operator is there once, with what we know
    of it, and nothing is made up."""
    import xmlschema

    answer = a_day.http.get(f"/feeds/home/{a_day.region}/gif.xml")
    assert answer.headers["content-type"] == "application/xml"
    schema = xmlschema.XMLSchema(str(GIF_XSD))
    root = ElementTree.fromstring(answer.content)
    pd = "{http://xxx/xxx/gif/xxx}"
    for child in root:
        schema.validate(child)
    region = next(iter(a_day.node.actors.values())).runtime.region
    facilities = root.findall(f"{pd}Facility")
    said = [(f.findtext(f"{pd}name"), f.findtext(f"{pd}typeInformation/{pd}code")) for f in facilities]
    assert [(name, kind) for name, kind in said] == [(p.name, p.kind) for p in region.places]
    places = [str(f.findtext(f"{pd}description")).split("geo:")[1] for f in facilities]
    assert places == [f"{p.lat:.6f},{p.lon:.6f}" for p in region.places]
    assert len({f.findtext(f"{pd}id") for f in facilities}) == len(facilities) > 0
    nil = "{http://www.w3.org/2001/XMLSchema-instance}nil"
    assert all(f.find(f"{pd}facilityAddress_MP07").get(nil) == "true" for f in facilities)  # type: ignore[union-attr]
    names = {e.findtext(f"{pd}tradeNameEn") for e in root.findall(f"{pd}LegalEntity_MP03")}
    operators = a_day.ask("administrator", "GET", "/v1/operators").json()["operators"]
    assert names == {one["name"] for one in operators}
    facilities[0].remove(facilities[0].find(f"{pd}name"))  # type: ignore[arg-type]
    with pytest.raises(xmlschema.XMLSchemaException):
        schema.validate(facilities[0])
