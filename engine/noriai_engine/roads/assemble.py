"""From raw streets of any source to a RoadNetwork: clip, add turns, keep what is strongly connected, say what fell."""

from dataclasses import dataclass, replace

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import BoolArray, FloatArray, IntArray, LongArray
from noriai_engine.roads.access import STOPPABLE
from noriai_engine.roads.geodesy import bearing_deg
from noriai_engine.roads.hierarchy import order_streets
from noriai_engine.roads.network import RoadNetwork, check_network
from noriai_engine.roads.profiles import Profile
from noriai_engine.roads.restrictions import ArcEnds, arc_rules
from noriai_engine.roads.streets import RawStreets
from noriai_engine.roads.turns import Turns, plain_turns, restricted_turns, turn_delays


@dataclass(frozen=True, slots=True)
class Dropped:
    """What of the source did not get into the network, in words a person can check."""

    outside_streets: int = 0
    unconnected_streets: int = 0
    unconnected_km: float = 0.0
    components: int = 1
    restrictions: int = 0
    restrictions_lost: int = 0

    def sentences(self) -> list[str]:
        out = []
        if self.outside_streets:
            out.append(f"{self.outside_streets:,} streets outside the boundary were dropped")
        if self.unconnected_streets:
            out.append(
                f"{self.unconnected_streets:,} streets ({self.unconnected_km:,.1f} km) in {self.components - 1:,} "
                "smaller components were dropped: one cannot drive there and back from the main network"
            )
        if self.restrictions:
            out.append(
                f"{self.restrictions - self.restrictions_lost:,} of {self.restrictions:,} turn restrictions in force"
            )
        return out or ["nothing was dropped"]


def assemble(
    raw: RawStreets, profile: Profile, *, left_hand: bool, inside: BoolArray | None = None
) -> tuple[RoadNetwork, Dropped]:
    """Network of the largest strong component of `raw`, between nodes `inside` (n,) if given.

    Raises InputError where no road is left.
    """
    kept = (raw.forward_ms > 0) | (raw.backward_ms > 0)
    if inside is not None:
        kept &= inside[raw.tail] & inside[raw.head]
    streets = np.flatnonzero(kept).astype(np.int64)
    if len(streets) == 0:
        raise InputError(
            "there is no road that the profile may use", remedy="check highway=* and access tags, and the boundary"
        )
    arcs, directed = _arcs(raw, streets)
    rules, lost = arc_rules(raw.restrictions, raw.node_id, arcs)
    turns = restricted_turns(len(arcs.tail), *plain_turns(arcs, raw.blocked), rules)
    source, target = turns.state_arc[turns.source], turns.state_arc[turns.target]
    roads_at = np.bincount(raw.tail[streets], minlength=len(raw.node_id)) + np.bincount(
        raw.head[streets], minlength=len(raw.node_id)
    )
    delay = turn_delays(arcs, source, target, roads_at, raw.roundabout[arcs.street], profile, left_hand=left_hand)
    turns = replace(turns, ms=delay + directed.end_delay_ms[source])
    alive, components = _strongest(turns)
    network = _network(raw, arcs, directed, turns, alive, profile.name, "left" if left_hand else "right")
    check_network(network)
    gone = np.setdiff1d(streets, arcs.street[np.unique(turns.state_arc[alive])])
    return network, Dropped(
        outside_streets=0 if inside is None else int((~(inside[raw.tail] & inside[raw.head])).sum()),
        unconnected_streets=len(gone),
        unconnected_km=float(raw.mm[gone].sum()) / 1e6,
        components=components,
        restrictions=len(raw.restrictions),
        restrictions_lost=lost,
    )


@dataclass(frozen=True)
class _Directed:
    """By arc: `reversed`, `ms`, and the delay at its end."""

    reversed: BoolArray
    ms: IntArray
    end_delay_ms: IntArray


def _arcs(raw: RawStreets, streets: LongArray) -> tuple[ArcEnds, _Directed]:
    ahead, back = streets[raw.forward_ms[streets] > 0], streets[raw.backward_ms[streets] > 0]
    street = np.concatenate([ahead, back])
    turned = np.concatenate([np.zeros(len(ahead), bool), np.ones(len(back), bool)])
    tail = np.where(turned, raw.head[street], raw.tail[street])
    head = np.where(turned, raw.tail[street], raw.head[street])
    order = np.lexsort((turned, street, head, tail))
    street, turned, tail, head = street[order], turned[order], tail[order], head[order]
    ahead_leaves, ahead_arrives, back_leaves, back_arrives = _bearings(raw)
    leaving = np.where(turned, back_leaves[street], ahead_leaves[street])
    arriving = np.where(turned, back_arrives[street], ahead_arrives[street])
    first_out = np.searchsorted(tail, np.arange(len(raw.node_id) + 1)).astype(np.int64)
    arcs = ArcEnds(
        tail.astype(np.int32), head.astype(np.int32), raw.way_id[street], street.astype(np.int32), leaving, arriving,
        first_out,
    )  # fmt: skip
    ms = np.where(turned, raw.backward_ms[street], raw.forward_ms[street])
    delay = np.where(turned, raw.backward_delay_ms[street], raw.forward_delay_ms[street])
    return arcs, _Directed(turned, ms.astype(np.int32), delay.astype(np.int32))


def _bearings(raw: RawStreets) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Bearings of each street: leaving its tail and arriving at its head, and the other way round."""
    lon, lat = raw.point_lon, raw.point_lat
    a, b = raw.first_point[:-1], raw.first_point[1:] - 1

    def bearing(one: IntArray, other: IntArray, at: IntArray) -> FloatArray:
        return bearing_deg(lon[one], lat[one], lon[other], lat[other], lat[at])

    return bearing(a, a + 1, a), bearing(b - 1, b, b), bearing(b, b - 1, b), bearing(a + 1, a, a)


def _strongest(turns: Turns) -> tuple[BoolArray, int]:
    """States of the largest strong component, with the plain and the standing state of every arc in it; and how many
    components there are."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    k = len(turns.state_arc)
    matrix = csr_matrix((np.ones(len(turns.source), np.int8), (turns.source, turns.target)), shape=(k, k))
    count, label = connected_components(matrix, directed=True, connection="strong")
    size = np.bincount(label, minlength=count)
    if size.max() < 2:
        raise InputError("no two places are connected both ways", remedy="check one-way tags, or take a larger extract")
    main = label[np.flatnonzero(size[label] == size.max())[0]]
    alive: BoolArray = label == main
    alive[turns.state_arc[alive]] = True
    leads = np.zeros(k, bool)
    leads[turns.source[alive[turns.target]]] = True
    alive[turns.standing[leads[turns.standing] & alive[turns.state_arc[turns.standing]]]] = True
    return alive, int(count)


def _without_standing(turns: Turns, alive: BoolArray) -> IntArray:
    """Arcs with several states of which a vehicle that stops has none to leave by: nobody stops there, since one who
    did would forget the restriction he is under, and a stop would make a way shorter."""
    several = np.unique(turns.state_arc[turns.standing])
    left = turns.state_arc[turns.standing[alive[turns.standing]]]
    out: IntArray = np.setdiff1d(several[alive[several]], left)
    return out


def _network(
    raw: RawStreets, arcs: ArcEnds, directed: _Directed, turns: Turns, alive: BoolArray, profile: str, side: str
) -> RoadNetwork:
    arc_kept = alive[: len(arcs.tail)]
    street_kept = np.zeros(len(raw.tail), bool)
    street_kept[arcs.street[arc_kept]] = True
    node_kept = np.zeros(len(raw.node_id), bool)
    node_kept[raw.tail[street_kept]] = node_kept[raw.head[street_kept]] = True
    node, street, state = (np.cumsum(mask) - 1 for mask in (node_kept, street_kept, alive))
    turn_kept = alive[turns.source] & alive[turns.target]
    used = np.unique(turns.condition[turn_kept])
    conditions = tuple(turns.conditions[i] for i in sorted({0, *used.tolist()}))
    condition = np.array([conditions.index(text) if text in conditions else 0 for text in turns.conditions], np.int32)
    points = np.repeat(street_kept, np.diff(raw.first_point))
    flags = raw.flags.copy()
    flags[arcs.street[_without_standing(turns, alive)]] &= ~STOPPABLE
    names, name = _used_names(raw, street_kept)
    network = RoadNetwork(
        node_lon=raw.node_lon[node_kept], node_lat=raw.node_lat[node_kept], node_id=raw.node_id[node_kept],
        street_first=np.concatenate([[0], np.cumsum(np.diff(raw.first_point)[street_kept])]).astype(np.int32),
        street_mm=raw.mm[street_kept].astype(np.int32), street_class=raw.road_class[street_kept].astype(np.int8),
        street_name=name, street_way=raw.way_id[street_kept], street_flags=flags[street_kept].astype(np.int8),
        point_lon=raw.point_lon[points], point_lat=raw.point_lat[points],
        arc_tail=node[arcs.tail[arc_kept]].astype(np.int32), arc_head=node[arcs.head[arc_kept]].astype(np.int32),
        arc_street=street[arcs.street[arc_kept]].astype(np.int32),
        arc_reversed=directed.reversed[arc_kept].astype(np.int8), arc_ms=directed.ms[arc_kept],
        state_arc=state[turns.state_arc[alive]].astype(np.int32),
        turn_source=state[turns.source[turn_kept]].astype(np.int32),
        turn_target=state[turns.target[turn_kept]].astype(np.int32), turn_ms=turns.ms[turn_kept].astype(np.int32),
        turn_condition=condition[turns.condition[turn_kept]],
        standing=state[turns.standing[alive[turns.standing]]].astype(np.int32),
        rank=np.arange(int(alive.sum()), dtype=np.int32), names=names, conditions=conditions, profile=profile,
        driving_side=side,
    )  # fmt: skip
    return replace(network, rank=state_rank(network))


def state_rank(network: RoadNetwork) -> IntArray:
    """Elimination rank of the states, from a dissection of the junction graph by cuts of streets."""
    ends = np.zeros((network.street_count, 2), np.int32)
    ends[network.arc_street, network.arc_reversed] = network.arc_tail
    ends[network.arc_street, 1 - network.arc_reversed] = network.arc_head
    width = np.minimum(2, np.bincount(network.arc_street, minlength=network.street_count)).astype(np.int32)
    x = network.node_lon * np.cos(np.radians(float(np.median(network.node_lat))))
    by_street = order_streets(network.node_count, ends[:, 0], ends[:, 1], width, x, network.node_lat)
    arc = network.state_arc
    order = np.lexsort((np.arange(len(arc)), by_street[network.arc_street[arc]]))
    rank = np.empty(len(arc), np.int32)
    rank[order] = np.arange(len(arc), dtype=np.int32)
    return rank


def _used_names(raw: RawStreets, kept: BoolArray) -> tuple[tuple[str, ...], IntArray]:
    """Names still in use, in the order of the text so that equal networks have equal files; "" stays first."""
    used = sorted({raw.names[i] for i in np.unique(raw.name[kept])} - {""})
    names = ("", *used)
    position = {text: i for i, text in enumerate(names)}
    table = np.array([position.get(text, 0) for text in raw.names], np.int32)
    return names, table[raw.name[kept]]
