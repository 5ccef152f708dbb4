"""The canonical notices after an edit of one trip, without judging the whole feed again.

What an edit changes shows on a small feed as well: the trip, whatever rules look at together with it (trips of its
block, one trip for each way of running along its shape), and for every stop, route and shape it takes up or gives up
another trip that uses it. The engine judges that feed before and after; what differs is added to the totals. Everything
that stays the same cancels out, whether true of the whole feed or not.
"""

import csv
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import InputError, MissingDataError
from noriai_gtfs.feeds import Feed, read_feed
from noriai_gtfs.validation.canonical import canonical_totals

Record = dict[str, str]
_HARMLESS = {"byte_order_mark", "blank_line"}
_OF_THE_WHOLE = {"trip_headsign_matches_intermediate_stop"}
"""Codes about which the engine is silent where other trips of the feed are of some kind: no small feed tells."""
_LARGE = ("stop_times", "trips", "shapes", "frequencies")


class Revalidation:
    """A feed under edit, with the totals of its canonical notices kept up.

    `full_runs` counts edits that had to be judged on the whole feed: all edits of a feed with a notice that any other
    trip may silence, those that change on which days a trip runs (rules count trips by day), that bring or cure a cell
    which cannot be read (it keeps other rules from being judged), of trips whose rows had to be repaired while reading
    or stand interleaved with others, and all edits of a feed whose headers had to be repaired.
    """

    def __init__(self, path: Path, day: date, country: str | None = None) -> None:
        self._day, self._country = day, country
        self._feed: Feed = read_feed(path)
        self.totals = canonical_totals(path, day, country)
        self.full_runs = 0
        trips, times = self._feed["trips"], self._feed["stop_times"]
        self._trips: dict[str, Record] = {row["trip_id"]: row for row in trips.records()}
        self._row_of = {name: number for number, name in enumerate(self._trips)}
        self._trip_columns, self._time_columns = list(trips.columns), list(times.columns)
        number = times["trip_id"].number.astype(np.int64)
        texts = times["trip_id"].texts
        segments = number[np.flatnonzero(np.diff(number, prepend=-1))]
        self._interleaved = {texts[k] for k in np.flatnonzero(np.bincount(segments) > 1).tolist()}
        self._order = np.argsort(number, kind="stable")
        edges = np.flatnonzero(np.diff(number[self._order], prepend=-1, append=-1))
        self._span = {
            texts[number[self._order[a]]]: (a, b)
            for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        }  # fmt: skip
        self._repaired: set[tuple[str, int]] = {
            (repair.file, repair.row) for repair in self._feed.repairs
            if repair.file in ("trips.txt", "stop_times.txt") and repair.code not in _HARMLESS
        }  # fmt: skip
        dirty = any(row <= 1 for _, row in self._repaired)
        self._is_plain = not dirty and len(self._trips) == len(trips)
        self._edited: dict[str, list[Record]] = {}
        self._by_block = self._index("block_id")
        self._by_shape = self._index("shape_id")
        self._by_route = self._index("route_id")
        self._small = {
            name: (list(table.columns), list(table.records()))
            for name, table in self._feed.read_all().items() if name not in _LARGE
        }  # fmt: skip
        self._shape_rows: dict[str, list[Record]] = {}
        for row in self._feed.get("shapes").records():
            self._shape_rows.setdefault(row["shape_id"], []).append(row)
        self._frequencies: dict[str, list[Record]] = {}
        for row in self._feed.get("frequencies").records():
            self._frequencies.setdefault(row["trip_id"], []).append(row)
        self._users = self._stop_users()
        self._way_of = {trip: self._way(trip) for trip in self._trips}

    def _index(self, column: str) -> dict[str, set[str]]:
        out: dict[str, set[str]] = {}
        for name, row in self._trips.items():
            if row.get(column):
                out.setdefault(row[column], set()).add(name)
        return out

    def _stop_users(self) -> dict[str, dict[str, set[str]]]:
        """For each stop the trips that use it, by route."""
        out: dict[str, dict[str, set[str]]] = {}
        stops = self._feed["stop_times"].column_or_blank("stop_id")
        for trip, (a, b) in self._span.items():
            route = self._trips.get(trip, {}).get("route_id", "")
            for number in np.unique(stops.number[self._order[a:b]]).tolist():
                out.setdefault(stops.texts[number], {}).setdefault(route, set()).add(trip)
        return out

    def _way(self, trip: str) -> tuple[object, ...]:
        """How a trip runs along its shape: trips alike give the same notices about it."""
        if trip in self._edited:
            return tuple((row.get("stop_id", ""), row.get("shape_dist_traveled", "")) for row in self._edited[trip])
        a, b = self._span.get(trip, (0, 0))
        times = self._feed["stop_times"]
        rows = self._order[a:b]
        return tuple(times.column_or_blank(name).number[rows].tobytes() for name in ("stop_id", "shape_dist_traveled"))

    def trip(self, trip_id: str) -> Record:
        """A trip's row. Raises MissingDataError where there is none."""
        if trip_id not in self._trips:
            raise MissingDataError(f"there is no trip {trip_id!r}", where="trips.txt", remedy="check the id")
        return dict(self._trips[trip_id])

    def stop_times(self, trip_id: str) -> list[Record]:
        """A trip's stop times as they are now."""
        if trip_id in self._edited:
            return [dict(row) for row in self._edited[trip_id]]
        if trip_id not in self._span:
            return []
        rows = self._rows(trip_id)
        columns = self._feed["stop_times"].columns
        cells = {name: [column.texts[k] for k in column.number[rows].tolist()] for name, column in columns.items()}
        return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]

    def replace_trip(self, trip: Mapping[str, str], stop_times: Sequence[Mapping[str, str]]) -> dict[str, int]:
        """Put another row and other stop times in a trip's place; returns the totals of all notices then.

        Raises MissingDataError for a trip the feed lacks, InputError for a field its tables lack.
        """
        name = trip.get("trip_id", "")
        old_row, old_times = self.trip(name), self.stop_times(name)
        new_row, new_times = dict(trip), [dict(row) for row in stop_times]
        self._check(new_row, new_times, name)
        if self._is_odd(name) or new_row.get("service_id") != old_row.get("service_id"):
            self._put(name, new_row, new_times)
            self.totals = self._whole()
            self.full_runs += 1
            return self.totals
        around = self._around(name, (old_row, new_row), (old_times, new_times))
        shapes = {row.get("shape_id", "") for row in (old_row, new_row)}
        before = self._judge(around, name, old_row, old_times, shapes)
        after = self._judge(around, name, new_row, new_times, shapes)
        self._put(name, new_row, new_times)
        told = {*self.totals, *before, *after}
        if not (_gates(self.totals) <= _gates(before) == _gates(after)) or told & _OF_THE_WHOLE:
            self.totals = self._whole()
            self.full_runs += 1
            return self.totals
        changed = {code: self.totals.get(code, 0) + after.get(code, 0) - before.get(code, 0) for code in told}
        self.totals = {code: total for code, total in changed.items() if total}
        return self.totals

    def _is_odd(self, name: str) -> bool:
        """Whether the raw bytes of a trip, or of the whole of its tables, are not what a small feed would have."""
        if not self._is_plain or name in self._interleaved:
            return True
        if not self._repaired or name in self._edited:
            return False
        lines = self._feed["stop_times"]["trip_id"].lines_of(self._rows(name))
        row = self._feed["trips"].line_of(self._row_of[name])
        return ("trips.txt", row) in self._repaired or any(
            ("stop_times.txt", line) in self._repaired for line in lines.tolist()
        )

    def _rows(self, name: str) -> npt.NDArray[np.int64]:
        a, b = self._span.get(name, (0, 0))
        return np.asarray(self._order[a:b], np.int64)

    def _check(self, row: Record, times: Iterable[Record], name: str) -> None:
        for file, columns, rows in (
            ("trips.txt", self._trip_columns, [row]), ("stop_times.txt", self._time_columns, times),
        ):  # fmt: skip
            for record in rows:
                unknown = set(record) - set(columns)
                if unknown or record.get("trip_id") != name:
                    what = f"has no column {sorted(unknown)[0]}" if unknown else f"a row is not of trip {name!r}"
                    raise InputError(what, where=file, remedy="keep to the columns and the trip at hand")

    def _around(
        self, name: str, rows: tuple[Record, Record], times: tuple[list[Record], list[Record]]
    ) -> set[str]:  # fmt: skip
        """Trips that rules look at together with this one, and others that use what it uses now or then."""
        out: set[str] = set()
        for row in rows:
            out |= self._by_block.get(row.get("block_id", ""), set())
            ways: dict[tuple[object, ...], str] = {}
            for other in sorted(self._by_shape.get(row.get("shape_id", ""), ())):
                if other != name:
                    ways.setdefault(self._way_of[other], other)
            out |= set(ways.values())
            out |= self._another(name, self._by_route.get(row.get("route_id", ""), ()))
        out.discard(name)
        for stop in {row.get("stop_id", "") for side in times for row in side}:
            for trips in self._users.get(stop, {}).values():
                if out.isdisjoint(trips):
                    out |= self._another(name, trips)
        return out

    @staticmethod
    def _another(name: str, trips: Iterable[str]) -> set[str]:
        return {next((trip for trip in trips if trip != name), name)} - {name}

    def _put(self, name: str, row: Record, times: list[Record]) -> None:
        """Take the edit in."""
        old = self._trips[name]
        indices = (self._by_block, "block_id"), (self._by_shape, "shape_id"), (self._by_route, "route_id")
        for index, column in indices:
            index.get(old.get(column, ""), set()).discard(name)
            if row.get(column):
                index.setdefault(row[column], set()).add(name)
        for record in self.stop_times(name):
            self._users.get(record.get("stop_id", ""), {}).get(old["route_id"], set()).discard(name)
        self._trips[name], self._edited[name] = row, times
        for record in times:
            self._users.setdefault(record.get("stop_id", ""), {}).setdefault(row["route_id"], set()).add(name)
        self._way_of[name] = self._way(name)

    def _judge(self, around: set[str], name: str, row: Record, times: list[Record], shapes: set[str]) -> dict[str, int]:
        trips = sorted(around | {name}, key=self._row_of.__getitem__)
        rows = [row if trip == name else self._trips[trip] for trip in trips]
        visits = [record for trip in trips for record in (times if trip == name else self.stop_times(trip))]
        return self._run(rows, visits, shapes)

    def _whole(self) -> dict[str, int]:
        trips = list(self._trips)
        times = [row for trip in trips for row in self.stop_times(trip)]
        return self._run([self._trips[trip] for trip in trips], times, set(self._shape_rows), everything=True)

    def _run(
        self, trips: list[Record], times: list[Record], also: set[str], *, everything: bool = False
    ) -> dict[str, int]:
        """Totals of a feed with these trips, their shapes and some more, and the rest of the tables."""
        shapes = also | {row.get("shape_id", "") for row in trips}
        names = {row["trip_id"] for row in trips}
        with tempfile.TemporaryDirectory(prefix="noriai-") as text:
            folder = Path(text)
            for name, (columns, rows) in self._small.items():
                _write(folder / f"{name}.txt", columns, rows)
            _write(folder / "trips.txt", self._trip_columns, trips)
            _write(folder / "stop_times.txt", self._time_columns, times)
            for name, kept, chosen in (
                ("shapes", self._shape_rows, shapes), ("frequencies", self._frequencies, names),
            ):  # fmt: skip
                if name in self._feed:
                    rows = [r for key, group in kept.items() if everything or key in chosen for r in group]
                    _write(folder / f"{name}.txt", list(self._feed[name].columns), rows)
            for file in self._feed.files:
                if not file.endswith(".txt"):
                    (folder / file).write_bytes(self._feed.bytes_of(file))
            return canonical_totals(folder, self._day, self._country)

    def tables(self) -> dict[str, list[Record]]:
        """The feed as it is now, for `write_feed`."""
        out = {name: rows for name, (_, rows) in self._small.items()}
        out["trips"] = list(self._trips.values())
        out["stop_times"] = [row for trip in self._trips for row in self.stop_times(trip)]
        out["shapes"] = [row for rows in self._shape_rows.values() for row in rows]
        out["frequencies"] = [row for rows in self._frequencies.values() for row in rows]
        return out


def _gates(totals: Mapping[str, int]) -> set[str]:
    """Codes of cells that could not be read: where there is one, rules over several tables are not judged at all."""
    return {
        code for code in totals
        if code.startswith(("invalid_", "missing_required_")) or code in ("number_out_of_range", "csv_parsing_failed")
    }  # fmt: skip


def _write(path: Path, columns: Sequence[str], rows: Sequence[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([row.get(column, "") for column in columns] for row in rows)
