"""One small run of everything that has kernels, with the very types that real runs use."""

import tempfile
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np

from noriai_engine.model import (
    IdSource,
    Place,
    Request,
    Resources,
    RiderNeeds,
    Service,
    ServiceDay,
    Shift,
    Vehicle,
    VirtualClock,
)
from noriai_engine.model.units import OperatorId, RequestId, VehicleId
from noriai_engine.regions import Region, open_region, write_region
from noriai_engine.roads import Oracle, TravelTimes
from noriai_engine.world.day import Batch, Day
from noriai_engine.world.rural import RuralParams, rural_region

_FOLDER = tempfile.TemporaryDirectory(prefix="noriai-warmup-")


@cache
def _town() -> Region:
    folder = Path(_FOLDER.name) / "town"
    write_region(rural_region(1, RuralParams(villages=2, people=100, valley_km=2.0)), folder)
    return open_region(folder)


@cache
def _times() -> TravelTimes:
    return TravelTimes(_town().network)


def _points() -> list[Place]:
    people = _town().population
    assert people is not None
    return [Place(float(x), float(y)) for x, y in zip(people.lon[:4], people.lat[:4], strict=True)]


def _road_queries() -> None:
    times, points = _times(), _points()
    times.matrix(points)
    times.matrix_with_lengths(points)
    spots = [times.stop_at(place)[0] for place in points]
    states, offsets = (np.array(v, np.int32) for v in zip(*spots, strict=True))
    times.to_spots(spots[0], states, offsets)
    times.from_spots(states, offsets, spots[0])
    times.drive(spots[0], spots[1])
    TravelTimes(_town().network, dense=False).matrix(points)


def _plain_graphs() -> None:
    tail, head = np.array([0, 1, 2], np.int32), np.array([1, 2, 0], np.int32)
    oracle = Oracle.from_arcs(tail, head, tail + 1, tail + 1)
    oracle.matrix(tail, head)
    oracle.matrix_with_lengths(tail, head)
    oracle.pairs(tail, head)
    oracle.path(0, 2)


def _dispatch() -> None:
    from noriai_engine.dispatch.dispatcher import Dispatcher

    points, day = _points(), ServiceDay(date(2026, 11, 24), "Asia/Tokyo")
    clock = VirtualClock(day.at("08:00"))
    vehicle = Vehicle(
        VehicleId("v"), OperatorId("o"), "taxi", (Resources(4),), Shift(day.at("08:00"), day.at("12:00")), points[0], ()
    )
    requests = [
        Request(
            RequestId(f"r{k}"), day.at(f"08:0{k}"), points[1], points[2 + k], day.at(f"08:0{k}"), None, Resources(1),
            RiderNeeds(),
        )
        for k in range(2)
    ]  # fmt: skip
    ids = IdSource(clock, np.random.default_rng(1))
    service = Service(max_wait_ms=3_600_000, max_ride_ms=3_600_000)
    batch = Batch(600_000, at_once=False)
    played = Day(Dispatcher(_times(), service, [vehicle], day, clock, ids), clock, requests, batch=batch)
    list(played.steps())
    clock = VirtualClock(day.at("08:00"))
    played = Day(Dispatcher(_times(), service, [vehicle], day, clock, ids), clock, requests)
    for number, _ in enumerate(played.steps()):
        if number == 0:
            played.delay(0, day.at("10:30"))  # later than promised: the plan is worked out anew, and gives way
            played.cancel(requests[0].id)


def _day_plans() -> None:
    """Both types of time: int32 ms of roads, float64 of benchmark files."""
    from noriai_engine.plans import rehearse

    for time in (np.int32, np.float64):
        rehearse(np.dtype(time), bounds=True)
        rehearse(np.dtype(time), fewest_vehicles=True)


def _feeds() -> None:
    """A made feed read, searched, updated, and searched backward."""
    from noriai_gtfs import read_feed
    from noriai_gtfs.journeys import JourneySearch
    from noriai_gtfs.journeys.backward import turned_round
    from noriai_gtfs.realtime import apply_updates
    from noriai_gtfs.timetable import build_timetable, day_timetable

    folder = Path(_FOLDER.name) / "feed"
    folder.mkdir(exist_ok=True)
    for name, text in _FEED.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    day = day_timetable(build_timetable([read_feed(folder)], walk_m=100), date(2026, 4, 6))
    for one in (day, turned_round(day)):
        search = JourneySearch(one)
        search.journeys([(0, 0)], [(1, 0)], 0)
        search.window([(0, 0)], [(1, 0)], 0, 3_600_000)
        search.arrivals([(0, 0)], 0)
    apply_updates(day, _update())


_FEED = {
    "agency": "agency_name,agency_url,agency_timezone\nA,https://example.com,Asia/Tokyo\n",
    "stops": "stop_id,stop_lat,stop_lon\nA,36.9,137.5\nB,36.91,137.51\n",
    "routes": "route_id,route_type\nR,3\n",
    "trips": "route_id,service_id,trip_id\nR,W,T\n",
    "stop_times": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
    "T,08:00:00,08:00:00,A,1\nT,08:10:00,08:10:00,B,2\n",
    "calendar": "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
    "W,1,1,1,1,1,1,1,20260401,20260501\n",
}


def _update() -> bytes:
    from google.transit.gtfs_realtime_pb2 import FeedMessage

    message = FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    update = message.entity.add(id="1").trip_update
    update.trip.trip_id = "T"
    update.stop_time_update.add(stop_sequence=1).arrival.delay = 60
    data: bytes = message.SerializeToString()
    return data


STEPS: list[tuple[str, Callable[[], None]]] = [
    ("road graph", lambda: (_times(), None)[1]),
    ("road queries", _road_queries),
    ("plain graphs", _plain_graphs),
    ("dispatch", _dispatch),
    ("day plans", _day_plans),
    ("feeds", _feeds),
]
"""What `noriai warmup` runs, by name."""
