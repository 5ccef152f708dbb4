"""Several searches side by side, each with a seed of its own; kernels and HiGHS release the GIL."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from time import thread_time

from noriai_engine.model.errors import InputError
from noriai_engine.plans.params import SolveParams
from noriai_engine.plans.problem import Problem
from noriai_engine.plans.run import Progress, Solution
from noriai_engine.plans.solver import StopSearch, solve


def best_of_seeds(
    problem: Problem,
    params: SolveParams,
    seeds: int,
    *,
    begin_with: Sequence[Sequence[int]] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """The best solution of `seeds` searches, each with the whole budget (CPU seconds of its own thread).

    Fewest left out first, then fewest vehicles where they come first, then lowest cost, then lowest seed: so many seeds
    and iterations give the same plan however the threads run. Ctrl-C and StopSearch end all of them with their best.
    """
    if seeds < 1:
        raise InputError(f"{seeds} threads", remedy="give at least 1")
    if seeds == 1:
        return solve(problem, params, thread_time, begin_with=begin_with, progress=progress)
    stop = Event()

    def one(k: int) -> Solution:
        def tell(share: float, absent: int, cost: float) -> None:
            if stop.is_set():
                raise StopSearch
            if k == 0 and progress is not None:
                try:
                    progress(share, absent, cost)
                except StopSearch:
                    stop.set()
                    raise

        own = replace(params, seed=params.seed + k)
        return solve(problem, own, thread_time, begin_with=begin_with, progress=tell)

    with ThreadPoolExecutor(seeds) as threads:
        running = [threads.submit(one, k) for k in range(seeds)]
        try:
            solutions = [search.result() for search in running]
        except KeyboardInterrupt:
            stop.set()
            solutions = [search.result() for search in running]

    def rank(solution: Solution) -> tuple[float, ...]:
        if problem.fewest_vehicles:
            return (len(solution.absent), solution.vehicles, solution.cost)
        return (solution.total,)

    return min(solutions, key=rank)
