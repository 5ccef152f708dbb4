"""From a wish to a promise: Request, Quote (Offers or a Refusal), Booking."""

from dataclasses import dataclass, field

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place
from noriai_engine.model.resources import Resources
from noriai_engine.model.units import BookingId, OperatorId, RequestId, UtcMs, VehicleId


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Closed interval of instants, UTC ms."""

    earliest: UtcMs
    latest: UtcMs

    def __post_init__(self) -> None:
        if self.latest < self.earliest:
            raise InputError(
                f"time window ends {self.earliest - self.latest} ms before it starts",
                remedy="let the latest time be at or after the earliest",
            )


MOST_WALK_M = 5_000


@dataclass(frozen=True, slots=True)
class RiderNeeds:
    """What a rider needs beyond a seat. Extra times add to the service's boarding and alighting times; the vehicle
    must have all `skills`. `longest_walk_m`: how far the rider walks to a meeting point at most (None: as far as the
    service says, and users of wheelchairs not at all); `step_free`: on step-free streets only."""

    extra_boarding_ms: int = 0
    extra_alighting_ms: int = 0
    skills: tuple[str, ...] = ()
    longest_walk_m: int | None = None
    step_free: bool = False

    def __post_init__(self) -> None:
        if self.longest_walk_m is not None and not 0 <= self.longest_walk_m <= MOST_WALK_M:
            raise InputError(f"a walk of {self.longest_walk_m} m", remedy=f"give 0 to {MOST_WALK_M}; 0 is the door")
        if self.extra_boarding_ms < 0 or self.extra_alighting_ms < 0:
            raise InputError("extra boarding or alighting time below 0", remedy="give 0 or more seconds")


@dataclass(frozen=True, slots=True)
class Request:
    """A wish to ride. Exactly one of `earliest_pickup` and `latest_arrival` is given.

    `placed_at` is when we hear of it: before the wished time it is a pre-booking. `pickup` and `dropoff`
    narrow the service's own limits where the rider states windows.
    """

    id: RequestId
    placed_at: UtcMs
    origin: Place
    destination: Place
    earliest_pickup: UtcMs | None = None
    latest_arrival: UtcMs | None = None
    party: Resources = Resources(seats=1)
    needs: RiderNeeds = field(default_factory=RiderNeeds)
    pickup: TimeWindow | None = None
    dropoff: TimeWindow | None = None
    operator_id: OperatorId | None = None
    """Only this operator may serve the rider; None: any."""
    apart_from: tuple[RequestId, ...] = ()
    """Requests whose riders must not be aboard together with this one; it holds both ways."""
    return_of: RequestId | None = None
    """The ride there, where this is the ride back: a plan of the day serves both or neither."""

    def __post_init__(self) -> None:
        if (self.earliest_pickup is None) == (self.latest_arrival is None):
            raise InputError(
                f"request {self.id} gives {'both' if self.latest_arrival else 'neither'} of departure and arrival",
                remedy="give either earliest_pickup or latest_arrival",
            )
        if self.party.riders == 0:
            raise InputError(f"request {self.id} is for nobody", remedy="give at least 1 seat or wheelchair")

    @property
    def wished(self) -> UtcMs:
        """The time asked for, whichever end of the trip it speaks of."""
        wished = self.earliest_pickup if self.earliest_pickup is not None else self.latest_arrival
        assert wished is not None
        return wished


@dataclass(frozen=True, slots=True)
class Offer:
    """A vehicle that can serve the request, with what is promised. `cost_ms` is the added driving time."""

    request_id: RequestId
    vehicle_id: VehicleId
    operator_id: OperatorId
    pickup: TimeWindow
    dropoff: TimeWindow
    planned_pickup: UtcMs
    planned_dropoff: UtcMs
    max_ride_ms: int
    direct_ms: int
    cost_ms: int
    after_pickup_row: int
    after_dropoff_row: int
    plan_version: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody can serve the request, as an expected value. `reason` is a key of the text catalogue.

    `nearest` is the wished time closest to the one asked for at which a ride was possible when asked (on a grid
    of `DispatchParams.nearest_step_ms`), None where there is none within reach or a change of time would not help.
    """

    request_id: RequestId
    reason: str
    nearest: UtcMs | None = None
    candidates: tuple[tuple[str, int], ...] = ()
    """How many vehicles fell at each sieve, as (reason, vehicles)."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The answer to a request: offers, the cheapest first and at most one per operator, or a refusal.

    `runner_up` is the vehicle that came second to the first offer's, of whichever operator, and its added driving ms.
    """

    request_id: RequestId
    offers: tuple[Offer, ...] = ()
    refusal: Refusal | None = None
    runner_up: tuple[VehicleId, int] | None = None

    def __post_init__(self) -> None:
        if bool(self.offers) == (self.refusal is not None):
            raise ValueError("a quote has offers or a refusal, never both or neither")


@dataclass(frozen=True, slots=True)
class Booking:
    """An accepted offer. Its windows are promises: no later decision may break them."""

    id: BookingId
    request_id: RequestId
    vehicle_id: VehicleId
    operator_id: OperatorId
    pickup: TimeWindow
    dropoff: TimeWindow
    max_ride_ms: int
