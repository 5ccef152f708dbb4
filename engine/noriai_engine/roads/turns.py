"""The turn-aware graph: its nodes are states (an arc, and what restrictions remember of the way there), its arcs
are turns.

Turn costs are those of OSRM's car profile: a sigmoid of the angle that saturates at `turn_ms`, biased towards the
side of the road, and more for a turn across oncoming traffic. Geisberger and Vetter, "Efficient Routing in Road
Networks with Turn Costs" (SEA 2011), describe the edge-expanded graph.
"""

from dataclasses import dataclass

import numpy as np

from noriai_engine.model.units import BoolArray, FloatArray, IntArray
from noriai_engine.roads.geodesy import turn_angle_deg
from noriai_engine.roads.profiles import Profile
from noriai_engine.roads.restrictions import ArcEnds, ArcRule

_NOISE_DEG = 1e-6


@dataclass(frozen=True)
class Turns:
    """States 0 .. m - 1 are the arcs themselves; further ones repeat an arc for those who come a restricted way.

    `state_arc` (k,). `standing`: states of vehicles that have stopped on an arc with several states: nobody knows how
    they came there, so all restrictions that anyone there might be under hold for them.
    A turn leads from one state to another: `source`, `target`, `ms` (t,), the delay alone, and `condition` (t,): 0, or
    the index in `conditions` of the time when it is forbidden. Sorted by (source, target).
    """

    state_arc: IntArray
    source: IntArray
    target: IntArray
    ms: IntArray
    condition: IntArray
    conditions: tuple[str, ...]
    standing: IntArray


def plain_turns(arcs: ArcEnds, blocked: BoolArray) -> tuple[IntArray, IntArray]:
    """(source, target) of all turns that no restriction touches: every way on, and back only where there is no other
    or the junction is blocked."""
    fan = arcs.first_out[arcs.head + 1] - arcs.first_out[arcs.head]
    source = np.repeat(np.arange(len(arcs.tail), dtype=np.int32), fan)
    within = np.arange(len(source)) - np.repeat(np.cumsum(fan) - fan, fan)
    target = (arcs.first_out[arcs.head[source]] + within).astype(np.int32)
    back = is_u_turn(arcs, source, target)
    others = fan - np.bincount(source[back], minlength=len(fan))
    stuck = (others == 0) | blocked[arcs.head]
    kept = np.where(back, stuck[source], ~blocked[arcs.head][source])
    return source[kept], target[kept]


def is_u_turn(arcs: ArcEnds, source: IntArray, target: IntArray) -> BoolArray:
    """True where a turn goes back along the same street."""
    same = (arcs.street[source] == arcs.street[target]) & (source != target)
    out: BoolArray = same & (arcs.tail[source] == arcs.head[target]) & (arcs.head[source] == arcs.tail[target])
    return out


def turn_delays(
    arcs: ArcEnds, source: IntArray, target: IntArray, roads_at: IntArray, roundabout: BoolArray, profile: Profile,
    *, left_hand: bool,
) -> IntArray:  # fmt: skip
    """Whole ms of each turn. `roads_at` (n,): street ends at a junction; `roundabout` (m,): the arc is part of one."""
    angle = _settled(turn_angle_deg(arcs.arriving[source], arcs.leaving[target]), left_hand=left_hand)
    back = is_u_turn(arcs, source, target)
    crowded = roads_at[arcs.head[source]] > 2
    bias = 1.0 / profile.turn_bias if left_hand else profile.turn_bias
    right = profile.turn_ms / (1.0 + np.exp(-((13.0 / bias) * angle / 180.0 - 6.5 * bias)))
    left = profile.turn_ms / (1.0 + np.exp(-((13.0 * bias) * -angle / 180.0 - 6.5 / bias)))
    to_right = angle > 0 if left_hand else angle >= 0  # straight on counts as the side without oncoming traffic
    delay: FloatArray = np.where(crowded, np.where(to_right, right, left), 0.0)
    crosses = ((angle > 0) if left_hand else (angle < 0)) & crowded & ~back
    crosses &= ~roundabout[source] & ~roundabout[target]
    sharpness = 1.0 / (1.0 + np.exp(-(13.0 * np.abs(angle) / 180.0 - 3.25)))
    delay += np.where(crosses, profile.oncoming_ms * sharpness, 0.0)
    delay = np.where(back, profile.turn_ms + profile.u_turn_ms, delay)  # no angle: 180 degrees have no side
    return np.rint(delay).astype(np.int32)


def _settled(angle: FloatArray, *, left_hand: bool) -> FloatArray:
    """Angles without the noise of floating point where a side hangs on it: straight on is 0, and straight back a turn
    across oncoming traffic."""
    angle = np.where(np.abs(angle) < _NOISE_DEG, 0.0, angle)
    return np.where(np.abs(angle) > 180.0 - _NOISE_DEG, 180.0 if left_hand else -180.0, angle)


@dataclass(frozen=True, slots=True)
class _Prefix:
    """A via-way rule of which the first `length` arcs have been driven."""

    rule: int
    length: int


def restricted_turns(arc_count: int, source: IntArray, target: IntArray, rules: list[ArcRule]) -> Turns:
    """Turns and states under the rules, delays still 0.

    Rules over one turn take it away (or give it a condition). Longer ones need a memory: whoever has driven the
    first arcs of such a rule is in a state of its own until the path is left or the rule has spoken.
    """
    conditions = ("", *sorted({rule.condition for rule in rules} - {""}))
    out: dict[int, list[int]] = {}
    touched = {arc for rule in rules for arc in rule.path}
    rows = np.isin(source, np.fromiter(touched, np.int32))
    for a, b in zip(source[rows].tolist(), target[rows].tolist(), strict=True):
        out.setdefault(a, []).append(b)
    starting: dict[int, list[int]] = {}
    for number, rule in enumerate(rules):
        starting.setdefault(rule.path[0], []).append(number)
    memory: dict[tuple[int, frozenset[_Prefix]], int] = {}
    state_arc = list(range(arc_count))
    made: list[tuple[int, int, int]] = []
    todo: list[tuple[int, int, frozenset[_Prefix]]] = [(arc, arc, frozenset()) for arc in sorted(touched)]
    standing: list[int] = []
    while todo or not standing:
        if not todo:  # all ways there are known: add the states of those who stop
            for arc in sorted(set(state_arc[arc_count:])):
                everything = frozenset(
                    _Prefix(number, length)
                    for number, rule in enumerate(rules)
                    for length in range(2, len(rule.path))
                    if rule.path[length - 1] == arc
                )
                if (arc, everything) not in memory:
                    memory[arc, everything] = len(state_arc)
                    todo.append((len(state_arc), arc, everything))
                    state_arc.append(arc)
                standing.append(memory[arc, everything])
            if not todo:
                break
        state, arc, carried = todo.pop()
        active = carried | {_Prefix(number, 1) for number in starting.get(arc, ())}
        for onward in out.get(arc, ()):
            condition = _verdict(rules, active, onward, conditions)
            if condition < 0:
                continue
            kept = frozenset(
                _Prefix(p.rule, p.length + 1)
                for p in active
                if p.length < len(rules[p.rule].path) - 1 and rules[p.rule].path[p.length] == onward
            )
            goal = onward
            if kept:
                goal = memory.get((onward, kept), -1)
                if goal < 0:
                    goal = memory[onward, kept] = len(state_arc)
                    state_arc.append(onward)
                    todo.append((goal, onward, kept))
            made.append((state, goal, condition))
    extra = np.array(made, np.int32).reshape(-1, 3)
    all_source = np.concatenate([source[~rows], extra[:, 0]]).astype(np.int32)
    all_target = np.concatenate([target[~rows], extra[:, 1]]).astype(np.int32)
    closed_when = np.concatenate([np.zeros(int((~rows).sum()), np.int32), extra[:, 2]])
    order = np.lexsort((all_target, all_source))
    return Turns(
        np.array(state_arc, np.int32), all_source[order], all_target[order], np.zeros(len(order), np.int32),
        closed_when[order].astype(np.int32), conditions, np.array(standing, np.int32),
    )  # fmt: skip


def _verdict(
    rules: list[ArcRule], active: set[_Prefix] | frozenset[_Prefix], onward: int, texts: tuple[str, ...]
) -> int:
    """-1 where the turn is forbidden, 0 where it is free, else the index of the time when it is forbidden."""
    condition = 0
    for prefix in sorted(active, key=lambda p: (p.rule, p.length)):
        rule = rules[prefix.rule]
        if prefix.length == len(rule.path) - 1 and (rule.path[-1] == onward) != rule.only:
            if not rule.condition:
                return -1
            condition = condition or texts.index(rule.condition)
    return condition
