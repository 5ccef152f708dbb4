"""How good a plan can be at most: a lower bound, and a proof where it meets the plan."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.plans.arc_bound import ArcBound
from noriai_engine.plans.closing import Proof
from noriai_engine.plans.exact import MOST_FRAGMENTS
from noriai_engine.plans.params import SolveParams
from noriai_engine.plans.problem import Problem, tasks_of
from noriai_engine.plans.run import Run, Solution

STEPS = 500_000  # of the enumeration of fragments, for each second: at most a quarter of the time
PACE = 10_000  # fragments, for each second: with more, the relaxation would not be done in time


@dataclass(frozen=True)
class Certificate:
    """`bound`: no plan costs less (-inf: nothing is known); `routes` of a cheaper plan, if one was found on the way."""

    bound: float
    is_optimal: bool
    """The bound is the cost of the plan, or of `routes` where they are given: no plan is cheaper."""
    routes: tuple[tuple[int, ...], ...] | None = None


def check_boundable(problem: Problem, seconds: float) -> None:
    """Raise InputError where fewer vehicles come before lower cost (bounds are of costs), or no time is given."""
    if not seconds > 0:
        raise InputError(f"{seconds:g} seconds for a bound", remedy="give more than 0 seconds")
    if problem.fewest_vehicles:
        raise InputError(
            f"{problem.name}: fewer vehicles come before lower cost here", remedy="leave the bound out for this file"
        )


def prove(problem: Problem, solution: Solution, clock: Callable[[], float], seconds: float) -> Certificate:
    """A lower bound for the cost of any plan, prices of tasks left out included, and a cheaper plan if one turns up.

    Raises InputError as `check_boundable` does.
    """
    check_boundable(problem, seconds)
    tasks, began = tasks_of(problem), clock()
    steps, most = int(min(STEPS * seconds, 1e9)), int(min(PACE * seconds, MOST_FRAGMENTS))
    proof = Proof(tasks, lambda: seconds - (clock() - began), steps, most)
    if not proof.usable:  # too many ways from an empty vehicle to the next
        arcs = ArcBound(problem)
        arcs.rise(lambda: seconds - (clock() - began))
        return Certificate(arcs.bound, False)
    before = solution.total
    proof.begin(solution.routes, before, solution.met)
    proof.relax()
    if not proof.is_closed and proof.left() > 0.0:
        proof.close()
    return Certificate(
        proof.cost if proof.is_closed else proof.bound,
        proof.is_closed,
        proof.routes() if proof.cost < before - 1e-9 else None,
    )


def certified(problem: Problem, solution: Solution, clock: Callable[[], float], seconds: float) -> Solution:
    """The solution, or a cheaper one found on the way, with its bound. Raises InputError as `prove` does."""
    certificate = prove(problem, solution, clock, seconds)
    if certificate.routes is not None:
        run = Run(problem, SolveParams(seconds=None, iterations=1), clock, None)
        run.begin(certificate.routes)
        solution = replace(run.solution(), iterations=solution.iterations, met=solution.met)
    return replace(solution, bound=certificate.bound if np.isfinite(certificate.bound) else None)
