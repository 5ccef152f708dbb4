"""TOMP 2.0: our offers as the collection that search-offers answers with.

The published schema asks of each feature that its `type` be "Feature" and "offer" at once; GeoJSON wins here, and
`properties.type` says offer.
"""

from collections.abc import Sequence
from typing import Any

from noriai_engine.model import Place, ServiceDay
from noriai_gtfs.joint import JointOffer, RideLeg, Traveller
from noriai_gtfs.journeys import Leg
from noriai_gtfs.timetable import DayTimetable

_MODES = {
    0: "TRAM", 1: "METRO", 2: "RAIL", 3: "BUS", 4: "FERRY", 5: "TRAM", 6: "CABLEWAY", 7: "FUNICULAR", 11: "TROLLEYBUS",
    12: "URBANRAIL",
}  # fmt: skip


def offer_collection(
    search_id: str, who: Traveller, offers: Sequence[JointOffer], lines: DayTimetable, day: ServiceDay
) -> dict[str, Any]:
    """The answer to a search: one feature for each journey, its legs in order."""
    places = {
        "P:origin": who.origin.name or "origin", "P:destination": who.destination.name or "destination",
    }  # fmt: skip
    return {
        "type": "FeatureCollection",
        "features": [
            _feature(f"{search_id}-{number}", who, offer, lines, day) for number, offer in enumerate(offers, start=1)
        ],
        "properties": {
            "type": "OfferCollection", "id": search_id,
            "definitions": {
                "places": [
                    {"id": name, "type": "place", "addressLine1": text[:75]} for name, text in places.items()
                ],
                "travellers": [_traveller(who)],
            },
        },
        "numberMatched": len(offers), "numberReturned": len(offers),
    }  # fmt: skip


def _traveller(who: Traveller) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "traveller", "id": who.id, "groupSize": who.party.riders}
    if who.party.wheelchairs:
        out["requirements"] = {"prmNeeds": [{"mobilityNeed": "wheelchair"}]}
    return out


def _feature(offer_id: str, who: Traveller, offer: JointOffer, lines: DayTimetable, day: ServiceDay) -> dict[str, Any]:
    points = [who.origin, *(place for leg in offer.legs for place in _ends(leg, lines)), who.destination]
    line = [[place.lon, place.lat] for k, place in enumerate(points) if k == 0 or place != points[k - 1]]
    start, end = (day.rfc3339(day.to_utc(ms)) for ms in (offer.depart_ms, offer.arrive_ms))
    properties: dict[str, Any] = {
        "type": "offer", "id": offer_id,
        "specification": {
            "type": "travelSpecification", "from": "P:origin", "to": "P:destination", "startTime": start,
            "endTime": end,
        },
        "legs": [_leg(leg, lines) for leg in offer.legs],
        "cancellation": {"cancellable": True}, "exchangeable": False, "refundable": True,
    }  # fmt: skip
    if offer.price is not None and offer.price.currency:
        minor = 1 if offer.price.currency in ("JPY", "KRW", "CLP") else 100
        properties["price"] = {"amount": offer.price.amount / minor, "currencyCode": offer.price.currency}
    return {
        "type": "Feature", "id": offer_id, "geometry": {"type": "LineString", "coordinates": line},
        "properties": properties,
    }  # fmt: skip


def _ends(leg: RideLeg | Leg, lines: DayTimetable) -> list[Place]:
    if isinstance(leg, RideLeg):
        return [leg.request.origin, leg.request.destination]
    table = lines.timetable
    return [
        Place(float(table.stop_lon[stop]), float(table.stop_lat[stop]))
        for stop in (leg.from_stop, leg.to_stop) if stop >= 0
    ]  # fmt: skip


def _leg(leg: RideLeg | Leg, lines: DayTimetable) -> dict[str, Any]:
    if isinstance(leg, RideLeg):
        return {"mode": "TAXI", "name": str(leg.offer.operator_id), "destination": leg.request.destination.name[:75]}
    table = lines.timetable
    there = table.stop_name[leg.to_stop] if leg.to_stop >= 0 else ""
    if not leg.is_ride:
        return {"mode": "FOOT", "name": "walk", "destination": there[:75]}
    trip = int(lines.trip[leg.run])
    route = int(table.trip_route[trip])
    mode = _MODES.get(int(table.route_type[route]), "OTHER") if route >= 0 else "OTHER"
    return {
        "mode": mode,
        "name": (table.route_name[route] if route >= 0 else "")[:75] or "line",
        "destination": there[:75],
    }
