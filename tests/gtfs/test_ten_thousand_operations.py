"""Ten thousand operations of days drawn at random go out in every standard, each valid by its official schema."""

from __future__ import annotations

import csv
import json
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import DAY, MINUTE, a_region_draft, a_scenario_text, a_street_town, a_vehicle
from gtfs.test_joint import PARAMS, a_traveller, a_world
from gtfs.test_publish import H, a_service, mds_validator, tomp_judge
from gtfs.test_realtime import MIDNIGHT, rules_broken
from jsonschema import Draft7Validator

from noriai_engine.model import Place, Spot
from noriai_engine.model.errors import InputError
from noriai_engine.regions import write_region
from noriai_gtfs.feeds.write import write_feed
from noriai_gtfs.joint import JointSearch
from noriai_gtfs.publish import HEADERS, PublishedService, flex_of, write_flex
from noriai_gtfs.publish.gofs import gofs_documents
from noriai_gtfs.publish.mds import Aboard, Authority
from noriai_gtfs.publish.tomp import offer_collection
from noriai_gtfs.realtime.publish import VehicleReport, vehicle_positions
from noriai_gtfs.validation import validate
from noriai_simulations.scenario import load_scenario
from noriai_simulations.simulate import simulate

pytestmark = pytest.mark.long
LIVES = (
    "", "[life]\nheld_up = 0.3\n", "[life]\ndriver_absent = 0.2\ndriver_late = 0.3\nfail = 0.2\n",
    '[life]\nheld_up = 0.1\n[[life.traffic]]\nbetween = ["08:00", "10:00"]\nslower = 1.7\n',
)  # fmt: skip


def test_events_trips_and_telemetry_in_mds(shared: Path) -> None:
    """Random towns, fleets, lives: 10,000 events, each under the schema and a row of the table of states."""
    rows = csv.DictReader((shared.parent / "standards/mds/passenger-services-state-machine.csv").open())
    legal = {(row["from_vehicle_state"], row["to_vehicle_state"], row["event_type"]) for row in rows}
    judges = {model: mds_validator(shared, model) for model in ("vehicle", "event", "trip", "telemetry")}
    counted: Counter[str] = Counter()
    seed = 0
    while counted["event"] < 10_000:
        day = a_random_day(seed)
        network = day.scenario.region.network

        def place_of(event: Any, network: Any = network) -> Place | None:
            return None if event.state is None else network.place_at(Spot(event.state, event.offset_ms))

        authority = Authority("noriai.example", day.scenario.vehicles, day.scenario.requests)
        documents: list[tuple[str, Any]] = [("vehicle", authority.vehicle(one)) for one in day.scenario.vehicles]
        events = list(authority.events(day.events, place_of))
        documents += [("event", event) for event in events]
        documents += [("trip", trip) for trip in authority.trips(day.events, place_of, lambda begin, end: 1000)]
        aboard = Aboard(day.events)
        documents += [
            ("telemetry", authority.telemetry(event.vehicle_id, int(event.time), Place(137.5, 36.9), aboard))
            for event in day.events if event.kind in ("picked_up", "dropped_off")
        ]  # fmt: skip
        for model, document in documents:
            judges[model].validate(document)
            counted[model] += 1
        state = {authority.uuid("vehicle", one.id): "non_operational" for one in day.scenario.vehicles}
        for event in events:
            step = state[event["device_id"]], event["vehicle_state"], event["event_types"][0]
            assert step in legal, (seed, step)
            state[event["device_id"]] = event["vehicle_state"]
        seed += 1
    assert min(counted[model] for model in ("trip", "telemetry")) > 1_000, counted


def a_random_day(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_region(a_region_draft(a_street_town(rng, int(rng.integers(8, 40)))), folder / "town")
        whims = "[demand]\ncancelled = 0.1\nno_show = 0.1\n[demand.synthetic]"
        text = a_scenario_text("town", requests=int(rng.integers(50, 250)), seed=seed)
        text = text.replace("[demand.synthetic]", whims) + LIVES[seed % len(LIVES)]
        (folder / "day.toml").write_text(text, encoding="utf-8")
        day = simulate(load_scenario(folder / "day.toml"))
        _ = day.scenario.region.network
        return day


def test_services_in_gofs_and_flex(shared: Path, tmp_path: Path) -> None:
    """A thousand sets of services in GOFS; every fifth in GTFS-Flex without a canonical error or warning."""
    folder = shared.parent / "standards" / "gofs" / "schema"
    judges = {file.name: Draft7Validator(json.loads(file.read_text())) for file in folder.glob("*.json")}
    fleet = [a_vehicle("v1", place=Place(137.5, 36.9)), a_vehicle("v2", place=Place(137.5, 36.9), wheelchairs=1)]
    written = checked = 0
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        start = date(2026, 4, 1) + timedelta(days=int(rng.integers(0, 300)))
        services = [drawn for k in range(int(rng.integers(1, 5))) if (drawn := a_random_service(rng, f"s{k}", start))]
        if not services:
            continue
        documents = gofs_documents(services, fleet, "https://example.com/gofs", 1_790_000_000 + seed)
        for name, document in documents.items():
            if name in judges:
                judges[name].validate(document)
                written += 1
        if seed % 5 == 0:
            tables, locations = write_flex(flex_of(services, str(seed)))
            path = tmp_path / "flex.zip"
            write_feed(path, tables, locations, HEADERS)
            report = validate(path, start)
            found = {code for severity, code, _ in report.codes() if severity != "INFO" and code in report.totals}
            bad = found - {"trip_coverage_not_active_for_next7_days"}  # depends on the day it is read
            assert not bad, (seed, bad)
            checked += 1
    assert written > 5_000
    assert checked > 150


def a_random_service(rng: np.random.Generator, name: str, start: date) -> PublishedService | None:
    """Any hours, dates, days, places, notice; None where it would run on no day."""
    opens = int(rng.integers(0, 20))
    closes = opens + int(rng.integers(1, 24 - opens + 1))
    x, y = 137.5 + float(rng.random()) / 10, 36.9 + float(rng.random()) / 10
    side = 0.01 + float(rng.random()) / 10
    ring = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
    limits = replace(
        a_service().service, id=name, name=str(rng.choice(["ノッカル", "Rural ride", "予約バス"])) + name, opens=opens * H,
        closes=closes * H, min_lead_ms=int(rng.choice([0, 5, 30, 60, 240])) * MINUTE,
    )  # fmt: skip
    by_stops = bool(rng.random() < 0.4)
    if by_stops:
        stops = tuple(Place(x + k * side / 5, y + side / 2, f"停留所{k}") for k in range(int(rng.integers(2, 5))))
        limits = replace(limits, mode="stops", stops=stops)
    try:
        return a_service(
            service=limits, valid_from=start, valid_to=start + timedelta(days=int(rng.integers(30, 400))),
            weekdays=frozenset(rng.choice(7, int(rng.integers(1, 8)), replace=False).tolist()),
            except_dates=frozenset(start + timedelta(days=int(d)) for d in rng.integers(0, 200, 3)),
            area=() if by_stops else (ring,),
            last_call_day_before=int(rng.integers(8, 20)) * H if rng.random() < 0.3 else None,
            phone=str(rng.choice(["+81765831100", "+815012345678"])),
        )  # fmt: skip
    except InputError:
        return None


def test_offers_in_tomp(shared: Path, tmp_path: Path) -> None:
    judge, found = tomp_judge(shared), 0
    for world in range(12):
        network, dispatcher, lines = a_world(
            tmp_path, vehicles=1 + world % 3, headway=(10, 20, 45)[world % 3], busy=world
        )
        search, rng = JointSearch(dispatcher, lines, PARAMS), np.random.default_rng(world)
        for _ in range(80):
            a, b = (int(node) for node in rng.choice(60, 2, replace=False))
            if abs(a - b) < 5:
                continue
            who = a_traveller(network, a, b, int(rng.integers(450, 540)))
            offers = search.offers(who)
            judge.validate(offer_collection("s1", who, offers, lines.day, DAY))
            found += len(offers)
    assert found > 1_000


def test_vehicles_in_gtfs_realtime(tmp_path: Path) -> None:
    """2,000 reports in 20 messages: none of the 121 rules fires."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        reports = [
            VehicleReport(
                f"bus-{k}", str(rng.choice(["", "1号車"])), 137.50 + float(rng.random()) / 30, 36.90 + float(rng.random()) / 30,
                MIDNIGHT + int(rng.integers(0, 30)), float(rng.random() * 360) if rng.random() < 0.7 else None,
                float(rng.random() * 15) if rng.random() < 0.7 else None, int(rng.integers(0, 9)), 8,
                wheelchair=[None, True, False][int(rng.integers(3))],
            )
            for k in range(100)
        ]  # fmt: skip
        assert rules_broken(tmp_path, vehicle_positions(reports, MIDNIGHT + 30)) == [], seed
