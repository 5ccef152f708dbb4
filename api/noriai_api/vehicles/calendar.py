"""A vehicle's day as a calendar (RFC 5545), for drivers who look at nothing else. Riders' names are not in it."""

from datetime import UTC, datetime

from noriai_api.vehicles.schemas import PlanOut
from noriai_engine.texts import text


def calendar_of(plan: PlanOut, language: str, now_ms: int) -> str:
    """An iCalendar document with an event for each pickup, dropoff and break."""
    stamp = _utc(datetime.fromtimestamp(now_ms / 1000, UTC))
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//noriai//noriai//EN", "CALSCALE:GREGORIAN"]
    for number, activity in enumerate(plan.activities):
        if activity.kind not in ("pickup", "dropoff", "break"):
            continue
        begin = datetime.fromisoformat(activity.begin).astimezone(UTC)
        end = datetime.fromtimestamp(begin.timestamp() + max(60, activity.service_s), UTC)
        riders = activity.seats + activity.wheelchairs
        what = text(f"driver.{activity.kind}", language, riders=riders, wheelchairs=activity.wheelchairs)
        uid = f"{activity.kind}-{activity.booking or number}-{plan.vehicle}-{plan.day}@noriai"
        lines += [
            "BEGIN:VEVENT", f"UID:{uid}", f"DTSTAMP:{stamp}", f"SEQUENCE:{plan.version}", f"DTSTART:{_utc(begin)}",
            f"DTEND:{_utc(end)}", f"SUMMARY:{_escaped(what)}", f"GEO:{activity.place.lat};{activity.place.lon}",
            *([f"LOCATION:{_escaped(activity.place.name)}"] if activity.place.name else []), "END:VEVENT",
        ]  # fmt: skip
    return "".join(_folded(line) for line in [*lines, "END:VCALENDAR"])


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _folded(line: str) -> str:
    """A content line in pieces of at most 75 octets, no character cut (section 3.1)."""
    pieces: list[str] = []
    current = ""
    for character in line:
        if len((current + character).encode()) > 75 - (1 if pieces else 0):
            pieces.append(current)
            current = ""
        current += character
    return "\r\n ".join([*pieces, current]) + "\r\n"
