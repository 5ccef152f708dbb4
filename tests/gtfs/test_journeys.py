"""Journeys by line are the best there are, and can be ridden leg by leg."""

from __future__ import annotations

import csv
import io
import itertools
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from gtfs.feeds_made import TOWN, plain, zipped
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.journeys import Trip, least_arrivals

from noriai_engine.model.errors import InputError, RowError
from noriai_gtfs import read_feed
from noriai_gtfs.journeys import Journey, JourneySearch, SearchParams
from noriai_gtfs.timetable import (
    DayTimetable,
    Timetable,
    build_timetable,
    day_timetable,
    open_timetable,
    save_timetable,
)

MONDAY = date(2026, 4, 6)
H, M = 3_600_000, 60_000


def a_timetable(tmp_path: Path, *, walk_m: float = 0, **change: str) -> Timetable:
    tables = TOWN | {f"{name}.txt": text for name, text in change.items()}
    return build_timetable([read_feed(zipped(tmp_path / "f.zip", plain(tables)))], walk_m=walk_m)


def clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


@st.composite
def small_feeds(draw: st.DrawFn) -> dict[str, str]:
    """Up to 7 stops and 12 trips, some overtaking, in loops, past midnight, on two kinds of days."""
    stops = draw(st.integers(3, 7))
    rows, trips = [], []
    for number in range(draw(st.integers(1, 12))):
        time = draw(st.integers(0, 40)) * 1800
        trips.append(f"R1,{draw(st.sampled_from('WWS'))},T{number},,{draw(st.sampled_from(['', '', 'b1', 'b2']))}")
        previous = -1
        for place in range(draw(st.integers(2, 5))):
            stop = draw(st.integers(0, stops - 1).filter(lambda s, p=previous: s != p))
            previous = stop
            arrive = time
            time += draw(st.sampled_from([0, 60, 600]))
            kinds = draw(st.sampled_from(["0,0", "0,0", "1,0", "0,1"]))
            rows.append(f"T{number},{clock(arrive)},{clock(time)},S{stop},{place},{kinds}")
            time += draw(st.sampled_from([60, 600, 1200, 7200]))
    walks = draw(
        st.lists(
            st.tuples(st.integers(0, stops - 1), st.integers(0, stops - 1), st.sampled_from([0, 60, 900])), max_size=4
        )
    )
    number = st.integers(0, len(trips) - 1)
    links = draw(st.lists(st.tuples(number, number, st.sampled_from([4, 4, 5])), max_size=4))
    return {
        "stops.txt": "stop_id,stop_lat,stop_lon\n" + "".join(f"S{k},36.{k},137.{k}\n" for k in range(stops)),
        "trips.txt": "route_id,service_id,trip_id,trip_headsign,block_id\n" + "\n".join(trips) + "\n",
        "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence,pickup_type,drop_off_type\n"
        + "\n".join(rows) + "\n",
        "calendar.txt": TOWN["calendar.txt"] + "S,0,0,1,0,0,1,0,20260401,20270331\n",
        "transfers.txt": "from_stop_id,to_stop_id,transfer_type,min_transfer_time,from_trip_id,to_trip_id\n"
        + "".join(f"S{a},S{b},2,{seconds},,\n" for a, b, seconds in walks)
        + "".join(f",,{kind},,T{a},T{b}\n" for a, b, kind in links),
    }  # fmt: skip


def trips_of(timetable: Timetable, day: date) -> list[Trip]:
    """Every trip from the day before to the day after, written out from the timetable's plain arrays."""
    out = []
    for offset in (-1, 0, 1):
        runs = timetable.runs_on(day + timedelta(days=offset))
        for trip in range(timetable.trips):
            if timetable.trip_service[trip] < 0 or not runs[timetable.trip_service[trip]]:
                continue
            first = timetable.sequence_first[timetable.trip_sequence[trip]]
            out.append(
                [
                    (
                        int(timetable.sequence_stop[first + k]), int(timetable.arrive_ms[row]) + offset * 24 * H,
                        int(timetable.depart_ms[row]) + offset * 24 * H,
                        not timetable.sequence_rule[first + k] & 1, not timetable.sequence_rule[first + k] & 2,
                    )
                    for k, row in enumerate(range(timetable.trip_first[trip], timetable.trip_first[trip + 1]))
                ]
            )  # fmt: skip
    return out


def walks_of(timetable: Timetable) -> dict[tuple[int, int], int]:
    out: dict[tuple[int, int], int] = {}
    for a, b, ms in zip(timetable.footpath_from, timetable.footpath_to, timetable.footpath_ms, strict=True):
        out[int(a), int(b)] = min(out.get((int(a), int(b)), 10**9), int(ms))
    return out


def changes_of(timetable: Timetable) -> dict[int, int]:
    return {stop: ms for stop, ms in enumerate(timetable.stop_change_ms.tolist()) if ms >= 0}


Names = list[tuple[str, int]]
"""Of each trip its id and its day: -1, 0 or 1."""


def names_of(timetable: Timetable, day: date) -> Names:
    """Of the trips of `trips_of`."""
    return [
        (timetable.trip_id[trip], offset)
        for offset in (-1, 0, 1)
        for trip in np.flatnonzero(timetable.runs_on(day + timedelta(days=offset))[timetable.trip_service]).tolist()
    ]


def onward_of(tables: dict[str, str], trips: list[Trip], names: Names) -> dict[int, list[int]]:
    """Trips that one may stay aboard into, read from the tables: linked ones, and the next of a block from the same
    stop within half an hour, where no two trips of it overlap on that day. Stops lie 100 km apart."""
    rows = list(csv.DictReader(io.StringIO(tables["trips.txt"])))
    links = [row for row in csv.DictReader(io.StringIO(tables["transfers.txt"])) if row["transfer_type"] in "45"]
    out: dict[int, set[int]] = {}
    for offset in (-1, 0, 1):
        at = {name: k for k, (name, day_of) in enumerate(names) if day_of == offset}
        for block in {row["block_id"] for row in rows} - {""}:
            mine = sorted((at[row["trip_id"]] for row in rows if row["block_id"] == block and row["trip_id"] in at),
                          key=lambda k: (trips[k][0][2], trips[k][-1][1]))  # fmt: skip
            pairs = list(itertools.pairwise(mine))
            if all(trips[b][0][2] >= trips[a][-1][1] for a, b in pairs):
                for a, b in pairs:
                    if trips[a][-1][0] == trips[b][0][0] and trips[b][0][2] - trips[a][-1][1] <= 30 * M:
                        out.setdefault(a, set()).add(b)
        for row in links:
            a, b = at.get(row["from_trip_id"]), at.get(row["to_trip_id"])
            if a is None or b is None or a == b:
                continue
            if row["transfer_type"] == "5":
                out.get(a, set()).discard(b)
            elif trips[a][-1][1] <= trips[b][0][2]:
                out.setdefault(a, set()).add(b)
    return {a: sorted(ones) for a, ones in out.items()}


def check_legs(day: DayTimetable, journey: Journey, origin: int, target: int, change: int) -> None:
    """Each leg begins where and not before the last one ended; rides exist as the timetable has them."""
    here, now, after_ride = origin, journey.depart_ms, False
    rides, before = 0, None
    staying = [*(leg.stays for leg in journey.legs[1:]), False]
    for leg, stays_on in zip(journey.legs, staying, strict=True):
        assert leg.from_stop == here or (leg.stays and leg.is_ride)
        if leg.is_ride:
            pattern = int(np.searchsorted(day.first_run, leg.run, side="right")) - 1
            first, row = day.first_stop[pattern], day.first_time[leg.run]
            assert day.stop[first + leg.board_place] == leg.from_stop
            assert day.stop[first + leg.alight_place] == leg.to_stop
            assert leg.board_place < leg.alight_place
            assert leg.stays or not day.rule[first + leg.board_place] & 1
            assert stays_on or not day.rule[first + leg.alight_place] & 2
            assert (day.depart_ms[row + leg.board_place], day.arrive_ms[row + leg.alight_place]) == (
                leg.depart_ms, leg.arrive_ms
            )  # fmt: skip
            own = int(day.timetable.stop_change_ms[here])
            least = own if own >= 0 else change
            if leg.stays:
                assert before is not None
                assert (day.day_of[leg.run], leg.board_place) == (day.day_of[before.run], 0)
                assert now <= leg.depart_ms
            else:
                assert now + (least if after_ride else 0) <= leg.depart_ms
                rides += 1
            before = leg
        else:
            assert leg.depart_ms >= now
        after_ride = leg.is_ride
        here, now = leg.to_stop, leg.arrive_ms
    assert (here, now, rides) == (target, journey.arrive_ms, journey.rides)


@settings(max_examples=120, deadline=None)
@given(
    tables=small_feeds(), start=st.integers(0, 24 * 4), change=st.sampled_from([0, 60, 300]), rides=st.integers(1, 5),
    ends=st.tuples(st.integers(0, 2), st.integers(0, 2)), day=st.integers(0, 3),
)  # fmt: skip
def test_single_and_window_searches_equal_trying_everything(
    tables: dict[str, str], start: int, change: int, rides: int, ends: tuple[int, int], day: int
) -> None:  # fmt: skip
    with TemporaryDirectory() as folder:
        timetable = build_timetable([read_feed(zipped(Path(folder) / "f.zip", plain(TOWN | tables)))])
    origin, target = ends[0], ends[1] if ends[1] != ends[0] else 2 if ends[0] != 2 else 1
    when, start_ms, longest = MONDAY + timedelta(days=day), start * 900_000, 20 * H
    trips, walks = trips_of(timetable, when), walks_of(timetable)
    changes, onward = changes_of(timetable), onward_of(tables, trips, names_of(timetable, when))
    on = day_timetable(timetable, when)
    search = JourneySearch(on, SearchParams(max_rides=rides, change_ms=change * 1000, max_duration_ms=longest))

    def best(depart: int) -> list[tuple[int, int]]:
        ends = origin, target, depart, change * 1000, rides, longest
        return least_arrivals(trips, walks, *ends, changes, onward)

    found = search.journeys([(origin, 0)], [(target, 0)], start_ms)
    assert [(j.rides, j.arrive_ms) for j in found] == best(start_ms)
    for journey in found:
        check_legs(on, journey, origin, target, change * 1000)
    reach = search.arrivals([(origin, 0)], start_ms)
    assert (int(reach[target]) if reach[target] < 2_000_000_000 else None) == (
        min((time for _, time in best(start_ms)), default=None)
    )

    latest = start_ms + 3 * H
    window = search.window([(origin, 0)], [(target, 0)], start_ms, latest)
    search.prepare()
    assert search.window([(origin, 0)], [(target, 0)], start_ms, latest) == window
    egress = [(target, 60_000), (origin, 3_600_000)]
    bounded = search.window([(origin, 0)], egress, start_ms, latest)
    assert bounded == JourneySearch(on, search.params).window([(origin, 0)], egress, start_ms, latest)
    for journey in window:
        check_legs(on, journey, origin, target, change * 1000)
    ways = {origin: 0} | {b: ms for (a, b), ms in walks.items() if a == origin}
    moments = {
        leaves - ways[stop]
        for trip in trips
        for stop, _, leaves, can_board, _ in trip[:-1]
        if can_board and stop in ways
    }
    kept = [(latest + 1, k, arrive) for k, arrive in best(latest + 1)]
    for depart in sorted((m for m in moments if start_ms <= m <= latest), reverse=True):
        for k, arrive in best(depart):
            if not any(j <= k and time <= arrive for _, j, time in kept):
                kept.append((depart, k, arrive))
    expected = sorted(entry for entry in kept if entry[0] <= latest)
    assert sorted((j.depart_ms, j.rides, j.arrive_ms) for j in window) == expected


def test_who_rides_to_a_stop_may_walk_on_though_another_walk_led_there(tmp_path: Path) -> None:
    """From A one walks to B or C; the bus runs C, B, A; from B one walks to D, but only after a ride."""
    times = "trip_id,arrival_time,departure_time,stop_id,stop_sequence\nT1,08:00:00,08:00:00,C,1\n"
    times += "T1,08:10:00,08:10:00,B,2\nT1,09:30:00,09:30:00,A,3\n"
    walks = "from_stop_id,to_stop_id,transfer_type,min_transfer_time\nA,B,2,60\nA,C,2,60\nB,D,2,60\n"
    trips = "route_id,service_id,trip_id,trip_headsign\nR1,W,T1,\n"
    timetable = a_timetable(tmp_path, stop_times=times, transfers=walks, trips=trips)
    a, d = timetable.stop_row("A"), timetable.stop_row("D")
    (journey,) = JourneySearch(day_timetable(timetable, MONDAY)).journeys([(a, 0)], [(d, 0)], 7 * H)
    assert (journey.rides, journey.arrive_ms) == (1, 8 * H + 11 * M)


def test_a_journey_with_access_and_egress_walks(tmp_path: Path) -> None:
    timetable = a_timetable(tmp_path)
    on = day_timetable(timetable, MONDAY)
    a, b = timetable.stop_row("A"), timetable.stop_row("B")
    (journey,) = JourneySearch(on).journeys([(a, 5 * M)], [(b, 3 * M)], 7 * H + 50 * M)
    assert (journey.depart_ms, journey.arrive_ms, journey.rides) == (7 * H + 50 * M, 8 * H + 23 * M, 1)
    assert [(leg.is_ride, leg.depart_ms, leg.arrive_ms) for leg in journey.legs] == [
        (False, 7 * H + 50 * M, 7 * H + 55 * M), (True, 8 * H, 8 * H + 20 * M), (False, 8 * H + 20 * M, 8 * H + 23 * M),
    ]  # fmt: skip
    window = JourneySearch(on).window([(a, 5 * M)], [(b, 3 * M)], 7 * H, 9 * H)
    assert [(j.depart_ms, j.arrive_ms) for j in window] == [
        (8 * H + 55 * M, 9 * H + 23 * M),
        (7 * H + 55 * M, 8 * H + 23 * M),
    ]


def test_trips_past_midnight_are_found_on_the_next_day(tmp_path: Path) -> None:
    """T3 arrives at D at 25:05; its service runs on Mondays, so on Tuesday it is still under way."""
    stop_times = TOWN["stop_times.txt"].replace("T3,08:30:00,08:30:00,B,1", "T3,24:40:00,24:40:00,B,1")
    timetable = a_timetable(tmp_path, stop_times=stop_times)
    b, d = timetable.stop_row("B"), timetable.stop_row("D")
    tuesday = day_timetable(timetable, MONDAY + timedelta(days=1))
    (journey,) = JourneySearch(tuesday).journeys([(b, 0)], [(d, 0)], 30 * M)
    assert journey.arrive_ms == H + 5 * M
    sunday = day_timetable(timetable, MONDAY - timedelta(days=1))
    (journey,) = JourneySearch(sunday, SearchParams(max_duration_ms=30 * H)).journeys([(b, 0)], [(d, 0)], 23 * H)
    assert journey.arrive_ms == 49 * H + 5 * M


def test_wheelchairs(tmp_path: Path) -> None:
    trips = (
        TOWN["trips.txt"]
        .replace("headsign\n", "headsign,wheelchair_accessible\n")
        .replace("T1,町立病院", "T1,町立病院,2")
    )
    timetable = a_timetable(tmp_path, trips=trips.replace("T2,町立病院", "T2,町立病院,1"))
    on = day_timetable(timetable, MONDAY)
    a, b = timetable.stop_row("A"), timetable.stop_row("B")

    def arrivals(wheelchair: str) -> list[int]:
        search = JourneySearch(on, SearchParams(wheelchair=wheelchair))  # type: ignore[arg-type]
        return [j.arrive_ms for j in search.journeys([(a, 0)], [(b, 0)], 7 * H)]

    assert arrivals("") == [8 * H + 20 * M]
    assert arrivals("known") == [9 * H + 20 * M]
    assert arrivals("strict") == []
    stops = TOWN["stops.txt"].replace("stop_lon\n", "stop_lon,wheelchair_boarding\n").replace("137.50\n", "137.50,1\n")
    open_stops = a_timetable(
        tmp_path, trips=trips.replace("T2,町立病院", "T2,町立病院,1"), stops=stops.replace("137.51\n", "137.51,1\n")
    )
    on = day_timetable(open_stops, MONDAY)
    assert arrivals("strict") == [9 * H + 20 * M]


def test_stations_with_stairs(tmp_path: Path) -> None:
    """Two platforms joined by stairs (30 s) and by a long ramp (300 s): who rolls takes the ramp."""
    stops = TOWN["stops.txt"].replace("stop_lon\n", "stop_lon,location_type,parent_station\n")
    stops = (
        stops.replace("137.50\n", "137.50,0,P\n").replace("137.51\n", "137.51,0,\n").replace("137.52\n", "137.52,0,\n")
    )
    stops = stops.replace("137.53\n", "137.53,0,P\n") + "P,駅,36.9,137.5,1,\n"
    pathways = (
        "pathway_id,from_stop_id,to_stop_id,pathway_mode,is_bidirectional,traversal_time\ns,A,D,2,1,30\nr,A,D,1,1,300\n"
    )
    timetable = a_timetable(tmp_path, stops=stops, pathways=pathways)
    on = day_timetable(timetable, MONDAY)
    a, d = timetable.stop_row("A"), timetable.stop_row("D")
    for wheelchair, ms in (("", 30_000), ("known", 300_000)):
        search = JourneySearch(on, SearchParams(wheelchair=wheelchair))  # type: ignore[arg-type]
        assert [j.arrive_ms for j in search.journeys([(a, 0)], [(d, 0)], 0)] == [ms]


def test_a_pathway_with_a_time_that_is_none_is_named(tmp_path: Path) -> None:
    pathways = "pathway_id,from_stop_id,to_stop_id,pathway_mode,is_bidirectional,traversal_time\nr,A,D,1,1,soon\n"
    with pytest.raises(RowError, match=r"pathways.txt, row 2, column traversal_time"):
        a_timetable(tmp_path, pathways=pathways)


def test_frequencies_are_written_out(tmp_path: Path) -> None:
    timetable = a_timetable(
        tmp_path, frequencies="trip_id,start_time,end_time,headway_secs\nT1,10:00:00,11:00:00,1200\n"
    )
    on = day_timetable(timetable, MONDAY)
    a, b = timetable.stop_row("A"), timetable.stop_row("B")
    window = JourneySearch(on).window([(a, 0)], [(b, 0)], 7 * H, 12 * H)
    assert [j.depart_ms for j in window] == [10 * H + 40 * M, 10 * H + 20 * M, 10 * H, 9 * H]


def test_blank_times_are_estimated_along_the_way(tmp_path: Path) -> None:
    times = TOWN["stop_times.txt"].replace("T1,08:10:00,08:11:00,C,2", "T1,,,C,2")
    feed = read_feed(zipped(tmp_path / "f.zip", plain(TOWN | {"stop_times.txt": times})))
    timetable = build_timetable([feed])
    assert [(r.code, r.row) for r in feed.repairs] == [("blank_time", 3)]
    row = timetable.trip_first[timetable.trip_id.row_of["T1"]] + 1
    # A (36.90, 137.50), C (36.92, 137.52), B (36.91, 137.51): two thirds of the way
    assert abs(int(timetable.arrive_ms[row]) - (8 * H + 20 * M * 2 // 3)) <= 2000
    missing = times.replace("T1,08:20:00,08:20:00,B,3", "T1,,,B,3")
    with pytest.raises(RowError, match=r"T1.*stop_times.txt|stop_times.txt.*T1"):
        build_timetable([read_feed(zipped(tmp_path / "g.zip", plain(TOWN | {"stop_times.txt": missing})))])


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("stop_times", "D,2", "X,2", "'X' is not in stops.txt"),
        ("stop_times", "T3,25", "T9,25", "'T9' is not in trips.txt"),
        ("trips", "R2,W,T3", "R9,W,T3", "'R9' is not in routes.txt"),
        ("stops", "36.93", "x", "no number"),
        ("calendar", "20270331", "29991231", "60 years"),
    ],
)
def test_feeds_that_cannot_be_searched_say_why(tmp_path: Path, table: str, old: str, new: str, message: str) -> None:
    text = TOWN[f"{table}.txt"]
    assert old in text
    with pytest.raises(InputError, match=message):
        a_timetable(tmp_path, **{table: text.replace(old, new)})


def test_stored_timetables_open_as_they_were(tmp_path: Path) -> None:
    timetable = a_timetable(tmp_path, walk_m=2000)
    save_timetable(timetable, tmp_path / "t", {"f.zip": "x"})
    opened = open_timetable(tmp_path / "t", verify=True)
    assert opened.stop_id.all() == ["A", "B", "C", "D"]
    assert opened.stop_kana.all() == ["みどりえき", "ちょうりつびょういん", "しょうてんがい ひがしぐち", "のとやまえ"]
    np.testing.assert_array_equal(opened.depart_ms, timetable.depart_ms)
    assert opened.days == timetable.days
    (tmp_path / "t" / "depart_ms.npy").write_bytes(b"broken")
    with pytest.raises(InputError, match="noriai gtfs build"):
        open_timetable(tmp_path / "t")
    with pytest.raises(InputError, match="no stored timetable"):
        open_timetable(tmp_path)


def test_several_feeds_share_one_timetable(tmp_path: Path) -> None:
    """Two towns with the same ids, their stations 30 m apart: one walks over."""
    other = {name: text.replace("137.5", "137.4") for name, text in TOWN.items()}
    other["stops.txt"] = other["stops.txt"].replace("36.90,137.40", "36.91,137.5103")
    feeds = [read_feed(zipped(tmp_path / f"{n}.zip", plain(t))) for n, t in (("a", TOWN), ("b", other))]
    timetable = build_timetable(feeds, ["a", "b"], walk_m=100)
    on = day_timetable(timetable, MONDAY)
    start, end = timetable.stop_row("a:A"), timetable.stop_row("b:B")
    (journey,) = JourneySearch(on).journeys([(start, 0)], [(end, 0)], 7 * H)
    assert (journey.rides, journey.arrive_ms) == (2, 9 * H + 20 * M)
    assert [leg.is_ride for leg in journey.legs] == [True, False, True]
