"""A booking just made as its row: what the region knows of it, then what its quote does. Whether a rider took an offer
or waited for a batch, the row is the same."""

import json
from typing import Any

from noriai_api.runtime.day import DayRun
from noriai_engine.model import Booking, Spot
from noriai_engine.model.places import Place


def known_of(run: DayRun, region: str, booking: Booking) -> dict[str, Any]:
    """What the region knows of a booking made at this instant; `body` and `promise` are values."""
    request, ends = run.request(booking.request_id), run.dispatcher.ends_of(booking.request_id)
    walks = (ends.walk_to_ms // 1000, ends.walk_from_ms // 1000)
    places = [place_at(run, ends.origin, request.origin, walks[0]),
              place_at(run, ends.destination, request.destination, walks[1])]  # fmt: skip
    return {
        "booking": booking.id, "region": region, "day": run.name, "quote": booking.request_id,
        "operator": str(booking.operator_id), "vehicle": str(booking.vehicle_id), "state": "accepted", "version": 1,
        "shared": False, "pickup": booking.pickup.earliest,
        "promise": {
            "pickup": [booking.pickup.earliest, booking.pickup.latest],
            "dropoff": [booking.dropoff.earliest, booking.dropoff.latest], "max_ride_ms": booking.max_ride_ms,
        },
        "body": {
            "party": list(request.party.as_tuple()), "places": places, "walks_s": walks, "timezone": run.day.timezone,
            "made": run.clock.now(),
        },
    }  # fmt: skip


def row_of(known: dict[str, Any], quote: dict[str, Any], together: str | None = None) -> dict[str, Any]:
    """The row of a booking, with what its quote's row (`body` as values) says of who rides and what it costs."""
    said = quote["body"]
    body = {**known["body"], "together": together, **{name: said[name] for name in ("on_behalf_of", "heads", "fares")}}
    promise, client, rider = compact(known["promise"]), quote["client"], quote["rider"]
    return {**known, "promise": promise, "body": compact(body), "client": client, "rider": rider}


def place_at(run: DayRun, spot: Spot, asked: Place, walk_s: int) -> dict[str, Any]:
    """Where the vehicle stops: at the place asked for, or at a stop the rider walks to."""
    if not walk_s:
        return {"lon": round(asked.lon, 6), "lat": round(asked.lat, 6), "name": asked.name}
    lon, lat = run.degrees(spot)
    return {"lon": lon, "lat": lat, "name": ""}


def compact(value: Any) -> str:
    """Canonical JSON, as short as it gets."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
