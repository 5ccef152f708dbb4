"""Tables of places in, tables of travel times out."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from noriai_engine.model import InputError, Place
from noriai_engine.model.units import FOREVER_MS
from noriai_engine.roads import TravelTimes
from noriai_engine.roads.snapper import Snapped
from noriai_engine.roads.travel_times import Approach
from noriai_engine.tables import read_table, replace_file

_CELLS = 2_000_000  # cells computed and written at a time


def read_points(path: Path) -> dict[str, Place]:
    """Places by id, in the table's order. Raises RowError for a bad row or an id given twice."""
    table = read_table(path)
    table.expect(required=["id", "lon", "lat"], optional=table.columns)
    points: dict[str, Place] = {}
    for row in table:
        name = row.text("id")
        if name in points:
            raise row.error("id", f"{name!r} is given twice", "give every place an id of its own")
        points[name] = row.place()
    if not points:
        raise InputError("holds no place", where=path, remedy="give rows of id, lon, lat")
    return points


def write_matrix(
    times: TravelTimes, origins: tuple[list[str], Snapped], targets: tuple[list[str], Snapped], path: Path, *,
    approach: Approach, tell: Callable[[str], None],
) -> list[str]:  # fmt: skip
    """Write from,to,duration_ms,distance_m between named places on streets; returns the names no street is near."""
    (names, starts), (to, goals) = origins, targets
    chunk = max(1, _CELLS // len(to))
    with replace_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["from", "to", "duration_ms", "distance_m"])
        for first in range(0, len(names), chunk):
            part = starts.rows(slice(first, first + chunk))
            ms, mm = times.matrix_with_lengths(part, goals, approach=approach)
            for name, row_ms, row_mm in zip(names[first : first + chunk], ms.tolist(), mm.tolist(), strict=True):
                writer.writerows(
                    (name, goal, "", "") if a >= FOREVER_MS else (name, goal, a, f"{b / 1000:.3f}")
                    for goal, a, b in zip(to, row_ms, row_mm, strict=True)
                )
            if first + chunk < len(names):
                tell(f"origins done: {first + chunk:,} of {len(names):,}")
    lost = [n for n, street in zip(names, starts.street, strict=True) if street < 0]
    lost += [n for n, street in zip(to, goals.street, strict=True) if street < 0]
    return list(dict.fromkeys(lost))


def write_arcs(times: TravelTimes, path: Path) -> Path:
    """The graph the oracle runs on as CSV: from,to,duration_ms,length_m in `path`, and nodes.csv beside it with
    id,lon,lat,end_lon,end_lat,way_id,name. A node is a street in one direction (or a state of one)."""
    from noriai_engine.roads import RoadNetwork

    graph, network = times.graph, times.network
    assert isinstance(network, RoadNetwork)
    ms = graph.ms(graph.inner_ms, graph.between_ms)
    with replace_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["from", "to", "duration_ms", "length_m"])
        columns = graph.source.tolist(), graph.target.tolist(), ms.tolist(), graph.mm.tolist()
        writer.writerows((a, b, t, f"{m / 1000:.3f}") for a, b, t, m in zip(*columns, strict=True))
    nodes = path.with_name("nodes.csv")
    street = network.arc_street[network.state_arc]
    start, end = network.arc_tail[network.state_arc], network.arc_head[network.state_arc]
    places = np.column_stack(
        [network.node_lon[start], network.node_lat[start], network.node_lon[end], network.node_lat[end]]
    )
    with replace_file(nodes) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "lon", "lat", "end_lon", "end_lat", "way_id", "name"])
        ways = network.street_way[street].tolist()
        names = [network.names[k] for k in network.street_name[street].tolist()]
        writer.writerows(
            (k, *(f"{v:.7f}" for v in place), way, name)
            for k, (place, way, name) in enumerate(zip(places.tolist(), ways, names, strict=True))
        )
    return nodes
