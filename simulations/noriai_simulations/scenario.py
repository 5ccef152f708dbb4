"""From a scenario file to everything a run needs: region, service, vehicles, requests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noriai_engine.dispatch.params import DispatchParams
from noriai_engine.model import Operator, Place, Request, Service, ServiceDay, Vehicle
from noriai_engine.model.clock import parse_time_of_day
from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.model.units import DayMs, OperatorId
from noriai_engine.regions import Region, open_region
from noriai_engine.roads.snapper import FAR_M
from noriai_engine.tables import read_table
from noriai_simulations import shipped
from noriai_simulations.demand import synthetic_requests
from noriai_simulations.fleet import vehicles_of
from noriai_simulations.scenario_file import ScenarioFile, ServiceTable, load_scenario_file
from noriai_simulations.trips import requests_from_file


@dataclass(frozen=True)
class Scenario:
    """A checked scenario with its data in memory."""

    source: ScenarioFile
    text: str
    region: Region
    day: ServiceDay
    service: Service
    operators: tuple[Operator, ...]
    vehicles: tuple[Vehicle, ...]
    requests: tuple[Request, ...]
    params: DispatchParams


def load_scenario(path: Path) -> Scenario:
    """Read a scenario and everything it points to. Raises InputError (file, row, field, remedy)."""
    file = load_scenario_file(path)
    region = find_region(file.region, path.parent)
    day = ServiceDay(file.service_date, region.timezone)

    def locate(reference: str) -> Path:
        if reference.startswith("region:"):
            return region.folder / reference.removeprefix("region:")
        return path.parent / reference

    service = service_of(file.service, region, locate)
    operators = tuple(Operator(OperatorId(o.id), o.name, o.kind) for o in file.operators)
    fleet_seed, demand_seed = np.random.SeedSequence(file.seed).spawn(2)
    vehicles = vehicles_of(file.fleet, region, day, np.random.default_rng(fleet_seed), locate)
    if file.demand.synthetic is not None:
        requests = synthetic_requests(file.demand.synthetic, service, region, day, np.random.default_rng(demand_seed))
    else:
        assert file.demand.file is not None
        requests = requests_from_file(locate(file.demand.file), file.demand, day, {o.id for o in operators})
    _check_depots(vehicles, region, service)
    params = DispatchParams(
        max_offers=file.dispatch.max_offers,
        nearest_step_ms=round(file.dispatch.nearest_step_min * 60_000),
        nearest_reach_ms=round(file.dispatch.nearest_reach_min * 60_000),
    )
    text = path.read_text(encoding="utf-8")
    return Scenario(file, text, region, day, service, operators, vehicles, tuple(requests), params)


def find_region(reference: str, base: Path) -> Region:
    """A region by the name of a shipped one, or by its folder (counted from `base`)."""
    folder = base / reference
    if (folder / "region.toml").is_file():
        return open_region(folder)
    if reference in shipped.REGIONS:
        return open_region(shipped.region_folder(reference))
    raise MissingDataError(
        f"region {reference!r} is neither a folder with a region.toml nor one of: {', '.join(shipped.REGIONS)}",
        where=base / reference,
        remedy="build it with noriai region build, or correct `region` in the scenario",
    )


def service_of(table: ServiceTable, region: Region, locate: Callable[[str], Path]) -> Service:
    def ms(minutes: float) -> int:
        return round(minutes * 60_000)

    return Service(
        id=table.id, name=table.name,
        opens=DayMs(parse_time_of_day(table.hours[0])), closes=DayMs(parse_time_of_day(table.hours[1])),
        max_wait_ms=ms(table.max_wait_min), max_ride_ms=ms(table.max_ride_min),
        detour_factor_permille=round(table.detour_factor * 1000), detour_extra_ms=ms(table.detour_extra_min),
        arrival_margin_ms=ms(table.arrival_margin_min), min_lead_ms=ms(table.min_lead_min),
        max_ahead_ms=round(table.max_ahead_days * 86_400_000),
        boarding_ms=table.boarding_s * 1000, alighting_ms=table.alighting_s * 1000,
        wheelchair_boarding_ms=table.wheelchair_boarding_s * 1000,
        wheelchair_alighting_ms=table.wheelchair_alighting_s * 1000,
        commit_horizon_ms=table.commit_horizon_s * 1000, max_snap_m=table.max_snap_m, mode=table.mode,
        max_walk_m=table.max_walk_m, stops=_stops(table, region, locate), area=_area(table.area, locate),
    )  # fmt: skip


def _stops(table: ServiceTable, region: Region, locate: Callable[[str], Path]) -> tuple[Place, ...]:
    if table.stops is None:
        return ()
    if table.stops == "gtfs":
        spots = dict.fromkeys(Place(s["lon"], s["lat"], s["name"]) for s in region.stops)
        near = [p for p in spots if region.snapper.metres_off(p) <= table.max_snap_m]
        if not near:
            raise MissingDataError("no GTFS stop lies on the network", where="service.stops", remedy="add a feed")
        return tuple(near)
    rows = read_table(locate(table.stops)).expect(required=["lon", "lat"], optional=["stop_id", "name", "link"])
    stops = []
    for row in rows:
        place = row.place(name="name")
        metres = region.snapper.metres_off(place)
        if metres > table.max_snap_m:
            raise row.error(
                "lon",
                f"the stop lies {metres:,.0f} m from the nearest drivable road",
                "move the stop, or drop it",
            )
        stops.append(place)
    return tuple(dict.fromkeys(stops))


def _area(reference: str | None, locate: Callable[[str], Path]) -> tuple[tuple[tuple[float, float], ...], ...]:
    if reference is None:
        return ()
    return polygon_rings(locate(reference))


def read_polygons(path: Path) -> Any:
    """Union of all polygons of a GeoJSON file, as shapely geometry. Raises InputError."""
    import shapely

    try:
        shape = shapely.from_geojson(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, shapely.errors.GEOSException) as error:
        raise InputError(f"is not readable GeoJSON: {error}", where=path, remedy="give polygons as GeoJSON") from error
    parts = [shapely.make_valid(g) for g in getattr(shape, "geoms", [shape])]
    polygons = [p for p in parts if p.area > 0]
    if not polygons:
        raise InputError("holds no polygon with an area", where=path, remedy="draw the area as a closed polygon")
    return shapely.union_all(polygons)


def polygon_rings(path: Path) -> tuple[tuple[tuple[float, float], ...], ...]:
    shape = read_polygons(path)
    return tuple(
        tuple((float(x), float(y)) for x, y in polygon.exterior.coords) for polygon in getattr(shape, "geoms", [shape])
    )


def _check_depots(vehicles: tuple[Vehicle, ...], region: Region, service: Service) -> None:
    lon, lat = np.array([v.depot.lon for v in vehicles]), np.array([v.depot.lat for v in vehicles])
    metres = region.snapper.snap(lon, lat, limit_m=FAR_M).metres
    limit = max(1_000, service.max_snap_m)
    for vehicle, distance in zip(vehicles, metres, strict=True):
        if distance > limit:
            raise InputError(
                f"depot of vehicle {vehicle.id} lies {distance:,.0f} m from the nearest drivable road of {region.name}",
                where="fleet",
                remedy="check the coordinates: (lon, lat), and inside the region",
            )
