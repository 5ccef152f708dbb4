"""Times between spots: a spot is a state of the turn-aware graph and how far along its arc, in ms.

An oracle's distance runs from the start of one state's arc to the start of another's, so the time between spots is
that distance plus the target's offset less the source's. Two spots on one arc are the exception: ahead is near, and
behind means going round.
"""

from typing import NamedTuple

from noriai_engine.kernels import kernel, lean_kernel
from noriai_engine.model.units import IntArray, LongArray
from noriai_engine.roads.kernels.metric import INF
from noriai_engine.roads.kernels.queries import Labels, pair


class States(NamedTuple):
    """`number` (k,) place in the tree; `arc` (k,); `twin` (k,) next state of the same arc round and round, or -1;
    `first_turn` (k + 1,), `turn_target` (t,), and `turn_ms` (t,) from the start of an arc to the start of the next."""

    number: IntArray
    arc: IntArray
    twin: IntArray
    first_turn: LongArray
    turn_target: IntArray
    turn_ms: IntArray


@lean_kernel
def _round_trip(labels: Labels, states: States, state: int) -> int:
    """ms from the start of a state's arc, away and back to it."""
    best = INF
    for turn in range(states.first_turn[state], states.first_turn[state + 1]):
        onward = states.number[states.turn_target[turn]]
        best = min(best, states.turn_ms[turn] + pair(labels, onward, states.number[state]))
    return best


@lean_kernel
def spot_pair(labels: Labels, states: States, source: int, source_ms: int, target: int, target_ms: int) -> int:
    """ms from one spot to another; INF where there is no path."""
    if states.arc[source] == states.arc[target] and target_ms >= source_ms:
        return target_ms - source_ms
    best = INF
    state = target
    while True:
        if state == source:
            best = min(best, _round_trip(labels, states, source))
        else:
            best = min(best, pair(labels, states.number[source], states.number[state]))
        state = states.twin[state]
        if state < 0 or state == target:
            break
    return best if best >= INF else best + target_ms - source_ms


@kernel
def to_spots(
    labels: Labels, states: States, source: int, source_ms: int, target: IntArray, target_ms: IntArray, out: IntArray
) -> None:
    """ms from one spot to many, (s,) each; a target of state -1 is none, and its answer 0."""
    for k in range(target.shape[0]):
        out[k] = 0
        if target[k] >= 0:
            out[k] = spot_pair(labels, states, source, source_ms, target[k], target_ms[k])


@kernel
def from_spots(
    labels: Labels, states: States, source: IntArray, source_ms: IntArray, target: int, target_ms: int, out: IntArray
) -> None:
    """ms from many spots to one, (s,) each; a source of state -1 is none, and its answer 0."""
    for k in range(source.shape[0]):
        out[k] = 0
        if source[k] >= 0:
            out[k] = spot_pair(labels, states, source[k], source_ms[k], target, target_ms)


class Anchors(NamedTuple):
    """Points snapped to streets, (p,) each: up to two states a and b of one street, -1 where there is none, with the
    way from the arc's start to the point as ms and as mm."""

    street: IntArray
    a: IntArray
    a_ms: IntArray
    a_mm: IntArray
    b: IntArray
    b_ms: IntArray
    b_mm: IntArray


@kernel
def _deepest(labels: Labels, states: States, state: int, with_twins: bool, so_far: int) -> int:
    best = so_far
    start = state
    while state >= 0:
        number = states.number[state]
        if best < 0 or labels.depth[number] > labels.depth[best]:
            best = number
        state = states.twin[state]
        if not with_twins or state == start:
            break
    return best


@kernel
def deepest_numbers(labels: Labels, states: States, points: Anchors, with_twins: bool, out: IntArray) -> None:
    """The deepest tree number among each point's states; the others are its ancestors. -1 for a point off the road."""
    for k in range(out.shape[0]):
        out[k] = -1
        if points.a[k] >= 0:
            out[k] = _deepest(labels, states, points.a[k], with_twins, -1)
        if points.b[k] >= 0:
            out[k] = _deepest(labels, states, points.b[k], with_twins, out[k])


@kernel
def _lower_row(
    labels: Labels, rows: IntArray, states: States, state: int, shift: int, with_twins: bool, out: IntArray
) -> None:
    start = state
    while True:
        number = states.number[state]
        begin = labels.row[number]
        for d in range(labels.depth[number] + 1):
            ms = rows[begin + d]
            if ms < INF:
                out[d] = min(out[d], ms + shift)
        state = states.twin[state]
        if not with_twins or state < 0 or state == start:
            break


@kernel
def point_rows(
    labels: Labels, states: States, points: Anchors, numbers: IntArray, is_source: bool, at: LongArray, out: IntArray
) -> None:
    """One row a point, from the rows of its states: the k-th begins at at[k] of `out`."""
    rows = labels.up if is_source else labels.down
    sign = -1 if is_source else 1
    for k in range(numbers.shape[0]):
        if numbers[k] < 0:
            continue
        row = out[at[k] : at[k] + labels.depth[numbers[k]] + 1]
        row[:] = INF
        if points.a[k] >= 0:
            _lower_row(labels, rows, states, points.a[k], sign * points.a_ms[k], not is_source, row)
        if points.b[k] >= 0:
            _lower_row(labels, rows, states, points.b[k], sign * points.b_ms[k], not is_source, row)


@kernel
def same_street(labels: Labels, states: States, sources: Anchors, s: int, targets: Anchors, t: int) -> int:
    """ms between two points of one street."""
    best = INF
    for p in range(2):
        source = sources.a[s] if p == 0 else sources.b[s]
        source_ms = sources.a_ms[s] if p == 0 else sources.b_ms[s]
        for q in range(2):
            target = targets.a[t] if q == 0 else targets.b[t]
            target_ms = targets.a_ms[t] if q == 0 else targets.b_ms[t]
            if source >= 0 and target >= 0:
                best = min(best, spot_pair(labels, states, source, source_ms, target, target_ms))
    return best


@kernel
def fix_same_street(
    labels: Labels, states: States, sources: Anchors, targets: Anchors, by_street: IntArray, out: IntArray
) -> None:
    """Answers in `out` (s, t) for pairs on one street, and INF where a point is off the road.

    `by_street` (t,) lists the targets by ascending street.
    """
    count = by_street.shape[0]
    for s in range(out.shape[0]):
        street = sources.street[s]
        if street < 0:
            out[s, :] = INF
            continue
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if targets.street[by_street[middle]] < street:
                low = middle + 1
            else:
                high = middle
        while low < count and targets.street[by_street[low]] == street:
            t = by_street[low]
            out[s, t] = same_street(labels, states, sources, s, targets, t)
            low += 1
    for k in range(count):
        if targets.street[by_street[k]] >= 0:
            break
        out[:, by_street[k]] = INF
