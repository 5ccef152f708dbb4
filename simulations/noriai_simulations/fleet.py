"""Vehicles of a scenario: groups of like vehicles, or one row a vehicle from a file."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from noriai_engine.model import Battery, Break, InputError, Place, Resources, ServiceDay, Shift, Vehicle
from noriai_engine.model.units import OperatorId, VehicleId
from noriai_engine.regions import Region
from noriai_engine.tables import Row, read_table
from noriai_simulations.scenario_file import FleetTable

COLUMNS = ("vehicle_id", "kind", "lon", "lat", "seats", "wheelchairs", "luggage", "shift_start", "shift_end",
           "break_start", "break_end", "break_min")  # fmt: skip


def vehicles_of(
    groups: Sequence[FleetTable],
    region: Region,
    day: ServiceDay,
    rng: np.random.Generator,
    locate: Callable[[str], Path],
) -> tuple[Vehicle, ...]:
    """All vehicles, group by group. Raises InputError where two have one id."""
    vehicles: list[Vehicle] = []
    for number, group in enumerate(groups, start=1):
        if group.file is not None:
            vehicles += _from_file(group, locate(group.file), day)
        else:
            vehicles += _alike(group, number, region, day, rng)
    seen: set[str] = set()
    for vehicle in vehicles:
        if vehicle.id in seen:
            raise InputError(
                f"two vehicles have id {vehicle.id}", where="fleet", remedy="give every vehicle its own id"
            )
        seen.add(vehicle.id)
    return tuple(vehicles)


def _layouts(group: FleetTable) -> tuple[Resources, ...]:
    return tuple(Resources(x.seats, x.wheelchairs, x.luggage) for x in group.layouts)


def _breaks(group: FleetTable, day: ServiceDay) -> tuple[Break, ...]:
    return tuple(Break(day.at(b.between[0]), day.at(b.between[1]), round(b.minutes * 60_000)) for b in group.breaks)


def _battery(group: FleetTable) -> Battery | None:
    if (table := group.battery) is None:
        return None
    metres = round(table.range_km * 1_000)
    per_min = round(table.charge_km_per_min * 1_000)
    return Battery(metres, round(table.reserve_km * 1_000), per_min, round(metres * table.start))


def _alike(group: FleetTable, number: int, region: Region, day: ServiceDay, rng: np.random.Generator) -> list[Vehicle]:
    if group.depot == "spread":
        depots = _spread_depots(region, group.count, rng)
    else:
        depots = [Place(*group.depot)] * group.count
    start, end = day.at(group.shift[0]), day.at(group.shift[1])
    step = round(group.stagger_min * 60_000)
    width = len(str(group.count))
    where = f"fleet {number} ({group.operator}, {group.kind})"
    try:
        return [
            Vehicle(
                VehicleId(f"{group.operator}-{group.kind}-{k + 1:0{width}d}"), OperatorId(group.operator), group.kind,
                _layouts(group), Shift(day.to_utc(day.to_day_ms(start) + k % 4 * step), end), depots[k],
                _breaks(group, day), group.autonomous, (), _battery(group),
            )
            for k in range(group.count)
        ]  # fmt: skip
    except InputError as error:
        raise InputError(error.what, where=where, remedy=error.remedy) from error


def _spread_depots(region: Region, count: int, rng: np.random.Generator) -> list[Place]:
    """Depots drawn where people live, or over all junctions where the region has no population."""
    people = region.population
    if people is None:
        anywhere = rng.integers(0, region.network.node_count, count)
        return [Place(float(region.network.node_lon[n]), float(region.network.node_lat[n])) for n in anywhere]
    drawn = rng.choice(len(people.people), count, p=people.people / people.people.sum())
    lon, lat = region.snapper.on_street(people.lon[drawn], people.lat[drawn])
    return [Place(x, y) for x, y in zip(lon.tolist(), lat.tolist(), strict=True)]


def _from_file(group: FleetTable, path: Path, day: ServiceDay) -> list[Vehicle]:
    table = read_table(path)
    column = {name: group.columns.get(name, name) for name in COLUMNS}
    if group.columns:
        unknown = sorted(set(group.columns) - set(COLUMNS))
        if unknown:
            raise InputError(
                f"fleet.columns names {', '.join(unknown)}",
                where=path,
                remedy=f"fields are {', '.join(COLUMNS)}",
            )
    else:
        table.expect(required=["vehicle_id", "lon", "lat"], optional=COLUMNS)
    rows = table.rows[: group.limit]
    return [_from_row(row, column, group, day) for row in rows]


def _from_row(row: Row, column: Mapping[str, str], group: FleetTable, day: ServiceDay) -> Vehicle:
    layouts = _layouts(group)
    if column["seats"] in row.cells:
        layouts = (
            Resources(
                row.integer(column["seats"], least=0),
                row.integer(column["wheelchairs"], 0, least=0),
                row.integer(column["luggage"], 0, least=0),
            ),
        )
    start = row.convert(column["shift_start"], day.parse, day.at(group.shift[0]))
    end = row.convert(column["shift_end"], day.parse, day.at(group.shift[1]))
    breaks = _breaks(group, day)
    if row.cells.get(column["break_start"], "").strip():
        breaks = (
            Break(
                row.convert(column["break_start"], day.parse),
                row.convert(column["break_end"], day.parse),
                round(row.number(column["break_min"]) * 60_000),
            ),
        )
    try:
        return Vehicle(
            VehicleId(row.text(column["vehicle_id"])), OperatorId(group.operator),
            row.text(column["kind"], group.kind), layouts, Shift(start, end),
            row.place(column["lon"], column["lat"]), breaks, group.autonomous, (), _battery(group),
        )  # fmt: skip
    except InputError as error:
        if error.where is not None:
            raise
        raise row.error(column["vehicle_id"], error.what, error.remedy or "correct the row") from error


def layouts_json(vehicle: Vehicle) -> str:
    return json.dumps([list(layout.as_tuple()) for layout in vehicle.layouts], separators=(",", ":"))


def breaks_json(vehicle: Vehicle) -> str:
    return json.dumps([[b.earliest, b.latest, b.duration_ms] for b in vehicle.breaks], separators=(",", ":"))


def battery_json(vehicle: Vehicle) -> str:
    battery = vehicle.battery
    if battery is None:
        return "null"
    start = battery.range_m if battery.start_m is None else battery.start_m
    return json.dumps([battery.range_m, battery.reserve_m, battery.charge_m_per_min, start], separators=(",", ":"))
