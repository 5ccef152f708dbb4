"""Journeys by line beside nigiri (pynigiri) and cafein on Porto Alegre's buses: speed in one process, arrivals equal.

Blank times between stops are estimated by our reader and written into the feed the peers get, in whole minutes, as
nigiri counts. All search stop to stop without walks: stops are moved apart, since nigiri joins those within 100 m and
cannot be told not to. Two minutes to change beside nigiri (its rule), none beside cafein. Journeys end within 11 h, so
that the next day's trips, which cafein does not see, count nowhere. Times are medians of alternating calls; the figure
is the ratio.

    make bench-journeys
"""

import argparse
import csv
import io
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from noriai_gtfs import read_feed
from noriai_gtfs.journeys import JourneySearch, SearchParams
from noriai_gtfs.timetable import Timetable, build_timetable, day_timetable

DATA = Path(__file__).parents[3] / "shared" / "data" / "gtfs" / "world"
DAY = date(2019, 5, 8)
START_MS = 12 * 3_600_000 + 30 * 60_000
RIDES = 7
LONGEST_MS = 11 * 3_600_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=300, help="pairs of stops to time")
    parser.add_argument("--equal", type=int, default=10_000, help="pairs of stops whose arrivals are compared")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "poa.zip"
        minutes(DATA / "portoalegre-eptc.zip", path)
        timetable = build_timetable([read_feed(path)])
        day = day_timetable(timetable, DAY)
        params = SearchParams(max_rides=RIDES, change_ms=0, max_duration_ms=LONGEST_MS)
        ours = {
            "cafein": JourneySearch(day, params), "pynigiri": JourneySearch(day, replace(params, change_ms=120_000))
        }  # fmt: skip
        ids = timetable.stop_id.all()
        used = np.unique(timetable.sequence_stop)
        pairs = [(int(a), int(b)) for a, b in rng.choice(used, (args.equal, 2)) if a != b]
        peers = {"pynigiri": nigiri(path, ids), "cafein": cafein(path, ids)}
        print(f"{timetable.trips:,} trips, {timetable.arrive_ms.size:,} stop times, {used.size:,} stops in use; {DAY}")
        compare(ours, peers, pairs)
        print("without walks")
        timed(ours["cafein"], peers, pairs[: args.pairs])
        minutes(DATA / "portoalegre-eptc.zip", path, apart=False)
        walking = day_timetable(build_timetable([read_feed(path)], walk_m=100), DAY)
        peers = {"pynigiri": nigiri(path, ids), "cafein": cafein(path, ids)}
        print("with walks between stops within 100 m (cafein: without)")
        timed(JourneySearch(walking, replace(params, change_ms=120_000)), peers, pairs[: args.pairs])


def compare(ours: dict[str, JourneySearch], peers: dict[str, Any], pairs: list[tuple[int, int]]) -> None:
    """Earliest arrivals, pair by pair."""
    for name, peer in peers.items():
        if peer is None:
            continue
        same = none = 0
        different = []
        for a, b in pairs:
            mine = min((j.arrive_ms for j in ours[name].journeys([(a, 0)], [(b, 0)], START_MS)), default=-1)
            theirs = peer["arrival"](a, b)
            same += mine == theirs and mine >= 0
            none += mine == theirs == -1
            if mine != theirs:
                different.append((a, b, mine, theirs))
        print(
            f"{name}: arrivals equal {same:,}, no journey in both {none:,}, different {len(different):,}", different[:3]
        )


def timed(ours: JourneySearch, peers: dict[str, Any], pairs: list[tuple[int, int]]) -> None:
    """Medians of alternating calls."""
    ours.prepare()
    calls: dict[str, dict[str, Callable[[int, int], object]]] = {
        "one to one, Pareto with legs": {"noriai": lambda a, b: ours.journeys([(a, 0)], [(b, 0)], START_MS)},
        "one to all": {"noriai": lambda a, b: ours.arrivals([(a, 0)], START_MS)},
        "window of 1 h": {"noriai": lambda a, b: ours.window([(a, 0)], [(b, 0)], START_MS, START_MS + 3_600_000)},
    }
    kinds = {"one": "one to one, Pareto with legs", "all": "one to all", "window": "window of 1 h"}
    for name, peer in peers.items():
        for key, title in kinds.items():
            if peer is not None and key in peer:
                calls[title][name] = peer[key]
    for title, rivals in calls.items():
        spent: dict[str, list[float]] = {name: [] for name in rivals}
        for a, b in pairs:
            for name, call in rivals.items():
                begun = time.perf_counter()
                call(a, b)
                spent[name].append(time.perf_counter() - begun)
        mine = statistics.median(spent["noriai"])
        line = f"{title:<30} noriai {1000 * mine:.3f} ms (p95 {1000 * np.quantile(spent['noriai'], 0.95):.3f})"
        for name, times in spent.items():
            if name != "noriai":
                ratios = statistics.median(times) / mine
                line += f" | {name} {1000 * statistics.median(times):.2f} ms: {ratios:.1f} x"
        print(line)


def minutes(source: Path, target: Path, *, apart: bool = True) -> None:
    """The feed with every time written out, cut to whole minutes."""
    timetable: Timetable = build_timetable([read_feed(source)])
    stops, trips = timetable.stop_id.all(), timetable.trip_id.all()
    lines = ["trip_id,arrival_time,departure_time,stop_id,stop_sequence"]
    for trip, name in enumerate(trips):
        first = timetable.sequence_first[timetable.trip_sequence[trip]]
        for place, row in enumerate(range(timetable.trip_first[trip], timetable.trip_first[trip + 1])):
            arrive, depart = (
                f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:00"
                for ms in (int(timetable.arrive_ms[row]), int(timetable.depart_ms[row]))
            )
            stop = stops[timetable.sequence_stop[first + place]]
            lines.append(f"{name},{arrive},{depart},{stop},{place + 1}")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == "stop_times.txt":
                data = "\n".join([*lines, ""]).encode()
            elif info.filename == "stops.txt" and apart:
                data = _apart(data.decode()).encode()
            new.writestr(info.filename, data)


def _apart(text: str) -> str:
    """The stops on a grid of 0.01 degrees."""
    rows = list(csv.DictReader(io.StringIO(text)))
    for number, row in enumerate(rows):
        row["stop_lat"], row["stop_lon"] = f"{-30 + 0.01 * (number // 100):.2f}", f"{-51 + 0.01 * (number % 100):.2f}"
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def nigiri(path: Path, ids: list[str]) -> dict[str, Any] | None:
    """pynigiri: RAPTOR with Pareto sets; counts in minutes."""
    try:
        import pynigiri as ng
    except ImportError:
        print("pynigiri is not installed: left out")
        return None
    source = ng.TimetableSource("poa", str(path))
    table = ng.load_timetable([source], DAY.isoformat(), (DAY + timedelta(days=2)).isoformat())
    places = [table.find_location(stop) for stop in ids]
    zone = ZoneInfo("America/Sao_Paulo")
    midnight = int(datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=zone).timestamp()) // 60 - 12 * 60

    def query(a: int, b: int, window: int = 0) -> Any:
        query = ng.Query()
        begin = midnight + START_MS // 60_000
        query.start_time = begin if not window else ng.TimeInterval(begin, begin + window)
        query.start, query.destination = [ng.Offset(places[a], 0, 0)], [ng.Offset(places[b], 0, 0)]
        query.max_transfers = RIDES - 1
        query.max_travel_time = LONGEST_MS // 60_000
        query.start_match_mode = query.dest_match_mode = ng.LocationMatchMode.EXACT
        return ng.route(table, query)

    def arrival(a: int, b: int) -> int:
        found = [60_000 * (j.legs[-1].arr_time - midnight) for j in query(a, b) if len(j.legs)]
        return min(found, default=-1)

    return {"arrival": arrival, "one": query}


def cafein(path: Path, ids: list[str]) -> dict[str, Any] | None:
    """cafein: RAPTOR."""
    try:
        import cafein as module
    except ImportError:
        print("cafein is not installed: left out")
        return None
    network = module.TransportNetwork.from_gtfs(str(path), trip_distances=False)
    begin = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).replace(tzinfo=None) + timedelta(milliseconds=START_MS)
    text = begin.isoformat(sep=" ")

    def arrival(a: int, b: int) -> int:
        spent = times(a).get(ids[b])
        return -1 if spent is None else START_MS + 1000 * round(float(spent))

    kept: dict[int, dict[str, float]] = {}

    def times(a: int) -> dict[str, float]:
        if a not in kept:
            kept[a] = network.travel_times_from_stop(ids[a], departure=text, max_rides=RIDES)
        return kept[a]

    def one(a: int, b: int) -> object:
        return network.route_between_stops(ids[a], ids[b], departure=text, max_rides=RIDES)

    def every(a: int, b: int) -> object:
        return network.travel_times_from_stop(ids[a], departure=text, max_rides=RIDES)

    return {"arrival": arrival, "one": one, "all": every}


if __name__ == "__main__":
    main()
