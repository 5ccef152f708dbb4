"""What nodes and apps say to each other about rides: TOMP-API 2.0's search and purchase of offers, for rides on demand.

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
    times = {"startTime": wish.earliest_pickup, "endTime": wish.latest_arrival or wish.arrive_by}
    return {"inputs": {
        "type": "searchOffer",
        "specification": {
            "type": "travelSpecification",
            "from": f"GPS:{wish.origin.lon}_{wish.origin.lat}",
            "to": f"GPS:{wish.destination.lon}_{wish.destination.lat}",
            **{name: moment.isoformat() for name, moment in times.items() if moment is not None},
        },
        "travellers": [traveller],
        "customFields": {"noriaiParty": party.model_dump(), "noriaiNeeds": wish.needs.model_dump(mode="json")},
    }}  # fmt: skip


def wish_of(document: Any) -> QuoteIn:
    """A search for offers as a wish. Raises InputError."""
    try:
        inputs = document["inputs"]
        said = inputs["specification"]
        own = inputs.get("customFields", {})
        party = own.get("noriaiParty") or _party(inputs.get("travellers", []))
        return QuoteIn(
            origin=_place(said["from"]), destination=_place(said["to"]), earliest_pickup=said.get("startTime"),
            latest_arrival=said.get("endTime") if "startTime" not in said else None,
            arrive_by=said.get("endTime") if "startTime" in said else None, party=PartyIn(**party),
            needs=NeedsIn(**own.get("noriaiNeeds", {})), rider=None, operator=None,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"cannot be read: {error}"[:300], where="search", remedy="send TOMP 2.0 search-offers"
        ) from None


def _party(travellers: list[Document]) -> Document:
    """Who travels, as others say it: each traveller stands for a group; wheelchairs by their needs."""
    heads = sum(int(t.get("groupSize", 1)) for t in travellers) or 1
    needs = [need for t in travellers for need in t.get("requirements", {}).get("prmNeeds", [])]
    chairs = sum("wheelchair" in str(need.get("mobilityNeed", "")) for need in needs)
    return {"seats": max(0, heads - chairs), "wheelchairs": chairs}


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
        "customFields": {"noriaiOffer": offer.model_dump(mode="json")},
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
            offer = OfferOut.model_validate(feature["properties"]["customFields"]["noriaiOffer"])
            found.append((str(feature["id"])[:200], offer))
        except (KeyError, TypeError, ValueError):
            continue
    return found


def purchase(offer: str, ride: str) -> Document:
    """Take an offer. `ride` is the same in every copy of the request."""
    return {"inputs": {"offer": offer, "customFields": {"noriaiRide": ride}}}


def purchase_of(document: Any) -> tuple[str, int, str]:
    """(quote, number of the offer, ride: the offer's own id where none is said). Raises InputError."""
    try:
        name = document["inputs"]["offer"]
        quote, _, number = str(name).rpartition(":")
        ride = document["inputs"].get("customFields", {}).get("noriaiRide", name)
        return quote, int(number), str(ride)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"cannot be read: {error}"[:300], where="purchase", remedy="name one offer of ours") from None


def package_of(document: Any) -> str:
    """The package that a request names. Raises InputError."""
    found = document.get("inputs") if isinstance(document, dict) else None
    name = found.get("package") if isinstance(found, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= 64:
        raise InputError("names no package", where="inputs.package", remedy="give the id of a package of yours")
    return name


def package(booking: Document) -> Document:
    """A booking as a package."""
    status = _STATUS.get(booking["state"], "CONFIRMED")
    return {
        "type": "FeatureCollection", "features": [],
        "properties": {
            "type": "package", "id": booking["booking"], "status": status, "customFields": {"noriaiBooking": booking},
        },
    }  # fmt: skip


_STATUS = {
    "cancelled": "CANCELLED", "dropped": "CANCELLED", "done": "ENDED", "no_show": "ENDED", "boarding": "STARTED",
    "aboard": "STARTED", "alighting": "STARTED", "stranded": "STARTED",
}  # fmt: skip


def booking_of(document: Any) -> Document | None:
    """The booking in a neighbour's package, None where there is none."""
    found: Any = document
    for name in ("properties", "customFields", "noriaiBooking"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) and isinstance(found.get("booking"), str) else None


def _place(reference: str) -> PlaceIn:
    lon, lat = reference.partition(":")[2].replace(",", "_").split("_")
    return PlaceIn(lon=float(lon), lat=float(lat))
