"""One bus, two trips: riders who stay aboard change nowhere; what transfers.txt says of stations and of changing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gtfs.feeds_made import TOWN, plain, zipped
from gtfs.test_journeys import MONDAY, H, M, check_legs
from gtfs.test_walking import noriai

from noriai_gtfs import read_feed
from noriai_gtfs.journeys import ArriveBySearch, Journey, JourneySearch, SearchParams
from noriai_gtfs.timetable import Timetable, build_timetable, day_timetable

TRIPS = "route_id,service_id,trip_id,trip_headsign,block_id,wheelchair_accessible\n"
TIMES = "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"


def a_line(
    folder: Path, *, block: str = "b1,b1", times: str = "", transfers: str = "", stops: str = "", chairs: str = "1,1"
) -> Timetable:
    """T1 from A to B at 8:00 to 8:20, T2 from B to D at 8:21 to 8:40."""
    (one, other), (a, b) = block.split(","), chairs.split(",")
    tables = TOWN | {
        "trips.txt": f"{TRIPS}R1,W,T1,B,{one},{a}\nR2,W,T2,D,{other},{b}\n",
        "stop_times.txt": times
        or f"{TIMES}T1,08:00:00,08:00:00,A,1\nT1,08:20:00,08:20:00,B,2\n"
        "T2,08:21:00,08:21:00,B,1\nT2,08:40:00,08:40:00,D,2\n",
    }
    if transfers:
        head = "from_stop_id,to_stop_id,transfer_type,min_transfer_time,from_trip_id,to_trip_id\n"
        tables["transfers.txt"] = head + transfers
    if stops:
        tables["stops.txt"] = stops
    return build_timetable([read_feed(zipped(folder / "f.zip", plain(tables)))])


def journeys(table: Timetable, start: str = "A", end: str = "D", **params: object) -> list[Journey]:
    search = JourneySearch(day_timetable(table, MONDAY), SearchParams(**params))  # type: ignore[arg-type]
    return search.journeys([(table.stop_row(start), 0)], [(table.stop_row(end), 0)], 8 * H)


def test_the_bus_goes_on_with_its_riders(tmp_path: Path) -> None:
    table = a_line(tmp_path)
    (journey,) = journeys(table)
    assert (journey.rides, journey.arrive_ms) == (1, 8 * H + 40 * M)
    assert [(leg.is_ride, leg.stays) for leg in journey.legs] == [(True, False), (True, True)]
    day = day_timetable(table, MONDAY)
    check_legs(day, journey, table.stop_row("A"), table.stop_row("D"), 120_000)
    (by,) = ArriveBySearch(day).journeys([(table.stop_row("A"), 0)], [(table.stop_row("D"), 0)], 8 * H + 45 * M)
    assert (by.legs, by.rides, by.depart_ms) == (journey.legs, 1, 8 * H)


@pytest.mark.parametrize(
    ("block", "transfers", "rides"),
    [("b1,b2", "", 0), (",", ",,4,,T1,T2\n", 1), ("b1,b1", ",,5,,T1,T2\n", 0), ("b1,b2", ",,4,,T2,T1\n", 0),
     (",", "B,B,1,,,\n", 2), (",", "B,B,2,60,,\n", 2), (",", "B,B,2,61,,\n", 0), ("b1,b1", "B,B,3,,,\n", 1)],
)  # fmt: skip
def test_who_may_stay_and_who_changes_in_a_minute(tmp_path: Path, block: str, transfers: str, rides: int) -> None:
    found = journeys(a_line(tmp_path, block=block, transfers=transfers))
    assert [(j.rides, j.arrive_ms) for j in found] == ([(rides, 8 * H + 40 * M)] if rides else [])


def test_nobody_changes_where_it_is_forbidden(tmp_path: Path) -> None:
    table = a_line(tmp_path, block=",", transfers="B,B,3,,,\n")
    assert journeys(table, change_ms=0) == []
    assert len(journeys(a_line(tmp_path, block=","), change_ms=0)) == 1


@pytest.mark.parametrize("chairs", ["1,2", "2,1"])
def test_a_trip_closed_to_wheelchairs_ends_the_chain(tmp_path: Path, chairs: str) -> None:
    table = a_line(tmp_path, chairs=chairs)
    assert [j.rides for j in journeys(table)] == [1]
    assert journeys(table, wheelchair="known", change_ms=0) == []
    alone = journeys(table, *(("A", "B") if chairs == "1,2" else ("B", "D")), wheelchair="known")
    assert [j.rides for j in alone] == [1]


def test_a_block_that_overlaps_is_not_believed(tmp_path: Path) -> None:
    times = f"{TIMES}T1,08:00:00,08:00:00,A,1\nT1,08:20:00,08:20:00,B,2\nT2,08:19:00,08:19:00,B,1\nT2,08:40:00,08:40:00,D,2\n"
    assert journeys(a_line(tmp_path, times=times)) == []


def test_transfers_between_stations_hold_for_their_platforms(tmp_path: Path) -> None:
    """T1 ends at platform B1, T2 leaves from B2; the station says 50 s, and one platform of another row says more."""
    stops = (
        "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station\nA,A,36.90,137.50,,\nD,D,36.93,137.53,,\n"
        "B,B,36.91,137.51,1,\nB1,B,36.91,137.51,0,B\nB2,B,36.92,137.51,0,B\n"
    )
    times = f"{TIMES}T1,08:00:00,08:00:00,A,1\nT1,08:20:00,08:20:00,B1,2\nT2,08:21:00,08:21:00,B2,1\nT2,08:40:00,08:40:00,D,2\n"

    def found(transfers: str) -> list[int]:
        return [j.rides for j in journeys(a_line(tmp_path, block=",", times=times, stops=stops, transfers=transfers))]

    assert found("") == []
    assert found("B,B,2,50,,\n") == [2]
    assert found("B,B,2,70,,\n") == []
    assert found("B1,B2,2,60,,\nB,B,2,70,,\n") == [2]
    assert found("B,B2,2,50,,\n") == [2]
    assert found("B1,B2,3,,,\nB,B,2,50,,\n") == []
    assert found("B,B,3,,,\nB1,B2,2,30,,\n") == [2]


def test_a_person_is_told_to_stay_aboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_line(tmp_path)
    ask = ("gtfs", "journey", str(tmp_path / "f.zip"), "A", "D", "--date", "2026-04-06", "--time", "08:00")
    assert noriai(*ask) == 0
    text = capsys.readouterr().out
    assert "1 ride\n" in text
    assert "(stay aboard)" in text
    noriai(*ask, "--json")
    legs = json.loads(capsys.readouterr().out)[0]["legs"]
    assert [leg.get("stay_aboard", False) for leg in legs] == [False, True]
