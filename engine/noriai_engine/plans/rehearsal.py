"""A made-up problem before the clock starts: on a fresh machine it compiles the optimiser's kernels, a minute that the
budget of a real search should not pay for."""

from itertools import count
from typing import Any

import numpy as np

from noriai_engine.plans.certificate import certified
from noriai_engine.plans.params import SolveParams
from noriai_engine.plans.problem import Problem
from noriai_engine.plans.solver import solve

LINE = np.array([0, 1, 2, 5, 3, 4, 6])
"""Where the nodes are: two depots' one place, three pickups, three deliveries."""


def rehearse(time: np.dtype[Any], *, fewest_vehicles: bool = False, bounds: bool = False) -> None:
    """Solve it with times of a type (int32 ms of roads, float64 of benchmark files), as real searches are."""
    travel = np.abs(LINE[:, None] - LINE[None, :]).astype(time)
    nodes = len(LINE)
    problem = Problem(
        name="rehearsal", label=tuple("0123456"), travel=travel, cost=travel[None].astype(np.float64),
        early=np.zeros(nodes, time), late=np.full(nodes, 100, time), service=np.zeros(nodes, time),
        pickup=np.array([1, 2, 3]), delivery=np.array([4, 5, 6]), demand=np.ones((3, 1), int),
        layouts=(np.array([[2]]),), kind=np.zeros(2, int), start=np.zeros(2, int), end=np.zeros(2, int),
        duration=np.full(2, 90), fixed=np.zeros(2), max_ride=np.full(3, 50), price=np.full(3, 1_000.0),
        fewest_vehicles=fewest_vehicles,
    )  # fmt: skip
    ticks = count(0.0, 0.01).__next__
    solution = solve(problem, SolveParams(seconds=1.0, iterations=200), ticks)
    if bounds:
        certified(problem, solution, ticks, 1.0)
