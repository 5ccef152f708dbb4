"""Journeys as lines for people and as documents for programs."""

from collections.abc import Sequence
from typing import Any

from noriai_gtfs.journeys.search import Journey, Leg
from noriai_gtfs.timetable.days import DayTimetable


def clock_text(ms: int) -> str:
    """HH:MM of the service day (25:10 after midnight), seconds where there are any."""
    seconds = ms // 1000
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return text if seconds % 60 == 0 else f"{text}:{seconds % 60:02d}"


def document(day: DayTimetable, journey: Journey) -> dict[str, Any]:
    """A journey with ids and times of the service day, H:MM:SS as GTFS writes them."""
    return {
        "date": day.day.isoformat(),
        "depart": _gtfs(journey.depart_ms),
        "arrive": _gtfs(journey.arrive_ms),
        "rides": journey.rides,
        "legs": [_leg(day, leg) for leg in journey.legs],
    }


def lines(day: DayTimetable, journeys: Sequence[Journey]) -> list[str]:
    """Journeys as text."""
    if not journeys:
        return ["no journey"]
    out = []
    table = day.timetable
    for journey in journeys:
        minutes = (journey.arrive_ms - journey.depart_ms) // 60_000
        out.append(
            f"{clock_text(journey.depart_ms)} - {clock_text(journey.arrive_ms)}  {minutes} min, "
            f"{journey.rides} {'ride' if journey.rides == 1 else 'rides'}"
        )
        for leg in journey.legs:
            ends = " - ".join(table.stop_name[stop] if stop >= 0 else "" for stop in (leg.from_stop, leg.to_stop))
            if leg.is_ride:
                trip = int(day.trip[leg.run])
                what = f"{table.route_name[int(table.trip_route[trip])]} {table.trip_headsign[trip]}".strip()
                what = f"{what} (stay aboard)" if leg.stays else what
            else:
                what = "walk"
            out.append(f"    {clock_text(leg.depart_ms)} - {clock_text(leg.arrive_ms)}  {what}: {ends}")
    return out


def _gtfs(ms: int) -> str:
    seconds = ms // 1000
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _leg(day: DayTimetable, leg: Leg) -> dict[str, Any]:
    table = day.timetable
    entry: dict[str, Any] = {
        "mode": "ride" if leg.is_ride else "walk",
        "from_stop_id": table.stop_id[leg.from_stop] if leg.from_stop >= 0 else None,
        "to_stop_id": table.stop_id[leg.to_stop] if leg.to_stop >= 0 else None,
        "depart": _gtfs(leg.depart_ms),
        "arrive": _gtfs(leg.arrive_ms),
    }
    if leg.is_ride:
        trip = int(day.trip[leg.run])
        route = int(table.trip_route[trip])
        entry |= {
            "trip_id": table.trip_id[trip], "route_id": table.route_id[route], "route_name": table.route_name[route],
            "headsign": table.trip_headsign[trip],
        }  # fmt: skip
        if leg.stays:
            entry["stay_aboard"] = True
    return entry
