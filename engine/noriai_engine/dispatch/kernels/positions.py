"""Where vehicles under way are: found when somebody asks, along the fastest way to their next stop."""

from typing import NamedTuple

from noriai_engine.dispatch.plan_arrays import PlanArrays
from noriai_engine.kernels import lean_kernel
from noriai_engine.model.units import ByteArray, IntArray
from noriai_engine.roads.kernels.bounds import RoadView
from noriai_engine.roads.kernels.climbing import Climbs, key_path
from noriai_engine.roads.kernels.key_spots import best_end
from noriai_engine.roads.kernels.spots import spot_pair


class Paths(NamedTuple):
    """Drives under way (V,): `driving` 0 or 1; `located` the instant (day ms) the position was last found for;
    `count` states of the way are known (0: none yet), `whole` 1 where they are all of it, `at` the one the vehicle is
    on. `state` and `enter` (V, P): the way, and when the start of each state is passed (day ms); `target` the offset
    on the last state where the drive ends. A vehicle that is `roaming` drives to wait somewhere, not to its next row:
    to the state `goal` and the offset `goal_ms`, where it is `due` (day ms) and `onward` ms from its next row. `turns`
    and `climbs` are working space."""

    driving: ByteArray
    located: IntArray
    whole: ByteArray
    count: IntArray  # type: ignore[assignment]  # the design's name; tuple.count is never used
    at: IntArray
    target: IntArray
    state: IntArray
    enter: IntArray
    roaming: ByteArray
    goal: IntArray
    goal_ms: IntArray
    due: IntArray
    onward: IntArray
    turns: IntArray
    climbs: Climbs


@lean_kernel
def trace(roads: RoadView, plans: PlanArrays, paths: Paths, vehicle: int) -> None:
    """The way from the position to where the vehicle drives, or as much of it as there is room for."""
    row = plans.first[vehicle]
    source, target, ends = plans.rows[row].state, plans.rows[row + 1].state, plans.rows[row + 1].offset
    if paths.roaming[vehicle]:
        target, ends = paths.goal[vehicle], paths.goal_ms[vehicle]
    states = roads.states
    passed = plans.rows[row].begin - plans.rows[row].offset
    paths.state[vehicle, 0] = source
    paths.enter[vehicle, 0] = passed
    paths.at[vehicle], paths.count[vehicle], paths.whole[vehicle] = 0, 1, 1
    paths.target[vehicle] = ends
    if states.arc[source] == states.arc[target] and ends >= plans.rows[row].offset:
        return
    end, first = target, -1
    if source == target or states.twin[target] >= 0:
        _, end, first = best_end(
            roads.tree, roads.shape, states, roads.key, roads.up, roads.down, source, target, True, paths.climbs
        )  # fmt: skip
    start, count = source, 1
    if first >= 0:
        passed += states.turn_ms[first]
        start = states.turn_target[first]
        paths.state[vehicle, 1], paths.enter[vehicle, 1] = start, passed
        count = 2
    found = key_path(
        roads.tree, roads.shape, roads.up, roads.down, roads.up_arc, roads.down_arc, roads.key, roads.middle,
        states.number[start], states.number[end], paths.climbs, paths.turns,
    )  # fmt: skip
    if found == -1:
        found = paths.turns.shape[0]
        paths.whole[vehicle] = 0
    for k in range(found):
        if count == paths.state.shape[1]:
            paths.whole[vehicle] = 0
            break
        turn = paths.turns[k]
        passed += states.turn_ms[turn]
        paths.state[vehicle, count], paths.enter[vehicle, count] = states.turn_target[turn], passed
        count += 1
    paths.count[vehicle] = count


@lean_kernel
def locate(roads: RoadView, plans: PlanArrays, paths: Paths, vehicle: int, now: int) -> None:
    """Move the position of a vehicle under way to where it is at `now`.

    On a street that is a spot along it; in the middle of a turn it is the start of the next street, reached a little
    later. Along the nodes of a plain graph (`inner` 0) a vehicle's position is the next node on its way.
    """
    if not paths.driving[vehicle] or paths.located[vehicle] == now:
        return
    paths.located[vehicle] = now
    row = plans.first[vehicle]
    arrives = plans.rows[row].begin + plans.rows[row + 1].leg
    while True:
        if paths.count[vehicle] == 0:
            trace(roads, plans, paths, vehicle)
        at, last = paths.at[vehicle], paths.count[vehicle] - 1
        while at < last and paths.enter[vehicle, at + 1] <= now:
            at += 1
        if at < last or paths.whole[vehicle]:
            break
        plans.rows[row].state, plans.rows[row].offset = paths.state[vehicle, at], 0
        plans.rows[row].begin = paths.enter[vehicle, at]
        paths.count[vehicle] = 0
    inner = roads.inner[paths.state[vehicle, at]]
    ends = paths.target[vehicle] if at == last else inner
    offset = max(0, now - paths.enter[vehicle, at])
    if offset > ends:
        if at < last:
            at += 1
            offset = 0
        else:
            offset = ends
    paths.at[vehicle] = at
    plans.rows[row].state = paths.state[vehicle, at]
    plans.rows[row].offset = offset
    plans.rows[row].begin = paths.enter[vehicle, at] + offset
    plans.rows[row].done = plans.rows[row].begin
    if not paths.roaming[vehicle]:
        plans.rows[row + 1].leg = arrives - plans.rows[row].begin
    elif plans.rows[row + 1].state >= 0:
        plans.rows[row + 1].leg = spot_pair(
            roads.labels, roads.states, plans.rows[row].state, plans.rows[row].offset, plans.rows[row + 1].state,
            plans.rows[row + 1].offset,
        )  # fmt: skip
