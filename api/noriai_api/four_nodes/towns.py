"""The four towns, on a made-up network: where people live, what vehicles there are, who wants to go where on a day."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noriai_api.exchange.corporate_numbers import of_municipality
from noriai_engine.regions import Region
from noriai_engine.regions.write import RegionDraft
from noriai_engine.world.rural import RuralParams, rural_region

Floats = NDArray[np.float64]

DAY = "2026-11-24"
FIRST_HOUR, LAST_HOUR = 7, 19
SEATS = {"seats": 4, "wheelchairs": 0, "luggage": 2}


@dataclass(frozen=True)
class Town:
    """A municipality: its name as its node has it, as people write it, its codes, and its weekday with most trips."""

    name: str
    title: str
    title_ja: str
    code: str
    busy: tuple[float, ...]
    """Weight of each hour from FIRST_HOUR on: when its people go out."""

    @property
    def participant(self) -> str:
        return f"urn:noriai:node:{self.name}"

    @property
    def corporate_number(self) -> str:
        return of_municipality(self.code)


def _peak(*hours: int) -> tuple[float, ...]:
    return tuple(1.0 + (5.0 if hour in hours else 0.0) for hour in range(FIRST_HOUR, LAST_HOUR))


TOWNS = (
    Town("tsukuba", "Tsukuba", "つくば市", "082201", _peak(8, 9, 17)),
    Town("tsuchiura", "Tsuchiura", "土浦市", "082031", _peak(10, 11)),
    Town("shimotsuma", "Shimotsuma", "下妻市", "082104", _peak(13, 14)),
    Town("ushiku", "Ushiku", "牛久市", "082198", _peak(9, 15, 16)),
)


@dataclass(frozen=True)
class Wish:
    """A trip that somebody wants: asked for at `asked_s` of the day, from their town's node."""

    town: int
    asked_s: int
    earliest_s: int
    origin: tuple[float, float]
    destination: tuple[float, float]


def life_area(seed: int) -> RegionDraft:
    """One network for the four, since people do not stop at borders: a valley of 24 km, a quarter for each town."""
    return rural_region(seed, RuralParams(villages=16, people=12_000, valley_km=24, lon=139.95, lat=36.03))


def town_of(region: Region, lon: Floats) -> NDArray[np.int64]:
    """The town a place belongs to, by its share of the valley's people from west to east."""
    people = region.population
    assert people is not None
    order = np.argsort(people.lon)
    share = np.cumsum(people.people[order]) / people.people.sum()
    borders = [people.lon[order][np.searchsorted(share, q)] for q in (0.25, 0.5, 0.75)]
    return np.searchsorted(borders, lon, side="right").astype(np.int64)


def transfer_points(region: Region) -> dict[str, tuple[float, float]]:
    """Where riders may change between neighbouring towns: on a street at each border, amid the people around it."""
    people = region.population
    assert people is not None
    town, found = town_of(region, people.lon), {}
    for west, east in pairwise(range(len(TOWNS))):
        near = np.r_[np.flatnonzero(town == west)[np.argsort(-people.lon[town == west])[:20]],
                     np.flatnonzero(town == east)[np.argsort(people.lon[town == east])[:20]]]  # fmt: skip
        at = np.array([np.average(values[near], weights=people.people[near]) for values in (people.lon, people.lat)])
        lon, lat = region.snapper.on_street(at[:1], at[1:])
        found[f"{TOWNS[west].name}-{TOWNS[east].name}"] = (round(float(lon[0]), 6), round(float(lat[0]), 6))
    return found


def fleet(region: Region, town: int, count: int, seed: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Vehicles where the town's people live, on duty all day."""
    people = region.population
    assert people is not None
    rng = np.random.default_rng([seed, 1, town])
    mine = np.flatnonzero(town_of(region, people.lon) == town)
    drawn = rng.choice(mine, count, p=people.people[mine] / people.people[mine].sum())
    lon, lat = region.snapper.on_street(people.lon[drawn], people.lat[drawn])
    name = TOWNS[town].name
    hours = {day: [f"{FIRST_HOUR - 1:02}:00", f"{LAST_HOUR + 2:02}:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
    return [
        (f"{name}-{k + 1}", f"{name}-taxi", {
            "region": region.name, "operator": f"{name}-taxi", "kind": "taxi", "layouts": [SEATS],
            "depot": [round(float(lon[k]), 6), round(float(lat[k]), 6), ""], "shifts": hours, "breaks": [],
            "skills": [],
        })
        for k in range(count)
    ]  # fmt: skip


def wishes(region: Region, count: int, seed: int) -> list[Wish]:
    """A day's wishes of all towns, in the order they are asked for: to the clinic, the shop, the station, the hall, a
    friend, and home again."""
    people = region.population
    assert people is not None
    rng = np.random.default_rng([seed, 2])
    home_town = town_of(region, people.lon)
    goals = np.array([(place.lon, place.lat) for place in region.places])
    found = []
    for town in range(len(TOWNS)):
        mine = np.flatnonzero(home_town == town)
        busy = np.array(TOWNS[town].busy) / sum(TOWNS[town].busy)
        for _ in range(count // len(TOWNS)):
            home = int(rng.choice(mine, p=people.people[mine] / people.people[mine].sum()))
            hour = int(rng.choice(len(busy), p=busy)) + FIRST_HOUR
            earliest = hour * 3600 + int(rng.integers(0, 3600))
            if rng.random() < 0.75:
                goal = goals[int(rng.integers(0, len(goals)))]
            else:
                friend = int(rng.choice(len(people.people), p=people.people / people.people.sum()))
                goal = np.array([people.lon[friend], people.lat[friend]])
            ends = [(float(people.lon[home]), float(people.lat[home])), (float(goal[0]), float(goal[1]))]
            if abs(ends[0][0] - ends[1][0]) + abs(ends[0][1] - ends[1][1]) < 0.003:
                continue
            if rng.random() < 0.4:
                ends.reverse()
            ahead = int(rng.choice([0, 300, 1800, 3600], p=[0.3, 0.3, 0.2, 0.2]))
            found.append(Wish(town, max(earliest - ahead, (FIRST_HOUR - 1) * 3600), earliest, ends[0], ends[1]))
    return sorted(found, key=lambda wish: (wish.asked_s, wish.town, wish.earliest_s))
