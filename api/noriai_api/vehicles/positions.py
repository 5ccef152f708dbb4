"""Where vehicles are. Reports come late, twice, out of order and from clocks that are wrong; the latest by its own
instant counts, and nothing later than now is believed."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects import sqlite

from noriai_api.store.tables import telemetry

AHEAD_MS = 30_000
"""A clock may be fast by this much."""
OLD_MS = 24 * 3_600_000
STALE_MS = 90_000
"""Older than this, a position says where a vehicle was, not where it is (GTFS Realtime best practice)."""
MOST_WAITING = 200_000
_ADD = sqlite.insert(telemetry).on_conflict_do_nothing()
_ADD_ALL = text(
    "INSERT INTO telemetry SELECT * FROM json_populate_recordset(NULL::telemetry, CAST(:rows AS json))"
    " ON CONFLICT DO NOTHING"
)
"""Thousands of rows a second, which must not keep bookings waiting: to name each value of each row takes a second."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a vehicle was at an instant (UTC ms): degrees, metres a second, degrees from north."""

    at: int
    lon: float
    lat: float
    speed_mps: float | None = None
    heading: float | None = None


class Positions:
    """The latest position of each vehicle, and those that are not in the store yet."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, str], Position] = {}
        self._waiting: dict[tuple[str, str, int], Position] = {}
        self.counts: Counter[str] = Counter()

    def load(self, connection: Connection) -> None:
        """The latest positions of the store."""
        newest = (
            select(telemetry.c.tenant, telemetry.c.vehicle, func.max(telemetry.c.at).label("at"))
            .group_by(telemetry.c.tenant, telemetry.c.vehicle).subquery()
        )  # fmt: skip
        same = (telemetry.c.tenant == newest.c.tenant) & (telemetry.c.vehicle == newest.c.vehicle)
        for row in connection.execute(select(telemetry).join(newest, same & (telemetry.c.at == newest.c.at))):
            self._latest[row.tenant, row.vehicle] = Position(row.at, row.lon, row.lat, row.speed_mps, row.heading)

    def take(self, tenant: str, vehicle: str, reports: Iterable[Position], now: int) -> dict[str, int]:
        """Take reports in; how many were new, known already, late (kept, but not the latest), or not believable."""
        counts = Counter({"accepted": 0, "duplicate": 0, "late": 0, "future": 0, "old": 0})
        for position in reports:
            latest = self._latest.get((tenant, vehicle))
            key = (tenant, vehicle, position.at)
            if position.at > now + AHEAD_MS:
                counts["future"] += 1
            elif position.at < now - OLD_MS:
                counts["old"] += 1
            elif key in self._waiting or (latest is not None and latest.at == position.at):
                counts["duplicate"] += 1
            else:
                self._waiting[key] = position
                if latest is None or position.at > latest.at:
                    self._latest[tenant, vehicle] = position
                    counts["accepted"] += 1
                else:
                    counts["late"] += 1
        self.counts.update(counts)
        return dict(counts)

    def latest(self, tenant: str, vehicle: str) -> Position | None:
        return self._latest.get((tenant, vehicle))

    def all_of(self, tenant: str) -> dict[str, Position]:
        """Latest positions of a tenant's vehicles."""
        return {vehicle: position for (owner, vehicle), position in self._latest.items() if owner == tenant}

    def waiting_rows(self) -> list[dict[str, Any]]:
        """Rows to be written; they are forgotten here."""
        rows = [
            {"tenant": tenant, "vehicle": vehicle, "at": at, "lon": p.lon, "lat": p.lat, "speed_mps": p.speed_mps,
             "heading": p.heading}
            for (tenant, vehicle, at), p in self._waiting.items()
        ]  # fmt: skip
        self._waiting.clear()
        return rows

    def put_back(self, rows: list[dict[str, Any]]) -> None:
        """Rows that could not be written wait again."""
        for row in rows:
            position = Position(row["at"], row["lon"], row["lat"], row["speed_mps"], row["heading"])
            self._waiting.setdefault((row["tenant"], row["vehicle"], row["at"]), position)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MOST_WAITING


def write(connection: Connection, rows: list[dict[str, Any]], *, is_sqlite: bool) -> None:
    """Add rows; those that are there stay as they are."""
    if is_sqlite:
        connection.execute(_ADD, rows)
    else:
        connection.execute(_ADD_ALL, {"rows": json.dumps(rows)})
