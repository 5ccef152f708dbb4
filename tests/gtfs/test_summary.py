"""What a feed holds, against gtfs rules counted by hand and by pyarrow on real feeds; broken feeds are refused by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from noriai_engine.model.errors import InputError
from noriai_gtfs import summarise_feed

TABLES = {
    "agency.txt": "agency_id,agency_name,agency_url,agency_timezone\n1,あさひまちバス,http://x,Asia/Tokyo\n",
    "stops.txt": "stop_id, stop_name ,stop_lat,stop_lon,location_type\nA,駅,36.9,137.5,0\nB,病院,36.91,137.51,\nP,親,36.9,137.5,1\n",
    "routes.txt": "route_id,route_type\nr,3\n",
    "trips.txt": "route_id,service_id,trip_id\nr,s,t\n",
    "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\nt,08:00:00,08:00:00,A,1\nt,08:10:00,08:10:00,B,2\nt,08:20:00,08:20:00,A,3\n",
    "calendar.txt": "service_id,monday,start_date,end_date\ns,1,20190401,20200331\n",
    "calendar_dates.txt": "service_id,date,exception_type\ns,20200410,1\ns,20200501,2\n",
}


def a_feed(path: Path, folder: str = "", encoding: str = "utf-8", **change: str | None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (TABLES | {f"{k}.txt": v for k, v in change.items()}).items():
            if text is not None:
                archive.writestr(folder + name, text.encode(encoding))
    return path


@pytest.mark.parametrize(("folder", "encoding"), [("", "utf-8"), ("feed/", "utf-8-sig"), ("", "cp932")])
def test_facts_of_a_feed(tmp_path: Path, folder: str, encoding: str) -> None:
    feed = summarise_feed(a_feed(tmp_path / "f.zip", folder, encoding))
    assert feed.agencies == ("あさひまちバス",)
    assert (feed.timezone, feed.valid_from, feed.valid_to) == ("Asia/Tokyo", "2019-04-01", "2020-04-10")
    assert (feed.routes, feed.trips, feed.stop_times) == (1, 1, 3)
    assert feed.stops == (("A", "駅", 137.5, 36.9, 2), ("B", "病院", 137.51, 36.91, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stops": None}, "has no stops.txt"),
        ({"stops": "stop_id,stop_lat,stop_lon\nA,north,137\n"}, "row 2"),
        ({"stops": "stop_id,stop_lat,stop_lon\nA,137,36\n"}, "degrees WGS84"),
        ({"calendar": "service_id,start_date,end_date\ns,1 April,20200331\n"}, "column start_date"),
    ],
)
def test_broken_feeds(tmp_path: Path, change: dict[str, str | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        summarise_feed(a_feed(tmp_path / "f.zip", **change))


def test_niikawa_has_its_published_counts(shared: Path) -> None:
    """Nine feeds: 533 trips and 12,398 stop_times in the folder's README."""
    feeds = [summarise_feed(path) for path in sorted((shared / "gtfs" / "jp-niikawa").glob("*.zip"))]
    assert len(feeds) == 9
    assert sum(feed.trips for feed in feeds) == 533
    assert sum(feed.stop_times for feed in feeds) == 12_398
    assert all(feed.valid_from and feed.valid_to for feed in feeds)
