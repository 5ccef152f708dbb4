"""The dispatch workload: Malta's road graph and on-demand requests of four sizes, drawn anew from their description.

Graph: highways with free-flow speeds by class, numeric `maxspeed` x 0.8 instead; all way nodes, haversine lengths,
largest strong component, lightest of parallel arcs; whole deciseconds, so that every solver adds the same integers.
Requests over three hours, short trips likelier than long ones; vehicles start at random nodes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

MALTA = Path(__file__).parents[2] / "shared" / "data" / "osm" / "mt-malta.osm.pbf"
SIZES = {"s": (3_000, 200), "m": (10_000, 500), "l": (30_000, 1_500), "xl": (60_000, 3_000)}
SEATS = 6

_KMH = {
    "motorway": 90, "trunk": 85, "primary": 65, "secondary": 55, "tertiary": 40, "unclassified": 25, "residential": 25,
    "road": 20, "service": 15, "living_street": 10, "motorway_link": 45, "trunk_link": 40, "primary_link": 30,
    "secondary_link": 25, "tertiary_link": 20,
}  # fmt: skip
_SHUT = {"no", "private", "agricultural", "forestry", "delivery", "emergency"}


@dataclass(frozen=True)
class Graph:
    """Nodes (n,) by OSM id, arcs (m,) in ms (whole tenths of a second) and mm."""

    lon: Any
    lat: Any
    tail: Any
    head: Any
    ms: Any
    mm: Any


@dataclass(frozen=True)
class Workload:
    """Requests (k,): nodes and ms of the period, in order of time; start nodes of the fleet (v,)."""

    origin: Any
    destination: Any
    placed_ms: Any
    starts: Any


def read_graph(path: Path = MALTA) -> Graph:
    """The car graph of an OSM extract."""
    import osmium
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    place: dict[int, tuple[float, float]] = {}
    arcs: list[tuple[int, int, float]] = []
    for item in osmium.FileProcessor(str(path), osmium.osm.NODE | osmium.osm.WAY):
        if item.is_node():
            place[item.id] = (item.location.lon, item.location.lat)
            continue
        tags = item.tags
        kmh = float(_KMH.get(tags.get("highway", ""), 0))
        rule = tags.get("motor_vehicle") or tags.get("vehicle") or tags.get("access")
        if not kmh or rule in _SHUT:
            continue
        with suppress(ValueError):
            kmh = float(tags.get("maxspeed", "")) * 0.8
        kmh = max(kmh, 3.0)
        oneway = tags.get("oneway")
        if oneway is None and (tags.get("junction") == "roundabout" or tags.get("highway") == "motorway"):
            oneway = "yes"
        ids = [n.ref for n in item.nodes if n.ref in place]
        for a, b in pairwise(ids):
            if oneway not in ("-1", "reverse"):
                arcs.append((a, b, kmh))
            if oneway not in ("yes", "true", "1"):
                arcs.append((b, a, kmh))
    used = np.unique([n for arc in arcs for n in arc[:2]])
    lon, lat = np.array([place[n] for n in used.tolist()]).T
    tail, head = (np.searchsorted(used, [arc[k] for arc in arcs]) for k in range(2))
    metres = _haversine_m(lon[tail], lat[tail], lon[head], lat[head])
    ms = np.maximum(1, np.rint(metres / (np.array([arc[2] for arc in arcs]) / 3.6) * 1_000))
    ms = np.maximum(1, np.rint(ms / 100)).astype(np.int64) * 100
    n = len(used)
    _, part = connected_components(csr_array((np.ones(len(tail)), (tail, head)), shape=(n, n)), connection="strong")
    keep = part == np.bincount(part).argmax()
    number = np.cumsum(keep) - 1
    inside = keep[tail] & keep[head] & (tail != head)
    tail, head, ms, mm = number[tail[inside]], number[head[inside]], ms[inside], np.rint(metres[inside] * 1_000)
    order = np.lexsort((mm, ms, head, tail))
    tail, head, ms, mm = tail[order], head[order], ms[order], mm[order]
    first = np.concatenate([[True], (np.diff(tail) != 0) | (np.diff(head) != 0)])
    columns = (a[first].astype(np.int32) for a in (tail, head, ms, mm))
    return Graph(lon[keep], lat[keep], *columns)


def workloads(graph: Graph) -> dict[str, Workload]:
    """s, m, l and xl, drawn in this order from one generator."""
    x = np.cos(np.radians(35.9)) * 111.32 * (graph.lon - graph.lon.mean())
    y = 110.95 * (graph.lat - graph.lat.mean())
    n, rng, out = len(x), np.random.default_rng(7), {}
    for name, (k, fleet) in SIZES.items():
        o, d = np.zeros(0, np.int64), np.zeros(0, np.int64)
        while len(o) < k:
            a, b = rng.integers(0, n, 4 * k), rng.integers(0, n, 4 * k)
            dist = np.hypot(x[a] - x[b], y[a] - y[b])
            good = (rng.random(4 * k) < np.exp(-dist / 4)) & (dist > 0.8) & (x[a] > -8) & (x[b] > -8)
            o, d = np.concatenate([o, a[good]]), np.concatenate([d, b[good]])
        placed = np.sort(rng.integers(0, 10_800, k)) * 1_000
        starts = rng.choice(np.flatnonzero(x > -8), fleet)
        out[name] = Workload(*(np.asarray(c, np.int32) for c in (o[:k], d[:k], placed, starts)))
    return out


def _haversine_m(lon1: Any, lat1: Any, lon2: Any, lat2: Any) -> Any:
    a = np.sin(np.radians(lat2 - lat1) / 2) ** 2
    a = a + np.cos(np.radians(lat1)) * np.cos(np.radians(lat2)) * np.sin(np.radians(lon2 - lon1) / 2) ** 2
    return 2 * 6_371_008.8 * np.arcsin(np.sqrt(a))
