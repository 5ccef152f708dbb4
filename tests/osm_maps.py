"""Small OSM maps written by hand: nodes on a grid, ways and restrictions, to a network."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from noriai_engine.model import Place, Spot
from noriai_engine.roads import RoadNetwork, TravelTimes
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.osm import OsmExtract, read_osm
from noriai_engine.roads.profiles import PROFILES, Profile
from noriai_engine.roads.speeds import speed_table
from noriai_engine.roads.streets import trace_streets
from noriai_engine.roads.traffic import Traffic

Tags = dict[str, str]
STEP = 0.001  # degrees between neighbours on the grid


class Map:
    """Node 10 x + y lies at (x, y) steps; add ways, tagged nodes and restrictions, then read it as a profile."""

    def __init__(self, folder: Path, mirror: bool = False) -> None:
        self.file, self.mirror = folder / f"map{'-mirrored' if mirror else ''}.osm", mirror
        self.node_tags: dict[int, Tags] = {}
        self.ways: list[tuple[int, list[int], Tags]] = []
        self.relations: list[tuple[Tags, list[tuple[str, int, str]]]] = []

    def way(self, number: int, nodes: list[int], **tags: str) -> Map:
        self.ways.append(
            (number, nodes, {"highway": "residential"} | {k.replace("__", ":"): v for k, v in tags.items()})
        )
        return self

    def node(self, number: int, **tags: str) -> Map:
        self.node_tags[number] = {k.replace("__", ":"): v for k, v in tags.items()}
        return self

    def restriction(self, kind: str, source: int, via: int | list[int], target: int, **tags: str) -> Map:
        members = [("way", source, "from"), ("way", target, "to")]
        members += [("node", via, "via")] if isinstance(via, int) else [("way", w, "via") for w in via]
        more = {k.replace("__", ":"): v for k, v in tags.items()}
        self.relations.append(({"type": "restriction", **({"restriction": kind} if kind else {}), **more}, members))
        return self

    def place(self, node: int) -> tuple[float, float]:
        x, y = divmod(node, 10)
        return (-1 if self.mirror else 1) * round(0.1 + x * STEP, 6), round(y * STEP, 6)

    def extract(self, profile: Profile | str = "taxi", country: str = "") -> OsmExtract:
        used = sorted({n for _, nodes, _ in self.ways for n in nodes} | set(self.node_tags))
        parts = []
        for n in used:
            lon, lat = self.place(n)
            parts.append(f'<node id="{n}" lat="{lat}" lon="{lon}">{tags_xml(self.node_tags.get(n, {}))}</node>')
        for number, nodes, tags in self.ways:
            refs = "".join(f'<nd ref="{n}"/>' for n in nodes)
            parts.append(f'<way id="{number}">{refs}{tags_xml(tags)}</way>')
        for k, (tags, members) in enumerate(self.relations, start=1):
            inner = "".join(f'<member type="{t}" ref="{r}" role="{role}"/>' for t, r, role in members)
            parts.append(f'<relation id="{k}">{inner}{tags_xml(tags)}</relation>')
        self.file.write_text(f'<osm version="0.6">{"".join(parts)}</osm>', encoding="utf-8")
        chosen = PROFILES[profile] if isinstance(profile, str) else profile
        return read_osm(self.file, chosen, lambda lon, lat: country, speed_table)

    def network(self, profile: Profile | str = "taxi", country: str = "", *, left: bool = False) -> RoadNetwork:
        chosen = PROFILES[profile] if isinstance(profile, str) else profile
        return assemble(trace_streets(self.extract(chosen, country)), chosen, left_hand=left)[0]


def tags_xml(tags: Tags) -> str:
    return "".join(f'<tag k="{k}" v="{v}"/>' for k, v in tags.items())


def arc_between(network: RoadNetwork, a: int, b: int) -> int:
    """The arc that passes the grid nodes a and b one after the other, or that joins two OSM nodes of a real map."""
    ids = network.node_id
    if a >= 100:
        (arc,) = np.flatnonzero((ids[network.arc_tail] == a) & (ids[network.arc_head] == b))
        return int(arc)
    sign = -1 if network.point_lon.max() < 0 else 1
    ends = [(sign * round(0.1 + n // 10 * STEP, 6), round(n % 10 * STEP, 6)) for n in (a, b)]
    found = []
    for arc in range(network.arc_count):
        points = list(zip(*(x.round(6).tolist() for x in network.geometry(arc)), strict=True))
        if ends in [list(pair) for pair in pairwise(points)]:
            found.append(arc)
    (only,) = found
    return only


def has_turn(network: RoadNetwork, a: int, via: int, b: int) -> bool:
    """Is there a turn from the street a-via into the street via-b, for one who comes from nowhere in particular?"""
    one, other = arc_between(network, a, via), arc_between(network, via, b)
    targets = network.turn_target[network.turn_source == one]
    return other in network.state_arc[targets]


def way_driven(network: RoadNetwork, *nodes: int) -> list[int]:
    """Junctions passed on the fastest way from the street of the first two nodes into that of the last two."""
    times = TravelTimes(network)
    start, goal = arc_between(network, *nodes[:2]), arc_between(network, *nodes[-2:])
    turns = times.metric.oracle.path(start, goal)
    arcs = network.state_arc[network.turn_target[turns]].tolist()
    return [int(network.node_id[network.arc_tail[arc]]) for arc in arcs]


def a_long_street(tmp_path: Path) -> RoadNetwork:
    """12 - 22 - 32 - 42 - 52 in a row, with an alley at each junction; one may turn round at dead ends."""
    drawn = Map(tmp_path)
    for number, tens in enumerate(range(1, 5)):
        drawn = drawn.way(number + 1, [10 * tens + 2, 10 * tens + 12])
    for number, tens in enumerate(range(2, 5)):
        drawn = drawn.way(number + 5, [10 * tens + 2, 10 * tens + 1])
    return drawn.network()


def bridge_closed(network: RoadNetwork) -> Traffic:
    """Nobody may enter the street from 32 to 42, either way."""
    closed = np.zeros(network.arc_count, bool)
    closed[[arc_between(network, 32, 42), arc_between(network, 42, 32)]] = True
    return Traffic(closed=closed)


def beside(network: RoadNetwork, a: int, b: int) -> Place:
    """The middle of a street."""
    arc = arc_between(network, a, b)
    return network.place_at(Spot(arc, int(network.arc_ms[arc]) // 2))
