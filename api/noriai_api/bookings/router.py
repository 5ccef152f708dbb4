"""HTTP of quotes and bookings."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from noriai_api.bookings import money, service
from noriai_api.bookings.schemas import (
    BookingIn,
    BookingOut,
    BookingsOut,
    QuoteIn,
    QuoteOut,
    ReceiptOut,
    SettlementsOut,
    TogetherIn,
    TogetherOut,
)
from noriai_api.bookings.together import book_all
from noriai_api.guard import COMMON, Caller, allow
from noriai_api.idempotency import Answer, KeyHeader, once
from noriai_api.problems import described
from noriai_api.schemas import Id

router = APIRouter(prefix="/v1", tags=["bookings"], responses=COMMON)

Day = Annotated[str, Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$", examples=["2026-11-24"])]

Mark = Annotated[str, Query(max_length=80, pattern=r"^[0-9]{1,15}\.[A-Za-z0-9._~-]{1,64}$")]


@router.post(
    "/regions/{region}/quotes", status_code=201, response_model=QuoteOut,
    responses=described("not_found", "key_in_flight", "key_reused", "store_down", "paused"),
)  # fmt: skip
async def ask_for_offers(
    region: Id, wish: QuoteIn, response: Response, caller: Annotated[Caller, allow("booking.quote")],
    key: KeyHeader = None,
) -> Any:  # fmt: skip
    """Offers for a ride, or a refusal with its reason and the nearest feasible time. Nothing is held for the rider."""
    request = ["quote", region, wish.model_dump(mode="json")]
    answer = await once(caller, key, request, lambda keep: service.quote(caller, region, wish, keep), required=False)
    return _answered(answer, response)


@router.get("/quotes/{quote}", response_model=QuoteOut, responses=described("not_found"))
async def get_quote(quote: Id, caller: Annotated[Caller, allow("booking.quote")]) -> QuoteOut:
    """A quote that was given, offers as they were then."""
    return await service.quoted(caller, quote)


@router.post(
    "/bookings", status_code=201, response_model=BookingOut,
    responses=described("not_found", "offer_gone", "key_in_flight", "key_missing", "key_reused", "store_down",
                        "paused"),
)  # fmt: skip
async def take_offer(
    taking: BookingIn, response: Response, caller: Annotated[Caller, allow("booking.create")], key: KeyHeader = None
) -> Any:
    """Take an offer. Plans may have moved since: then the same promise is kept in another way, or the answer is 409
    with a fresh quote. An Idempotency-Key is needed, so that a repeated request books once."""
    answer = await once(caller, key, ["book", taking.model_dump()], lambda keep: service.book(caller, taking, keep))
    return _answered(answer, response)


@router.post(
    "/joint-bookings", status_code=201, response_model=TogetherOut,
    responses=described("not_found", "conflict", "offer_gone", "key_in_flight", "key_missing", "key_reused",
                        "store_down", "paused"),
)  # fmt: skip
async def take_offers(
    wanted: TogetherIn, response: Response, caller: Annotated[Caller, allow("booking.create")], key: KeyHeader = None
) -> Any:
    """Take offers of several quotes, all or none: a return trip, or a group that needs more than one vehicle. Where one
    cannot be kept beside the others the answer is 409 with its `number`. Each can be changed or given up by itself."""
    request = ["together", wanted.model_dump(mode="json")]
    return _answered(await once(caller, key, request, lambda keep: book_all(caller, wanted, keep)), response)


@router.get("/bookings", response_model=BookingsOut)
async def list_bookings(
    caller: Annotated[Caller, allow("booking.read")], region: Id | None = None, day: Day | None = None,
    rider: Id | None = None, after: Mark | None = None,
) -> BookingsOut:  # fmt: skip
    """Bookings within reach, by pickup time, 200 a page."""
    return await service.listed(caller, region, day, rider, after)


@router.get("/bookings/{booking}", response_model=BookingOut, responses=described("not_found"))
async def get_booking(booking: Id, caller: Annotated[Caller, allow("booking.read")]) -> BookingOut:
    """A booking as it stands, with the times planned now."""
    return await service.booked(caller, booking)


@router.get("/bookings/{booking}/receipt", response_model=ReceiptOut, responses=described("not_found"))
async def get_receipt(booking: Id, caller: Annotated[Caller, allow("booking.read")]) -> ReceiptOut:
    """What the ride cost: final once it is done; before, as things stand."""
    return await money.receipt(caller, booking)


@router.get("/settlements", response_model=SettlementsOut)
async def get_settlements(caller: Annotated[Caller, allow("settlement.read")], first: Day, last: Day) -> SettlementsOut:
    """Each operator's finished rides of the days from `first` to `last`: fares, what riders paid, who pays the rest."""
    return await money.settlements(caller, first, last)


@router.post(
    "/bookings/{booking}/cancel", response_model=BookingOut, responses=described("not_found", "conflict", "store_down")
)
async def cancel_booking(booking: Id, caller: Annotated[Caller, allow("booking.cancel")]) -> BookingOut:
    """Give a booking up before boarding. Repeating it changes nothing."""
    return await service.cancel(caller, booking)


@router.post(
    "/bookings/{booking}/quotes", status_code=201, response_model=QuoteOut,
    responses=described("not_found", "conflict", "key_in_flight", "key_reused", "store_down"),
)  # fmt: skip
async def ask_for_change(
    booking: Id, wish: QuoteIn, response: Response, caller: Annotated[Caller, allow("booking.change")],
    key: KeyHeader = None,
) -> Any:  # fmt: skip
    """Offers that would replace a booking, whose place counts as free. Nothing changes until one is taken."""
    request = ["change quote", booking, wish.model_dump(mode="json")]
    answer = await once(
        caller, key, request, lambda keep: service.quote_change(caller, booking, wish, keep), required=False
    )
    return _answered(answer, response)


@router.post(
    "/bookings/{booking}/change", status_code=201, response_model=BookingOut,
    responses=described("not_found", "conflict", "offer_gone", "key_in_flight", "key_missing", "key_reused",
                        "store_down"),
)  # fmt: skip
async def change_booking(
    booking: Id, taking: BookingIn, response: Response, caller: Annotated[Caller, allow("booking.change")],
    key: KeyHeader = None,
) -> Any:  # fmt: skip
    """Take an offer instead of the booking: the old one is given up and the new one made, or neither."""
    request = ["change", booking, taking.model_dump()]
    answer = await once(caller, key, request, lambda keep: service.change(caller, booking, taking, keep))
    return _answered(answer, response)


def _answered(answer: Answer, response: Response) -> Any:
    response.status_code = answer.status
    if answer.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return answer.body
