"""What neighbours say to each other about rides: TOMP-API 2.0's search and purchase of offers, for rides on demand.

Of the rider nothing is said but how many travel, what they need, and where and when: no name, no token of theirs.
"""

from typing import Any

from noriai_api.bookings.schemas import NeedsIn, OfferOut, PartyIn, QuoteIn, QuoteOut
from noriai_api.schemas import PlaceIn
from noriai_engine.model.errors import InputError

Document = dict[str, Any]

MINOR = {"JPY": 1, "KRW": 1, "CLP": 1}
"""Minor units in a major one, where it is not 100."""


def search(wish: QuoteIn) -> Document:
    """A wish as a search for offers."""
    party = wish.party or PartyIn()
    traveller: Document = {"type": "traveller", "id": "T1", "groupSize": party.seats + party.wheelchairs}
    if party.wheelchairs:
        traveller["requirements"] = {"prmNeeds": [{"mobilityNeed": "wheelchair"}] * party.wheelchairs}
    times = {"startTime": wish.earliest_pickup, "endTime": wish.latest_arrival}
    return {"inputs": {
        "type": "search_offer",
        "specification": {
            "from": f"GPS:{wish.origin.lon},{wish.origin.lat}",
            "to": f"GPS:{wish.destination.lon},{wish.destination.lat}",
            **{name: moment.isoformat() for name, moment in times.items() if moment is not None},
        },
        "travellers": [traveller],
        "customProperties": {"noriaiParty": party.model_dump(), "noriaiNeeds": wish.needs.model_dump(mode="json")},
    }}  # fmt: skip


def wish_of(document: Any) -> QuoteIn:
    """A search for offers as a wish. Raises InputError."""
    try:
        inputs = document["inputs"]
        said = inputs["specification"]
        own = inputs.get("customProperties", {})
        party = own.get("noriaiParty") or {"seats": inputs["travellers"][0].get("groupSize", 1)}
        return QuoteIn(
            origin=_place(said["from"]), destination=_place(said["to"]), earliest_pickup=said.get("startTime"),
            latest_arrival=said.get("endTime") if "startTime" not in said else None, party=PartyIn(**party),
            needs=NeedsIn(**own.get("noriaiNeeds", {})), rider=None, operator=None,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"cannot be read: {error}"[:300], where="search", remedy="send TOMP 2.0 search-offers"
        ) from None


def offers(quote: QuoteOut) -> Document:
    """A quote as a collection of offers."""
    return {
        "type": "FeatureCollection", "features": [_feature(quote, offer) for offer in quote.offers],
        "properties": {"type": "OfferCollection", "id": quote.quote, "definitions": {}},
        "numberMatched": len(quote.offers), "numberReturned": len(quote.offers),
    }  # fmt: skip


def _feature(quote: QuoteOut, offer: OfferOut) -> Document:
    name = f"{quote.quote}:{offer.offer}"
    places = (offer.pickup.place, offer.dropoff.place)
    properties: Document = {
        "type": "offer", "id": name,
        "specification": {
            "type": "travelSpecification", "from": "P:origin", "to": "P:destination",
            "startTime": offer.pickup.planned or offer.pickup.earliest, "endTime": offer.dropoff.latest,
        },
        "legs": [{"mode": "TAXI", "name": offer.operator_name[:75], "destination": offer.dropoff.place.name[:75]}],
        "validity": {"endTime": quote.expires}, "cancellation": {"cancellable": True},
        "customProperties": {"noriaiOffer": offer.model_dump(mode="json")},
    }  # fmt: skip
    if offer.fare is not None:
        minor = MINOR.get(offer.fare.currency, 100)
        properties["price"] = {"amount": offer.fare.total / minor, "currencyCode": offer.fare.currency}
    return {
        "type": "Feature", "id": name, "properties": properties,
        "geometry": {"type": "LineString", "coordinates": [[place.lon, place.lat] for place in places]},
    }  # fmt: skip


def offers_of(document: Any) -> list[tuple[str, OfferOut]]:
    """(id, offer) of a neighbour's collection; what cannot be read is left out: a neighbour may lie or err."""
    found = []
    features = document.get("features") if isinstance(document, dict) else None
    for feature in features if isinstance(features, list) else ():
        try:
            offer = OfferOut.model_validate(feature["properties"]["customProperties"]["noriaiOffer"])
            found.append((str(feature["id"])[:200], offer))
        except (KeyError, TypeError, ValueError):
            continue
    return found


def purchase(offer: str, ride: str) -> Document:
    """Take an offer. `ride` is the same in every copy of the request."""
    return {"inputs": {"type": "purchase_offer_request", "offers": [offer], "customProperties": {"noriaiRide": ride}}}


def purchase_of(document: Any) -> tuple[str, int, str]:
    """(quote, number of the offer, ride). Raises InputError."""
    try:
        (name,) = document["inputs"]["offers"]
        quote, _, number = str(name).rpartition(":")
        return quote, int(number), str(document["inputs"]["customProperties"]["noriaiRide"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"cannot be read: {error}"[:300], where="purchase", remedy="name one offer of ours") from None


def package(booking: Document) -> Document:
    """A booking as a package."""
    status = _STATUS.get(booking["state"], "CONFIRMED")
    return {
        "type": "package", "id": booking["booking"],
        "properties": {"type": "package", "id": booking["booking"], "status": status},
        "customProperties": {"noriaiBooking": booking},
    }  # fmt: skip


_STATUS = {"cancelled": "CANCELLED", "completed": "FINISHED", "no_show": "FINISHED", "aboard": "STARTED"}


def booking_of(document: Any) -> Document | None:
    """The booking in a neighbour's package, None where there is none."""
    found = document.get("customProperties", {}).get("noriaiBooking") if isinstance(document, dict) else None
    return found if isinstance(found, dict) and isinstance(found.get("booking"), str) else None


def _place(reference: str) -> PlaceIn:
    lon, lat = reference.removeprefix("GPS:").split(",")
    return PlaceIn(lon=float(lon), lat=float(lat))
