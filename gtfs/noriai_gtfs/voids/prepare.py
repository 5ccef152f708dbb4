"""From a region bundle to what the search for voids needs: cells with people, places, days, drives."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import FloatArray
from noriai_engine.regions import Region
from noriai_engine.regions.people import PlaceOfInterest
from noriai_engine.roads import TravelTimes
from noriai_engine.tables import read_table
from noriai_gtfs.timetable import Timetable
from noriai_gtfs.voids.mesh import LEVELS, Cells, hex_cells, hex_resolution, mesh_cells

KINDS = ("clinic", "hospital", "shop", "school", "station", "work")


def cells_of(region: Region, kind: str | None, size_m: int) -> Cells:
    """Cells with the region's people; where none are known, with one for each junction of its roads."""
    people = region.population
    if people is None:
        network = region.network
        lon, lat = np.asarray(network.node_lon), np.asarray(network.node_lat)
        weight = np.ones(lon.size)
    else:
        lon, lat, weight = people.lon, people.lat, people.people
    return replace(_cells(region, kind, size_m, lon, lat, weight), counts="junctions" if people is None else "people")


def _cells(
    region: Region, kind: str | None, size_m: int, lon: FloatArray, lat: FloatArray, weight: FloatArray
) -> Cells:
    if (kind or ("mesh" if region.country == "JP" else "hex")) == "hex":
        if size_m < 50:
            raise InputError(f"{size_m} m is too small", where="--size", remedy="give 50 or more")
        return hex_cells(lon, lat, weight, hex_resolution(size_m))
    if size_m not in LEVELS:
        listed = ", ".join(str(size) for size in LEVELS)
        raise InputError(f"the mesh has no cells of {size_m} m", where="--size", remedy=f"give one of {listed}")
    return mesh_cells(lon, lat, weight, LEVELS[size_m])


def places_of(region: Region, file: Path | None) -> list[PlaceOfInterest]:
    """Places of the region and of a table. Raises RowError for a row of another kind or without coordinates."""
    places = list(region.places)
    if file is not None:
        for row in read_table(file).rows:
            kind = row.text("kind")
            if kind not in KINDS:
                raise row.error("kind", f"{kind!r} is no kind of place", f"write one of {', '.join(KINDS)}")
            place = row.place()
            places.append(PlaceOfInterest(kind, row.text("name", ""), place.lon, place.lat))
    return places


def dates_within(timetable: Timetable) -> tuple[date, ...]:
    """The Wednesday, Saturday and Sunday on which most trips run, in this order of kinds."""
    runs = np.bincount(timetable.trip_service[timetable.trip_service >= 0], minlength=len(timetable.service_id))
    first, last = timetable.days
    trips: Counter[date] = Counter()
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        trips[day] = int(runs[timetable.runs_on(day)].sum())
    out = []
    for weekday in (2, 5, 6):
        days = [day for day in trips if day.weekday() == weekday]
        if days:
            out.append(max(days, key=lambda day: (trips[day], -day.toordinal())))
    return tuple(out)


def travel_times_of(region: Region) -> TravelTimes:
    """Drives on the region's roads."""
    return TravelTimes(region.network)
