"""A second road router, from raw OSM objects to distances, without streets, arcs or a hierarchy.

Every pair of neighbouring OSM nodes is an edge of its own; a state is a directed edge with the restrictions that
are half driven. Which tags open a way, and how fast it is, is asked of the rules under test elsewhere; how
edges join, which turns are allowed, what they cost and what restrictions forbid is worked out here anew.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import osmium

from noriai_engine.roads.access import directions, is_open, node_rule, road_class
from noriai_engine.roads.profiles import Profile
from noriai_engine.roads.speeds import speed_table, way_speeds, width_share

Edge = tuple[int, int, int]
"""From node, to node, way."""


class OsmRouter:
    def __init__(self, path: Path, profile: Profile, country: str, *, left_hand: bool) -> None:
        self.profile, self.left_hand = profile, left_hand
        self.place: dict[int, tuple[float, float]] = {}
        self.ms: dict[Edge, int] = {}
        self.forward: dict[Edge, bool] = {}
        self.roundabout: set[int] = set()
        self.out: dict[int, list[Edge]] = defaultdict(list)
        self.into: dict[int, list[Edge]] = defaultdict(list)
        self.roads: dict[int, set[tuple[int, int, int]]] = defaultdict(set)
        self.rules: dict[int, Any] = {}
        self.relations: list[tuple[str, list[tuple[str, int, str]]]] = []
        table = speed_table(country)
        for item in osmium.FileProcessor(str(path)).with_locations():
            tags = {tag.k: tag.v for tag in item.tags}
            if item.is_node() and tags:
                self.rules[item.id] = node_rule(tags, profile)
            elif item.is_way() and road_class(tags) and is_open(tags, item.id, profile):
                self._way(item, tags, table)
            elif item.is_relation() and tags.get("type", "").startswith("restriction"):
                self._relation(item, tags)
        self._states()

    def _way(self, way: Any, tags: dict[str, str], table: Any) -> None:
        ahead, back = directions(tags, self.profile)
        if road_class(tags) == "ferry":
            kmh = (self._ferry_kmh(way, tags),) * 2
        else:
            kmh = way_speeds(tags, way.id, table, self.profile)
        share = width_share(tags) if ahead and back else 1.0
        if tags.get("junction") in ("roundabout", "circular"):
            self.roundabout.add(way.id)
        nodes = [(n.ref, (n.lon, n.lat) if n.location.valid() else None) for n in way.nodes]
        for (a, at_a), (b, at_b) in itertools.pairwise(nodes):
            if at_a is None or at_b is None or a == b or not (ahead or back):
                continue
            self.place[a], self.place[b] = at_a, at_b
            metres = haversine(at_a, at_b)
            for edge, is_ahead, is_usable, speed in (
                ((a, b, way.id), True, ahead, kmh[0]),
                ((b, a, way.id), False, back, kmh[1]),
            ):
                self.roads[edge[0]].add((min(a, b), max(a, b), way.id) if ahead and back else (a, b, way.id))
                if is_usable and edge not in self.ms:
                    self.ms[edge] = max(1, round_half_even(metres * 3_600.0 / (speed * share)))
                    self.forward[edge] = is_ahead
                    self.out[edge[0]].append(edge)
                    self.into[edge[1]].append(edge)

    def _ferry_kmh(self, way: Any, tags: dict[str, str]) -> float:
        """HH:MM of `duration` over the way's length, else the profile's speed."""
        match = re.fullmatch(r"(\d+):(\d+)", tags.get("duration", ""))
        if match is None:
            return self.profile.ferry_kmh
        points = [(n.lon, n.lat) for n in way.nodes]
        metres = sum(haversine(a, b) for a, b in itertools.pairwise(points))
        return metres / (int(match[1]) * 3_600 + int(match[2]) * 60) * 3.6

    def _relation(self, item: Any, tags: dict[str, str]) -> None:
        if set(re.split(r"[;,]\s*", tags.get("except", ""))) & self.profile.excepted_by:
            return
        kind = tags.get("restriction") or next(
            (tags[f"restriction:{k}"] for k in self.profile.access_keys if f"restriction:{k}" in tags), ""
        )
        if kind.startswith(("no_", "only_")) and not (tags.get("hour_on") and tags.get("hour_off")):
            self.relations.append((kind, [(m.type, m.ref, m.role) for m in item.members]))

    # --- restrictions as sequences of edges -----------------------------------------------------------------

    def _sequences(self) -> list[tuple[list[Edge], bool]]:
        found = []
        for kind, members in self.relations:
            role: dict[str, list[tuple[str, int]]] = defaultdict(list)
            for kind_of, ref, name in members:
                role[name].append((kind_of, ref))
            nodes = [ref for t, ref in role["via"] if t == "n"]
            ways = [ref for t, ref in role["via"] if t == "w"]
            candidates = []
            for t, source in role["from"]:
                for u, target in role["to"]:
                    if t != "w" or u != "w":
                        continue
                    if len(nodes) == 1 and not ways:
                        candidates += [
                            [a, b]
                            for a in self.into[nodes[0]] if a[2] == source
                            for b in self.out[nodes[0]] if b[2] == target
                        ]  # fmt: skip
                    elif ways and not nodes:
                        candidates += self._along(source, ways, target)
            if len(candidates) > 1 and kind not in ("no_entry", "no_exit"):
                candidates = [c for c in candidates if self._fits(kind.partition("_")[2], c)]
            found += [(c, kind.startswith("only_")) for c in candidates]
        return found

    def _along(self, source: int, ways: list[int], target: int) -> list[list[Edge]]:
        """All walks: one edge of the source way, then the via ways one after another, then one edge of the target."""
        starts = [e for e in self.ms if e[2] == source and any(f[2] == ways[0] for f in self.out[e[1]])]
        done: list[list[Edge]] = []
        todo = [([e], 0) for e in starts]
        while todo:
            walk, at = todo.pop()
            last = walk[-1]
            on_via = len(walk) > 1
            for edge in self.out[last[1]]:
                back = edge == (last[1], last[0], last[2])
                if edge in walk:
                    continue
                if on_via and edge[2] == target and at == len(ways) - 1 and (not back or edge[2] != last[2]):
                    done.append([*walk, edge])
                if back:
                    continue
                if edge[2] == ways[at]:
                    todo.append(([*walk, edge], at))
                elif on_via and at + 1 < len(ways) and edge[2] == ways[at + 1]:
                    todo.append(([*walk, edge], at + 1))
        return done

    def _fits(self, wanted: str, walk: list[Edge]) -> bool:
        first, last = walk[0], walk[-1]
        angle = self.angle(first, last)
        same = first == (last[1], last[0], last[2])
        if wanted == "u_turn":
            return same or abs(angle) > 135
        if same and len(walk) == 2:
            return False
        if wanted == "left_turn":
            return angle < -15
        return angle > 15 if wanted == "right_turn" else abs(angle) < 60

    # --- turns ----------------------------------------------------------------------------------------------

    def bearing(self, edge: Edge, at: int) -> float:
        (lon_a, lat_a), (lon_b, lat_b) = self.place[edge[0]], self.place[edge[1]]
        return math.degrees(math.atan2((lon_b - lon_a) * math.cos(math.radians(self.place[at][1])), lat_b - lat_a))

    def angle(self, into: Edge, out: Edge) -> float:
        turn = math.remainder(self.bearing(out, out[0]) - self.bearing(into, into[1]), 360.0)
        if abs(turn) < 1e-6:
            return 0.0
        if abs(turn) > 180 - 1e-6:  # straight back: across oncoming traffic
            return 180.0 if self.left_hand else -180.0
        return turn

    def turns(self, edge: Edge) -> list[Edge]:
        """Where one may go on from the end of an edge, restrictions aside."""
        node = edge[1]
        rule = self.rules.get(node)
        others = [e for e in self.out[node] if e != (node, edge[0], edge[2])]
        blocked = rule is not None and rule.blocked
        if blocked or not others:
            return [e for e in self.out[node] if e == (node, edge[0], edge[2])]
        return others

    def delay(self, edge: Edge, onward: Edge) -> int:
        p, node = self.profile, edge[1]
        back = onward == (node, edge[0], edge[2])
        crowded = len(self.roads[node]) > 2 and not back
        angle, seconds = self.angle(edge, onward), 0.0
        bias = 1 / p.turn_bias if self.left_hand else p.turn_bias
        if crowded:
            if angle > 0 or (angle == 0 and not self.left_hand):
                seconds += p.turn_ms / (1 + math.exp(-((13 / bias) * angle / 180 - 6.5 * bias)))
            else:
                seconds += p.turn_ms / (1 + math.exp(-((13 * bias) * -angle / 180 - 6.5 / bias)))
        across = angle > 0 if self.left_hand else angle < 0
        if across and crowded and not {edge[2], onward[2]} & self.roundabout:
            seconds += p.oncoming_ms / (1 + math.exp(-(13 * abs(angle) / 180 - 3.25)))
        if back:
            seconds = p.turn_ms + p.u_turn_ms
        rule = self.rules.get(node)
        waits = 0 if rule is None else (rule.forward_ms if self.forward[edge] else rule.backward_ms)
        return round_half_even(seconds) + waits

    def _states(self) -> None:
        """All (edge, half-driven restrictions) that can come up, and the moves between them."""
        rules = self._sequences()
        starts: dict[Edge, list[int]] = defaultdict(list)
        for number, (walk, _) in enumerate(rules):
            starts[walk[0]].append(number)
        self.state: dict[tuple[Edge, frozenset[tuple[int, int]]], int] = {}
        todo = []
        for edge in self.ms:
            self.state[edge, frozenset()] = len(self.state)
            todo.append((edge, frozenset()))
        rows: list[tuple[int, int, int]] = []
        while todo:
            edge, half = todo.pop()
            active = {*half, *((number, 1) for number in starts.get(edge, ()))}
            for onward in self.turns(edge):
                speaks = [
                    n for n, k in active if k == len(rules[n][0]) - 1 and (rules[n][0][-1] == onward) != rules[n][1]
                ]
                if speaks:
                    continue
                then = frozenset((n, k + 1) for n, k in active if k < len(rules[n][0]) - 1 and rules[n][0][k] == onward)
                if (onward, then) not in self.state:
                    self.state[onward, then] = len(self.state)
                    todo.append((onward, then))
                rows.append(
                    (self.state[edge, half], self.state[onward, then], self.ms[edge] + self.delay(edge, onward))
                )
        self.moves = self._without_traps(np.array(rows, np.int64).reshape(-1, 3))
        self.states_of: dict[Edge, list[int]] = defaultdict(list)
        for (edge, _), number in self.state.items():
            self.states_of[edge].append(number)

    def _without_traps(self, moves: Any) -> Any:
        """Moves among states of the largest strong component and the plain states of their edges: nobody is sent where
        he cannot get out again."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        k = len(self.state)
        graph = csr_array((np.ones(len(moves)), (moves[:, 0], moves[:, 1])), shape=(k, k))
        _, label = connected_components(graph, directed=True, connection="strong")
        kept = label == np.bincount(label).argmax()
        for (edge, half), number in self.state.items():
            if half and kept[number]:
                kept[self.state[edge, frozenset()]] = True
        return moves[kept[moves[:, 0]] & kept[moves[:, 1]]]

    def distances(self, sources: list[Edge], targets: list[Edge]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(s, t) ms from the start of each edge to the start of each other; inf without a way."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        k = len(self.state)
        graph = csr_array((self.moves[:, 2].astype(float), (self.moves[:, 0], self.moves[:, 1])), shape=(k, k))
        rows = dijkstra(graph, indices=[self.state[e, frozenset()] for e in sources])
        return np.stack([rows[:, self.states_of[t]].min(axis=1) for t in targets], axis=1)


def haversine(a: tuple[float, float], b: tuple[float, float]) -> float:
    lon_a, lat_a, lon_b, lat_b = (math.radians(x) for x in (*a, *b))
    h = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(h))


def round_half_even(value: float) -> int:
    return round(value)
