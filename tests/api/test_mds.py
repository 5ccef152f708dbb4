"""MDS over HTTP, judged by the published models: what the authority reads, and what operators report."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gtfs.test_publish import mds_validator
from mds_documents import MOMENT, a_point, a_stop, a_trip, a_vehicle, an_event, an_id
from serving import Serving, SetClock, serving, some_settings

from noriai_api.access import clients
from noriai_api.access.decision import Subject
from noriai_engine.model import UtcMs
from noriai_gtfs.publish.mds_reports import EVENTS_INTO, fault_of

TAXI, BUS = "48415839-3e38-4ba5-a557-e45fb4e6a0a3", "03db06d0-3998-406a-92c7-25a83fc2784a"
CAR, VAN = an_id(101), an_id(102)
MAKERS = {"vehicle": a_vehicle, "event": an_event, "trip": a_trip, "telemetry": a_point, "stop": a_stop}


@pytest.fixture
def agency(tmp_path: Path) -> Iterator[Serving]:
    """A node whose vehicles are real, and two operators that report; it is a minute after the documents' time."""
    clock = SetClock(datetime.fromtimestamp(MOMENT / 1000 + 60, UTC).isoformat())
    with serving(some_settings(tmp_path, moves_itself=False), clock) as running:
        for operator, provider in (("taxi", TAXI), ("bus", BUS)):
            body = {"name": operator, "kind": "taxi", "mds_provider": provider}
            assert running.ask("administrator", "PUT", f"/v1/operators/{operator}", json=body).is_success
            subject, secret = Subject("home", f"{operator}-mds", "dispatcher", operator), running.node.new_secret()
            made = running.node.writer.put(lambda c, s=subject, k=secret: clients.add_client(c, s, "mds", k, 0))
            running.keys[operator] = made.result()
        yield running


def report(agency: Serving, role: str, path: str, *items: Any, method: str = "POST") -> tuple[int, dict[str, Any]]:
    answer = agency.ask(role, method, f"/mds/agency/{path}", json=list(items))
    assert answer.headers["content-type"] == "application/vnd.mds+json;version=2.0"
    return answer.status_code, answer.json()


def test_the_state_machine_is_the_published_one(shared: Path) -> None:
    rows = csv.DictReader((shared.parent / "standards/mds/passenger-services-state-machine.csv").open())
    published: dict[str, set[str]] = {}
    for row in rows:
        published.setdefault(row["to_vehicle_state"], set()).add(row["event_type"])
    assert {state: set(events) for state, events in EVENTS_INTO.items()} == published


@pytest.mark.parametrize("kind", MAKERS)
def test_documents_are_judged_as_the_models_judge_them(shared: Path, kind: str) -> None:
    """A right one, and each of its fields left out, of another type, or beyond its values: the same verdict as the
    published model's, and the field named."""
    judge, good = mds_validator(shared, kind), MAKERS[kind](TAXI, CAR)
    judge.validate(good)
    assert fault_of(kind, good) is None
    required = {name for name in good if not judge.is_valid({k: v for k, v in good.items() if k != name})}
    assert required
    for name in sorted(required):
        fault = fault_of(kind, {k: v for k, v in good.items() if k != name})
        assert fault is not None, name
        assert name in json.dumps(fault["error_details"])
    tried = 0
    for name in good:
        for value in (None, True, -1, "x", [], {}, ["x"], {"lat": 91, "lng": 0}, {"lat": 1}, 1.5):
            document = good | {name: value}
            if not judge.is_valid(document):
                fault = fault_of(kind, document)
                tried += 1
                if name not in UNJUDGED:
                    assert fault is not None, (name, value)
                    assert name in json.dumps(fault["error_details"]), (name, value, fault)
    assert tried > 25


UNJUDGED = {"vehicle_attributes", "trip_attributes", "fare_attributes"}
"""Kept as they come: what depends on the kind of service, which nobody here reads."""


def test_an_operator_reports_a_day(agency: Serving, shared: Path) -> None:
    assert report(agency, "taxi", "vehicles", a_vehicle(TAXI, CAR)) == (
        201, {"success": 1, "total": 1, "failures": []}
    )  # fmt: skip
    assert report(agency, "taxi", "vehicles", a_vehicle(TAXI, CAR), a_vehicle(TAXI, VAN, "taxi-2"))[0] == 409
    assert report(agency, "taxi", "events", an_event(TAXI, CAR), an_event(TAXI, VAN, 2))[1]["success"] == 2
    assert report(agency, "taxi", "trips", a_trip(TAXI, CAR))[0] == 201
    assert report(agency, "taxi", "telemetry", *(a_point(TAXI, CAR, k) for k in range(1, 30)))[1]["success"] == 29
    assert report(agency, "taxi", "stops", a_stop(TAXI, an_id(7)))[0] == 201
    changed = {"stop_id": an_id(7), "last_updated": MOMENT + 1, "num_vehicles_available": {"car": 0}}
    assert report(agency, "taxi", "stops", changed, method="PUT")[0] == 200
    assert report(agency, "taxi", "vehicles", a_vehicle(TAXI, CAR, vehicle_type="bus"), method="PUT")[0] == 200
    (stop,) = agency.ask("taxi", "GET", f"/mds/agency/stops/{an_id(7)}").json()["stops"]
    mds_validator(shared, "stop").validate(stop)
    assert (stop["num_vehicles_available"], stop["name"]) == ({"car": 0}, "泊駅")
    cars = agency.ask("administrator", "GET", "/mds/agency/vehicles").json()["vehicles"]
    assert [(one["device_id"], one["vehicle_type"]) for one in cars] == [(CAR, "bus"), (VAN, "car")]
    (status,) = agency.ask("taxi", "GET", "/mds/agency/vehicles/status").json()["vehicles_status"]
    mds_validator(shared, "vehicle-status").validate(status)  # the van has no position yet
    assert (status["device_id"], status["last_telemetry"]["telemetry_id"]) == (CAR, an_id(29))
    assert agency.ask("taxi", "GET", f"/mds/agency/vehicles/status/{VAN}").status_code == 404
    # the car is taxi-1 of this node: its reports are the vehicle's
    found = agency.ask("desk", "GET", f"/v1/regions/{agency.region}/positions").json()["positions"]
    (told,) = [one for one in found if one["vehicle"] == "taxi-1"]
    assert (told["lon"], told["lat"], told["speed_mps"], told["stale"]) == (137.55, 36.95, 8.5, False)


def test_each_wrong_document_is_named_and_the_others_are_kept(agency: Serving) -> None:
    report(agency, "taxi", "vehicles", a_vehicle(TAXI, CAR))
    report(agency, "bus", "vehicles", a_vehicle(BUS, VAN, "bus-1"))

    def told(path: str, *items: Any, role: str = "taxi", method: str = "POST") -> list[Any]:
        status, body = report(agency, role, path, *items, method=method)
        assert body["total"] == len(items) == body["success"] + len(body["failures"])
        return [status, *((one["error"], *one["error_details"]) for one in body["failures"])]

    good = an_event(TAXI, CAR)
    assert told("events", an_event(TAXI, CAR, 9, vehicle_state="stopped"), good, an_event(TAXI, VAN, 8), "x") == [
        400, ("bad_param", "event_types"), ("unregistered", "device_id"), ("bad_param", "(item)")
    ]  # fmt: skip
    assert told("events", good) == [201]  # again changes nothing
    assert told("events", good | {"timestamp": MOMENT}) == [400, ("bad_param", "event_id")]
    assert told("events", an_event(BUS, CAR, 5)) == [400, ("bad_param", "provider_id")]  # not theirs to say
    assert told("events", an_event(TAXI, VAN, 5)) == [404, ("unregistered", "device_id")]  # another's vehicle
    assert told("vehicles", a_vehicle(BUS, VAN), role="bus", method="PUT") == [200]
    assert told("vehicles", a_vehicle(TAXI, VAN), method="PUT") == [400, ("bad_param", "device_id")]
    assert told("vehicles", a_vehicle(TAXI, an_id(5)), method="PUT") == [404, ("unregistered", "device_id")]
    assert told("stops", {"stop_id": an_id(5), "last_updated": MOMENT}, method="PUT") == [
        404, ("unregistered", "stop_id")
    ]  # fmt: skip
    report(agency, "taxi", "stops", a_stop(TAXI, an_id(7)))
    assert told("stops", {"stop_id": an_id(7), "name": "x"}, method="PUT") == [400, ("bad_param", "name")]
    assert told("stops", {"stop_id": an_id(7), "last_updated": MOMENT}, role="bus", method="PUT") == [
        400, ("bad_param", "provider_id")
    ]  # fmt: skip
    # what an operator reported is its own
    assert agency.ask("bus", "GET", f"/mds/agency/vehicles/{CAR}").status_code == 404
    assert len(agency.ask("bus", "GET", "/mds/agency/vehicles").json()["vehicles"]) == 1
    assert agency.ask("partner", "POST", "/mds/agency/events", json=[good]).status_code == 403
    assert agency.ask("taxi", "POST", "/mds/agency/events", json=[]).status_code == 422


def test_versions_of_the_standard(agency: Serving) -> None:
    for accept, status in {
        "application/vnd.mds+json;version=2.0": 200, "application/vnd.mds+json; version=2.0.0, text/html": 200,
        "*/*": 200, "application/json": 200, "application/vnd.mds+json;version=1.2": 406,
        "application/vnd.mds+json;version=0.4.1": 406, "application/vnd.mds+json;version=1.2, */*;q=0.1": 200,
    }.items():  # fmt: skip
        answer = agency.http.get(
            "/mds/vehicles", headers={"Authorization": f"Bearer {agency.keys['planner']}", "Accept": accept}
        )
        assert answer.status_code == status, accept


def test_old_reports_are_erased_and_the_fleet_stays(agency: Serving) -> None:
    report(agency, "taxi", "vehicles", a_vehicle(TAXI, CAR))
    report(agency, "taxi", "events", an_event(TAXI, CAR))
    report(agency, "taxi", "trips", a_trip(TAXI, CAR))
    report(agency, "taxi", "telemetry", a_point(TAXI, CAR))
    from noriai_api.housekeeping import forget

    def after(days: int) -> int:
        now = UtcMs(MOMENT + days * 86_400_000)
        return int(agency.node.writer.put(lambda c: forget(c, now, 24, 30, relayed=False)).result()["reported"])

    assert (after(29), after(31), after(31)) == (0, 3, 0)
    assert len(agency.ask("taxi", "GET", "/mds/agency/vehicles").json()["vehicles"]) == 1
