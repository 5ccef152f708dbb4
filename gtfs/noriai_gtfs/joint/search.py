"""One search over the fleet's plans and the timetable: first mile, lines, last mile, each leg bookable.

The first mile to a hub is asked of the live plans for the line's own departures (arrive in time for it), so that a
connection holds by the ride's promise. Rounds of RAPTOR then run from the hubs reached; the last mile is asked for the
arrivals they bring, soonest bound first, with the first mile's place in the plans held meanwhile. Planners that route
first and ask taxis afterwards must ask for every hub and hour; here a hub is asked only for departures that exist, and
an arrival only while it may still win.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.terms import Ends
from noriai_engine.dispatch.trial import Trial
from noriai_engine.model import Offer, Place, Request, Resources, RiderNeeds, TimeWindow
from noriai_engine.model.errors import InputError, StaleOfferError
from noriai_engine.model.requests import Booking
from noriai_engine.model.units import IntArray, RequestId
from noriai_engine.roads import haversine_m
from noriai_gtfs.fares import Fares, Price
from noriai_gtfs.fares.fares import Ride
from noriai_gtfs.joint.corridors import Corridor, withheld_by
from noriai_gtfs.joint.offers import JointOffer, RideLeg, undominated
from noriai_gtfs.journeys.search import FAR, Journey, JourneySearch, Leg
from noriai_gtfs.timetable.walking import AirLine, Walking

RidePrice = Callable[[Offer], Price | None]


@dataclass(frozen=True)
class JointParams:
    """How far the search looks. `change_ms` is the least time between our vehicle and a line, both ways.

    A hub is a stop; of those within `hub_m` of an end the nearest `hubs_per_pattern` of each pattern count, `hubs` at
    most. At a hub the first `tries` departures within `horizon_ms` are asked for. Riders walk up to `walk_m` to and
    from lines.
    """

    hubs: int = 12
    hubs_per_pattern: int = 2
    hub_m: float = 8_000.0
    walk_m: float = 800.0
    change_ms: int = 180_000
    horizon_ms: int = 2 * 3_600_000
    tries: int = 3
    last_mile_waits: int = 3

    def __post_init__(self) -> None:
        for name in ("hubs", "hubs_per_pattern", "tries", "last_mile_waits"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: at least 1")
        for name in ("hub_m", "walk_m", "change_ms", "horizon_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)}: 0 or more")


@dataclass(frozen=True)
class Traveller:
    """Who travels, whence, whither, from when on (ms of the service day)."""

    id: str
    origin: Place
    destination: Place
    depart_ms: int
    party: Resources = Resources(seats=1)
    needs: RiderNeeds = field(default_factory=RiderNeeds)

    @property
    def can_use_any_line(self) -> bool:
        """Whether nothing keeps the rider from stairs and steps."""
        return self.party.wheelchairs == 0 and self.needs == RiderNeeds()


class JointSearch:
    """Searches journeys for one dispatcher and one day's timetable, whose service days are the same."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        lines: JourneySearch,
        params: JointParams | None = None,
        *,
        fares: Fares | None = None,
        ride_price: RidePrice = lambda offer: None,
        corridors: Sequence[Corridor] = (),
        walking: Walking | None = None,
    ) -> None:
        self._dispatcher, self._lines = dispatcher, lines
        self._params = JointParams() if params is None else params
        self._fares, self._ride_price, self._corridors = fares, ride_price, tuple(corridors)
        self._table = lines.day.timetable
        self._patterns = lines.boardable_patterns()
        self._served = np.unique(lines.day.stop)
        self._walks_to = (walking or AirLine()).to(
            self._table.stop_lon[self._served], self._table.stop_lat[self._served]
        )
        self._places: dict[int, Place] = {}
        self.asked = 0
        self.withheld: Corridor | None = None

    def offers(self, who: Traveller) -> list[JointOffer]:
        """Pareto set over arrival, rides, walking and price of: ride alone, lines alone, and lines with rides at either
        end or both. `asked` counts questions to the plans, `withheld` names the corridor that kept rides back."""
        trial = self._dispatcher.trial()
        step_free = not who.can_use_any_line
        access, egress = self._walks(who.origin, step_free), self._walks(who.destination, step_free)
        by_line: list[JointOffer] = []
        with_rides: list[JointOffer] = []
        first_miles = self._first_miles(who, trial)
        last_hubs = self._hubs(who.destination, boarding=False)
        for reached in (access, {hub: leg.latest_ms + self._params.change_ms - who.depart_ms
                                 for hub, leg in first_miles.items()}):  # fmt: skip
            if not reached:
                continue
            feeders = {} if reached is access else first_miles
            self._lines.arrivals(sorted(reached.items()), who.depart_ms)
            table = self._lines.arrivals_by_rides()
            found = self._walked_off(who, table, egress, feeders, trial)
            (with_rides if feeders else by_line).extend(found)
            with_rides += self._last_miles(who, table, last_hubs, feeders, trial)
        direct = self._direct(who, trial)
        rides = [*with_rides, *([direct] if direct is not None else [])]
        self.asked, self.withheld = trial.asked, None
        if who.can_use_any_line:
            rides = [offer for offer in rides if not self._is_withheld(offer, by_line, who)]
        return undominated([*by_line, *rides])

    def book(self, offer: JointOffer) -> tuple[Booking, ...]:
        """Book every ride of a journey, or none.

        Raises, with nothing changed, StaleOfferError where one is gone, InputError where a request of that name was
        made before.
        """
        for leg in offer.booked:
            if leg.request.id in self._dispatcher.bookings.row_of:
                raise InputError(
                    "has been asked before", where=f"request {leg.request.id}",
                    remedy="give each journey a traveller id of its own",
                )  # fmt: skip
        trial = self._dispatcher.trial()
        taken: list[tuple[Request, Offer]] = []
        for leg in offer.booked:
            again = trial.offers(leg.request, after=taken)
            chosen = None if isinstance(again, str) else next((o for o in again if _keeps(o, leg)), None)
            if chosen is None:
                raise StaleOfferError(f"a ride of journey {leg.request.id} cannot be had any more; search again")
            taken.append((leg.request, chosen))
        bookings = []
        for request, chosen in taken:
            quote = self._dispatcher.quote(request)
            same = next(o for o in quote.offers if o.vehicle_id == chosen.vehicle_id)
            bookings.append(self._dispatcher.commit(same))
        return tuple(bookings)

    # --- first mile -----------------------------------------------------------------------------------------

    def _hubs(self, place: Place, *, boarding: bool) -> list[int]:
        """Stops near a place, the nearest ones of each pattern."""
        stops = self._served
        metres = haversine_m(
            np.full(stops.size, place.lon), np.full(stops.size, place.lat), self._table.stop_lon[stops],
            self._table.stop_lat[stops],
        )  # fmt: skip
        chosen: list[int] = []
        times_seen: Counter[int] = Counter()
        for row in np.argsort(metres, kind="stable").tolist():
            stop = int(stops[row])
            if metres[row] > self._params.hub_m or len(chosen) == self._params.hubs:
                break
            new = [pattern for pattern in self._patterns[stop] if times_seen[pattern] < self._params.hubs_per_pattern]
            if new or (not boarding and not self._patterns[stop]):
                times_seen.update(new)
                chosen.append(stop)
        return chosen

    def _place(self, stop: int) -> Place:
        if stop not in self._places:
            table = self._table
            self._places[stop] = Place(float(table.stop_lon[stop]), float(table.stop_lat[stop]), table.stop_name[stop])
        return self._places[stop]

    def _first_miles(self, who: Traveller, trial: Trial) -> dict[int, RideLeg]:
        """By hub, the ride that is there in time for the earliest departure for which there is one."""
        out = {}
        for hub in self._hubs(who.origin, boarding=True):
            request = self._to_hub(who, hub, who.depart_ms + self._params.horizon_ms, trial)
            ends = trial.ends_of(request)
            if isinstance(ends, str):
                continue
            direct = self._dispatcher.travel_times.between(ends.origin, ends.destination)
            soonest = who.depart_ms + direct + self._params.change_ms
            times = self._lines.departures_at(hub, soonest, who.depart_ms + self._params.horizon_ms)
            for time in times[: self._params.tries]:
                leg = self._ride(self._to_hub(who, hub, time - self._params.change_ms, trial), trial, ends=ends)
                if leg is not None:
                    out[hub] = leg
                    break
        return out

    def _to_hub(self, who: Traveller, hub: int, latest_ms: int, trial: Trial) -> Request:
        utc = self._dispatcher.day.to_utc
        now, latest = utc(who.depart_ms), utc(latest_ms)
        return Request(
            RequestId(f"{who.id}/first"), min(now, trial.now), who.origin, self._place(hub),
            None, latest, who.party, who.needs, TimeWindow(now, max(now, latest)),
        )  # fmt: skip

    def _ride(
        self, request: Request, trial: Trial, *, ends: Ends | None = None, after: Sequence[RideLeg] = ()
    ) -> RideLeg | None:
        """The first offer for a request as a leg."""
        found = trial.offers(request, ends, [(leg.request, leg.offer) for leg in after])
        if isinstance(found, str):
            return None
        return self._as_leg(request, found[0])

    def _as_leg(self, request: Request, offer: Offer) -> RideLeg:
        day = self._dispatcher.day.to_day_ms
        return RideLeg(
            request, offer, day(offer.planned_pickup), day(offer.planned_dropoff), day(offer.dropoff.latest)
        )  # fmt: skip

    def _feeder(self, who: Traveller, journey: Journey, feeders: dict[int, RideLeg], trial: Trial) -> RideLeg | None:
        """The ride before a journey from a hub: in time for the very departure it takes, else the one found first."""
        line = next(leg for leg in journey.legs if leg.is_ride)
        hub = next(leg.from_stop for leg in journey.legs if leg.from_stop >= 0)
        if hub not in feeders:
            return None
        known = feeders[hub]
        latest = line.depart_ms - self._params.change_ms
        if hub != line.from_stop or latest <= known.latest_ms:
            return known
        return self._ride(self._to_hub(who, hub, latest, trial), trial) or known

    # --- lines and what comes after -------------------------------------------------------------------------

    def _walks(self, place: Place, step_free: bool) -> dict[int, int]:
        """Stops within walking distance, with ms on foot."""
        lon, lat = np.array([place.lon]), np.array([place.lat])
        _, near, ms = self._walks_to(lon, lat, self._params.walk_m, step_free)
        return dict(zip(self._served[near].tolist(), ms.tolist(), strict=True))

    def _walked_off(
        self, who: Traveller, table: IntArray, egress: dict[int, int], feeders: dict[int, RideLeg], trial: Trial
    ) -> list[JointOffer]:
        """Journeys that end on foot: for each number of rides the soonest."""
        out = []
        best = FAR
        for rides in range(1, table.shape[0]):
            ends = [(int(table[rides, stop]) + ms, stop, ms) for stop, ms in egress.items() if table[rides, stop] < FAR]
            if not ends or min(ends)[0] >= best:
                continue
            best, stop, ms = min(ends)
            journey = self._lines.journey_to(stop, rides, who.depart_ms)
            offer = self._joined(who, journey, feeders, trial, [Leg(-1, stop, -1, -1, -1, best - ms, best)])
            if offer is not None:
                out.append(offer)
        return out

    def _last_miles(
        self, who: Traveller, table: IntArray, hubs: list[int], feeders: dict[int, RideLeg], trial: Trial
    ) -> list[JointOffer]:
        """Journeys that end in one of our vehicles: for each number of rides by line the soonest, asked in the order of
        what they could bring at best."""
        ends: dict[int, tuple[Ends, int]] = {}
        for hub in hubs:
            found = trial.ends_of(self._from_hub(who, hub, who.depart_ms, trial))
            if not isinstance(found, str):
                ends[hub] = found, self._dispatcher.travel_times.between(found.origin, found.destination)
        out = []
        best = FAR
        for rides in range(1, table.shape[0]):
            bounds = sorted(
                (int(table[rides, hub]) + self._params.change_ms + direct, hub)
                for hub, (_, direct) in ends.items() if table[rides, hub] < FAR
            )  # fmt: skip
            chosen: JointOffer | None = None
            for bound, hub in bounds:
                if bound >= best:
                    break
                journey = self._lines.journey_to(hub, rides, who.depart_ms)
                feeder = self._feeder(who, journey, feeders, trial) if feeders else None
                if feeders and feeder is None:
                    continue
                ready = int(table[rides, hub]) + self._params.change_ms
                leg = self._wait_for_ride(who, hub, ready, ends[hub][0], trial, [feeder] if feeder else [])
                if leg is None or leg.arrive_ms >= best:
                    continue
                best = leg.arrive_ms
                chosen = self._offer(who, ([feeder] if feeder else []), journey, [leg])
            if chosen is not None:
                out.append(chosen)
        return out

    def _wait_for_ride(
        self, who: Traveller, hub: int, ready_ms: int, ends: Ends, trial: Trial, after: Sequence[RideLeg]
    ) -> RideLeg | None:
        """The ride from a hub with the least wait: asked for the moment of arrival, then one maximum wait later, ..."""
        step = max(60_000, self._dispatcher.service.max_wait_ms)
        for turn in range(self._params.last_mile_waits):
            leg = self._ride(self._from_hub(who, hub, ready_ms + turn * step, trial), trial, ends=ends, after=after)
            if leg is not None:
                return leg
        return None

    def _from_hub(self, who: Traveller, hub: int, ready_ms: int, trial: Trial) -> Request:
        utc = self._dispatcher.day.to_utc
        placed = min(utc(who.depart_ms), trial.now)
        return Request(
            RequestId(f"{who.id}/last"), placed, self._place(hub), who.destination, utc(ready_ms), None, who.party,
            who.needs,
        )  # fmt: skip

    def _direct(self, who: Traveller, trial: Trial) -> JointOffer | None:
        utc = self._dispatcher.day.to_utc
        placed = min(utc(who.depart_ms), trial.now)
        request = Request(
            RequestId(f"{who.id}/ride"), placed, who.origin, who.destination, utc(who.depart_ms), None, who.party,
            who.needs,
        )  # fmt: skip
        leg = self._ride(request, trial)
        return None if leg is None else self._priced(who.depart_ms, [leg])

    # --- whole journeys -------------------------------------------------------------------------------------

    def _joined(
        self, who: Traveller, journey: Journey, feeders: dict[int, RideLeg], trial: Trial, tail: list[Leg]
    ) -> JointOffer | None:
        feeder = self._feeder(who, journey, feeders, trial) if feeders else None
        if feeders and feeder is None:
            return None
        return self._offer(who, [feeder] if feeder else [], journey, tail)

    def _offer(
        self, who: Traveller, head: list[RideLeg], journey: Journey, tail: "Sequence[Leg | RideLeg]"
    ) -> JointOffer:  # fmt: skip
        middle = [leg for leg in journey.legs if not (head and leg.from_stop < 0)]
        legs = [*head, *middle, *(leg for leg in tail if leg.arrive_ms > leg.depart_ms)]
        return self._priced(head[0].depart_ms if head else journey.depart_ms, legs)

    def _priced(self, depart_ms: int, legs: "list[Leg | RideLeg]") -> JointOffer:
        walk = sum(leg.arrive_ms - leg.depart_ms for leg in legs if isinstance(leg, Leg) and not leg.is_ride)
        rides = sum(isinstance(leg, RideLeg) or (leg.is_ride and not leg.stays) for leg in legs)
        return JointOffer(depart_ms, legs[-1].arrive_ms, rides, walk, self._price(legs), tuple(legs))

    def _price(self, legs: "list[Leg | RideLeg]") -> Price | None:
        parts: list[Price | None] = [self._ride_price(leg.offer) for leg in legs if isinstance(leg, RideLeg)]
        by_line = [self._line_ride(leg) for leg in legs if isinstance(leg, Leg) and leg.is_ride]
        if by_line:
            parts.append(None if self._fares is None else self._fares.price(by_line))
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or len({part.currency for part in known}) > 1:
            return None
        return Price(sum(part.amount for part in known), known[0].currency) if known else Price(0, "")

    def _line_ride(self, leg: Leg) -> Ride:
        day, table = self._lines.day, self._table
        first = int(day.first_stop[day.pattern_of(leg.run)])
        passed = day.stop[first + leg.board_place : first + leg.alight_place + 1].tolist()
        zones = tuple(dict.fromkeys(zone for zone in (table.stop_zone[stop] for stop in passed) if zone))
        route = table.route_id[int(table.trip_route[int(day.trip[leg.run])])]
        return Ride(route, table.stop_id[leg.from_stop], table.stop_id[leg.to_stop], zones)

    def _is_withheld(self, offer: JointOffer, by_line: list[JointOffer], who: Traveller) -> bool:
        corridor = withheld_by(self._corridors, self._lines.day, offer, by_line, who.depart_ms)
        if corridor is not None:
            self.withheld = corridor
        return corridor is not None


def _keeps(offer: Offer, leg: RideLeg) -> bool:
    """Whether an offer keeps what the leg promised: picked up and set down no later, not before the rider is there."""
    return (
        offer.dropoff.latest <= leg.offer.dropoff.latest
        and offer.pickup.latest <= leg.offer.pickup.latest
        and offer.planned_dropoff <= leg.offer.dropoff.latest
    )
