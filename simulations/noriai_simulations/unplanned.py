"""From a scenario's [life] to what happens on its day: drawn mishaps, hold-ups, and travel times that change."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from noriai_engine.model.clock import ServiceDay
from noriai_engine.model.fleet import Vehicle
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.traffic import Traffic, closed_area, slower, streets_in
from noriai_engine.rules.service_file import read_polygons
from noriai_engine.world.life import HeldUp, Incident, Life, Mishaps, TrafficChange, draw_mishaps
from noriai_simulations.scenario_file import LifeTable, TrafficTable


def life_of(
    table: LifeTable, seed: int, vehicles: tuple[Vehicle, ...], network: RoadNetwork, day: ServiceDay,
    locate: Callable[[str], Path],
) -> Life:  # fmt: skip
    """What happens on the day of a scenario. Raises InputError for an area that cannot be read."""
    held_up = HeldUp(round(table.held_up * 1_000), max(1, round(table.held_up_every_min * 60_000)))
    late_ms = round(table.driver_late_min * 60_000)
    mishaps = Mishaps(table.fail, table.driver_absent, table.driver_late, late_ms)
    drawn = draw_mishaps(vehicles, mishaps, np.random.default_rng([seed, 9]))
    changes: list[Incident] = [*drawn, *_changes(table.traffic, network, day, locate)]
    return Life(held_up, seed, tuple(sorted(changes, key=lambda incident: incident.at)))


def _changes(
    tables: tuple[TrafficTable, ...], network: RoadNetwork, day: ServiceDay, locate: Callable[[str], Path]
) -> list[TrafficChange]:
    """The traffic from each instant at which something begins or ends. Where two overlap the later in the file counts;
    closures add up."""
    windows = [(day.at(t.between[0]), day.at(t.between[1]), t) for t in tables]
    shapes = {t.area: read_polygons(locate(t.area)) for t in tables if t.area is not None}
    arcs = {
        area: np.flatnonzero(streets_in(network, shape)[network.arc_street]).astype(np.int32)
        for area, shape in shapes.items()
    }
    everywhere = np.arange(network.arc_count, dtype=np.int32)
    found = []
    for instant in sorted({t for first, last, _ in windows for t in (first, last)}):
        traffic = Traffic()
        for first, last, table in windows:
            if not first <= instant < last:
                continue
            if table.slower != 1.0:
                where = everywhere if table.area is None else arcs[table.area]
                traffic = slower(network, where, round(table.slower * 1_000), traffic)
            if table.closed and table.area is not None:
                traffic = closed_area(network, shapes[table.area], traffic)
        cause = next((t.cause for first, last, t in windows if instant in (first, last)), "traffic")
        found.append(TrafficChange(instant, traffic, cause))
    return found
