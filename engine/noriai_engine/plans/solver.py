"""The optimiser: from a problem to the best plan found in the time given (ruin, recreate, recombine).

Slack induction by string removals (Christiaens & Vanden Berghe 2020) with removals of tasks alike (Shaw 1998) and
regret insertion, accepted by simulated annealing; routes met on the way are recombined by set partitioning (Gschwind &
Drexl 2019). Where fewer vehicles come first, a fleet phase goes before.
"""

from collections.abc import Callable, Sequence

from noriai_engine.plans.fleet import find_fleet
from noriai_engine.plans.params import SolveParams
from noriai_engine.plans.problem import Problem
from noriai_engine.plans.recombination import Recombination
from noriai_engine.plans.run import Progress, Run, Solution


class StopSearch(Exception):  # noqa: N818 - a signal, no error
    """Raised by `progress`: end now and give back the best found."""


def solve(
    problem: Problem,
    params: SolveParams,
    clock: Callable[[], float],
    *,
    begin_with: Sequence[Sequence[int]] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """The best plan found in the budget; a valid one whenever it stops.

    `begin_with` are routes of a given plan (node indices, one list a vehicle): tasks that `problem.held` names stay in
    them, in that order. Raises InputError where they break a limit.
    """
    run = Run(problem, params, clock, progress)
    run.begin(begin_with if problem.count else ())
    if problem.count == 0:  # nothing to look for
        return run.solution()
    try:
        if problem.fewest_vehicles:
            find_fleet(run)
        _anneal(run)
    except (StopSearch, KeyboardInterrupt):
        pass  # what was best when the last call of the kernel ended is whole
    return run.solution()


def _anneal(run: Run) -> None:
    """Ruin and recreate from hot to cold; then recombine and cool again from the best, again and again.

    Where all routes can be priced exactly, that comes in between: it may end with the best plan there is.
    """
    p, routes = run.params, Recombination(run)
    begin, proof = run.done(), routes.proof()
    share = p.anneal_share if proof is None else p.anneal_share_exact
    heat = run.first_heat(share)
    cold = run.cold_heat()
    run.cool(begin + share * (1.0 - begin), heat, cold)
    if proof is not None:
        routes.widen(proof)
    prices = True
    while run.done() < 1.0:
        routes.recombine(prices=prices)
        if proof is None:
            run.back_to_best()
            reheat, left = max(p.reheat * run.scale, heat / 2.0), 1.0 - run.done()
            coolings = round(left / p.reheat_share)
            run.cool(1.0 if coolings < 2 else run.done() + left / coolings, reheat, cold)
            prices = False  # what pricing finds it finds the first time
            continue
        for _ in range(max(1, p.dives)):
            if p.dives and run.done() < 1.0:
                routes.dive()
            run.cool(min(1.0, run.done() + p.quench_share), cold, 0.5 * cold)
        routes.close(proof)
        if proof.is_closed:
            return
        proof = None
