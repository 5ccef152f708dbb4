"""A service of ours as the public sees it, and as GTFS-Flex."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from noriai_engine.model import Service
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import MINUTE_MS
from noriai_gtfs.publish.flex import FlexFeed, FlexTrip, FlexVisit, PlaceKind, Record, clock
from noriai_gtfs.services import day_number

Ring = tuple[tuple[float, float], ...]
NOT_AVAILABLE, PHONE = 1, 2
REAL_TIME, SAME_DAY, PRIOR_DAY = "0", "1", "2"


@dataclass(frozen=True)
class PublishedService:
    """What riders are told: who offers rides where and when, and how to book. Days are weekdays, Monday 0.

    `area` are outer rings (lon, lat) where `service` runs door to door; with stops, its stops are the places.
    `last_call_day_before` is the clock time in ms until which one may book on the day before, None: no such rule.
    """

    service: Service
    agency_id: str
    agency_name: str
    url: str
    timezone: str
    language: str
    valid_from: date
    valid_to: date
    weekdays: frozenset[int] = frozenset(range(7))
    except_dates: frozenset[date] = frozenset()
    area: tuple[Ring, ...] = ()
    phone: str = ""
    email: str = ""
    message: str = ""
    info_url: str = ""
    booking_url: str = ""
    last_call_day_before: int | None = None

    def __post_init__(self) -> None:
        where = f"service {self.service.id}"
        if self.valid_to < self.valid_from:
            raise InputError("ends before it begins", where=where, remedy="give valid_from before valid_to")
        if not self.days:
            raise InputError("runs on no day", where=where, remedy="give weekdays within its dates")
        if self.service.mode == "door" and not self.rings:
            raise InputError("has no area", where=where, remedy="give rings of (lon, lat)")

    @property
    def rings(self) -> tuple[Ring, ...]:
        return self.area or self.service.area

    @property
    def days(self) -> frozenset[int]:
        """Day numbers on which it runs."""
        gone = {day_number(day) for day in self.except_dates}
        span = range(day_number(self.valid_from), day_number(self.valid_to) + 1)
        return frozenset(day for day in span if (day + 3) % 7 in self.weekdays and day not in gone)

    def booking_rule(self) -> Record:
        """booking_rules.txt: real time, some minutes before, or until a time on the day before."""
        rule: Record = {"booking_rule_id": f"{self.service.id}:booking"}
        minutes = -(-self.service.min_lead_ms // MINUTE_MS)
        if self.last_call_day_before is not None:
            rule |= {
                "booking_type": PRIOR_DAY, "prior_notice_last_day": "1",
                "prior_notice_last_time": clock(self.last_call_day_before),
            }  # fmt: skip
        elif minutes > 0:
            rule |= {"booking_type": SAME_DAY, "prior_notice_duration_min": str(minutes)}
        else:
            rule |= {"booking_type": REAL_TIME}
        texts = {
            "message": self.message, "phone_number": self.phone, "info_url": self.info_url,
            "booking_url": self.booking_url,
        }  # fmt: skip
        return rule | {name: text for name, text in texts.items() if text}


def flex_of(services: Sequence[PublishedService], version: str) -> FlexFeed:
    """Several services as one GTFS-Flex feed."""
    if not services:
        raise InputError("there is no service to publish", remedy="name at least one")
    zones: dict[str, dict[str, Any]] = {}
    groups: dict[str, tuple[str, frozenset[str]]] = {}
    stops: dict[str, Record] = {}
    trips, routes, rules, days = {}, {}, {}, {}
    agencies: dict[str, Record] = {}
    for offered in services:
        name = offered.service.id
        agencies[offered.agency_id] = _agency(offered)
        routes[name] = {
            "route_id": name, "agency_id": offered.agency_id, "route_long_name": offered.service.name,
            "route_type": "3",
        }  # fmt: skip
        rule = offered.booking_rule()
        rules[rule["booking_rule_id"]] = rule
        days[f"{name}:days"] = offered.days
        kind, place = _place(offered, zones, groups, stops)
        board = FlexVisit(
            kind, place, int(offered.service.opens), int(offered.service.closes), True, PHONE, NOT_AVAILABLE,
            rule["booking_rule_id"], "",
        )  # fmt: skip
        leave = replace(
            board, pickup=NOT_AVAILABLE, drop_off=PHONE, pickup_rule="", drop_off_rule=rule["booking_rule_id"]
        )  # fmt: skip
        factor = offered.service.detour_factor_permille / 1000
        trips[f"{name}:trip"] = FlexTrip(
            f"{name}:trip", name, f"{name}:days", "", (board, leave), factor, offered.service.detour_extra_ms / 1000
        )  # fmt: skip
    first = services[0]
    info = {
        "feed_publisher_name": first.agency_name, "feed_publisher_url": first.url, "feed_lang": first.language,
        "feed_start_date": min(s.valid_from for s in services).strftime("%Y%m%d"),
        "feed_end_date": max(s.valid_to for s in services).strftime("%Y%m%d"), "feed_version": version,
    }  # fmt: skip
    info |= {"feed_contact_email": first.email} if first.email else {"feed_contact_url": first.url}
    return FlexFeed(tuple(agencies.values()), routes, days, trips, zones, groups, stops, rules, info)


def _agency(offered: PublishedService) -> Record:
    record = {
        "agency_id": offered.agency_id, "agency_name": offered.agency_name, "agency_url": offered.url,
        "agency_timezone": offered.timezone, "agency_lang": offered.language,
    }  # fmt: skip
    return record | ({"agency_phone": offered.phone} if offered.phone else {})


def _place(
    offered: PublishedService, zones: dict[str, dict[str, Any]], groups: dict[str, tuple[str, frozenset[str]]],
    stops: dict[str, Record],
) -> tuple[PlaceKind, str]:  # fmt: skip
    """The zone of a door-to-door service, or the group of its stops."""
    service = offered.service
    if service.mode == "stops":
        members = []
        for number, stop in enumerate(service.stops, start=1):
            stop_id = f"{service.id}:stop{number}"
            stops[stop_id] = {
                "stop_id": stop_id, "stop_name": stop.name or f"{service.name} {number}",
                "stop_lat": f"{stop.lat:.6f}", "stop_lon": f"{stop.lon:.6f}",
            }  # fmt: skip
            members.append(stop_id)
        groups[f"{service.id}:stops"] = service.name, frozenset(members)
        return "group", f"{service.id}:stops"
    rings = [[list(point) for point in _closed(ring)] for ring in offered.rings]
    geometry: dict[str, Any] = (
        {"type": "Polygon", "coordinates": [rings[0]]}
        if len(rings) == 1
        else {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
    )
    zone = f"{service.id}:area"
    zones[zone] = {"type": "Feature", "id": zone, "properties": {"stop_name": service.name}, "geometry": geometry}
    return "zone", zone


def _closed(ring: Ring) -> Ring:
    return ring if ring[0] == ring[-1] else (*ring, ring[0])
