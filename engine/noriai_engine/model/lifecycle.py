"""States of a request by a table: (from, event, to). Code, docs and checker tests ask the table."""

from enum import StrEnum


class BookingState(StrEnum):
    """Where a request stands. It is in exactly one state at any time (dispatch invariant 2)."""

    WAITING_FOR_ANSWER = "waiting_for_answer"
    REFUSED = "refused"
    LAPSED = "lapsed"
    """Offers were made and none was taken in time."""
    ACCEPTED = "accepted"
    BOARDING = "boarding"
    ABOARD = "aboard"
    ALIGHTING = "alighting"
    DONE = "done"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"
    STRANDED = "stranded"
    """Aboard a vehicle that failed, waiting for another."""
    UNASSIGNED = "unassigned"
    """Accepted, but its vehicle can serve it no longer and no other can as of now: one is looked for."""
    DROPPED = "dropped"
    """We could not keep the booking: the rider is told, and a person must help."""


TRANSITIONS: dict[tuple[BookingState | None, str], BookingState] = {
    (None, "request_received"): BookingState.WAITING_FOR_ANSWER,
    (BookingState.WAITING_FOR_ANSWER, "request_refused"): BookingState.REFUSED,
    (BookingState.WAITING_FOR_ANSWER, "offer_lapsed"): BookingState.LAPSED,
    (BookingState.WAITING_FOR_ANSWER, "booking_accepted"): BookingState.ACCEPTED,
    (BookingState.ACCEPTED, "pickup_started"): BookingState.BOARDING,
    (BookingState.BOARDING, "picked_up"): BookingState.ABOARD,
    (BookingState.ABOARD, "dropoff_started"): BookingState.ALIGHTING,
    (BookingState.ALIGHTING, "dropped_off"): BookingState.DONE,
    (BookingState.ACCEPTED, "booking_cancelled"): BookingState.CANCELLED,
    (BookingState.BOARDING, "no_show"): BookingState.NO_SHOW,
    (BookingState.ACCEPTED, "booking_moved"): BookingState.ACCEPTED,
    (BookingState.ACCEPTED, "booking_pinned"): BookingState.ACCEPTED,
    (BookingState.BOARDING, "booking_pinned"): BookingState.BOARDING,
    (BookingState.ABOARD, "booking_pinned"): BookingState.ABOARD,
    (BookingState.ACCEPTED, "promise_broken"): BookingState.ACCEPTED,
    (BookingState.BOARDING, "promise_broken"): BookingState.BOARDING,
    (BookingState.ABOARD, "promise_broken"): BookingState.ABOARD,
    (BookingState.ACCEPTED, "booking_dropped"): BookingState.DROPPED,
    (BookingState.ACCEPTED, "booking_unassigned"): BookingState.UNASSIGNED,
    (BookingState.UNASSIGNED, "booking_moved"): BookingState.ACCEPTED,
    (BookingState.UNASSIGNED, "promise_broken"): BookingState.UNASSIGNED,
    (BookingState.UNASSIGNED, "booking_cancelled"): BookingState.CANCELLED,
    (BookingState.UNASSIGNED, "booking_dropped"): BookingState.DROPPED,
    (BookingState.BOARDING, "ride_interrupted"): BookingState.STRANDED,
    (BookingState.ABOARD, "ride_interrupted"): BookingState.STRANDED,
    (BookingState.ALIGHTING, "promise_broken"): BookingState.ALIGHTING,
    (BookingState.STRANDED, "booking_moved"): BookingState.ACCEPTED,
    (BookingState.STRANDED, "promise_broken"): BookingState.STRANDED,
    (BookingState.STRANDED, "booking_dropped"): BookingState.DROPPED,
}


def next_state(state: BookingState | None, event: str) -> BookingState:
    """State after an event. Raises ValueError where the table has no such step."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"a request that is {state or 'unknown'} cannot take event {event}") from None
