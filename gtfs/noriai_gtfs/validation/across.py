"""Several publishers' feeds held side by side: what keeps their lines from joining at a border.

All findings are about one feed, as its neighbours have it. Stops are alike if their names are the same but for width,
case and blanks (NFKC).
"""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

from noriai_engine.roads.geodesy import haversine_m
from noriai_gtfs.feeds import Feed
from noriai_gtfs.services import date_of, day_number
from noriai_gtfs.timetable import Timetable, build_timetable
from noriai_gtfs.validation.notices import Notice, own_notice

SAME_PLACE_M = 30.0
NEARBY_M = 150.0
SAME_NAME_M = (300.0, 1_500.0)
CONNECT_MS = 60 * 60_000
Pairs = list[tuple[int, int, float]]


def across_notices(feed: Feed, others: Sequence[Feed], day: date) -> Iterator[Notice]:
    """Every finding, neighbour by neighbour. Raises FeedError or RowError where a feed cannot be searched."""
    mine = build_timetable([feed])
    for other in others:
        theirs = build_timetable([other])
        where = other.path.name
        yield from _timezones(feed, other, where)
        yield from _ids(feed, other, where)
        yield from _stops(feed, mine, theirs, where)
        common = _common_days(mine, theirs)
        if not common.size:
            yield own_notice("across_no_common_day", "calendar.txt", 0, "", f"{where}: {_span(theirs)}")
            continue
        yield from _twice(feed, mine, theirs, common, where)
        later = common[common >= day_number(day)]
        yield from _borders(feed, mine, theirs, int((later if later.size else common)[0]), where)


def _timezones(feed: Feed, other: Feed, where: str) -> Iterator[Notice]:
    zones = [set(f.get("agency").column_or_blank("agency_timezone").texts) - {""} for f in (feed, other)]
    if all(zones) and zones[0] != zones[1]:
        yield own_notice(
            "across_time_zones", "agency.txt", 2, "agency_timezone", f"{where}: {', '.join(sorted(zones[1]))}"
        )


def _ids(feed: Feed, other: Feed, where: str) -> Iterator[Notice]:
    """Ids that both use for different things; an agency that both name differently."""
    for table, key, naming in (("agency", "agency_id", "agency_name"), ("routes", "route_id", "route_long_name"),
                               ("stops", "stop_id", "stop_name")):  # fmt: skip
        rows, known = feed.get(table), other.get(table)
        if key not in rows or key not in known:
            continue
        names = dict(zip(known[key].values, known.column_or_blank(naming).values, strict=True))
        for row, (text, name) in enumerate(zip(rows[key].values, rows.column_or_blank(naming).values, strict=True)):
            if text and text in names and plain(names[text]) != plain(name):
                code = "across_agency_names" if table == "agency" else "across_id_of_two_things"
                yield own_notice(code, rows.name, rows.line_of(row), key, f"{text}: {name} / {names[text]} ({where})")


def _stops(feed: Feed, mine: Timetable, theirs: Timetable, where: str) -> Iterator[Notice]:
    table = feed["stops"]
    used, known = np.unique(mine.sequence_stop), np.unique(theirs.sequence_stop)
    names = [[plain(t.stop_name[int(stop)]) for stop in stops] for t, stops in ((mine, used), (theirs, known))]
    near: dict[int, list[tuple[float, int]]] = {}
    for a, b, metres in _near(mine, used, theirs, known, NEARBY_M):
        near.setdefault(a, []).append((metres, b))
    for a, around in sorted(near.items()):
        metres, b = min(around)
        if metres <= SAME_PLACE_M and names[0][a] not in {names[1][k] for _, k in around}:
            value = f"{mine.stop_name[int(used[a])]} / {theirs.stop_name[int(known[b])]}, {metres:.0f} m ({where})"
            yield own_notice("across_names_of_one_place", table.name, table.line_of(int(used[a])), "stop_name", value)
    by_name: dict[str, list[int]] = {}
    for b, name in enumerate(names[1]):
        by_name.setdefault(name, []).append(b)
    low, high = SAME_NAME_M
    told: set[str] = set()
    for name in names[0]:
        if name not in by_name or name in told or not name:
            continue
        told.add(name)
        same = np.array([a for a, other in enumerate(names[0]) if other == name])
        gaps = _metres(mine, used[same], theirs, known[by_name[name]])
        if low <= gaps.min() <= high:
            a = int(same[int(gaps.min(axis=1).argmin())])
            value = f"{mine.stop_name[int(used[a])]}: {gaps.min():.0f} m ({where})"
            yield own_notice("across_one_name_apart", table.name, table.line_of(int(used[a])), "stop_lon", value)


def _twice(
    feed: Feed, mine: Timetable, theirs: Timetable, common: npt.NDArray[np.int64], where: str
) -> Iterator[Notice]:
    """Trips that both publish: the same times at the same places on a day of both."""
    table = feed["trips"]
    by_times: dict[bytes, list[int]] = {}
    for trip in range(theirs.trips):
        by_times.setdefault(_times(theirs, trip), []).append(trip)
    running = [{int(d): t.runs_on(date_of(int(d))) for d in common[:400]} for t in (mine, theirs)]
    row_of = {text: row for row, text in enumerate(table.column_or_blank("trip_id").values)}
    for trip in range(mine.trips):
        key = _times(mine, trip)
        for other in by_times.get(key, []) if key else []:
            a, b = _places(mine, trip), _places(theirs, other)
            if haversine_m(a[0], a[1], b[0], b[1]).max() > NEARBY_M:
                continue
            service, their_service = int(mine.trip_service[trip]), int(theirs.trip_service[other])
            if service < 0 or their_service < 0:
                continue
            if any(running[0][d][service] and running[1][d][their_service] for d in running[0]):
                name = mine.trip_id[trip]
                line = table.line_of(row_of[name]) if name in row_of else 0
                value = f"{name} = {theirs.trip_id[other]} ({where})"
                yield own_notice("across_trip_of_both", table.name, line, "trip_id", value)
                break


def _borders(feed: Feed, mine: Timetable, theirs: Timetable, day: int, where: str) -> Iterator[Notice]:
    """Ends of our lines at which the neighbour stops too, and never leaves within an hour after we arrive."""
    table = feed["stops"]
    ours, their = (t.runs_on(date_of(day)) for t in (mine, theirs))
    leaves: dict[int, list[int]] = {}
    for trip in np.flatnonzero((theirs.trip_service >= 0) & np.append(their, False)[theirs.trip_service]).tolist():
        rows = slice(int(theirs.trip_first[trip]), int(theirs.trip_first[trip + 1]) - 1)
        stops, _ = _sequence(theirs, trip)
        for stop, ms in zip(stops[:-1].tolist(), theirs.depart_ms[rows].tolist(), strict=True):
            leaves.setdefault(stop, []).append(ms)
    arrives: dict[int, list[int]] = {}
    for trip in np.flatnonzero((mine.trip_service >= 0) & np.append(ours, False)[mine.trip_service]).tolist():
        stops, _ = _sequence(mine, trip)
        if stops.size:
            arrives.setdefault(int(stops[-1]), []).append(int(mine.arrive_ms[mine.trip_first[trip + 1] - 1]))
    ends, starts = np.array(sorted(arrives), np.int64), np.array(sorted(leaves), np.int64)
    at: dict[int, list[int]] = {}
    for a, b, _ in _near(mine, ends, theirs, starts, NEARBY_M):
        at.setdefault(int(ends[a]), []).append(int(starts[b]))
    for stop, near in sorted(at.items()):
        soon = [ms - arrive for arrive in arrives[stop] for k in near for ms in leaves[k]]
        if not any(0 <= wait <= CONNECT_MS for wait in soon):
            value = f"{mine.stop_name[stop]}: {len(arrives[stop])} arrivals on {date_of(day)} ({where})"
            yield own_notice("across_no_connection", table.name, table.line_of(stop), "stop_id", value)


def plain(name: str) -> str:
    """A name without what writers do differently: width, case, blanks."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _sequence(table: Timetable, trip: int) -> tuple[npt.NDArray[np.int32], slice]:
    first = table.sequence_first
    number = int(table.trip_sequence[trip])
    rows = slice(int(first[number]), int(first[number + 1]))
    return table.sequence_stop[rows], rows


def _times(table: Timetable, trip: int) -> bytes:
    return table.depart_ms[int(table.trip_first[trip]) : int(table.trip_first[trip + 1])].tobytes()


def _places(table: Timetable, trip: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    stops, _ = _sequence(table, trip)
    return table.stop_lon[stops], table.stop_lat[stops]


def _common_days(mine: Timetable, theirs: Timetable) -> npt.NDArray[np.int64]:
    """Days on which something runs in both."""
    one, other = (np.flatnonzero(t.service_runs.any(axis=0)) + int(t.first_day[0]) for t in (mine, theirs))
    return np.asarray(np.intersect1d(one, other), np.int64)


def _span(table: Timetable) -> str:
    first, last = table.days
    return f"{first} to {last}"


def _metres(
    mine: Timetable, a: npt.NDArray[np.integer], theirs: Timetable, b: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """(a, b) air lines."""
    return np.asarray(
        haversine_m(
            mine.stop_lon[a][:, None], mine.stop_lat[a][:, None], theirs.stop_lon[b][None], theirs.stop_lat[b][None]
        )
    )


def _near(
    mine: Timetable, a: npt.NDArray[np.integer], theirs: Timetable, b: npt.NDArray[np.integer], longest_m: float
) -> Pairs:
    """(place in a, place in b, metres) of stops no further apart."""
    from noriai_gtfs.timetable.walking import AirLine

    if not a.size or not b.size:
        return []
    found = AirLine().to(theirs.stop_lon[b], theirs.stop_lat[b])(mine.stop_lon[a], mine.stop_lat[a], longest_m, False)
    rows, goals = found[0], found[1]
    metres = haversine_m(
        mine.stop_lon[a[rows]], mine.stop_lat[a[rows]], theirs.stop_lon[b[goals]], theirs.stop_lat[b[goals]]
    )
    return list(zip(rows.tolist(), goals.tolist(), metres.tolist(), strict=True))
