"""TOMP-API 2.0 for partner apps: search for offers, purchase one, look at the package, cancel it. The same bookings as
under /v1, in the terms that MaaS providers speak."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from fastapi.responses import JSONResponse
from shapely import Point, Polygon

from noriai_api.bookings import service as bookings
from noriai_api.bookings.schemas import BookingIn, QuoteIn, QuoteOut
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.idempotency import KeyHeader, once
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id
from noriai_api.standards import tomp
from noriai_engine.model.errors import InputError

router = APIRouter(prefix="/tomp", tags=["TOMP"], responses=COMMON)

GEOJSON = "application/geo+json"
FEATURES: dict[int | str, dict[str, Any]] = {200: {"content": {GEOJSON: {"schema": {"type": "object"}}}}}
PROCESSES = ("search-offers", "purchase-offers", "cancel-package")

Inputs = Annotated[dict[str, Any], Body(json_schema_extra={"required": ["inputs"]})]


class GeoJson(JSONResponse):
    media_type = GEOJSON


@router.get("/processes", response_model=dict[str, Any])
async def list_processes(caller: Annotated[Caller, allow("service.read")]) -> dict[str, Any]:
    """What can be asked here (OGC API Processes, section 7.9)."""
    return {
        "processes": [
            {"id": name, "version": "2.0.0", "jobControlOptions": ["sync-execute"],
             "links": [{"href": f"/tomp/processes/{name}/execution", "rel": "http://www.opengis.net/def/rel/ogc/1.0/execute"}]}
            for name in PROCESSES
        ],
        "links": [],
    }  # fmt: skip


@router.post(
    "/processes/search-offers/execution", response_class=GeoJson, responses=FEATURES | described("not_found", "paused",
                                                                                               "store_down"),
)  # fmt: skip
async def search(asked: Inputs, caller: Annotated[Caller, allow("booking.quote")]) -> GeoJson:
    """Offers for a travel specification: places as `GPS:lon_lat`, `startTime` or `endTime`, travellers with what they
    need. None is an empty collection."""
    wish = _read(tomp.wish_of, asked)
    answer = await bookings.quote(caller, _region_of(caller, wish), wish, lambda connection, status, body: None)
    return GeoJson(tomp.offers(QuoteOut.model_validate(answer.body)))


@router.post(
    "/processes/purchase-offers/execution", response_class=GeoJson,
    responses=FEATURES | described("not_found", "offer_gone", "conflict", "key_in_flight", "key_reused", "paused",
                                   "store_down"),
)  # fmt: skip
async def purchase(asked: Inputs, caller: Annotated[Caller, allow("booking.create")], key: KeyHeader = None) -> GeoJson:
    """Purchase an offer. Repeated, with the same Idempotency-Key or without any, it answers the same package."""
    quote, number, _ = _read(tomp.purchase_of, asked)
    try:
        taking = BookingIn(quote=quote, offer=number)
    except ValueError:
        raise _unread("the offer's id is none of ours") from None
    name = key or f"tomp-{quote}-{number}"
    answer = await once(caller, name, ["tomp", quote, number], lambda keep: bookings.book(caller, taking, keep))
    return GeoJson(tomp.package(answer.body))


@router.get("/collections/packages/items", response_class=GeoJson, responses=FEATURES | described("not_found"))
async def package(
    caller: Annotated[Caller, allow("booking.read")], package_id: Annotated[Id, Query(alias="packageId")]
) -> GeoJson:
    """A package as it stands."""
    return GeoJson(tomp.package((await bookings.booked(caller, package_id)).model_dump(mode="json")))


@router.post(
    "/processes/cancel-package/execution", response_class=GeoJson,
    responses=FEATURES | described("not_found", "conflict", "store_down"),
)  # fmt: skip
async def cancel(asked: Inputs, caller: Annotated[Caller, allow("booking.cancel")]) -> GeoJson:
    """Cancel a package before its ride begins. Repeating it changes nothing."""
    name = _read(tomp.package_of, asked)
    return GeoJson(tomp.package((await bookings.cancel(caller, name)).model_dump(mode="json")))


def _read(reader: Any, asked: dict[str, Any]) -> Any:
    """Raises Problem (invalid)."""
    try:
        return reader(asked)
    except InputError as error:
        raise _unread(error.what, error.remedy or "see the operation") from error


def _unread(what: str, remedy: str = "see the operation's description") -> Problem:
    return Problem("invalid", what, errors=[{"where": "body.inputs", "what": what, "do": remedy}])


def _region_of(caller: Caller, wish: QuoteIn) -> str:
    """The tenant's region that the pickup lies in; the first where it lies in none. Raises Problem (not_found)."""
    mine = {name: actor for (tenant, name), actor in sorted(caller.node.actors.items()) if tenant == caller.tenant}
    if not mine:
        raise Problem("not_found", "there is no service here")
    here = Point(wish.origin.lon, wish.origin.lat)
    around = [name for name, a in mine.items()
              if any(Polygon(ring).covers(here) for ring in a.runtime.region.boundary)]  # fmt: skip
    return (around or list(mine))[0]
