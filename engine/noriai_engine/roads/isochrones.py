"""Isochrones: everything within so many minutes of a place, as streets and as areas around them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place
from noriai_engine.model.units import FOREVER_MS, FloatArray
from noriai_engine.roads.geodesy import EARTH_RADIUS_M
from noriai_engine.roads.network import RoadNetwork, points_at
from noriai_engine.roads.travel_times import TravelTimes

BESIDE_M = 60.0
"""How far from a street a place still counts as reached: half a town block."""


@dataclass(frozen=True)
class Isochrone:
    """`limit_ms`; `forward`, `backward` (s,): the share of each street that is reached from its geometry's first
    and from its last point on; `km` of streets reached; `area`: a shapely (multi)polygon in degrees."""

    limit_ms: int
    forward: FloatArray
    backward: FloatArray
    km: float
    area: Any


def isochrones(times: TravelTimes, origin: Place, limits_ms: list[int], *, limit_m: float = 1_000.0) -> list[Isochrone]:
    """One isochrone a limit, from `origin`. Raises InputError where it is off the road or a limit is not positive."""
    network = times.network
    if not isinstance(network, RoadNetwork):
        raise InputError("a plain network has no streets to show", remedy="ask TravelTimes.to_spots for the nodes")
    if not limits_ms or min(limits_ms) <= 0 or max(limits_ms) >= FOREVER_MS:
        raise InputError(
            f"limits of {limits_ms} ms", where="isochrone", remedy="give times above 0 and under 149 hours"
        )
    snapped = times.snap([origin], limit_m=limit_m)
    if snapped.street[0] < 0:
        raise InputError(
            f"({origin.lon:g}, {origin.lat:g}) has no street within {limit_m:,.0f} m", where="origin",
            remedy="check the coordinates: (lon, lat), and inside the region",
        )  # fmt: skip
    entered = times.arcs_from(snapped)
    return [_isochrone(times, network, entered, limit) for limit in limits_ms]


def _isochrone(times: TravelTimes, network: RoadNetwork, entered: tuple[Any, Any], limit: int) -> Isochrone:
    """`entered`: ms when each arc's start is passed, and the share of the arc at which the drive begins (0 but for the
    origin's own)."""
    start_ms, begins = entered
    ms = times.metric.inner_ms[: network.arc_count].astype(np.float64)
    reached = np.clip((limit - start_ms) / ms, 0.0, 1.0)
    low, high = begins, np.maximum(begins, reached)
    ahead, back = np.zeros((network.street_count, 2)), np.zeros((network.street_count, 2))
    against = network.arc_reversed == 1
    ahead[network.arc_street[~against]] = np.column_stack([low[~against], high[~against]])
    back[network.arc_street[against]] = np.column_stack([1.0 - high[against], 1.0 - low[against]])
    pieces = _pieces(ahead, back)
    metres = network.street_mm / 1e3
    km = sum(float((b - a) * metres[s]) for s, a, b in pieces) / 1e3
    area = _area(network, pieces)
    return Isochrone(limit, ahead[:, 1], 1.0 - back[:, 0] * (back[:, 1] > 0), km, area)


def _pieces(ahead: FloatArray, back: FloatArray) -> list[tuple[int, float, float]]:
    """(street, from share, to share), each part once."""
    out = []
    for street in np.flatnonzero((ahead[:, 1] > ahead[:, 0]) | (back[:, 1] > back[:, 0])).tolist():
        parts = sorted((a, b) for a, b in (ahead[street].tolist(), back[street].tolist()) if b > a)
        merged = [parts[0]]
        for a, b in parts[1:]:
            if a <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
            else:
                merged.append((a, b))
        out += [(street, a, b) for a, b in merged]
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
