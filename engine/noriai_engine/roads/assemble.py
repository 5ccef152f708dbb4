"""From raw arcs of any source to a RoadNetwork: clip, clean, keep the largest strong component, say what fell."""

from dataclasses import dataclass

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import BoolArray, ByteArray, FloatArray, IntArray, LongArray
from noriai_engine.roads.network import RoadNetwork, check_network


@dataclass(frozen=True)
class RawArcs:
    """Directed arcs as a source gives them; indices point into the node arrays."""

    node_id: LongArray
    node_lon: FloatArray
    node_lat: FloatArray
    tail: IntArray
    head: IntArray
    length_m: FloatArray
    duration_ms: LongArray
    road_class: ByteArray
    name: IntArray
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """What of the source did not get into the network, in words a person can check."""

    outside_nodes: int = 0
    unconnected_nodes: int = 0
    unconnected_km: float = 0.0
    components: int = 1
    parallel_arcs: int = 0
    self_loops: int = 0

    def sentences(self) -> list[str]:
        out = []
        if self.outside_nodes:
            out.append(f"{self.outside_nodes:,} nodes outside the boundary were dropped")
        if self.unconnected_nodes:
            out.append(
                f"{self.unconnected_nodes:,} nodes ({self.unconnected_km:,.1f} km of arcs) in {self.components - 1:,} "
                "smaller components were dropped: one cannot drive there and back from the main network"
            )
        if self.parallel_arcs or self.self_loops:
            out.append(f"{self.parallel_arcs:,} slower parallel arcs and {self.self_loops:,} short loops were dropped")
        return out or ["nothing was dropped"]


def assemble(raw: RawArcs, inside: BoolArray | None = None) -> tuple[RoadNetwork, Dropped]:
    """Network of the largest strong component of `raw`, within `inside` (n,) if given.

    Raises InputError where no road is left.
    """
    if len(raw.tail) == 0:
        raise InputError("there is no drivable road", remedy="check that the extract holds highway=* ways")
    keep = np.ones(len(raw.node_id), bool) if inside is None else inside
    arcs = np.flatnonzero(keep[raw.tail] & keep[raw.head])
    loops = raw.tail[arcs] == raw.head[arcs]
    arcs = arcs[~loops]
    if len(arcs) == 0:
        raise InputError("the area holds no drivable road", remedy="check the boundary: does it lie on the extract?")

    in_main, component_count = _largest_component(raw, arcs, keep)
    in_network = in_main[raw.tail[arcs]] & in_main[raw.head[arcs]]
    lost_km = float(raw.length_m[arcs[~in_network]].sum()) / 1e3
    arcs = arcs[in_network]

    ms = np.maximum(1, raw.duration_ms[arcs])
    mm = np.maximum(1, np.rint(raw.length_m[arcs] * 1e3).astype(np.int64))
    order = np.lexsort((mm, ms, raw.head[arcs], raw.tail[arcs]))
    arcs, ms, mm = arcs[order], ms[order], mm[order]
    lightest = np.ones(len(arcs), bool)
    lightest[1:] = (raw.tail[arcs][1:] != raw.tail[arcs][:-1]) | (raw.head[arcs][1:] != raw.head[arcs][:-1])
    chosen, ms, mm = arcs[lightest], ms[lightest], mm[lightest]

    index = np.cumsum(in_main) - 1
    names, name = _used_names(raw, chosen)
    network = RoadNetwork(
        node_lon=raw.node_lon[in_main], node_lat=raw.node_lat[in_main], node_id=raw.node_id[in_main],
        arc_tail=index[raw.tail[chosen]].astype(np.int32), arc_head=index[raw.head[chosen]].astype(np.int32),
        arc_ms=ms.astype(np.int32), arc_mm=mm.astype(np.int32),
        arc_class=raw.road_class[chosen].astype(np.int8), arc_name=name, names=names,
    )  # fmt: skip
    check_network(network)
    used = np.zeros(len(keep), bool)
    used[raw.tail], used[raw.head] = True, True
    dropped = Dropped(
        outside_nodes=int((used & ~keep).sum()),
        unconnected_nodes=int((used & keep & ~in_main).sum()),
        unconnected_km=lost_km,
        components=component_count,
        parallel_arcs=int((~lightest).sum()),
        self_loops=int(loops.sum()),
    )
    return network, dropped


def _largest_component(raw: RawArcs, arcs: LongArray, keep: BoolArray) -> tuple[BoolArray, int]:
    """Mask of the nodes of the largest strong component (ties: the one with the lowest node), and their number."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(keep)
    matrix = csr_matrix((np.ones(len(arcs), np.int8), (raw.tail[arcs], raw.head[arcs])), shape=(n, n))
    _, label = connected_components(matrix, directed=True, connection="strong")
    touched = np.zeros(n, bool)
    touched[raw.tail[arcs]], touched[raw.head[arcs]] = True, True
    size = np.bincount(label[touched], minlength=1)
    biggest = np.flatnonzero(size == size.max())
    main = label[np.flatnonzero(touched & np.isin(label, biggest))[0]]
    if size.max() < 2:
        raise InputError("no two places are connected both ways", remedy="check one-way tags, or take a larger extract")
    return touched & (label == main), int((size > 0).sum())


def _used_names(raw: RawArcs, arcs: LongArray) -> tuple[tuple[str, ...], IntArray]:
    """Names still in use, in the order of the text so that equal networks have equal files; "" stays first."""
    used = sorted({raw.names[i] for i in np.unique(raw.name[arcs])} - {""})
    names = ("", *used)
    position = {text: i for i, text in enumerate(names)}
    table = np.array([position.get(text, 0) for text in raw.names], np.int32)
    return names, table[raw.name[arcs]]
