"""Synthetic demand: trips between where people live and where they go, over a day's profile.

A trip joins a home and an attraction. Homes are drawn by population. Attractions are the region's places of
interest by kind; where it has none, its public transport stops by departures and, as much again, its
population. An attraction's chance falls with exp(-distance / typical_km) (a singly constrained gravity model,
Ortuzar & Willumsen, Modelling Transport, ch. 5). Mornings go out, evenings come home.
"""

from dataclasses import dataclass

import numpy as np

from noriai_engine.model import Place, Request, Resources, RiderNeeds, Service, ServiceDay, UtcMs
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import HOUR_MS, FloatArray, RequestId
from noriai_engine.regions import Region
from noriai_engine.roads import haversine_m
from noriai_simulations.scenario_file import SyntheticTable

KIND_WEIGHTS = {"hospital": 12.0, "clinic": 4.0, "shop": 3.0, "station": 6.0, "school": 3.0, "civic": 2.0}

HOUR_PROFILES: dict[str, tuple[float, ...]] = {
    # Share of a day's wishes by hour 0 to 23. "everyday": older riders' clinic and shopping trips, mornings first.
    "everyday": (0, 0, 0, 0, 0, 1, 2, 5, 9, 12, 12, 10, 7, 7, 9, 8, 7, 5, 4, 2, 1, 1, 0.5, 0.5),
    "commuter": (0.5, 0, 0, 0, 1, 3, 9, 14, 11, 6, 4, 4, 4, 4, 5, 7, 10, 12, 8, 5, 3, 2, 1, 1),
    "flat": (1.0,) * 24,
}


@dataclass(frozen=True)
class _Points:
    lon: FloatArray
    lat: FloatArray
    weight: FloatArray


def synthetic_requests(
    table: SyntheticTable, service: Service, region: Region, day: ServiceDay, rng: np.random.Generator
) -> list[Request]:
    """`table.requests` requests in the order they are placed. Raises InputError where nobody can travel."""
    homes = _reachable(_homes(region), region, service)
    attractions = _reachable(_attractions(region), region, service)
    hours = _open_hours(table.profile, service)
    wished_s = np.sort(rng.choice(24 * 3600, table.requests, p=np.repeat(hours, 3600) / 3600.0))
    requests = []
    for number, second in enumerate(wished_s):
        home = int(rng.choice(len(homes.lon), p=homes.weight))
        goal = _destination(homes, home, attractions, table, rng)
        ends = [Place(float(homes.lon[home]), float(homes.lat[home])), goal]
        outward_chance = np.clip(0.9 - (second / 3600 - 6) * 0.055, 0.1, 0.9)
        if rng.random() > outward_chance:
            ends.reverse()
        requests.append(_request(number, int(second), ends, table, day, rng))
    requests.sort(key=lambda r: (r.placed_at, r.id))
    return requests


def _reachable(points: _Points, region: Region, service: Service) -> _Points:
    """Points within the service's snapping distance of a road; nobody is made up where no car can come."""
    near = region.snapper.snap(points.lon, points.lat, limit_m=service.max_snap_m).street >= 0
    weight = np.where(near, points.weight, 0.0)
    if weight.sum() == 0:
        raise InputError("nobody lives near a road", where="demand.synthetic", remedy="check the region's population")
    return _Points(points.lon[near], points.lat[near], weight[near] / weight.sum())


def _homes(region: Region) -> _Points:
    people = region.population
    network = region.network
    if people is None:
        weight = np.full(network.node_count, 1.0 / network.node_count)
        return _Points(np.asarray(network.node_lon), np.asarray(network.node_lat), weight)
    return _Points(people.lon, people.lat, people.people / people.people.sum())


def _attractions(region: Region) -> _Points:
    places = region.places
    if places:
        weight = np.array([KIND_WEIGHTS.get(place.kind, 1.0) for place in places])
        return _Points(np.array([p.lon for p in places]), np.array([p.lat for p in places]), weight / weight.sum())
    homes, stops = _homes(region), region.stops
    if not stops:
        return homes
    weight = np.array([float(stop["departures"]) for stop in stops])
    weight = np.full(len(stops), 1.0 / len(stops)) if weight.sum() == 0 else weight / weight.sum()
    return _Points(
        np.concatenate([[s["lon"] for s in stops], homes.lon]),
        np.concatenate([[s["lat"] for s in stops], homes.lat]),
        np.concatenate([weight, homes.weight]) / 2.0,
    )


def _open_hours(profile: str, service: Service) -> FloatArray:
    """Chance of each hour, cut to the hours in which the service is open throughout."""
    weights = np.array(HOUR_PROFILES[profile], np.float64)
    for hour in range(24):
        if hour * HOUR_MS < service.opens or (hour + 1) * HOUR_MS > service.closes:
            weights[hour] = 0.0
    if weights.sum() == 0:
        raise InputError(
            f"profile {profile} has no demand in the opening hours",
            where="demand.synthetic",
            remedy="open longer",
        )
    share: FloatArray = weights / weights.sum()
    return share


def _destination(
    homes: _Points, home: int, attractions: _Points, table: SyntheticTable, rng: np.random.Generator
) -> Place:
    metres = haversine_m(homes.lon[home], homes.lat[home], attractions.lon, attractions.lat)
    chance = attractions.weight * np.exp(-metres / (1_000.0 * table.typical_km))
    chance = np.where(metres < 1_000.0 * table.shortest_km, 0.0, chance)
    if chance.sum() == 0:
        chance = attractions.weight
    goal = int(rng.choice(len(chance), p=chance / chance.sum()))
    return Place(float(attractions.lon[goal]), float(attractions.lat[goal]))


def _request(
    number: int,
    second: int,
    ends: list[Place],
    table: SyntheticTable,
    day: ServiceDay,
    rng: np.random.Generator,
) -> Request:
    prebooked, arrives, chair, company, bags = rng.random(5) < (
        table.prebooked, table.wished_arrival, table.wheelchair, table.companion, table.luggage,
    )  # fmt: skip
    ahead_ms = int(rng.integers(HOUR_MS, 14 * HOUR_MS)) // 1000 * 1000
    wished = day.to_utc(second * 1000)
    placed = UtcMs(max(wished - ahead_ms, day.to_utc(-5 * HOUR_MS))) if prebooked else wished
    seats = int(company) if chair else 1 + int(company)
    by_arrival = bool(prebooked and arrives)
    stays = table.door_only > 0 and rng.random() < table.door_only
    return Request(
        RequestId(f"r{number + 1:05d}"), placed, ends[0], ends[1],
        None if by_arrival else wished, wished if by_arrival else None,
        Resources(seats, int(chair), int(bags)), RiderNeeds(longest_walk_m=0) if stays else RiderNeeds(),
    )  # fmt: skip
