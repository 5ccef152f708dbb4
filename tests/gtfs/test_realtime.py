"""The running timetable follows updates exactly; what we publish passes an independent validator."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from google.transit.gtfs_realtime_pb2 import FeedMessage
from gtfs.feeds_made import TOWN, plain, zipped
from gtfs.test_journeys import MONDAY, H, M, Names, changes_of, onward_of, small_feeds, walks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.journeys import Trip, least_arrivals
from naive.predictions import predicted

from noriai_engine.model.errors import InputError
from noriai_gtfs import read_feed
from noriai_gtfs.journeys import JourneySearch, SearchParams
from noriai_gtfs.realtime import VehicleReport, apply_updates, vehicle_positions
from noriai_gtfs.timetable import DayTimetable, build_timetable, day_timetable

MIDNIGHT = int(datetime(2026, 4, 5, 15, tzinfo=UTC).timestamp())  # of Monday in Tokyo


def a_message() -> Any:
    message = FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    message.header.timestamp = MIDNIGHT
    return message


def an_update(message: Any, trip: str, relation: int = 0) -> Any:
    entity = message.entity.add(id=f"e{len(message.entity)}")
    entity.trip_update.trip.trip_id = trip
    entity.trip_update.trip.schedule_relationship = relation
    return entity.trip_update


def town_day(tmp_path: Path, **change: str) -> DayTimetable:
    tables = TOWN | {f"{name}.txt": text for name, text in change.items()}
    return day_timetable(build_timetable([read_feed(zipped(tmp_path / "f.zip", plain(tables)))]), MONDAY)


def arrivals(day: DayTimetable, origin: str, target: str, start_ms: int) -> list[int]:
    a, b = (day.timetable.stop_row(stop) for stop in (origin, target))
    return [j.arrive_ms for j in JourneySearch(day).journeys([(a, 0)], [(b, 0)], start_ms)]


@settings(max_examples=80, deadline=None)
@given(tables=small_feeds(), data=st.data(), start=st.integers(0, 24 * 4))
def test_updates_give_the_journeys_of_a_timetable_written_anew(
    tables: dict[str, str], data: st.DataObject, start: int
) -> None:
    """Random delays, skipped stops and cancellations; the plain twin searches over times predicted by hand."""
    with TemporaryDirectory() as folder:
        timetable = build_timetable([read_feed(zipped(Path(folder) / "f.zip", plain(TOWN | tables)))])
    day = day_timetable(timetable, MONDAY)
    message = a_message()
    trips: list[Trip] = []
    names: Names = []
    for run in range(day.runs):
        pattern, row = day.pattern_of(run), int(day.first_time[run])
        first, n = int(day.first_stop[pattern]), int(day.length_of_run[run])
        times = [(int(day.arrive_ms[row + k]), int(day.depart_ms[row + k])) for k in range(n)]
        board = [not day.rule[first + k] & 1 for k in range(n)]
        alight = [not day.rule[first + k] & 2 for k in range(n)]
        if day.day_of[run] == 0:
            kind = data.draw(st.sampled_from(["none", "none", "late", "late", "cancelled"]))
            trip = timetable.trip_id[int(day.trip[run])]
            if kind == "cancelled":
                an_update(message, trip, 3)
                continue
            if kind == "late":
                update = an_update(message, trip)
                updates: dict[int, tuple[int | None, int | None] | None] = {}
                for place in sorted(data.draw(st.sets(st.integers(0, n - 1), max_size=3))):
                    item = update.stop_time_update.add(stop_sequence=place)
                    what = data.draw(st.sampled_from(["in", "out", "both", "none", "skip"]))
                    if what == "skip":
                        item.schedule_relationship = 1
                        board[place] = alight[place] = False
                        continue
                    if what == "none":
                        item.schedule_relationship = 2
                        updates[place] = None
                        continue
                    into, out = (data.draw(st.sampled_from([-600, 60, 1200, 7200])) for _ in range(2))
                    if what in ("in", "both"):
                        item.arrival.delay = into
                    if what in ("out", "both"):
                        item.departure.delay = out
                    updates[place] = (
                        1000 * into if what in ("in", "both") else None, 1000 * out if what in ("out", "both") else None,
                    )  # fmt: skip
                times = predicted(times, updates)
        stops = day.stop[first : first + n].tolist()
        trips.append([(stops[k], *times[k], board[k], alight[k]) for k in range(n)])
        names.append((timetable.trip_id[int(day.trip[run])], int(day.day_of[run])))
    applied = apply_updates(day, message.SerializeToString())
    assert applied.unknown == ()
    params = SearchParams(max_rides=4, change_ms=60_000, max_duration_ms=20 * H)
    search = JourneySearch(applied.day, params)
    more = changes_of(timetable), onward_of(tables, trips, names)
    for target in (1, 2):
        found = [(j.rides, j.arrive_ms) for j in search.journeys([(0, 0)], [(target, 0)], start * 900_000)]
        ends = 0, target, start * 900_000, 60_000, 4, 20 * H
        assert found == least_arrivals(trips, walks_of(timetable), *ends, *more)
    np.testing.assert_array_equal(day.alive, 1)


def test_a_delay_by_time_and_a_cancellation(tmp_path: Path) -> None:
    day = town_day(tmp_path)
    message = a_message()
    update = an_update(message, "T1")
    update.stop_time_update.add(stop_id="C").arrival.time = MIDNIGHT + 8 * 3600 + 25 * 60
    applied = apply_updates(day, message.SerializeToString())
    assert (applied.updated, applied.cancelled) == (1, 0)
    assert arrivals(applied.day, "A", "B", 7 * H) == [8 * H + 35 * M]
    an_update(message, "T1", 3)
    assert arrivals(apply_updates(day, message.SerializeToString()).day, "A", "B", 7 * H) == [9 * H + 20 * M]
    assert arrivals(day, "A", "B", 7 * H) == [8 * H + 20 * M]


def test_new_copied_and_replaced_trips(tmp_path: Path) -> None:
    day = town_day(tmp_path)
    message = a_message()
    extra = an_update(message, "X1", 8)
    extra.trip.route_id = "R2"
    for stop, minute in (("A", 440), ("D", 450)):
        extra.stop_time_update.add(stop_id=stop).arrival.time = MIDNIGHT + 60 * minute
    copy = an_update(message, "T1", 6)
    copy.trip_properties.trip_id, copy.trip_properties.start_time = "T1b", "07:00:00"
    applied = apply_updates(day, message.SerializeToString())
    assert applied.added == 2
    assert arrivals(applied.day, "A", "D", 7 * H) == [450 * M]
    assert arrivals(applied.day, "A", "B", 7 * H) == [7 * H + 20 * M]
    (journey,) = JourneySearch(applied.day).journeys([(0, 0)], [(3, 0)], 7 * H)
    assert applied.day.timetable.trip_id[int(applied.day.trip[journey.legs[0].run])] == "X1"
    message = a_message()
    instead = an_update(message, "T1", 5)
    for stop, minute in (("A", 480), ("D", 490), ("B", 500)):
        instead.stop_time_update.add(stop_id=stop).departure.time = MIDNIGHT + 60 * minute
    replaced = apply_updates(day, message.SerializeToString()).day
    assert arrivals(replaced, "A", "D", 7 * H) == [490 * M]
    assert arrivals(replaced, "A", "C", 7 * H) == [9 * H + 10 * M]


def test_a_detour_with_a_stop_of_its_own(tmp_path: Path) -> None:
    """The road at C is closed: T1 goes by a temporary stop and arrives five minutes later."""
    day = town_day(tmp_path)
    message = a_message()
    stop = message.entity.add(id="s").stop
    stop.stop_id, stop.stop_lon, stop.stop_lat = "C2", 137.521, 36.921
    detour = message.entity.add(id="d").trip_modifications
    detour.selected_trips.add().trip_ids.append("T1")
    detour.service_dates.append("20260406")
    change = detour.modifications.add(propagated_modification_delay=300)
    change.start_stop_selector.stop_id = "C"
    change.end_stop_selector.stop_id = "C"
    change.replacement_stops.add(stop_id="C2", travel_time_to_stop=720)
    applied = apply_updates(day, message.SerializeToString())
    assert applied.unknown == ()
    assert arrivals(applied.day, "A", "C2", 7 * H) == [8 * H + 12 * M]
    assert arrivals(applied.day, "A", "B", 7 * H) == [8 * H + 25 * M]
    assert arrivals(applied.day, "A", "C", 7 * H) == [9 * H + 10 * M]


def test_what_cannot_be_matched_is_said(tmp_path: Path) -> None:
    day = town_day(tmp_path)
    message = a_message()
    an_update(message, "T99").stop_time_update.add(stop_id="A").arrival.delay = 60
    an_update(message, "T1").stop_time_update.add(stop_id="Z").arrival.delay = 60
    an_update(message, "T2", 6).trip_properties.start_time = "seven"
    applied = apply_updates(day, message.SerializeToString())
    assert [text.split(":")[0] for text in applied.unknown] == [
        "trip 'T99'", "trip 'T1'", "copy of trip 'T2'",
    ]  # fmt: skip
    for broken in (b"not a message", b""):
        with pytest.raises(InputError, match="realtime feed"):
            apply_updates(day, broken)


def test_alerts_name_rows(tmp_path: Path) -> None:
    day = town_day(tmp_path)
    message = a_message()
    alert = message.entity.add(id="a").alert
    alert.informed_entity.add(stop_id="C")
    alert.informed_entity.add(route_id="R1")
    alert.effect = alert.DETOUR
    alert.header_text.translation.add(text="工事", language="ja")
    (found,) = apply_updates(day, message.SerializeToString()).alerts
    assert (found.stops, found.routes, found.effect, found.header) == ((2,), (0,), "DETOUR", "工事")


def test_a_real_feed_is_applied_whole(shared: Path) -> None:
    """Caltrain, 2023: 19 trip updates, each trip in the static feed of the same days."""
    folder = shared / "gtfs" / "realtime"
    data = (folder / "caltrain-trip-updates.pb").read_bytes()
    message = FeedMessage()
    message.ParseFromString(data)
    from zoneinfo import ZoneInfo

    when = datetime.fromtimestamp(message.header.timestamp, ZoneInfo("America/Los_Angeles")).date()
    timetable = build_timetable([read_feed(folder / "caltrain-static-2023.zip")])
    day = day_timetable(timetable, when)
    applied = apply_updates(day, data)
    running = sum(e.HasField("trip_update") for e in message.entity)
    assert running == 19
    assert applied.updated + applied.cancelled + applied.added + len(applied.unknown) >= running
    assert applied.updated >= 15, applied.unknown
    shown = 0
    for entity in message.entity:
        update = entity.trip_update
        row = timetable.trip_id.row_of.get(update.trip.trip_id)
        assert row is not None
        for item in update.stop_time_update:
            stop = timetable.stop_id.row_of.get(item.stop_id)
            if stop is None or not item.arrival.time:
                continue
            runs = np.flatnonzero((applied.day.trip == row) & (applied.day.alive == 1) & (applied.day.day_of == 0))
            for run in runs.tolist():
                pattern = applied.day.pattern_of(run)
                span = applied.day.stop[applied.day.first_stop[pattern] : applied.day.first_stop[pattern + 1]]
                for place in np.flatnonzero(span == stop).tolist():
                    noon = datetime(when.year, when.month, when.day, 12, tzinfo=ZoneInfo("America/Los_Angeles"))
                    ms = 1000 * (item.arrival.time - int(noon.timestamp()) + 12 * 3600)
                    got = int(applied.day.arrive_ms[applied.day.first_time[run] + place])
                    shown += abs(got - ms) < 1000
    assert shown > 100


def rules_broken(folder: Path, data: bytes) -> list[str]:
    """Rules of gtfs-rt-validator (121, MobilityData's among them) that fire on a message beside the town's feed."""
    (folder / "vp.pb").write_bytes(data)
    command = [
        str(Path(sys.executable).parent / "gtfs-rt-validator"), "-gtfs", str(zipped(folder / "f.zip", plain(TOWN))),
        "-vp", str(folder / "vp.pb"), "--at", datetime.fromtimestamp(MIDNIGHT + 31, UTC).isoformat(),
        "--out", str(folder / "out"),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = []
    for file in sorted((folder / "out").rglob("*.json")):
        found += re.findall(r'"(?:errorId|rule|ruleId|code|id)":\s*"([EW]\d{3}[^"]*)"', file.read_text())
    return found


def test_published_vehicles_pass_an_independent_validator(tmp_path: Path) -> None:
    reports = [
        VehicleReport("bus-1", "1号車", 137.51, 36.91, MIDNIGHT + 20, 90.0, 8.5, 2, 8, wheelchair=True),
        VehicleReport("bus-2", "", 137.52, 36.92, MIDNIGHT + 10, None, None, 8, 8, wheelchair=False),
        VehicleReport("bus-3", "", 137.52, 36.92, MIDNIGHT + 10),
    ]
    data = vehicle_positions(reports, MIDNIGHT + 30)
    assert data == vehicle_positions(reports, MIDNIGHT + 30)
    message = FeedMessage()
    message.ParseFromString(data)
    assert [e.vehicle.occupancy_status for e in message.entity] == [1, 5, 0]
    assert rules_broken(tmp_path, data) == []
    message.entity[0].vehicle.timestamp = 12
    assert rules_broken(tmp_path, message.SerializeToString()) != []
    for change, text in (
        ({"lon": 237.0}, "WGS84"), ({"bearing": 400.0}, "bearing"), ({"time_s": MIDNIGHT + 1000}, "future"),
        ({"vehicle_id": "bus-2"}, "twice"),
    ):  # fmt: skip
        from dataclasses import replace

        with pytest.raises(InputError, match=text):
            vehicle_positions([reports[1], replace(reports[0], **change)], MIDNIGHT + 30)  # type: ignore[arg-type]


def test_days_of_realtime_are_those_of_the_clock(tmp_path: Path) -> None:
    """start_date picks the day before for a trip past midnight."""
    times = TOWN["stop_times.txt"].replace("T3,08:30:00,08:30:00,B,1", "T3,24:40:00,24:40:00,B,1")
    timetable = build_timetable([read_feed(zipped(tmp_path / "f.zip", plain(TOWN | {"stop_times.txt": times})))])
    tuesday = day_timetable(timetable, date(2026, 4, 7))
    message = a_message()
    update = an_update(message, "T3")
    update.trip.start_date = "20260406"
    update.stop_time_update.add(stop_id="B").departure.delay = 600
    assert arrivals(apply_updates(tuesday, message.SerializeToString()).day, "B", "D", 0) == [H + 15 * M]
