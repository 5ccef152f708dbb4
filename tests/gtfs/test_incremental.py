"""After an edit the totals are those of a whole run: random edits on real feeds."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from gtfs.feeds_made import TOWN, plain, zipped

from noriai_engine.model.errors import InputError
from noriai_gtfs.feeds.write import csv_text
from noriai_gtfs.validation.canonical import canonical_totals
from noriai_gtfs.validation.incremental import Record, Revalidation


def an_edit(
    rng: np.random.Generator, state: Revalidation, trips: list[str], stops: list[str]
) -> tuple[Record, list[Record]]:
    """What people do to a trip: later, faster, another stop, one left out, times away, another sign or shape."""
    trip = state.trip(str(rng.choice(trips)))
    times = state.stop_times(trip["trip_id"])
    kind = int(rng.integers(9))
    row = int(rng.integers(len(times))) if times else 0
    if not times or kind == 0:
        trip["trip_headsign"] = str(rng.choice(["", "Depot", "DEPOT"])) if "trip_headsign" in trip else ""
        return {k: v for k, v in trip.items() if v or k != "trip_headsign"}, times
    if kind == 1:
        times[row]["stop_id"] = str(rng.choice(stops))
    elif kind == 2:
        del times[row]
    elif kind == 3:
        times[row]["departure_time"] = "25:99:00"
    elif kind == 4:
        times[row]["arrival_time"] = times[row]["departure_time"] = ""
    elif kind == 5:
        times[row]["arrival_time"] = times[row]["departure_time"] = times[0]["departure_time"]
    elif kind == 6:
        times[row]["stop_id"] = "nowhere"
    elif kind == 7:
        other = state.trip(str(rng.choice(trips)))
        for field in ("shape_id", "route_id", "block_id"):
            if field in trip:
                trip[field] = other[field]
    else:
        times = times[:1]
    return trip, times


@pytest.mark.parametrize(
    ("name", "day", "edits"),
    [("world/sample_gtfs", date(2007, 3, 1), 40), ("realtime/caltrain-static-2023", date(2023, 10, 4), 40),
     ("world/coquimbo", date(2016, 3, 2), 12), ("jp-other/fukutsu-minibus-2025", date(2025, 11, 1), 25)],
)  # fmt: skip
def test_random_edits_equal_whole_runs(shared: Path, tmp_path: Path, name: str, day: date, edits: int) -> None:
    edits_equal_whole_runs(shared, tmp_path, name, day, edits, 7)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "day", "edits"),
    [("world/sample_gtfs", date(2007, 3, 1), 300), ("realtime/caltrain-static-2023", date(2023, 10, 4), 300),
     ("world/coquimbo", date(2016, 3, 2), 100), ("jp-other/fukutsu-minibus-2025", date(2025, 11, 1), 300)],
)  # fmt: skip
def test_a_thousand_edits_equal_whole_runs(shared: Path, tmp_path: Path, name: str, day: date, edits: int) -> None:
    edits_equal_whole_runs(shared, tmp_path, name, day, edits, 8)


def edits_equal_whole_runs(shared: Path, tmp_path: Path, name: str, day: date, edits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = Revalidation(shared / "gtfs" / f"{name}.zip", day)
    trips = list(state._trips)
    stops = [row["stop_id"] for row in state.tables()["stops"]]
    for number in range(edits):
        trip, times = an_edit(rng, state, trips, stops)
        found = state.replace_trip(trip, times)
        tables = state.tables()
        files = {f"{t}.txt": csv_text(list(c), tables[t]).encode() for t, (c, _) in state._small.items()}
        for table, columns in (("trips", state._trip_columns), ("stop_times", state._time_columns)):
            files[f"{table}.txt"] = csv_text(columns, tables[table]).encode()
        for table in ("shapes", "frequencies"):
            if table in state._feed:
                files[f"{table}.txt"] = csv_text(list(state._feed[table].columns), tables[table]).encode()
        whole = canonical_totals(zipped(tmp_path / "f.zip", files), day, None)
        assert found == whole, number
        if any(row.get("departure_time") == "25:99:00" for row in times):  # else everything after is judged whole
            mended = [row | {"departure_time": row["arrival_time"]} for row in times]
            state.replace_trip(trip, mended)
    assert state.full_runs < edits


def test_edits_that_cannot_be_are_refused(tmp_path: Path) -> None:
    state = Revalidation(zipped(tmp_path / "f.zip", plain(TOWN)), date(2026, 11, 21))
    trip, times = state.trip("T1"), state.stop_times("T1")
    with pytest.raises(InputError, match="no trip 'T9'"):
        state.replace_trip(trip | {"trip_id": "T9"}, times)
    with pytest.raises(InputError, match="no column colour"):
        state.replace_trip(trip | {"colour": "red"}, times)
    with pytest.raises(InputError, match="not of trip"):
        state.replace_trip(trip, state.stop_times("T2"))
    before = dict(state.totals)
    assert state.replace_trip(trip, times) == before
    assert state.replace_trip(trip | {"service_id": "X"}, times)["foreign_key_violation"] == 1
    assert state.full_runs == 1
