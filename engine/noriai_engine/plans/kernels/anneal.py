"""The search: ruin, recreate, accept by simulated annealing; many iterations a call."""

import numpy as np
from numpy.typing import NDArray

from noriai_engine.kernels import inlined_kernel, lean_kernel
from noriai_engine.plans.kernels.arrays import Array, Moves, Pool, Routes, Tasks, Work
from noriai_engine.plans.kernels.dice import uniform
from noriai_engine.plans.kernels.energy import all_last, lasts
from noriai_engine.plans.kernels.exchange import BROKEN, DONE, NOTHING, exchange
from noriai_engine.plans.kernels.recreate import is_better, leaves_halves, recreate, solution_cost
from noriai_engine.plans.kernels.ruin import back_to, ruin_halves, ruin_kin, ruin_strings
from noriai_engine.plans.kernels.schedule import settle

CURRENT, BEST = 0, 1
MOST_EXCHANGES = 0.95  # share of iterations: some must change something
BOLD = 0.2  # share of iterations that open vehicles freely, where they cost something
POOL_GAP = 1.01  # routes of solutions that are at most 1 % worse than the best are worth keeping


@lean_kernel
def keep_best(r: Routes, best: Routes) -> None:
    for k in range(r.heads.shape[0]):
        best.heads[k].count = r.heads[k].count
        best.heads[k].cost = r.heads[k].cost
        for q in range(r.heads[k].count):
            best.rows[k, q].node = r.rows[k, q].node
    for task in range(r.home.shape[0]):
        best.home[task] = r.home[task]


@lean_kernel
def remember(t: Tasks, r: Routes, k: int, pool: Pool) -> int:
    """Write route k into the pool, or over a dearer one of the same tasks and class; its row, -1: pool full."""
    key = np.uint64(t.cars[k].kind + 1)
    for q in range(1, r.heads[k].count - 1):
        if t.stops[r.rows[k, q].node].role >= 0:
            key += pool.name[t.stops[r.rows[k, q].node].task]
    mask = np.uint64(pool.slot.shape[0] - 1)
    slot = key & mask
    while pool.slot[slot] >= 0:
        row = pool.slot[slot]
        if pool.key[row] == key:
            if pool.cost[row] <= r.heads[k].cost + 1e-9:
                return row
            break
        slot = (slot + np.uint64(1)) & mask
    row = pool.slot[slot]
    if row < 0:
        row = pool.used[0]
        need = pool.used[1] + r.heads[k].count - 2
        if row >= pool.key.shape[0] or need > pool.node.shape[0]:
            return -1
        pool.slot[slot] = row
        pool.key[row] = key
        pool.first[row] = pool.used[1]
        pool.first[row + 1] = need
        pool.kind[row] = t.cars[k].kind
        pool.used[0] = row + 1
        pool.used[1] = need
    pool.cost[row] = r.heads[k].cost
    for q in range(1, r.heads[k].count - 1):
        pool.node[pool.first[row] + q - 1] = r.rows[k, q].node
    return row


@lean_kernel
def rows_of(t: Tasks, best: Routes, pool: Pool, out: NDArray[np.int32]) -> None:
    """Rows of the pool that hold the routes of a solution, which are put there; -1 for idle vehicles."""
    for k in range(best.heads.shape[0]):
        out[k] = remember(t, best, k, pool) if best.heads[k].count > 2 else -1


@inlined_kernel
def _change(t: Tasks, r: Routes, old: Routes, m: Moves, w: Work, exchanges: float) -> int:
    """Take tasks out of routes or, in a share of the iterations, let two routes exchange segments; what comes back:
    see `exchange`."""
    for index in range(w.counts[0]):
        w.kept[index] = w.absent[index]
    for k in range(r.heads.shape[0]):
        w.dirty[k] = 0
    if uniform(w.dice) < exchanges:
        return exchange(t, r, old, w)
    if uniform(w.dice) < m.strings:
        ruin_strings(t, r, old, m.mean, m.longest, w)
    else:
        power = m.power if uniform(w.dice) < 0.9 else 1.0
        ruin_kin(t, r, old, 1 + int(uniform(w.dice) * m.kin), power, w)
    return DONE


@lean_kernel
def take_back(t: Tasks, r: Routes, old: Routes, absent: int, w: Work) -> None:
    """Undo an iteration: the routes and the `absent` tasks left out as they were before."""
    for k in range(r.heads.shape[0]):
        if w.dirty[k]:
            for q in range(1, r.heads[k].count - 1):
                r.home[t.stops[r.rows[k, q].node].task] = -1
    for k in range(r.heads.shape[0]):
        if w.dirty[k]:
            back_to(t, r, old, k)
    w.counts[0] = absent
    for index in range(absent):
        w.absent[index] = w.kept[index]
        r.home[w.kept[index]] = -1


@lean_kernel
def search(
    t: Tasks, r: Routes, old: Routes, best: Routes, memo: Array, pool: Pool, w: Work, m: Moves,
    costs: NDArray[np.float64], missed: NDArray[np.int64], iterations: int, heat: float, shrink: bool,
) -> int:  # fmt: skip
    """Run iterations at temperature `heat`; returns how often the best was beaten. `costs`: current, best.

    `shrink`: try to serve everything with fewer vehicles, and return at once when nothing is left out. Solutions then
    compete by how often the tasks they leave out found no place so far (`missed`, SISR's fleet phase): what is hard to
    place comes in, at the price of what is easy.
    """
    beaten = 0
    dear = False  # whether vehicles cost something themselves, and tasks may be left out
    for k in range(r.heads.shape[0]):
        dear = dear or t.cars[k].fixed > 0.0
    step = 0
    while step < iterations:
        absent = w.counts[0]
        before, was_missed = 0.0, 0
        for k in range(r.heads.shape[0]):
            before += r.heads[k].cost
        for index in range(absent):
            was_missed += missed[w.absent[index]]
        limit = (before if shrink else costs[CURRENT]) - heat * np.log(1.0 - uniform(w.dice))
        done = _change(t, r, old, m, w, 0.0 if shrink else min(m.exchange, MOST_EXCHANGES))
        if done == NOTHING and absent == 0:
            continue  # cost next to nothing, and does not count
        step += 1
        if done == BROKEN:
            take_back(t, r, old, absent, w)
            continue
        room = np.inf
        if not shrink:
            room = limit
            for k in range(r.heads.shape[0]):
                room -= r.heads[k].cost
        by_regret = uniform(w.dice) < m.regret
        shake = m.blink
        if by_regret:
            shake = m.noise if uniform(w.dice) < 0.5 else 0.0
        bold = dear and w.counts[0] > 0 and uniform(w.dice) < BOLD
        good = recreate(t, r, old, memo, by_regret, shake, bold, room, w)
        good = good and ruin_halves(t, r, old, w) and all_last(t, r, w)
        if shrink:
            if w.counts[0] == 0 and good:
                return 1
            after, is_missed = 0.0, 0
            for k in range(r.heads.shape[0]):
                after += r.heads[k].cost
            for index in range(w.counts[0]):
                is_missed += missed[w.absent[index]]
                missed[w.absent[index]] += 1
            if not good or is_missed > was_missed or (is_missed == was_missed and after >= limit):
                take_back(t, r, old, absent, w)
            continue
        cost = solution_cost(t, r, w) if good else limit
        if cost >= limit:
            take_back(t, r, old, absent, w)
            continue
        if cost != costs[CURRENT] and cost < costs[BEST] * POOL_GAP:
            for k in range(r.heads.shape[0]):
                if w.dirty[k] and r.heads[k].count > 2:
                    remember(t, r, k, pool)
        costs[CURRENT] = cost
        if is_better(cost, costs[BEST]) and not leaves_halves(t, r, w):
            costs[BEST] = cost
            keep_best(r, best)
            beaten += 1
    return beaten


@lean_kernel
def load_routes(t: Tasks, r: Routes, w: Work) -> bool:
    """Settle all routes as their sequences stand and list the absent tasks; False where one has no schedule."""
    good = True
    for task in range(r.home.shape[0]):
        r.home[task] = -1
    for k in range(r.heads.shape[0]):
        if not (settle(t, r, k, w) and lasts(t, r, k, -1, 0, 0)):
            good = False
    w.counts[0] = 0
    for task in range(r.home.shape[0]):
        if r.home[task] < 0:
            w.absent[w.counts[0]] = task
            w.counts[0] += 1
    return good


@lean_kernel
def take_over(r: Routes, best: Routes) -> None:
    """Sequences of another solution; `load_routes` must follow."""
    for k in range(r.heads.shape[0]):
        r.heads[k].count = best.heads[k].count
        for q in range(best.heads[k].count):
            r.rows[k, q].node = best.rows[k, q].node
