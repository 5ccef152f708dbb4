"""Walks along the streets of a network, either way along each: what a network made for vehicles knows of walking.

Footpaths that no vehicle uses are not in it, so a walk may be shorter than it says; motorways and trunk roads are left
out, and for those who need it every street that is not step-free.
"""

from functools import cached_property
from typing import Any

import numpy as np

from noriai_engine.model.places import Place
from noriai_engine.model.units import BoolArray, FloatArray, IntArray
from noriai_engine.roads.access import STEP_FREE
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.snapper import Snapper
from noriai_engine.roads.speeds import ROAD_CLASSES

NOT_ON_FOOT = frozenset(
    ROAD_CLASSES.index(name)
    for name in ("motorway", "trunk", "motorway_link", "trunk_link", "busway", "bus_guideway", "ferry")
)


class StreetWalks:
    """Lengths of walks from places to a list of stops. Both are where a vehicle would stop for them."""

    def __init__(self, network: RoadNetwork, snapper: Snapper, stops: tuple[Place, ...]) -> None:
        self._network, self._snapper = network, snapper
        lon, lat = np.array([s.lon for s in stops]), np.array([s.lat for s in stops])
        found = snapper.snap(lon, lat)
        self._street, self._share = found.street, found.share
        self._graphs: dict[bool, tuple[BoolArray, Any]] = {}

    def to_stops(self, place: Place, longest_m: int, step_free: bool, most: int) -> list[tuple[int, int]]:
        """The nearest stops within a walk, as (row of the stop, mm), nearest first, then in the order of the list."""
        from scipy.sparse.csgraph import dijkstra

        found = self._snapper.snap(np.array([place.lon]), np.array([place.lat]))
        street, share = int(found.street[0]), float(found.share[0])
        usable, graph = self._graph(step_free)
        if street < 0 or not usable[street] or longest_m <= 0:
            return []
        tail, head = self._ends
        mm, limit = self._network.street_mm.astype(np.float64), 1_000.0 * longest_m
        rows = dijkstra(graph, indices=[tail[street], head[street]], limit=limit)
        node = np.minimum(rows[0] + share * mm[street], rows[1] + (1.0 - share) * mm[street])
        there = np.where(self._street >= 0, self._street, 0)
        along = np.minimum(
            node[tail[there]] + self._share * mm[there], node[head[there]] + (1.0 - self._share) * mm[there]
        )
        same = there == street
        along[same] = np.minimum(along[same], np.abs(self._share[same] - share) * mm[street])
        along[(self._street < 0) | ~usable[there]] = np.inf
        order = np.argsort(along, kind="stable")[:most]
        return [(int(k), int(np.ceil(along[k]))) for k in order if along[k] <= limit]

    @cached_property
    def _ends(self) -> tuple[IntArray, IntArray]:
        """(s,) nodes where each street begins and ends, along its geometry."""
        network = self._network
        ahead, back = network.arcs_of_street
        there = ahead >= 0
        tail = np.where(there, network.arc_tail[ahead], network.arc_head[back])
        head = np.where(there, network.arc_head[ahead], network.arc_tail[back])
        return tail.astype(np.int32), head.astype(np.int32)

    def _graph(self, step_free: bool) -> tuple[BoolArray, Any]:
        """Streets one may walk on, and a matrix of mm between their ends."""
        from scipy.sparse import csr_matrix

        if step_free not in self._graphs:
            network, (tail, head) = self._network, self._ends
            usable = ~np.isin(network.street_class, list(NOT_ON_FOOT))
            if step_free:
                usable &= (network.street_flags & STEP_FREE) > 0
            source, target = np.concatenate([tail[usable], head[usable]]), np.concatenate([head[usable], tail[usable]])
            mm: FloatArray = np.tile(np.maximum(network.street_mm[usable], 1).astype(np.float64), 2)
            order = np.lexsort((mm, target, source))  # of several streets between two junctions the shortest
            source, target, mm = source[order], target[order], mm[order]
            first = np.ones(len(mm), bool)
            first[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
            shape = (network.node_count, network.node_count)
            graph = csr_matrix((mm[first], (source[first], target[first])), shape=shape)
            self._graphs[step_free] = usable, graph
        return self._graphs[step_free]
