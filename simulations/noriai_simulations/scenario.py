"""From a scenario file to everything a run needs: region, service, vehicles, requests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noriai_engine.dispatch.params import DispatchParams
from noriai_engine.model import Operator, Request, Service, ServiceDay, Vehicle
from noriai_engine.model.errors import InputError, MissingDataError
from noriai_engine.model.units import OperatorId
from noriai_engine.regions import Region, open_region
from noriai_engine.roads.snapper import FAR_M
from noriai_engine.rules.service_file import service_of
from noriai_engine.world.life import Life
from noriai_simulations import shipped
from noriai_simulations.demand import synthetic_requests
from noriai_simulations.fleet import vehicles_of
from noriai_simulations.scenario_file import ScenarioFile, load_scenario_file
from noriai_simulations.trips import requests_from_file
from noriai_simulations.unplanned import life_of


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
    life: Life


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
    life = life_of(file.life, file.seed, vehicles, region.network, day, locate)
    return Scenario(file, text, region, day, service, operators, vehicles, tuple(requests), params, life)


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
