"""The same times between spots as `spots`, as (ms, mm) keys: lengths of the shortest among the fastest ways."""

from typing import Any

import numpy as np

from noriai_engine.kernels import kernel, lean_kernel
from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.kernels.climbing import Climbs, climb, climbs_for
from noriai_engine.roads.kernels.metric import INF_KEY, Tree
from noriai_engine.roads.kernels.queries import Labels, shared
from noriai_engine.roads.kernels.spots import Anchors, States


@lean_kernel
def as_key(ms: int, mm: int) -> int:
    key: Any = (np.int64(ms) << np.int64(32)) + np.int64(mm)
    return key


@lean_kernel
def key_pair(
    tree: Tree, labels: Labels, up: LongArray, down: LongArray, source: int, target: int, climbs: Climbs
) -> int:
    """Key from one node to another (tree numbers), INF_KEY where there is no path."""
    climb(tree, up, INF_KEY, source, climbs.above, climbs.via_up)
    climb(tree, down, INF_KEY, target, climbs.below, climbs.via_down)
    best = INF_KEY
    for d in range(shared(labels, source, target)):
        best = min(best, climbs.above[d] + climbs.below[d])
    return best


@lean_kernel
def best_end(
    tree: Tree, labels: Labels, states: States, turn_key: LongArray, up: LongArray, down: LongArray, source: int,
    target: int, away: bool, climbs: Climbs,
) -> tuple[int, int, int]:  # fmt: skip
    """Best way from the start of a state's arc to the start of a target's arc: (key, state it ends in, first turn).

    The first turn is -1 unless the way must leave first: with `away`, where the target is the source's own arc.
    """
    best, end, first = INF_KEY, -1, -1
    state = target
    while True:
        if state == source:
            if not away:
                return 0, state, -1
            for turn in range(states.first_turn[source], states.first_turn[source + 1]):
                onward = states.number[states.turn_target[turn]]
                key = turn_key[turn] + key_pair(tree, labels, up, down, onward, states.number[state], climbs)
                if key < best:
                    best, end, first = key, state, turn
        else:
            key = key_pair(tree, labels, up, down, states.number[source], states.number[state], climbs)
            if key < best:
                best, end, first = key, state, -1
        state = states.twin[state]
        if state < 0 or state == target:
            break
    return best, end, first


@kernel
def _same_street(
    tree: Tree, labels: Labels, states: States, turn_key: LongArray, up: LongArray, down: LongArray, sources: Anchors,
    s: int, targets: Anchors, t: int, climbs: Climbs,
) -> int:  # fmt: skip
    best = INF_KEY
    for p in range(2):
        source = sources.a[s] if p == 0 else sources.b[s]
        source_ms = sources.a_ms[s] if p == 0 else sources.b_ms[s]
        source_mm = sources.a_mm[s] if p == 0 else sources.b_mm[s]
        for q in range(2):
            target = targets.a[t] if q == 0 else targets.b[t]
            target_ms = targets.a_ms[t] if q == 0 else targets.b_ms[t]
            target_mm = targets.a_mm[t] if q == 0 else targets.b_mm[t]
            if source < 0 or target < 0:
                continue
            if states.arc[source] == states.arc[target] and target_ms >= source_ms:
                key = as_key(target_ms - source_ms, max(0, target_mm - source_mm))
            else:
                key, _, _ = best_end(tree, labels, states, turn_key, up, down, source, target, True, climbs)
                key += as_key(target_ms, target_mm) - as_key(source_ms, source_mm)
            best = min(best, key)
    return best


@kernel
def _climb_point(
    tree: Tree, states: States, weight: LongArray, state: int, shift: int, with_twins: bool, room: LongArray,
    via: IntArray, out: LongArray,
) -> None:  # fmt: skip
    start = state
    while True:
        number = states.number[state]
        climb(tree, weight, INF_KEY, number, room, via)
        for d in range(tree.depth[number] + 1):
            if room[d] < INF_KEY:
                out[d] = min(out[d], room[d] + shift)
        state = states.twin[state]
        if not with_twins or state < 0 or state == start:
            break


@kernel
def _point_keys(
    tree: Tree, states: States, weight: LongArray, points: Anchors, k: int, is_source: bool, room: LongArray,
    via: IntArray, out: LongArray,
) -> None:  # fmt: skip
    sign = -1 if is_source else 1
    out[:] = INF_KEY
    if points.a[k] >= 0:
        shift = sign * as_key(points.a_ms[k], points.a_mm[k])
        _climb_point(tree, states, weight, points.a[k], shift, not is_source, room, via, out)
    if points.b[k] >= 0:
        shift = sign * as_key(points.b_ms[k], points.b_mm[k])
        _climb_point(tree, states, weight, points.b[k], shift, not is_source, room, via, out)


@kernel
def point_key_matrix(
    tree: Tree, labels: Labels, states: States, turn_key: LongArray, up: LongArray, down: LongArray,
    sources: Anchors, source_number: IntArray, targets: Anchors, target_number: IntArray, out: LongArray,
) -> None:  # fmt: skip
    """Keys from every point to every point, INF_KEY where there is no path. Numbers are those of
    `deepest_numbers`."""
    climbs = climbs_for(tree)
    depth = np.max(tree.depth) + 1
    via, room = np.empty(depth, np.int32), np.empty(depth, np.int64)
    above, below = np.empty(depth, np.int64), np.empty((targets.street.shape[0], depth), np.int64)
    for t in range(targets.street.shape[0]):
        _point_keys(tree, states, down, targets, t, False, room, via, below[t])
    for s in range(sources.street.shape[0]):
        _point_keys(tree, states, up, sources, s, True, room, via, above)
        for t in range(targets.street.shape[0]):
            best = INF_KEY
            if source_number[s] >= 0 and target_number[t] >= 0:
                if sources.street[s] == targets.street[t]:
                    best = _same_street(tree, labels, states, turn_key, up, down, sources, s, targets, t, climbs)
                else:
                    theirs = below[t]
                    for d in range(shared(labels, source_number[s], target_number[t])):
                        best = min(best, above[d] + theirs[d])
            out[s, t] = min(best, INF_KEY)
