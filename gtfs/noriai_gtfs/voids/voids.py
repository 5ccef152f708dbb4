"""Who cannot reach a clinic, a shop, a school, a station or work by line: by cell, weekday and hour.

A cell is served in an hour for a purpose if somebody who leaves home can be there by a time within that hour, in at
most so many minutes from door to door, on foot or with lines. Searches run backward from the destinations, one for each
purpose, kind of day and time of arrival, and tell every stop at once when to leave.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.regions.people import PlaceOfInterest
from noriai_engine.roads import TravelTimes, haversine_m
from noriai_gtfs.journeys.backward import turned_round
from noriai_gtfs.journeys.search import FAR, JourneySearch, SearchParams
from noriai_gtfs.timetable import Timetable, day_timetable
from noriai_gtfs.timetable.walking import DETOUR, WALK_M_PER_S, AirLine, Walking, WalksTo
from noriai_gtfs.voids.mesh import Cells

FloatArray = npt.NDArray[np.float64]
PURPOSES: Mapping[str, tuple[str, ...]] = {
    "clinic": ("clinic", "hospital"), "shop": ("shop",), "school": ("school",), "station": ("station",),
    "work": ("work",),
}  # fmt: skip
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class VoidParams:
    """What counts as reach. On-demand service is judged by its wait and its detour over the direct drive."""

    max_ms: int = 60 * 60_000
    walk_m: float = 500.0
    first_hour: int = 7
    last_hour: int = 19
    every_ms: int = 30 * 60_000
    ride_wait_ms: int = 20 * 60_000
    ride_detour: float = 1.5
    max_rides: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.first_hour < self.last_hour <= 30:
            raise ValueError(f"hours {self.first_hour} to {self.last_hour}: from 0 to 30, the first below the last")
        for name in ("max_ms", "walk_m", "every_ms", "ride_wait_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: above 0")


@dataclass(frozen=True)
class Voids:
    """`served` (purposes, days, hours, cells): reached by line or on foot; `ride_ms` (purposes, cells): door to door by
    on-demand service, -1 where no road leads there; `stop_m` (cells,): air line to the nearest served stop."""

    cells: Cells
    purposes: tuple[str, ...]
    days: tuple[date, ...]
    hours: tuple[int, ...]
    served: npt.NDArray[np.bool_]
    ride_ms: npt.NDArray[np.int64]
    stop_m: FloatArray
    params: VoidParams

    def without(self, purpose: int, day: int, hour: int, *, with_rides: bool = False) -> float:
        """People who cannot reach a purpose in an hour."""
        reached = self.served[purpose, day, hour]
        if with_rides:
            reached = reached | self.by_ride(purpose)
        return float(self.cells.people[~reached].sum())

    def by_ride(self, purpose: int) -> npt.NDArray[np.bool_]:
        """(cells,) whether on-demand service would bring people there in time."""
        return np.asarray((self.ride_ms[purpose] >= 0) & (self.ride_ms[purpose] <= self.params.max_ms))

    def void_hours(self, purpose: int) -> npt.NDArray[np.int64]:
        """(cells,) hours of all the days in which a purpose is out of reach."""
        return np.asarray((~self.served[purpose]).sum(axis=(0, 1)), np.int64)


def find_voids(
    timetable: Timetable,
    cells: Cells,
    places: Sequence[PlaceOfInterest],
    days: Sequence[date],
    travel_times: TravelTimes | None,
    params: VoidParams | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    walking: Walking | None = None,
) -> Voids:
    """Reach of every cell on some days, with walks from the middle of its people. Purposes without a place are left
    out.

    Raises InputError where no place of any purpose is known.
    """
    params = VoidParams() if params is None else params
    found = {
        purpose: [p for p in places if p.kind in kinds]
        for purpose, kinds in PURPOSES.items() if any(p.kind in kinds for p in places)
    }  # fmt: skip
    if not found:
        raise InputError(
            "no clinic, shop, school, station or place of work is known", where="places", remedy="give --places FILE"
        )
    hours = tuple(range(params.first_hour, params.last_hour))
    served = np.zeros((len(found), len(days), len(hours), len(cells.name)), bool)
    active = np.unique(timetable.sequence_stop)
    metres = _metres(cells.lon, cells.lat, timetable.stop_lon[active], timetable.stop_lat[active])
    walking = walking or AirLine()
    to_stops = walking.to(timetable.stop_lon[active], timetable.stop_lat[active])
    near_cell, near_stop, way = to_stops(cells.lon, cells.lat, params.walk_m, False)
    search_params = SearchParams(max_rides=params.max_rides, change_ms=60_000, max_duration_ms=params.max_ms)
    done, total = 0, len(days) * len(found)
    for d, day in enumerate(days):
        search = JourneySearch(turned_round(day_timetable(timetable, day)), search_params)
        for p, purpose in enumerate(found):
            to_places = walking.to(*_arrays(found[purpose]))
            on_foot = _on_foot(cells, to_places, params)
            ends = _ends(timetable, active, to_places, params)
            for h, hour in enumerate(hours):
                served[p, d, h] = on_foot
                for by in range(hour * HOUR_MS, (hour + 1) * HOUR_MS, params.every_ms):
                    if not ends:
                        break
                    reach = search.arrivals(ends, -by).astype(np.int64)[active]
                    ms = np.where(reach >= FAR, FAR, reach + by)[near_stop] + way
                    served[p, d, h, near_cell[ms <= params.max_ms]] = True
            done += 1
            progress(done, total)
    ride = np.stack([_rides(cells, found[purpose], travel_times, params) for purpose in found])
    return Voids(cells, tuple(found), tuple(days), hours, served, ride, metres.min(axis=1), params)


def _metres(lon_a: FloatArray, lat_a: FloatArray, lon_b: FloatArray, lat_b: FloatArray) -> FloatArray:
    """(a, b) air lines."""
    return np.asarray(haversine_m(lon_a[:, None], lat_a[:, None], lon_b[None, :], lat_b[None, :]))


def _arrays(places: Sequence[PlaceOfInterest]) -> tuple[FloatArray, FloatArray]:
    return np.array([p.lon for p in places]), np.array([p.lat for p in places])


def _on_foot(cells: Cells, to_places: WalksTo, params: VoidParams) -> npt.NDArray[np.bool_]:
    """Cells from which a place lies within walking distance twice over: there is no stop to reach in between."""
    limit = min(2 * params.walk_m, params.max_ms / 1000 * WALK_M_PER_S / DETOUR)
    out = np.zeros(len(cells.name), bool)
    out[to_places(cells.lon, cells.lat, limit, False)[0]] = True
    return out


def _ends(
    timetable: Timetable, active: npt.NDArray[np.int32], to_places: WalksTo, params: VoidParams
) -> list[tuple[int, int]]:
    """Stops near places with ms on foot to the nearest of them; at least 1 ms, for no footpath follows."""
    stop, _, ms = to_places(timetable.stop_lon[active], timetable.stop_lat[active], params.walk_m, False)
    soonest: dict[int, int] = {}
    for row, spent in zip(active[stop].tolist(), ms.tolist(), strict=True):
        soonest[row] = min(soonest.get(row, FOREVER_MS), max(1, spent))
    return sorted(soonest.items())


def _rides(
    cells: Cells, places: Sequence[PlaceOfInterest], travel_times: TravelTimes | None, params: VoidParams
) -> npt.NDArray[np.int64]:
    """(cells,) wait and ride to the nearest place by on-demand service, -1 where there is no way."""
    if travel_times is None:
        return np.full(len(cells.name), -1, np.int64)
    lon, lat = _arrays(places)
    matrix = travel_times.matrix(
        np.stack([cells.lon, cells.lat], axis=1), np.stack([lon, lat], axis=1)
    )  # fmt: skip
    drive = matrix.min(axis=1).astype(np.int64)
    return np.where(drive >= FOREVER_MS, -1, params.ride_wait_ms + (drive * params.ride_detour).astype(np.int64))
