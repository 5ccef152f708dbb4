"""Turn restrictions in terms of arcs: https://wiki.openstreetmap.org/wiki/Relation:restriction.

A restriction is a path of arcs (from, the via arcs if any, to). `no_*` forbids to finish that path; `only_*` forbids
to leave it by any other last turn. With a node as via the path is one turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from noriai_engine.model.units import FloatArray, IntArray, LongArray
from noriai_engine.roads.geodesy import turn_angle_deg
from noriai_engine.roads.osm import Restriction

_LONGEST_VIA = 64


@dataclass(frozen=True, slots=True)
class ArcRule:
    """`path`: arcs from the first to the last. `only`: the last turn is the only one, else it is forbidden."""

    path: tuple[int, ...]
    only: bool
    condition: str


@dataclass(frozen=True)
class ArcEnds:
    """What resolving needs to know of arcs (m,): nodes, OSM way, street, and bearings at both ends (degrees)."""

    tail: IntArray
    head: IntArray
    way: LongArray
    street: IntArray
    leaving: FloatArray
    arriving: FloatArray
    first_out: LongArray


def arc_rules(restrictions: tuple[Restriction, ...], node_id: LongArray, arcs: ArcEnds) -> tuple[list[ArcRule], int]:
    """Rules on arcs sorted by tail, and how many restrictions could not be placed.

    One that names ways or nodes outside the network counts as not placed; so does one whose members do not touch.
    """
    by_way: dict[int, list[int]] = {}
    wanted = {w for r in restrictions for w in (*r.sources, *r.targets, *(i for t, i in r.via if t == "w"))}
    for arc in np.flatnonzero(np.isin(arcs.way, np.fromiter(wanted, np.int64))).tolist():
        by_way.setdefault(int(arcs.way[arc]), []).append(arc)
    vias = {i for r in restrictions for t, i in r.via if t == "n"}
    node_of = {int(node_id[k]): k for k in np.flatnonzero(np.isin(node_id, np.fromiter(vias, np.int64))).tolist()}
    rules, lost = [], 0
    for restriction in restrictions:
        found = list(_paths(restriction, node_of, by_way, arcs))
        found = _fitting(restriction.kind, found, arcs)
        only = restriction.kind.startswith("only_")
        rules += [ArcRule(path, only, restriction.condition) for path in found]
        lost += not found
    return rules, lost


def _paths(
    restriction: Restriction, node_of: dict[int, int], by_way: dict[int, list[int]], arcs: ArcEnds
) -> Iterator[tuple[int, ...]]:
    nodes = [number for kind, number in restriction.via if kind == "n"]
    ways = [number for kind, number in restriction.via if kind == "w"]
    for source in restriction.sources:
        for target in restriction.targets:
            if len(nodes) == 1 and not ways and nodes[0] in node_of:
                node = node_of[nodes[0]]
                for a in by_way.get(source, ()):
                    if arcs.head[a] == node:
                        yield from ((a, b) for b in by_way.get(target, ()) if arcs.tail[b] == node)
            elif ways and not nodes:
                for a in by_way.get(source, ()):
                    yield from _through((a,), ways, target, arcs)


def _through(path: tuple[int, ...], ways: list[int], target: int, arcs: ArcEnds) -> Iterator[tuple[int, ...]]:
    """Paths on from `path` along the ways in their order, each from one end to the other, into the target way."""
    if len(path) > _LONGEST_VIA:
        return
    last = path[-1]
    node = int(arcs.head[last])
    out = range(int(arcs.first_out[node]), int(arcs.first_out[node + 1]))
    on_way = len(path) > 1 and arcs.way[last] == ways[0]
    rest = ways[1:] if on_way else ways
    for arc in out:
        if arcs.street[arc] == arcs.street[last] and arcs.way[arc] != target:
            continue
        if not rest and arcs.way[arc] == target:
            yield (*path, arc)
        elif rest and arcs.way[arc] == rest[0] and arc not in path:
            yield from _through((*path, arc), rest, target, arcs)
        elif on_way and arcs.way[arc] == ways[0] and arc not in path:
            yield from _through((*path, arc), ways, target, arcs)


def _fitting(kind: str, paths: list[tuple[int, ...]], arcs: ArcEnds) -> list[tuple[int, ...]]:
    """Of several candidate paths (a member way runs through the via node instead of ending there) those whose angle
    agrees with the restriction's kind."""
    if len(paths) < 2 or kind in ("no_entry", "no_exit"):
        return paths
    wanted = kind.partition("_")[2]
    return [path for path in paths if _agrees(wanted, path, arcs)]


def _agrees(wanted: str, path: tuple[int, ...], arcs: ArcEnds) -> bool:
    angle = float(turn_angle_deg(arcs.arriving[path[0]], arcs.leaving[path[-1]]))
    if wanted == "u_turn":
        back = arcs.street[path[0]] == arcs.street[path[-1]]
        return bool(back) or abs(angle) > 135.0
    if arcs.street[path[0]] == arcs.street[path[-1]] and len(path) == 2:
        return False
    if wanted == "left_turn":
        return angle < -15.0
    return angle > 15.0 if wanted == "right_turn" else abs(angle) < 60.0
