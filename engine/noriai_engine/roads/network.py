"""The drivable road network as arrays: nodes, arcs with whole milliseconds and millimetres, names."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place
from noriai_engine.model.units import ByteArray, FloatArray, IntArray, LongArray, NodeIndex

EARTH_RADIUS_M = 6_371_008.8


def haversine_m(lon_a: FloatArray, lat_a: FloatArray, lon_b: FloatArray, lat_b: FloatArray) -> FloatArray:
    """Great-circle distance in metres on the mean sphere; inputs in degrees, any broadcastable shapes."""
    lon_a, lat_a, lon_b, lat_b = (np.radians(np.asarray(x, np.float64)) for x in (lon_a, lat_a, lon_b, lat_b))
    h = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    metres: FloatArray = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0)))
    return metres


@dataclass(frozen=True)
class RoadNetwork:
    """A directed graph, arcs sorted by (tail, head). Every node reaches every other (one strong component).

    node_lon, node_lat: (n,) degrees WGS84. node_id: (n,) id in the source (OSM node id), 0 if none.
    arc_tail, arc_head: (m,). arc_ms: (m,) driving time, at least 1. arc_mm: (m,) length, at least 1.
    arc_class: (m,) index into ROAD_CLASSES. arc_name: (m,) index into `names`; names[0] is "".
    """

    node_lon: FloatArray
    node_lat: FloatArray
    node_id: LongArray
    arc_tail: IntArray
    arc_head: IntArray
    arc_ms: IntArray
    arc_mm: IntArray
    arc_class: ByteArray
    arc_name: IntArray
    names: tuple[str, ...] = field(default=("",), repr=False)

    @property
    def node_count(self) -> int:
        return int(self.node_lon.shape[0])

    @property
    def arc_count(self) -> int:
        return int(self.arc_tail.shape[0])

    @property
    def length_km(self) -> float:
        """Length of all arcs; a two-way street counts in both directions."""
        return float(self.arc_mm.sum(dtype=np.int64)) / 1e6

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""
        return (
            float(self.node_lon.min()), float(self.node_lat.min()),
            float(self.node_lon.max()), float(self.node_lat.max()),
        )  # fmt: skip

    @cached_property
    def weight(self) -> LongArray:
        """(m,) key (ms << 32) + mm: fastest first, then shortest."""
        return (self.arc_ms.astype(np.int64) << 32) + self.arc_mm.astype(np.int64)

    @cached_property
    def first_out(self) -> LongArray:
        """(n + 1,) first arc of each tail node."""
        return np.searchsorted(self.arc_tail, np.arange(self.node_count + 1)).astype(np.int64)

    @cached_property
    def reversed_arcs(self) -> tuple[LongArray, IntArray, LongArray]:
        """first (n + 1,), head (m,), weight (m,) of the graph with every arc turned round."""
        order = np.argsort(self.arc_head, kind="stable")
        first = np.searchsorted(self.arc_head[order], np.arange(self.node_count + 1)).astype(np.int64)
        return first, np.ascontiguousarray(self.arc_tail[order]), np.ascontiguousarray(self.weight[order])

    def place(self, node: int, name: str = "") -> Place:
        return Place(float(self.node_lon[node]), float(self.node_lat[node]), name)

    def street_name(self, node: int) -> str:
        """Name of the most important named street that leaves the node; "" if none has one."""
        arcs = range(int(self.first_out[node]), int(self.first_out[node + 1]))
        named = [(int(self.arc_class[a]), a) for a in arcs if self.arc_name[a]]
        return self.names[int(self.arc_name[min(named)[1]])] if named else ""

    @cached_property
    def _tree(self) -> tuple[object, float]:
        from scipy.spatial import cKDTree

        mid = float(np.radians((self.bounds[1] + self.bounds[3]) / 2))
        scale = float(np.cos(mid))
        return cKDTree(np.column_stack([self.node_lon * scale, self.node_lat])), scale

    def nearest_nodes(self, lon: FloatArray, lat: FloatArray) -> tuple[IntArray, FloatArray]:
        """Node nearest to each point and its great-circle distance in metres.

        The search is planar at the network's middle latitude; within a region of some 100 km the node found
        is the true nearest but for near ties.
        """
        tree, scale = self._tree
        _, node = tree.query(np.column_stack([np.asarray(lon) * scale, np.asarray(lat)]))  # type: ignore[attr-defined]
        node = np.asarray(node, np.int32)
        return node, haversine_m(np.asarray(lon), np.asarray(lat), self.node_lon[node], self.node_lat[node])

    def snap(self, place: Place) -> tuple[NodeIndex, float]:
        node, metres = self.nearest_nodes(np.array([place.lon]), np.array([place.lat]))
        return NodeIndex(int(node[0])), float(metres[0])


def check_network(network: RoadNetwork) -> None:
    """Raise InputError where arrays disagree in length or point outside, or weights are not positive."""
    n, m = network.node_count, network.arc_count
    if n == 0 or m == 0:
        raise InputError("the road network is empty", remedy="check that the extract holds drivable roads")
    lengths = {len(network.node_lat), len(network.node_id)} | {n}
    arcs = {len(x) for x in (network.arc_head, network.arc_ms, network.arc_mm, network.arc_class, network.arc_name)}
    ends = np.concatenate([network.arc_tail, network.arc_head])
    if lengths != {n} or arcs != {m} or ends.min() < 0 or ends.max() >= n:
        raise InputError("the road network's arrays do not fit together", remedy="build the region again")
    if network.arc_ms.min() < 1 or network.arc_mm.min() < 1:
        raise InputError("an arc takes no time or has no length", remedy="build the region again")
