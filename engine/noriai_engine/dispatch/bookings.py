"""What has been asked and promised: requests by row, their state by the lifecycle table, and the limits promised."""

from dataclasses import dataclass, field

from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.terms import Ends
from noriai_engine.model.errors import InputError
from noriai_engine.model.lifecycle import BookingState, next_state
from noriai_engine.model.requests import Booking, Request
from noriai_engine.model.units import RequestId, VehicleId


@dataclass(slots=True)
class OpenQuote:
    """A quote that may still be accepted: limits, spots, and the vehicle that came second with its added driving ms."""

    wish: Wish
    ends: Ends
    runner_up: tuple[VehicleId, int] | None


@dataclass(slots=True)
class Bookings:
    """Rows are numbers of requests in the order they came; plans name requests by row."""

    requests: list[Request] = field(default_factory=list)
    ends: list[Ends] = field(default_factory=list)
    row_of: dict[str, int] = field(default_factory=dict)
    states: dict[str, BookingState] = field(default_factory=dict)
    open: dict[str, OpenQuote] = field(default_factory=dict)
    waiting: list[RequestId] = field(default_factory=list)
    """Requests heard but not answered: the next plan of the day answers them."""
    fallen: dict[str, str] = field(default_factory=dict)
    """Why there was no vehicle when one who waits was first looked for one: the reason, should there never be any."""
    promised: dict[int, Wish] = field(default_factory=dict)
    """Limits a booking was given, as they stand after any breach, by row."""
    booked: dict[str, Booking] = field(default_factory=dict)
    shunned_by: dict[str, list[RequestId]] = field(default_factory=dict)

    unassigned: dict[str, str] = field(default_factory=dict)
    """Accepted requests without a vehicle, with the cause that took it."""
    matched: int = 0
    """Bookings there were at the last batch: without a new one, its choice stands."""
    pinned: set[str] = field(default_factory=set)
    """Requests whose booking changes vehicle only if that one fails: an operator has said so."""

    def copy(self) -> "Bookings":
        """The same values, in containers of its own."""
        return Bookings(
            list(self.requests), list(self.ends), dict(self.row_of), dict(self.states), dict(self.open),
            list(self.waiting), dict(self.fallen), dict(self.promised), dict(self.booked),
            {name: list(others) for name, others in self.shunned_by.items()}, dict(self.unassigned), self.matched,
            set(self.pinned),
        )  # fmt: skip

    def add(self, request: Request) -> int:
        """A new request's row. Raises ValueError for one that was asked before."""
        if request.id in self.row_of:
            raise ValueError(f"request {request.id} has been answered already")
        row = self.row_of[request.id] = len(self.requests)
        self.requests.append(request)
        for other in request.apart_from:
            self.shunned_by.setdefault(other, []).append(request.id)
        return row

    def kept_apart(self, request: Request) -> list[int]:
        """Rows of all requests, whoever of both said so, whose riders must not meet this one's."""
        others = {*request.apart_from, *self.shunned_by.get(request.id, ())}
        return sorted(self.row_of[other] for other in others if other in self.row_of)

    def step(self, request_id: str, event: str) -> None:
        """A request's state moves by the table. Raises ValueError where it has no such step."""
        state = self.states[request_id] = next_state(self.states.get(request_id), event)
        if state != BookingState.UNASSIGNED:
            self.unassigned.pop(request_id, None)

    def row_in(self, request_id: str, *states: BookingState) -> int:
        """Row of a request that is in one of these states. Raises InputError otherwise."""
        if request_id not in self.row_of:
            raise InputError("is no request we know", where=f"booking {request_id}", remedy="check the id")
        state = self.states[request_id]
        if state not in states:
            wanted = " or ".join(s.value for s in states)
            raise InputError(
                f"is {state.value}, not {wanted}", where=f"booking {request_id}", remedy="look it up first"
            )
        return self.row_of[request_id]
