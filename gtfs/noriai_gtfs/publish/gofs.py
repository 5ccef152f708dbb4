"""GOFS 1.0: the same services for apps that read the General On-demand Feed Specification."""

from collections.abc import Sequence
from typing import Any

from noriai_engine.model import Vehicle
from noriai_gtfs.publish.flex import calendars_of, clock, compact
from noriai_gtfs.publish.service import PublishedService

TTL_S = 3600
_DAYS = {"monday": "mon", "tuesday": "tue", "wednesday": "wed", "thursday": "thu", "friday": "fri", "saturday": "sat",
         "sunday": "sun"}  # fmt: skip


def gofs_documents(
    services: Sequence[PublishedService], vehicles: Sequence[Vehicle], base_url: str, now_s: int
) -> dict[str, dict[str, Any]]:
    """Every file of the dataset by name; `base_url` is where they will lie. Door-to-door services and those with stops
    alike (a stop becomes a small square zone)."""
    first = services[0]
    parts: dict[str, dict[str, Any]] = {
        "system_information": _system(first),
        "service_brands": {
            "service_brands": [
                {"brand_id": s.service.id, "brand_name": s.service.name, "brand_color": "0B6E8F",
                 "brand_text_color": "FFFFFF"}
                for s in services
            ]
        },
        "vehicle_types": {"vehicle_types": _vehicle_types(vehicles)},
        "zones": {"zones": {"type": "FeatureCollection", "features": [z for s in services for z in _zones(s)]}},
        "operating_rules": {"operating_rules": [rule for s in services for rule in _rules(s, vehicles)]},
        "calendars": {"calendars": [_calendar(s) for s in services]},
        "booking_rules": {"booking_rules": [_booking(s) for s in services]},
    }  # fmt: skip
    documents = {f"{name}.json": _wrapped(data, now_s) for name, data in parts.items()}
    feeds = [{"name": name, "url": f"{base_url}/{name}.json"} for name in parts]
    documents["gofs.json"] = _wrapped({first.language: {"feeds": feeds}}, now_s)
    return documents


def _wrapped(data: dict[str, Any], now_s: int) -> dict[str, Any]:
    return {"last_updated": now_s, "ttl": TTL_S, "version": "1.0", "data": data}


def _system(service: PublishedService) -> dict[str, Any]:
    data = {
        "language": service.language, "timezone": service.timezone, "name": service.agency_name,
        "operator": service.agency_name, "url": service.url, "start_date": service.valid_from.strftime("%Y%m%d"),
    }  # fmt: skip
    if service.phone.startswith("+"):
        data["phone_number"] = service.phone
    if service.email:
        data |= {"email": service.email, "feed_contact_email": service.email}
    return data


def _seats(vehicle: Vehicle) -> tuple[int, bool]:
    return max(lay.seats for lay in vehicle.layouts), any(lay.wheelchairs for lay in vehicle.layouts)


def _type_id(vehicle: Vehicle) -> str:
    seats, chair = _seats(vehicle)
    return f"{vehicle.kind}-{seats}{'-wheelchair' if chair else ''}"


def _vehicle_types(vehicles: Sequence[Vehicle]) -> list[dict[str, Any]]:
    found = {_type_id(vehicle): _seats(vehicle) for vehicle in vehicles}
    return [
        {"vehicle_type_id": name, "max_capacity": str(seats),
         "wheelchair_boarding": "boarding_accessible" if chair else "boarding_inaccessible"}
        for name, (seats, chair) in sorted(found.items())
    ]  # fmt: skip


def _zone_ids(service: PublishedService) -> list[str]:
    if service.service.mode == "stops":
        return [f"{service.service.id}:stop{k}" for k in range(1, len(service.service.stops) + 1)]
    return [f"{service.service.id}:area{k}" for k in range(1, len(service.rings) + 1)]


def _zones(service: PublishedService) -> list[dict[str, Any]]:
    if service.service.mode == "stops":
        half = 0.0003  # some 30 m: where one waits
        rings = [
            [(s.lon - half, s.lat - half), (s.lon + half, s.lat - half), (s.lon + half, s.lat + half),
             (s.lon - half, s.lat + half)]
            for s in service.service.stops
        ]  # fmt: skip
        names = [stop.name or service.service.name for stop in service.service.stops]
    else:
        rings, names = [list(ring) for ring in service.rings], [service.service.name] * len(service.rings)
    return [
        {"zone_id": zone, "type": "Feature", "properties": {"name": name},
         "geometry": {"type": "Polygon",
                      "coordinates": [[list(point) for point in (ring if ring[0] == ring[-1] else [*ring, ring[0]])]]}}
        for zone, ring, name in zip(_zone_ids(service), rings, names, strict=True)
    ]  # fmt: skip


def _rules(service: PublishedService, vehicles: Sequence[Vehicle]) -> list[dict[str, Any]]:
    types = sorted({_type_id(vehicle) for vehicle in vehicles})
    return [
        {"from_zone_id": a, "to_zone_id": b, "start_pickup_window": clock(int(service.service.opens)),
         "end_pickup_window": clock(int(service.service.closes)), "calendars": [f"{service.service.id}:days"],
         "brand_id": service.service.id, "vehicle_type_id": types}
        for a in _zone_ids(service) for b in _zone_ids(service)
    ]  # fmt: skip


def _calendar(service: PublishedService) -> dict[str, Any]:
    name = f"{service.service.id}:days"
    days = service.days
    weekdays = calendars_of({name: days})[0][0]
    excepted = [
        compact(day)
        for day in range(min(days), max(days) + 1)
        if day not in days and (day + 3) % 7 in service.weekdays
    ]  # fmt: skip
    return {
        "calendar_id": name, "days": [short for long, short in _DAYS.items() if weekdays[long] == "1"],
        "start_date": compact(min(days)), "end_date": compact(max(days)), "excepted_dates": excepted,
    }  # fmt: skip


def _booking(service: PublishedService) -> dict[str, Any]:
    record = service.booking_rule()
    zones = _zone_ids(service)
    out: dict[str, Any] = {
        "from_zone_ids": zones, "to_zone_ids": zones, "booking_type": int(record["booking_type"]),
    }  # fmt: skip
    for name in ("prior_notice_duration_min", "prior_notice_last_day"):
        if name in record:
            out[name] = int(record[name])
    for name in ("prior_notice_last_time", "message", "info_url", "booking_url"):
        if name in record:
            out[name] = record[name]
    if service.phone.startswith("+"):
        out["phone_number"] = service.phone
    return out
