"""Travel times on a network: between spots for the dispatcher, between coordinates for everyone else.

>>> times = TravelTimes(network)
>>> times.matrix([(137.37, 36.75), (137.38, 36.76)])
array([[     0, 182041], ...
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, wraps
from threading import Lock
from typing import Concatenate, Literal, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place, Spot
from noriai_engine.model.units import FOREVER_MS, FloatArray, IntArray, LongArray
from noriai_engine.roads.access import STOPPABLE
from noriai_engine.roads.bounds import Cells, cells_of
from noriai_engine.roads.drives import Drive
from noriai_engine.roads.gate import Gate
from noriai_engine.roads.graph import StateGraph, state_graph
from noriai_engine.roads.kernels import key_spots, queries
from noriai_engine.roads.kernels import spots as spot_kernels
from noriai_engine.roads.kernels.bounds import Bounds, RoadView
from noriai_engine.roads.lengths import NO_WAY_MM, lengths_between
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.oracle import Oracle, Weights, split_keys
from noriai_engine.roads.plain import PlainNetwork
from noriai_engine.roads.snapper import FAR_M, Snapped, Snapper
from noriai_engine.roads.speeds import ROAD_CLASSES
from noriai_engine.roads.traffic import Traffic

Points = Sequence[Place] | Sequence[tuple[float, float]] | npt.NDArray[np.float64]
Approach = Literal["any", "kerb"]

KERB_CLASSES = frozenset(
    ROAD_CLASSES.index(name)
    for name in ("trunk", "primary", "secondary", "tertiary", "primary_link", "secondary_link", "tertiary_link")
)
"""Streets too busy to cross: a stop there is on the side of its address."""

REPAIR_SHARE = 0.004
"""Up to this share of changed turns weights are repaired in place; beyond it a full customisation is faster."""


P = ParamSpec("P")
R = TypeVar("R")


def _reads(method: Callable[Concatenate["TravelTimes", P], R]) -> Callable[Concatenate["TravelTimes", P], R]:
    """The method sees one metric from beginning to end."""

    @wraps(method)
    def reading(self: "TravelTimes", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._gate.reading():
            return method(self, *args, **kwargs)

    return reading


@dataclass(frozen=True)
class Metric:
    """Weights in force: `inner_ms` (k,) along each state, `between_ms` (t,) of each turn, and the oracle on them."""

    version: int
    inner_ms: IntArray
    between_ms: IntArray
    oracle: Oracle
    states: spot_kernels.States


class TravelTimes:
    """Exact times in int32 ms; FOREVER_MS where there is no path.

    Every call sees one metric from beginning to end, whatever another thread does meanwhile.
    """

    def __init__(
        self, network: RoadNetwork | PlainNetwork, traffic: Traffic | None = None, *, dense: bool | None = None
    ) -> None:
        self.network = network
        self.graph: StateGraph = network.graph if isinstance(network, PlainNetwork) else state_graph(network)
        graph = self.graph
        inner, between, ms = self._weights_under(traffic)
        self._begin(Oracle(graph.hierarchy(), graph.source, graph.target, ms, graph.mm, dense=dense), inner, between)

    def under(self, traffic: Traffic) -> "TravelTimes":
        """Times on the same network under other traffic; what no traffic can change is shared."""
        other = object.__new__(TravelTimes)
        other.network, other.graph = self.network, self.graph
        other.__dict__["_snapper"] = self._snapper
        inner, between, ms = self._weights_under(traffic)
        other._begin(self._metric.oracle.reweighted(ms), inner, between)
        return other

    def _begin(self, oracle: Oracle, inner_ms: IntArray, between_ms: IntArray) -> None:
        self._gate, self._writing = Gate(), Lock()
        self._spare: Weights | None = None
        self._bounds_of: tuple[int, Bounds] | None = None
        self._metric = self._metric_of(0, inner_ms, between_ms, oracle)

    @cached_property
    def _snapper(self) -> Snapper | None:
        return Snapper(self.network) if isinstance(self.network, RoadNetwork) else None

    @property
    def metric(self) -> Metric:
        return self._metric

    def _metric_of(self, version: int, inner_ms: IntArray, between_ms: IntArray, oracle: Oracle) -> Metric:
        graph = self.graph
        states = spot_kernels.States(
            oracle.hierarchy.number, graph.arc, graph.twin, graph.first, graph.target, oracle.weights.ms
        )
        return Metric(version, inner_ms, between_ms, oracle, states)

    # --- traffic --------------------------------------------------------------------------------------------

    def set_traffic(self, traffic: Traffic) -> int:
        """Put other times and closures in force, instead of those before; returns how many turns changed.

        Every pair is exact again when it returns. A call that runs meanwhile sees the old state or the new one, never
        a mix. A few changes are repaired in place, many are customised anew.
        """
        inner, between, ms = self._weights_under(traffic)
        with self._writing:
            return self._change(inner, between, ms)

    def _weights_under(self, traffic: Traffic | None) -> tuple[IntArray, IntArray, IntArray]:
        """ms along each state, of each turn, and from the start of a state to the start of the next."""
        graph, network = self.graph, self.network
        if traffic is None:
            return graph.inner_ms, graph.between_ms, graph.ms(graph.inner_ms, graph.between_ms)
        if not isinstance(network, RoadNetwork):
            raise InputError("a plain network has no streets to close", remedy="make a new one with other times")
        inner, between = graph.inner_ms, graph.between_ms
        if traffic.arc_ms is not None:
            if traffic.arc_ms.shape != (network.arc_count,) or traffic.arc_ms.min() < 1:
                raise InputError(
                    f"times of shape {traffic.arc_ms.shape}, least {traffic.arc_ms.min(initial=1)} ms", where="traffic",
                    remedy=f"give one time of at least 1 ms for each of the {network.arc_count} arcs",
                )  # fmt: skip
            inner = np.minimum(traffic.arc_ms, FOREVER_MS - 1)[graph.arc].astype(np.int32)
        shut = np.zeros(network.turn_count, bool) if traffic.closed_turns is None else traffic.closed_turns.copy()
        if traffic.closed is not None:
            shut |= traffic.closed[graph.arc[graph.target]]
        if shut.any():
            between = np.where(shut, np.int32(FOREVER_MS), between)
        ms = np.minimum(inner[graph.source].astype(np.int64) + between, FOREVER_MS).astype(np.int32)
        return inner, between, ms

    def _change(self, inner: IntArray, between: IntArray, ms: IntArray) -> int:
        metric = self._metric
        oracle, changed = metric.oracle, np.flatnonzero(ms != metric.oracle.weights.ms).astype(np.int32)
        if len(changed) > REPAIR_SHARE * len(ms):
            oracle = oracle.reweighted(ms, self._spare)
            with self._gate.changing():
                self._spare = metric.oracle.weights
                self._metric = self._metric_of(metric.version + 1, inner, between, oracle)
        else:
            with self._gate.changing():
                if len(changed):
                    oracle.repair(changed, ms[changed])
                self._metric = self._metric_of(metric.version + 1, inner, between, oracle)
        return len(changed)

    def reading(self) -> AbstractContextManager[None]:
        """Hold this over several calls that must agree, or while kernels work on a `kernel_view`: traffic waits."""
        return self._gate.reading()

    # --- spots ----------------------------------------------------------------------------------------------

    @_reads
    def stop_at(self, place: Place) -> tuple[Spot, float]:
        """The spot where a vehicle stops for a place, and how many metres it is off; (Spot(-1), inf) if none is near.

        On a busy street that is the side of the address. Elsewhere it is the direction that makes the way there and
        away shorter, measured from the heart of the network; the near side where both are alike.
        """
        lon, lat = np.array([place.lon]), np.array([place.lat])
        if isinstance(self.network, PlainNetwork):
            node, off = self.network.nearest(lon, lat)
            return Spot(int(node[0])), float(off[0])
        assert self._snapper is not None
        snapped = self._snapper.snap(lon, lat, limit_m=FAR_M)
        if snapped.street[0] < 0:
            return Spot(-1), float("inf")
        metric = self._metric
        busy = int(self.network.street_class[snapped.street[0]]) in KERB_CLASSES
        kerb = self._anchors(metric, snapped, "kerb")
        spot = Spot(int(kerb.a[0]), int(kerb.a_ms[0]))
        if not busy:
            both = self._anchors(metric, snapped, "any")
            other = Spot(int(both.b[0]), int(both.b_ms[0]))
            if other.state == spot.state:
                other = Spot(int(both.a[0]), int(both.a_ms[0]))
            if other.state >= 0 and self._from_heart(metric, other) < self._from_heart(metric, spot):
                spot = other
        return spot, float(snapped.metres[0])

    def _from_heart(self, metric: Metric, spot: Spot) -> int:
        heart = int(metric.oracle.hierarchy.node[0])
        return self._between(metric, Spot(heart), spot) + self._between(metric, spot, Spot(heart))

    def place_of(self, spot: Spot, name: str = "") -> Place:
        """Coordinates of a spot."""
        return self.network.place_at(spot, name)

    @_reads
    def between(self, source: Spot, target: Spot) -> int:
        """ms from one spot to another."""
        return self._between(self._metric, source, target)

    def _between(self, metric: Metric, source: Spot, target: Spot) -> int:
        labels = self._labels(metric, np.array([source.state, target.state], np.int32))
        return int(spot_kernels.spot_pair(labels, metric.states, *source, *target))

    @_reads
    def to_spots(self, source: Spot, states: IntArray, offsets_ms: IntArray) -> IntArray:
        """(s,) ms from one spot to many; 0 for a state of -1."""
        metric, out = self._metric, np.empty(len(states), np.int32)
        labels = self._labels(metric, np.append(states, np.int32(source.state)))
        spot_kernels.to_spots(labels, metric.states, *source, states, offsets_ms, out)
        return out

    @_reads
    def from_spots(self, states: IntArray, offsets_ms: IntArray, target: Spot) -> IntArray:
        """(s,) ms from many spots to one; 0 for a state of -1."""
        metric, out = self._metric, np.empty(len(states), np.int32)
        labels = self._labels(metric, np.append(states, np.int32(target.state)))
        spot_kernels.from_spots(labels, metric.states, states, offsets_ms, *target, out)
        return out

    def nearest(self, states: IntArray, offsets_ms: IntArray, target: Spot, count: int) -> tuple[LongArray, IntArray]:
        """The `count` spots (vehicles) that reach `target` first: their rows, and ms; the lowest row among equals."""
        ms = self.from_spots(states, offsets_ms, target)
        ms[states < 0] = FOREVER_MS
        first = np.argsort(ms, kind="stable")[:count]
        first = first[ms[first] < FOREVER_MS]
        return first, ms[first]

    def kernel_view(self, *states: IntArray | int) -> RoadView:
        """All that kernels need for times and ways between these states, under the metric in force."""
        metric = self._metric
        oracle, keys = metric.oracle, metric.oracle.keys
        wanted = np.concatenate([np.atleast_1d(np.asarray(s, np.int32)) for s in states])
        return RoadView(
            self._labels(metric, wanted), metric.states, self._bounds(metric), metric.inner_ms, self.graph.inner_mm,
            oracle.hierarchy.tree, oracle.shape, keys.key, keys.up, keys.down, keys.up_arc, keys.down_arc,
            keys.middle,
        )  # fmt: skip

    def _bounds(self, metric: Metric) -> Bounds:
        if self._bounds_of is None or self._bounds_of[0] != metric.version:
            self._bounds_of = metric.version, self._cells.bounds(metric.oracle, metric.states)
        return self._bounds_of[1]

    @cached_property
    def _cells(self) -> Cells:
        network, graph, oracle = self.network, self.graph, self._metric.oracle
        if isinstance(network, PlainNetwork):
            lon, lat = network.lon, network.lat
        else:
            start = network.arc_tail[network.state_arc]
            lon, lat = network.node_lon[start], network.node_lat[start]
        heart = int(oracle.hierarchy.node[0])
        if oracle.weights.labels is None:
            connected = np.ones(graph.state_count, bool)
        else:
            connected = (oracle.from_all(heart) < FOREVER_MS) & (oracle.to_all(heart) < FOREVER_MS)
        return cells_of(lon * np.cos(np.radians(float(np.median(lat)))), lat, graph.arc, connected)

    @_reads
    def drive(self, source: Spot, target: Spot) -> Drive:
        """The fastest way between two spots, the shortest among equally fast ones. Raises LookupError without one."""
        metric, graph = self._metric, self.graph
        turns = np.zeros(0, np.int32)
        ahead = graph.arc[source.state] == graph.arc[target.state] and target.offset_ms >= source.offset_ms
        if not ahead:
            oracle, keys = metric.oracle, metric.oracle.keys
            _, end, first = key_spots.best_end(
                oracle.hierarchy.tree, oracle.shape, metric.states, keys.key, keys.up, keys.down, source.state,
                target.state, True, oracle.climbs(),
            )  # fmt: skip
            if end < 0:
                raise LookupError(f"no way from {source} to {target}")
            start = source.state if first < 0 else int(graph.target[first])
            turns = oracle.path(start, end)
            if first >= 0:
                turns = np.concatenate([np.array([first], np.int32), turns])
        states = np.concatenate([np.array([source.state], np.int32), graph.target[turns]])
        steps = np.concatenate([[0], np.cumsum(metric.oracle.weights.ms[turns])])
        enter = (steps - source.offset_ms).astype(np.int32)
        mm = int(graph.mm[turns].sum(dtype=np.int64)) + self._mm_at(metric, int(states[-1]), target.offset_ms)
        mm -= self._mm_at(metric, source.state, source.offset_ms)
        return Drive(source, target, states, turns, enter, int(enter[-1]) + target.offset_ms, mm)

    @_reads
    def lengths(self, spots: Sequence[Spot]) -> LongArray:
        """(n, n) mm of the drives between spots, of the very ways `drive` takes; NO_WAY_MM where there is none, 0 from
        and to a state of -1."""
        metric, graph = self._metric, self.graph
        state, offset_ms = np.array(spots, np.int32).reshape(-1, 2).T
        along = np.array([self._mm_at(metric, *spot) if spot.state >= 0 else 0 for spot in spots], np.int64)
        out: LongArray = lengths_between(metric.oracle, graph, state) + along[None, :] - along[:, None]
        alike = (graph.arc[state][:, None] == graph.arc[state][None, :]) & (state[:, None] >= 0) & (state[None, :] >= 0)
        ahead = alike & (offset_ms[None, :] >= offset_ms[:, None])
        out[ahead] = (along[None, :] - along[:, None])[ahead]
        for a, b in np.argwhere(alike & ~ahead).tolist():  # once round and back
            try:
                out[a, b] = self.drive(spots[a], spots[b]).mm
            except LookupError:
                out[a, b] = NO_WAY_MM
        out[state < 0, :] = out[:, state < 0] = 0
        return np.minimum(out, NO_WAY_MM)

    @_reads
    def drive_mm(self, drive: Drive, until: Spot, count: int) -> int:
        """mm of the first `count` states of a drive, up to the spot `until` on the last of them."""
        metric, mm = self._metric, int(self.graph.mm[drive.turns[: count - 1]].sum(dtype=np.int64))
        return mm + self._mm_at(metric, *until) - self._mm_at(metric, *drive.source)

    def _mm_at(self, metric: Metric, state: int, offset_ms: int) -> int:
        inner = int(metric.inner_ms[state])
        return int(self.graph.inner_mm[state]) * offset_ms // inner if inner else 0

    def _labels(self, metric: Metric, states: IntArray) -> queries.Labels:
        """Labels with the rows that spot kernels touch: the states', their twins', and those one turn on."""
        oracle, graph = metric.oracle, self.graph
        if oracle.weights.labels is not None:
            return oracle.weights.labels
        near = np.unique(states[states >= 0])
        while len(more := np.setdiff1d(graph.twin[near], np.append(near, np.int32(-1)))):
            near = np.union1d(near, more)
        fan = [graph.target[graph.first[s] : graph.first[s + 1]] for s in near.tolist()]
        return oracle.labels_of(oracle.numbers(np.concatenate([near, *fan])))

    # --- coordinates ----------------------------------------------------------------------------------------

    def snap(self, points: Points, *, limit_m: float = 1_000.0, needed: int = STOPPABLE) -> Snapped:
        """Nearest streets of points, (lon, lat) each; `needed` are street flags such as STEP_FREE."""
        if self._snapper is None:
            raise InputError("a plain network has no streets to snap to", remedy="ask for spots with stop_at")
        return self._snapper.snap(*lon_lat(points), limit_m=limit_m, needed=needed)

    @_reads
    def matrix(
        self, origins: Points | Snapped, destinations: Points | Snapped | None = None, *, approach: Approach = "any",
        limit_m: float = 1_000.0,
    ) -> IntArray:  # fmt: skip
        """(o, d) ms from every origin to every destination (the origins themselves if none are given).

        FOREVER_MS for points with no street within `limit_m`. With approach "any" a vehicle may stop on either
        side and set out in either direction; with "kerb" it stops on the side the point lies on.
        """
        metric = self._metric
        sources = self._points(metric, origins, approach, limit_m)
        targets = sources if destinations is None else self._points(metric, destinations, approach, limit_m)
        labels = self._labels(metric, np.concatenate([sources.a, sources.b, targets.a, targets.b]))
        a, b = self._deepest(labels, metric, sources, False), self._deepest(labels, metric, targets, True)
        by_a, by_b = np.argsort(a, kind="stable").astype(np.int32), np.argsort(b, kind="stable").astype(np.int32)
        up, up_at = self._rows(labels, metric, sources, a, True)
        down, down_at = self._rows(labels, metric, targets, b, False)
        out = np.empty((len(a), len(b)), np.int32)
        at = np.maximum(a[by_a], 0), np.maximum(b[by_b], 0)
        queries.matrix(labels, at[0], up, up_at[by_a], at[1], down, down_at[by_b], by_a, by_b, out)
        by_street = np.argsort(targets.street, kind="stable").astype(np.int32)
        spot_kernels.fix_same_street(labels, metric.states, sources, targets, by_street, out)
        return out

    @_reads
    def matrix_with_lengths(
        self, origins: Points | Snapped, destinations: Points | Snapped | None = None, *, approach: Approach = "any",
        limit_m: float = 1_000.0,
    ) -> tuple[IntArray, IntArray]:  # fmt: skip
        """(o, d) ms as `matrix`, and mm along the shortest among the fastest ways; -1 where there is none."""
        metric = self._metric
        sources = self._points(metric, origins, approach, limit_m)
        targets = sources if destinations is None else self._points(metric, destinations, approach, limit_m)
        oracle, keys = metric.oracle, metric.oracle.keys
        shape, out = oracle.shape, np.empty((len(sources.street), len(targets.street)), np.int64)
        a, b = self._deepest(shape, metric, sources, False), self._deepest(shape, metric, targets, True)
        key_spots.point_key_matrix(
            oracle.hierarchy.tree, shape, metric.states, keys.key, keys.up, keys.down, sources, a, targets, b, out
        )
        return split_keys(out)

    @_reads
    def spots_of(self, snapped: Snapped, approach: Approach = "any") -> list[list[Spot]]:
        """The one or two spots of each snapped point; none for a point off the road."""
        anchors = self._anchors(self._metric, snapped, approach)
        columns = anchors.a.tolist(), anchors.a_ms.tolist(), anchors.b.tolist(), anchors.b_ms.tolist()
        return [
            [Spot(*spot) for spot in ((a, a_ms), (b, b_ms)) if spot[0] >= 0]
            for a, a_ms, b, b_ms in zip(*columns, strict=True)
        ]

    @_reads
    def arcs_from(self, snapped: Snapped) -> tuple[FloatArray, list[Spot]]:
        """From one snapped point, driving off either way: ms when the start of each arc (m,) is passed, and the spots
        one sets out from. An arc one sets out on counts from when its start is reached by going round."""
        metric, network = self._metric, self.network
        assert isinstance(network, RoadNetwork)
        states = np.arange(self.graph.state_count, dtype=np.int32)
        spots = self.spots_of(snapped)[0]
        best = np.full(network.arc_count, float(FOREVER_MS))
        for spot in spots:
            row = metric.oracle.matrix(np.array([spot.state], np.int32), states)[0] - spot.offset_ms
            row[spot.state] = self._between(metric, spot, Spot(spot.state))
            np.minimum.at(best, network.state_arc, row)
        return best, spots

    @_reads
    def along_mm(self, spot: Spot) -> int:
        """mm from the start of a spot's arc to it, in proportion to the time and rounded down."""
        return self._mm_at(self._metric, *spot)

    def _deepest(
        self, labels: queries.Labels, metric: Metric, points: spot_kernels.Anchors, with_twins: bool
    ) -> IntArray:
        out = np.empty(len(points.street), np.int32)
        spot_kernels.deepest_numbers(labels, metric.states, points, with_twins, out)
        return out

    def _rows(
        self, labels: queries.Labels, metric: Metric, points: spot_kernels.Anchors, numbers: IntArray, is_source: bool
    ) -> tuple[IntArray, LongArray]:
        at = np.zeros(len(numbers) + 1, np.int64)
        np.cumsum(labels.depth[np.maximum(numbers, 0)] + 8 & ~7, out=at[1:])
        rows = np.empty(int(at[-1]), np.int32)
        spot_kernels.point_rows(labels, metric.states, points, numbers, is_source, at, rows)
        return rows, at[:-1]

    def _points(
        self, metric: Metric, points: Points | Snapped, approach: Approach, limit_m: float
    ) -> spot_kernels.Anchors:
        snapped = points if isinstance(points, Snapped) else self.snap(points, limit_m=limit_m)
        return self._anchors(metric, snapped, approach)

    def _anchors(self, metric: Metric, snapped: Snapped, approach: Approach) -> spot_kernels.Anchors:
        """States of snapped points: along the street's geometry first, against it second."""
        network = self.network
        assert isinstance(network, RoadNetwork)
        found = snapped.street >= 0
        street = np.where(found, snapped.street, 0)
        ahead, back = (np.where(found, arcs[street], -1) for arcs in network.arcs_of_street)
        ahead, back = (np.where(arcs >= 0, network.stop_state[arcs], -1) for arcs in (ahead, back))
        if approach == "kerb":
            near = 1 if network.driving_side == "left" else -1
            both = (ahead >= 0) & (back >= 0)
            against = both & (snapped.side == -near)
            ahead, back = np.where(against, -1, ahead), np.where(both & ~against, -1, back)
        a_ms = np.rint(snapped.share * metric.inner_ms[ahead]).astype(np.int32)
        b_ms = np.rint((1.0 - snapped.share) * metric.inner_ms[back]).astype(np.int32)
        mm = network.street_mm[street]
        a_mm = np.rint(snapped.share * mm).astype(np.int32)
        b_mm = (mm - a_mm).astype(np.int32)
        first = ahead >= 0  # the only state of a point stands in a
        return spot_kernels.Anchors(
            snapped.street, np.where(first, ahead, back).astype(np.int32), np.where(first, a_ms, b_ms),
            np.where(first, a_mm, b_mm), np.where(first, back, -1).astype(np.int32), b_ms, b_mm,
        )  # fmt: skip


def lon_lat(points: Points) -> tuple[FloatArray, FloatArray]:
    """Columns of coordinates. Raises InputError where they are not degrees."""
    if isinstance(points, np.ndarray):
        table = np.asarray(points, np.float64).reshape(-1, 2)
    else:
        rows = [(p.lon, p.lat) if isinstance(p, Place) else p for p in points]
        table = np.array(rows, np.float64).reshape(-1, 2)
    bad = ~(np.abs(table[:, 0]) <= 180.0) | ~(np.abs(table[:, 1]) <= 90.0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"({table[row, 0]:g}, {table[row, 1]:g}) is no place on Earth", where=f"point {row}",
            remedy="give (lon, lat) in degrees",
        )  # fmt: skip
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
