"""From a request and a service to hard limits: spots, windows, ride limit; or the reason it cannot be carried."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.model import InputError, Place, Request, Service, ServiceDay, Spot, TimeWindow
from noriai_engine.model.units import FOREVER_MS, IntArray, UtcMs
from noriai_engine.roads import RoadNetwork, TravelTimes, haversine_m
from noriai_engine.roads.walks import Walks


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the ride begins and ends, and how long the rider walks there and from there (ms)."""

    origin: Spot
    destination: Spot
    walk_to_ms: int = 0
    walk_from_ms: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """Which vehicles may serve: bits they must have, an operator's row (-1: any), rows of requests not to ride with."""

    needs: int
    operator: int
    apart: IntArray


class Walker(NamedTuple):
    """How far a rider walks at most, and whether on step-free ways only."""

    longest_m: int
    step_free: bool


class Area:
    """Where a service picks up and sets down. Points on the border belong to it."""

    def __init__(self, service: Service, travel_times: TravelTimes) -> None:
        import shapely

        self._service, self._times = service, travel_times
        polygons = [shapely.Polygon(ring) for ring in service.area]
        self._shape = shapely.union_all(polygons) if polygons else None
        if self._shape is not None:
            shapely.prepare(self._shape)
        self._stop_spots = [travel_times.stop_at(stop)[0] for stop in service.stops]
        self._walks = None if service.mode == "door" else _walks(service, travel_times)
        self._stop_lon = np.array([stop.lon for stop in service.stops])
        self._stop_lat = np.array([stop.lat for stop in service.stops])

    def ends_of(self, request: Request) -> Ends | str:
        """Spots and walks of a trip, or the reason why it cannot be: place.off_network, area.outside, stops.too_far."""
        walker = self.walker(request)
        return joined(self.end_of(request.origin, walker), self.end_of(request.destination, walker))

    def walker(self, request: Request) -> Walker:
        """Who uses a wheelchair and says nothing is met at the door where the service comes there."""
        needs, chair = request.needs, request.party.wheelchairs > 0
        usual = 0 if chair and self._service.mode == "meet" else self._service.max_walk_m
        return Walker(usual if needs.longest_walk_m is None else needs.longest_walk_m, needs.step_free or chair)

    def choices(self, request: Request, door: Ends) -> Iterator[Ends]:
        """Where the ride may begin and end: at the door first, then at every pair of meeting points within the rider's
        longest walk."""
        yield door
        if self._walks is None or self._service.mode != "meet":
            return
        ends, walker = [], self.walker(request)
        for place, spot in ((request.origin, door.origin), (request.destination, door.destination)):
            near = self._walks.nearest(place, *walker, self._service.most_meeting_stops)
            walks = [(self._stop_spots[k], self._walk_ms(mm)) for k, mm in near]
            ends.append([(spot, 0), *walks])
        for (board, to_ms), (leave, from_ms) in product(*ends):
            if (to_ms or from_ms) and board != leave:
                yield Ends(board, leave, to_ms, from_ms)

    def _walk_ms(self, mm: int) -> int:
        return -(-mm * 1_000 // self._service.walking_speed_mm_s)

    def end_of(self, place: Place, walker: Walker) -> tuple[Spot, int] | str:
        """The spot for one end of a trip and the ms on foot there, or the reason why there is none."""
        import shapely

        if self._shape is not None and not shapely.intersects_xy(self._shape, place.lon, place.lat):
            return "area.outside"
        if self._service.mode == "stops":
            near = self._nearest_stop(place, walker)
            return "stops.too_far" if near is None else (self._stop_spots[near[0]], self._walk_ms(near[1]))
        spot, metres_off = self._times.stop_at(place)
        return (spot, 0) if metres_off <= self._service.max_snap_m else "place.off_network"

    def _nearest_stop(self, place: Place, walker: Walker) -> tuple[int, int] | None:
        """Row of the stop and mm on foot; by the air line where a network has no streets."""
        if self._walks is not None:
            return next(iter(self._walks.nearest(place, *walker, 1)), None)
        metres = haversine_m(np.array(place.lon), np.array(place.lat), self._stop_lon, self._stop_lat)
        stop = int(np.argmin(metres))
        return None if metres[stop] > walker.longest_m else (stop, int(np.ceil(metres[stop] * 1_000)))


def _walks(service: Service, travel_times: TravelTimes) -> Walks | None:
    network = travel_times.network
    if not isinstance(network, RoadNetwork):
        if service.mode == "stops":
            return None
        raise InputError("a plain network has no streets to walk on", where="service", remedy="use mode door or stops")
    return Walks(network, np.array([s.lon for s in service.stops]), np.array([s.lat for s in service.stops]))


def joined(origin: tuple[Spot, int] | str, destination: tuple[Spot, int] | str) -> Ends | str:
    """Both ends of a trip, or the reason of the first that cannot be."""
    if isinstance(origin, str):
        return origin
    if isinstance(destination, str):
        return destination
    return Ends(origin[0], destination[0], origin[1], destination[1])


def wish_of(
    request: Request,
    ends: Ends,
    service: Service,
    day: ServiceDay,
    direct_ms: int,
    now: UtcMs,
    terms: Terms,
    shift_ms: int = 0,
) -> Wish | str:
    """Hard limits of a request whose wished time is moved by `shift_ms`, or the reason that rules it out.

    A wished departure e: pickup begins within [e, e + max wait]. A wished arrival a: alighting begins within
    [a - margin, a], and the pickup no earlier than the longest ride before that allows. The rider's own windows
    and the opening hours cut these; nothing begins before `now`.
    """
    ride_limit = service.ride_limit_ms(direct_ms)
    if direct_ms > ride_limit:
        return "time.ride_limit"
    chair = request.party.wheelchairs > 0
    boarding = (service.wheelchair_boarding_ms if chair else service.boarding_ms) + request.needs.extra_boarding_ms
    alighting = (service.wheelchair_alighting_ms if chair else service.alighting_ms) + request.needs.extra_alighting_ms
    soonest = day.to_day_ms(now)
    wished = day.to_day_ms(UtcMs(request.wished + shift_ms))
    if request.earliest_pickup is not None:
        pickup = [wished + ends.walk_to_ms, wished + ends.walk_to_ms + service.max_wait_ms]
        dropoff = [0, pickup[1] + boarding + ride_limit]
        lead = wished - day.to_day_ms(request.placed_at)
    else:
        latest = wished - ends.walk_from_ms
        dropoff = [latest - service.arrival_margin_ms, latest]
        pickup = [dropoff[0] - ride_limit - boarding, latest - direct_ms - boarding]
        lead = pickup[1] - day.to_day_ms(request.placed_at)
    for window, own in ((pickup, request.pickup), (dropoff, request.dropoff)):
        if own is not None:
            window[0] = max(window[0], day.to_day_ms(own.earliest) + shift_ms)
            window[1] = min(window[1], day.to_day_ms(own.latest) + shift_ms)
    if pickup[1] < pickup[0]:
        return "time.window"
    if pickup[1] < soonest:
        return "time.past"
    if lead < service.min_lead_ms:
        return "booking.cutoff"
    if lead > service.max_ahead_ms:
        return "booking.too_early"
    pickup[0], pickup[1] = max(pickup[0], service.opens), min(pickup[1], service.closes)
    if pickup[1] < pickup[0]:
        return "service.closed"
    pickup[0] = max(pickup[0], soonest)
    if pickup[1] < pickup[0] or dropoff[1] < max(dropoff[0], pickup[0] + boarding + direct_ms):
        return "time.window"
    dropoff[1] = min(dropoff[1], FOREVER_MS)
    spare = _buffers(service, direct_ms, pickup, dropoff, boarding, ride_limit)
    return Wish(
        *ends.origin, *ends.destination, pickup[0], pickup[1] - spare[0], dropoff[0], dropoff[1] - spare[1],
        boarding, alighting, ride_limit - spare[2], direct_ms, np.array(request.party.as_tuple(), np.int16),
        terms.needs, terms.operator, terms.apart, *spare,
    )  # fmt: skip


def _buffers(
    service: Service, direct_ms: int, pickup: list[int], dropoff: list[int], boarding: int, ride_limit: int
) -> tuple[int, int, int]:
    """How much earlier than promised plans have the pickup and the dropoff at the latest, and how much shorter the
    ride: never so much that a vehicle which is there in time and drives straight on would be too late."""
    on_the_way = direct_ms * service.ride_buffer_permille // 1_000
    ride = min(on_the_way, ride_limit - direct_ms)
    soonest = max(pickup[0], dropoff[0] - (ride_limit - ride) - boarding)
    alone = max(dropoff[0], soonest + boarding + direct_ms)
    late_pickup = max(0, min(service.pickup_buffer_ms, pickup[1] - soonest))
    late_dropoff = max(0, min(service.pickup_buffer_ms + on_the_way, dropoff[1] - alone))
    return late_pickup, late_dropoff, ride


def told(wish: Wish, day: ServiceDay) -> tuple[TimeWindow, TimeWindow, int]:
    """What a rider is promised by these limits: pickup, dropoff, longest ride (ms)."""
    pickup = TimeWindow(day.to_utc(wish.pickup_earliest), day.to_utc(wish.pickup_latest + wish.pickup_spare))
    dropoff = TimeWindow(day.to_utc(wish.dropoff_earliest), day.to_utc(wish.dropoff_latest + wish.dropoff_spare))
    return pickup, dropoff, wish.max_ride + wish.ride_spare


def as_told(wish: Wish, pickup: TimeWindow, dropoff: TimeWindow, day: ServiceDay) -> Wish:
    """The limits to plan by where a rider was told these windows."""
    p, d = ([day.to_day_ms(w.earliest), day.to_day_ms(w.latest)] for w in (pickup, dropoff))
    late = [min(spare, w[1] - w[0]) for spare, w in ((wish.pickup_spare, p), (wish.dropoff_spare, d))]
    return wish._replace(
        pickup_earliest=p[0], pickup_latest=p[1] - late[0], dropoff_earliest=d[0], dropoff_latest=d[1] - late[1],
        pickup_spare=late[0], dropoff_spare=late[1],
    )  # fmt: skip


def from_begin(wish: Wish, begin: int, service: Service) -> Wish:
    """The limits of a rider who wishes to arrive: the pickup interval begins as planned (day ms)."""
    latest = min(wish.pickup_latest + wish.pickup_spare, begin + service.max_wait_ms)
    spare = min(wish.pickup_spare, latest - begin)
    return wish._replace(pickup_earliest=begin, pickup_latest=latest - spare, pickup_spare=spare)


def without_buffers(wish: Wish) -> Wish:
    """The limits that were promised, to the last ms."""
    return widened(wish, 0)


def widened(wish: Wish, late_ms: int) -> Wish:
    """The limits promised and later by `late_ms`; the ride may be longer by as much."""
    return wish._replace(
        pickup_latest=wish.pickup_latest + wish.pickup_spare + late_ms,
        dropoff_latest=wish.dropoff_latest + wish.dropoff_spare + late_ms,
        max_ride=wish.max_ride + wish.ride_spare + late_ms, pickup_spare=0, dropoff_spare=0, ride_spare=0,
    )  # fmt: skip
