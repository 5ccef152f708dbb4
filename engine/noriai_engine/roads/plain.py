"""A network of nodes and arcs without streets or turns: benchmark graphs, and anything that comes as plain arrays."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from noriai_engine.model.places import Place, Spot
from noriai_engine.model.units import FloatArray, IntArray
from noriai_engine.roads.geodesy import haversine_m
from noriai_engine.roads.graph import StateGraph, plain_graph


@dataclass(frozen=True)
class PlainNetwork:
    """Nodes (n,) at `lon`, `lat`; arcs (m,) from `tail` to `head` taking `ms`, `mm` long. A place is its nearest node,
    and one may turn round there."""

    lon: FloatArray
    lat: FloatArray
    tail: IntArray
    head: IntArray
    ms: IntArray
    mm: IntArray

    @cached_property
    def graph(self) -> StateGraph:
        x = self.lon * self._scale
        return plain_graph(self.tail, self.head, self.ms, self.mm, node_count=len(self.lon), x=x, y=self.lat)

    @cached_property
    def _scale(self) -> float:
        return float(np.cos(np.radians(np.median(self.lat))))

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(np.column_stack([self.lon * self._scale, self.lat]))

    def place_at(self, spot: Spot, name: str = "") -> Place:
        return Place(float(self.lon[spot.state]), float(self.lat[spot.state]), name)

    def nearest(self, lon: FloatArray, lat: FloatArray) -> tuple[IntArray, FloatArray]:
        """Node nearest to each point, and how many metres off."""
        _, node = self._tree.query(np.column_stack([np.asarray(lon) * self._scale, np.asarray(lat)]))
        return node.astype(np.int32), haversine_m(lon, lat, self.lon[node], self.lat[node])
