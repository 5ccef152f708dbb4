"""Isochrones: everything within so many minutes of a place, as streets and as areas around them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place, Spot
from noriai_engine.model.units import FOREVER_MS, FloatArray
from noriai_engine.roads.access import STOPPABLE
from noriai_engine.roads.geodesy import EARTH_RADIUS_M
from noriai_engine.roads.network import RoadNetwork, points_at
from noriai_engine.roads.travel_times import TravelTimes

Piece = tuple[int, float, float]

BESIDE_M = 60.0
"""How far from a street a place still counts as reached: half a town block."""


@dataclass(frozen=True)
class Isochrone:
    """`limit_ms`; `pieces`: the parts of streets reached, (street, from share, to share) of its geometry, each part
    once; `km` of them; `area`: a shapely (multi)polygon in degrees."""

    limit_ms: int
    pieces: tuple[Piece, ...]
    km: float
    area: Any


def isochrones(
    times: TravelTimes, origin: Place, limits_ms: list[int], *, limit_m: float = 1_000.0, needed: int = STOPPABLE
) -> list[Isochrone]:
    """One isochrone a limit, from `origin`, all of one state of traffic. Raises InputError where it is off the road
    (streets with all flags in `needed`) or a limit is not positive."""
    network = times.network
    if not isinstance(network, RoadNetwork):
        raise InputError("a plain network has no streets to show", remedy="ask TravelTimes.to_spots for the nodes")
    if not limits_ms or min(limits_ms) <= 0 or max(limits_ms) >= FOREVER_MS:
        raise InputError(
            f"limits of {limits_ms} ms", where="isochrone", remedy="give times above 0 and under 149 hours"
        )
    snapped = times.snap([origin], limit_m=limit_m, needed=needed)
    if snapped.street[0] < 0:
        raise InputError(
            f"({origin.lon:g}, {origin.lat:g}) has no street within {limit_m:,.0f} m", where="origin",
            remedy="check the coordinates: (lon, lat), and inside the region",
        )  # fmt: skip
    with times.reading():
        start_ms, origins = times.arcs_from(snapped)
        inner_ms = times.metric.inner_ms
    ms = np.zeros(network.arc_count)
    ms[network.state_arc] = inner_ms
    return [_isochrone(network, ms, start_ms, origins, limit) for limit in limits_ms]


def _isochrone(
    network: RoadNetwork, ms: FloatArray, start_ms: FloatArray, origins: list[Spot], limit: int
) -> Isochrone:
    """`ms` of each arc, `start_ms` when its start is passed, and the spots one sets out from."""
    reached = np.clip((limit - start_ms) / ms, 0.0, 1.0)
    parts = [(arc, 0.0, float(reached[arc])) for arc in np.flatnonzero(reached > 0.0).tolist()]
    for spot in origins:
        arc = int(network.state_arc[spot.state])
        begin = spot.offset_ms / ms[arc]
        parts.append((arc, begin, min(1.0, begin + limit / ms[arc])))
    pieces = _merged(network, parts)
    metres = network.street_mm / 1e3
    km = sum(float((b - a) * metres[s]) for s, a, b in pieces) / 1e3
    return Isochrone(limit, tuple(pieces), km, _area(network, pieces))


def _merged(network: RoadNetwork, parts: list[Piece]) -> list[Piece]:
    """(arc, from share, to share) as pieces of streets, each part once."""
    along = [
        (int(network.arc_street[arc]), *((1.0 - b, 1.0 - a) if network.arc_reversed[arc] else (a, b)))
        for arc, a, b in parts
    ]
    out: list[Piece] = []
    for street, a, b in sorted(along):
        if out and out[-1][0] == street and a <= out[-1][2]:
            out[-1] = (street, out[-1][1], max(b, out[-1][2]))
        else:
            out.append((street, a, b))
    return out


def _area(network: RoadNetwork, pieces: list[tuple[int, float, float]]) -> Any:
    import shapely

    _, south, _, north = network.bounds
    metre = np.pi / 180.0 * EARTH_RADIUS_M
    scale = np.array([metre * np.cos(np.radians((south + north) / 2)), metre])
    lines = []
    for street, a, b in pieces:
        rows = slice(int(network.street_first[street]), int(network.street_first[street + 1]))
        lon, lat = network.point_lon[rows], network.point_lat[rows]
        if (a, b) != (0.0, 1.0):
            shares = np.unique(np.concatenate([[a, b], np.linspace(a, b, 2 + len(lon))]))
            lon, lat = (np.array(c) for c in zip(*points_at(lon, lat, shares), strict=True))
        lines.append(shapely.LineString(np.column_stack([lon, lat]) * scale))
    if not lines:
        return shapely.MultiPolygon()
    blobs = shapely.buffer(shapely.simplify(np.array(lines, object), 5.0), BESIDE_M, quad_segs=2)
    return shapely.transform(shapely.simplify(shapely.union_all(blobs), 10.0), lambda xy: xy / scale)
