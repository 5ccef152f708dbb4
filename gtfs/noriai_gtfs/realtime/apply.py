"""GTFS Realtime applied to a day's timetable: delays, cancellations, new and changed trips, detours.

The timetable of the day is not built again: times are changed in a copy, and runs that no longer fit their pattern
(they overtake, skip stops, or go another way) get a pattern of their own.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import InputError
from noriai_gtfs.timetable.days import DayTimetable, Run, with_runs
from noriai_gtfs.timetable.strings import StringArray
from noriai_gtfs.timetable.timetable import NO_ALIGHTING, NO_BOARDING, Timetable

if TYPE_CHECKING:
    from google.transit.gtfs_realtime_pb2 import FeedMessage, TripUpdate

IntArray = npt.NDArray[np.int32]
SCHEDULED, ADDED, UNSCHEDULED, CANCELED, REPLACEMENT, DUPLICATED, DELETED, NEW = 0, 1, 2, 3, 5, 6, 7, 8
SKIPPED, NO_DATA = 1, 2


@dataclass(frozen=True)
class Alert:
    """A message to riders: whom it concerns by stop, route or trip row, when (UTC ms), what it says."""

    stops: tuple[int, ...]
    routes: tuple[int, ...]
    trips: tuple[int, ...]
    from_ms: int
    to_ms: int
    effect: str
    header: str
    description: str


@dataclass(frozen=True)
class Applied:
    """A day with updates in it. `unknown` lists what could not be matched, each with its reason."""

    day: DayTimetable
    updated: int
    cancelled: int
    added: int
    alerts: tuple[Alert, ...]
    unknown: tuple[str, ...]


@dataclass
class _Work:
    day: DayTimetable
    arrive: IntArray
    depart: IntArray
    alive: npt.NDArray[np.uint8]
    touched: npt.NDArray[np.uint8]
    origin: datetime
    own: list[Run] = field(default_factory=list)
    skipping: dict[int, list[int]] = field(default_factory=dict)
    new_trips: list[tuple[str, int, str]] = field(default_factory=list)
    new_stops: list[tuple[str, str, float, float]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"updated": 0, "cancelled": 0, "added": 0})


def apply_updates(day: DayTimetable, data: bytes) -> Applied:
    """The day with a FeedMessage applied to its schedule. Raises InputError where the bytes are none.

    Give the day as scheduled: a full-dataset message replaces the one before it.
    """
    from noriai_gtfs.realtime.kernels.retime import out_of_order

    message = read_message(data)
    zone = ZoneInfo(day.timetable.timezone[0])
    noon = datetime(day.day.year, day.day.month, day.day.day, 12, tzinfo=zone)
    work = _Work(
        day, day.arrive_ms.copy(), day.depart_ms.copy(), day.alive.copy(), np.zeros(day.runs, np.uint8),
        noon.astimezone(UTC) - timedelta(hours=12),
    )  # fmt: skip
    for entity in message.entity:
        if entity.HasField("stop"):
            _stop(work, entity.stop)
    _trip_updates(work, [entity.trip_update for entity in message.entity if entity.HasField("trip_update")])
    for entity in message.entity:
        if entity.HasField("trip_modifications"):
            _modification(work, entity.trip_modifications)
    odd = np.zeros(day.runs, np.uint8)
    length = day.length_of_run
    if out_of_order(day.first_run, day.first_time, length, work.arrive, work.depart, work.alive, work.touched, odd):
        for run in np.flatnonzero(odd).tolist():
            _alone(work, run)
    table = _with_new(day.timetable, work)
    return Applied(
        day=with_runs(replace(day, timetable=table), work.arrive, work.depart, work.alive, work.own),
        updated=work.counts["updated"], cancelled=work.counts["cancelled"], added=work.counts["added"],
        alerts=tuple(_alerts(day.timetable, message)), unknown=tuple(work.unknown),
    )  # fmt: skip


def read_message(data: bytes) -> "FeedMessage":
    """A FeedMessage. Raises InputError where the bytes are none."""
    from google.protobuf.message import DecodeError
    from google.transit.gtfs_realtime_pb2 import FeedMessage

    message = FeedMessage()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise InputError(
            f"is no GTFS Realtime message: {error}",
            where="realtime feed",
            remedy="give the protobuf, not its text",
        ) from error
    if not message.HasField("header"):
        raise InputError("has no header", where="realtime feed", remedy="give a whole FeedMessage")
    return message


def _ms(work: _Work, posix: int) -> int:
    """Seconds since 1970 as ms of the service day."""
    return 1000 * posix - round(1000 * work.origin.timestamp())


def _run_of(work: _Work, trip: Any) -> int:
    """The run a TripDescriptor means, or -1."""
    row = work.day.timetable.trip_id.row_of.get(trip.trip_id)
    if row is None:
        return -1
    offset = 0
    if trip.start_date:
        try:
            given = date(int(trip.start_date[:4]), int(trip.start_date[4:6]), int(trip.start_date[6:8]))
        except ValueError:
            return -1
        offset = (given - work.day.day).days
        if offset not in (-1, 0, 1):
            return -1
    return int(work.day.run_of_trip[offset + 1, row])


def _trip_updates(work: _Work, updates: Sequence["TripUpdate"]) -> None:
    from noriai_gtfs.realtime.kernels.retime import retime

    runs: list[int] = []
    first, place, kind, value = [0], [], [], []
    for update in updates:
        trip = update.trip
        relation = trip.schedule_relationship
        if relation in (ADDED, NEW, DUPLICATED):
            _new_trip(work, update)
            continue
        run = _run_of(work, trip)
        if run < 0:
            when = f" of {trip.start_date}" if trip.start_date else ""
            work.unknown.append(f"trip {trip.trip_id!r}{when}: does not run on {work.day.day}")
            continue
        if relation in (CANCELED, DELETED):
            work.alive[run] = 0
            work.counts["cancelled"] += 1
            continue
        if relation == REPLACEMENT:
            work.alive[run] = 0
            _new_trip(work, update, instead_of=run)
            continue
        rows = list(_stop_updates(work, run, update))
        if rows:
            runs.append(run)
            work.touched[run] = 1
            place += [row[0] for row in rows]
            kind += [row[1:3] for row in rows]
            value += [row[3:5] for row in rows]
            first.append(len(place))
            work.counts["updated"] += 1
    if runs:
        retime(
            np.array(runs, np.int32), np.array(first, np.int32), np.array(place, np.int32),
            np.array(kind, np.int32).reshape(-1, 2), np.array(value, np.int32).reshape(-1, 2), work.day.first_time,
            work.day.length_of_run, work.arrive, work.depart,
        )  # fmt: skip
    for run, skipped in work.skipping.items():
        _alone(work, run, skipped)


def _stop_updates(work: _Work, run: int, update: "TripUpdate") -> Iterable[tuple[int, int, int, int, int]]:
    """(place, kind of arrival, kind of departure, their values) of a trip's updates, in order of place."""
    day = work.day
    pattern = day.pattern_of(run)
    stops = day.stop[day.first_stop[pattern] : day.first_stop[pattern + 1]]
    at = 0
    out = []
    if update.HasField("delay") and not update.stop_time_update:
        yield 0, 1, 1, 1000 * update.delay, 1000 * update.delay
        return
    for item in update.stop_time_update:
        place = -1
        if item.stop_id:
            row = day.timetable.stop_id.row_of.get(item.stop_id)
            if row is not None:
                later = np.flatnonzero(stops[at:] == row)
                place = at + int(later[0]) if later.size else -1
        if place < 0 and item.HasField("stop_sequence"):
            place = day.place_of(run, item.stop_sequence)
        if place < 0:
            name = item.stop_id or item.stop_sequence
            work.unknown.append(f"trip {update.trip.trip_id!r}: does not stop at {name!r} after place {at}")
            continue
        at = place
        if item.schedule_relationship == SKIPPED:
            work.skipping.setdefault(run, []).append(place)
            continue
        if item.schedule_relationship == NO_DATA:
            out.append((place, 3, 3, 0, 0))
            continue
        into, leave = _event(work, item, "arrival"), _event(work, item, "departure")
        if into[0] or leave[0]:
            out.append((place, into[0], leave[0], into[1], leave[1]))
    yield from sorted(out)


def _event(work: _Work, item: Any, name: str) -> tuple[int, int]:
    """(kind, value) of a StopTimeEvent: a time outranks a delay."""
    if not item.HasField(name):
        return 0, 0
    event = getattr(item, name)
    if event.HasField("time") and event.time > 0:
        return 2, _ms(work, event.time)
    return (1, 1000 * event.delay) if event.HasField("delay") else (0, 0)


def _alone(work: _Work, run: int, skipped: Sequence[int] = ()) -> None:
    """Give a run a pattern of its own, with its times as they are now; nobody boards where it does not stop."""
    day = work.day
    pattern = day.pattern_of(run)
    a, b, row = int(day.first_stop[pattern]), int(day.first_stop[pattern + 1]), int(day.first_time[run])
    rules = day.rule[a:b].tolist()
    for place in skipped:
        rules[place] |= NO_BOARDING | NO_ALIGHTING
    span = slice(row, row + b - a)
    work.own.append(
        Run(int(day.trip[run]), int(day.day_of[run]), day.stop[a:b].tolist(), rules, work.arrive[span].tolist(),
            work.depart[span].tolist())
    )  # fmt: skip
    work.alive[run] = 0


def _new_trip(work: _Work, update: "TripUpdate", instead_of: int = -1) -> None:
    """A trip that the schedule lacks, or that replaces one, or runs it again at another time."""
    day, table, trip = work.day, work.day.timetable, update.trip
    if trip.schedule_relationship == DUPLICATED:
        _duplicate(work, update)
        return
    stops: list[int] = []
    arrive: list[int] = []
    depart: list[int] = []
    rules: list[int] = []
    for item in update.stop_time_update:
        row = _stop_row(work, item.stop_id)
        if row < 0 or item.schedule_relationship == SKIPPED:
            if row < 0:
                work.unknown.append(f"new trip {trip.trip_id!r}: unknown stop {item.stop_id!r}")
            continue
        into, leave = (_event(work, item, name) for name in ("arrival", "departure"))
        if into[0] != 2 and leave[0] != 2:
            work.unknown.append(f"new trip {trip.trip_id!r}: no time at {item.stop_id!r}")
            continue
        time_in = into[1] if into[0] == 2 else leave[1]
        time_out = leave[1] if leave[0] == 2 else into[1]
        before = depart[-1] if depart else time_in
        stops.append(row)
        arrive.append(max(time_in, before))
        depart.append(max(time_out, arrive[-1]))
        rules.append(0)
    if len(stops) < 2:
        work.unknown.append(f"new trip {trip.trip_id!r}: fewer than two usable stops")
        if instead_of >= 0:
            work.alive[instead_of] = 1
        return
    if instead_of >= 0:
        row = int(day.trip[instead_of])
    else:
        route = table.route_id.row_of.get(trip.route_id, -1)
        row = table.trips + len(work.new_trips)
        work.new_trips.append((trip.trip_id, route, ""))
    work.own.append(Run(row, 0, stops, rules, arrive, depart))
    work.counts["updated" if instead_of >= 0 else "added"] += 1


def _duplicate(work: _Work, update: "TripUpdate") -> None:
    """The same trip once more: TripProperties names the copy's id, date and time."""
    day, table, trip = work.day, work.day.timetable, update.trip
    properties = update.trip_properties
    row = table.trip_id.row_of.get(trip.trip_id)
    wanted = properties.start_date.replace("-", "")
    clock = re.fullmatch(r"(\d{1,3}):(\d\d):(\d\d)", properties.start_time)
    if row is None or (wanted and wanted != day.day.strftime("%Y%m%d")) or clock is None:
        work.unknown.append(f"copy of trip {trip.trip_id!r}: no such trip, another day, or no time")
        return
    hours, minutes, seconds = (int(part) for part in clock.groups())
    a, b = int(table.trip_first[row]), int(table.trip_first[row + 1])
    shift = 1000 * (3600 * hours + 60 * minutes + seconds) - int(table.depart_ms[a])
    sequence = int(table.trip_sequence[row])
    span = slice(int(table.sequence_first[sequence]), int(table.sequence_first[sequence + 1]))
    copy = table.trips + len(work.new_trips)
    name = properties.trip_id or f"{trip.trip_id}+"
    work.new_trips.append((name, int(table.trip_route[row]), table.trip_headsign[row]))
    work.own.append(
        Run(copy, 0, table.sequence_stop[span].tolist(), table.sequence_rule[span].tolist(),
            (table.arrive_ms[a:b] + shift).tolist(), (table.depart_ms[a:b] + shift).tolist())
    )  # fmt: skip
    work.counts["added"] += 1


def _stop(work: _Work, stop: Any) -> None:
    """A stop that only the realtime feed has."""
    if stop.stop_id and stop.stop_id not in work.day.timetable.stop_id.row_of:
        name = stop.stop_name.translation[0].text if stop.stop_name.translation else stop.stop_id
        work.new_stops.append((stop.stop_id, name, stop.stop_lon, stop.stop_lat))


def _stop_row(work: _Work, stop_id: str) -> int:
    row = work.day.timetable.stop_id.row_of.get(stop_id)
    if row is not None:
        return row
    for number, (name, *_) in enumerate(work.new_stops):
        if name == stop_id:
            return work.day.timetable.stops + number
    return -1


def _modification(work: _Work, detour: Any) -> None:
    """TripModifications: stops left out, replaced, and the delay that remains (experimental part of the reference)."""
    today = work.day.day.strftime("%Y%m%d")
    if detour.service_dates and today not in detour.service_dates:
        return
    for selected in detour.selected_trips:
        for trip_id in selected.trip_ids:
            row = work.day.timetable.trip_id.row_of.get(trip_id)
            run = -1 if row is None else int(work.day.run_of_trip[1, row])
            if run < 0 or not work.alive[run]:
                work.unknown.append(f"detour of trip {trip_id!r}: does not run on {work.day.day}")
                continue
            _alone(work, run)
            changed = work.own[-1]
            for modification in detour.modifications:
                if not _divert(work, run, changed, modification):
                    work.unknown.append(f"detour of trip {trip_id!r}: its stops are not on the trip")
            work.counts["updated"] += 1


def _divert(work: _Work, run: int, changed: Run, modification: Any) -> bool:
    """Replace the stops from the start to the end selector, and delay what comes after."""
    first = _selected(work, run, changed, modification.start_stop_selector)
    last = first
    if modification.HasField("end_stop_selector"):
        last = _selected(work, run, changed, modification.end_stop_selector)
    if first < 0 or last < first:
        return False
    reference = changed.arrive[first - 1] if first > 0 else changed.arrive[0]
    stops, times = [], []
    for replacement in modification.replacement_stops:
        row = _stop_row(work, replacement.stop_id)
        if row < 0:
            return False
        stops.append(row)
        times.append(reference + 1000 * replacement.travel_time_to_stop)
    if not _in_order(times):
        return False
    delay = 1000 * modification.propagated_modification_delay
    after = slice(last + 1, None)
    changed.stop[first : last + 1] = stops
    changed.rule[first : last + 1] = [0] * len(stops)
    tail_in, tail_out = (
        [time + delay for time in changed.arrive[after]], [time + delay for time in changed.depart[after]]
    )  # fmt: skip
    changed.arrive[first:] = times + tail_in
    changed.depart[first:] = times + tail_out
    for place in range(1, len(changed.stop)):
        changed.arrive[place] = max(changed.arrive[place], changed.depart[place - 1])
        changed.depart[place] = max(changed.depart[place], changed.arrive[place])
    return True


def _in_order(times: Sequence[int]) -> bool:
    """Whether replacement stops come in order of time."""
    return all(a <= b for a, b in pairwise(times))


def _selected(work: _Work, run: int, changed: Run, selector: Any) -> int:
    if selector.HasField("stop_sequence"):
        place = work.day.place_of(run, selector.stop_sequence)
        if place >= 0:
            return place
    row = work.day.timetable.stop_id.row_of.get(selector.stop_id, -1)
    return changed.stop.index(row) if row in changed.stop else -1


def _with_new(table: Timetable, work: _Work) -> Timetable:
    """The timetable with trips and stops that only the realtime feed has, at the end."""
    changes: dict[str, Any] = {}
    if work.new_trips:
        n = len(work.new_trips)
        changes |= {
            "trip_id": StringArray.of([*table.trip_id.all(), *(name for name, _, _ in work.new_trips)]),
            "trip_headsign": StringArray.of([*table.trip_headsign.all(), *(sign for _, _, sign in work.new_trips)]),
            "trip_route": np.append(table.trip_route, [route for _, route, _ in work.new_trips]).astype(np.int32),
            "trip_service": np.append(table.trip_service, np.full(n, -1)).astype(np.int32),
            "trip_sequence": np.append(table.trip_sequence, np.full(n, -1)).astype(np.int32),
            "trip_block": np.append(table.trip_block, np.full(n, -1)).astype(np.int32),
            "trip_wheelchair": np.append(table.trip_wheelchair, np.zeros(n)).astype(np.uint8),
            "trip_first": np.append(table.trip_first, np.full(n, table.trip_first[-1])).astype(np.int64),
        }
    if work.new_stops:
        n = len(work.new_stops)
        names = [name for _, name, _, _ in work.new_stops]
        changes |= {
            "stop_id": StringArray.of([*table.stop_id.all(), *(stop for stop, *_ in work.new_stops)]),
            "stop_name": StringArray.of([*table.stop_name.all(), *names]),
            "stop_kana": StringArray.of([*table.stop_kana.all(), *[""] * n]),
            "stop_zone": StringArray.of([*table.stop_zone.all(), *[""] * n]),
            "stop_lon": np.append(table.stop_lon, [stop[2] for stop in work.new_stops]),
            "stop_lat": np.append(table.stop_lat, [stop[3] for stop in work.new_stops]),
            "stop_parent": np.append(table.stop_parent, np.full(n, -1)).astype(np.int32),
            "stop_change_ms": np.append(table.stop_change_ms, np.full(n, -1)).astype(np.int32),
            "stop_wheelchair": np.append(table.stop_wheelchair, np.zeros(n)).astype(np.uint8),
        }
    return replace(table, **changes) if changes else table


def _alerts(table: Timetable, message: "FeedMessage") -> Iterable[Alert]:
    for entity in message.entity:
        if not entity.HasField("alert"):
            continue
        alert = entity.alert
        rows: dict[str, list[int]] = {"stop": [], "route": [], "trip": []}
        for concerned in alert.informed_entity:
            names = (("stop", concerned.stop_id), ("route", concerned.route_id), ("trip", concerned.trip.trip_id))
            for kind, name in names:
                row = getattr(table, f"{kind}_id").row_of.get(name) if name else None
                if row is not None:
                    rows[kind].append(row)
        periods = [(1000 * p.start, 1000 * p.end or 2**62) for p in alert.active_period] or [(0, 2**62)]
        texts = [t.translation[0].text if t.translation else "" for t in (alert.header_text, alert.description_text)]
        for start, end in periods:
            yield Alert(
                tuple(rows["stop"]), tuple(rows["route"]), tuple(rows["trip"]), start, end,
                alert.Effect.Name(alert.effect), *texts,
            )  # fmt: skip
