"""MDS 2.0 as a provider: what the authority reads of our vehicles, from a region's log and its vehicles' positions."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from noriai_api.node import Node
from noriai_api.problems import Problem
from noriai_api.runtime.actor import RegionActor
from noriai_api.standards.day_log import DayLog, read_day
from noriai_api.store.tables import telemetry
from noriai_api.vehicles.positions import Position
from noriai_engine.model import Event, Place, Spot
from noriai_engine.model.units import HOUR_MS
from noriai_gtfs.publish.mds import Aboard, Authority

VERSION = "2.0.0"

Track = list[tuple[str, Position]]
"""Vehicles' positions, in time."""


class Mds:
    """Provider documents of one region's day."""

    def __init__(self, actor: RegionActor, log: DayLog, track: Track) -> None:
        self._network, self._log, self._track = actor.runtime.region.network, log, track
        self.authority = Authority(actor.key[0], log.vehicles, log.requests)
        shift = date.fromisoformat(log.day).toordinal() * 10_000_000  # numbers begin anew each day, ids must not
        self._events = [replace(event, sequence=shift + event.sequence) for event in log.events]

    def vehicles(self) -> list[dict[str, Any]]:
        return [self.authority.vehicle(vehicle) for vehicle in self._log.vehicles]

    def events(self, begin: int, end: int) -> list[dict[str, Any]]:
        """Events with begin <= timestamp < end."""
        return [e for e in self.authority.events(self._events, self._place) if begin <= e["timestamp"] < end]

    def trips(self, begin: int, end: int) -> list[dict[str, Any]]:
        """Trips that ended then."""
        made = self.authority.trips(self._events, self._place, self._metres)
        return [trip for trip in made if begin <= trip["end_time"] < end]

    def telemetry(self, begin: int, end: int) -> list[dict[str, Any]]:
        """Every position of then that a vehicle told, and where its riders boarded and alighted."""
        aboard = Aboard(self._events)
        found = {}
        for vehicle, position in self._points():
            if begin <= position.at < end:
                place = Place(position.lon, position.lat)
                found[vehicle, position.at] = self.authority.telemetry(
                    vehicle, position.at, place, aboard, position.speed_mps, position.heading
                )
        return [found[key] for key in sorted(found, key=lambda key: (key[1], key[0]))]

    def status(self, now: int) -> list[dict[str, Any]]:
        """Each vehicle's last event and position."""
        events = {event["device_id"]: event for event in self.events(0, now + 1)}
        points = {point["device_id"]: point for point in self.telemetry(0, now + 1)}
        return [
            {"device_id": name, "provider_id": self.authority.provider_id, "last_event": event,
             "last_telemetry": points[name]}
            for name, event in events.items() if name in points
        ]  # fmt: skip

    def _points(self) -> Iterator[tuple[str, Position]]:
        for event in self._events:
            if (
                event.kind in ("shift_started", "picked_up", "dropped_off")
                and (place := self._place(event)) is not None
            ):
                yield str(event.vehicle_id), Position(int(event.time), place.lon, place.lat)
        ours = {str(vehicle.id) for vehicle in self._log.vehicles}
        yield from ((vehicle, position) for vehicle, position in self._track if vehicle in ours)

    def _place(self, event: Event) -> Place | None:
        if event.state is None or event.offset_ms is None:
            return None
        place = self._network.place_at(Spot(event.state, event.offset_ms))
        return Place(round(place.lon, 7), round(place.lat, 7))

    def _metres(self, begin: Event, end: Event) -> int:
        legs = (leg for leg in self._log.legs if leg.vehicle_id == end.vehicle_id)
        return sum(leg.distance_mm for leg in legs if begin.time <= leg.depart and leg.arrive <= end.time) // 1000


async def mds_between(
    node: Node, tenant: str, begin: int, end: int, documents: Callable[[Mds], list[dict[str, Any]]],
    track: Track | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Documents of all a tenant's regions, over the service days that an interval touches."""
    found: list[dict[str, Any]] = []
    for (owner, region), actor in node.actors.items():
        if owner != tenant:
            continue
        first = actor.runtime.service_day(begin).date - timedelta(days=1)  # type: ignore[arg-type]
        last = actor.runtime.service_day(end).date  # type: ignore[arg-type]
        for offset in range((last - first).days + 1):
            day = (first + timedelta(days=offset)).isoformat()
            log = await node.read(_day_reader(tenant, region, day), tenant)
            if log.events:
                found += documents(Mds(actor, log, [] if actor.runtime.rules.moves_itself else track or []))
    return list({_name_of(one): one for one in found}.values())


def _name_of(document: dict[str, Any]) -> str:
    """A document's own id, by which one that two service days tell is told once."""
    for name in ("event_id", "trip_id", "telemetry_id"):
        if name in document:
            return str(document[name])
    return str(document["device_id"])


def _day_reader(tenant: str, region: str, day: str) -> Callable[[Connection], DayLog]:
    return lambda connection: read_day(connection, tenant, region, day)


def track_between(connection: Connection, tenant: str, begin: int, end: int) -> Track:
    """Positions that a tenant's vehicles told."""
    where = (telemetry.c.tenant == tenant, telemetry.c.at >= begin, telemetry.c.at < end)
    rows = connection.execute(select(telemetry).where(*where).order_by(telemetry.c.at, telemetry.c.vehicle))
    return [(row.vehicle, Position(row.at, row.lon, row.lat, row.speed_mps, row.heading)) for row in rows]


def hour_of(value: str) -> tuple[int, int]:
    """[begin, end) in UTC ms of an hour as MDS writes it. Raises Problem (invalid)."""
    try:
        begin = datetime.strptime(value, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError:
        raise Problem("invalid", f"{value} is no hour", errors=[
            {"where": "query", "what": f"{value} is no hour", "do": "write the hour in UTC, such as 2026-11-24T08"}
        ]) from None  # fmt: skip
    ms = int(begin.timestamp()) * 1000
    return ms, ms + HOUR_MS
