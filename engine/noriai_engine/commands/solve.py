"""noriai solve: the optimiser on a benchmark file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from noriai_engine.plans import Solution


def solve(
    file: Path,
    *,
    time: float | None = None,
    iterations: int | None = None,
    seed: int = 1,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    start: Path | None = None,
    bound: float | None = None,
    threads: int = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Find the best plan for a dial-a-ride or pickup-and-delivery file in the time given.

    Reads Cordeau/Ropke dial-a-ride, Li & Lim, and Sartori & Buriol files. Ctrl-C ends the search early with the best
    plan found so far. Exit status 0: every request served; 1: some could not be placed; 2: bad input.

    Example: noriai solve a4-48.txt --time 10 --seed 1 --bound 30 -o plan.json

    Parameters
    ----------
    file
        Benchmark file; its format is told by its content.
    time
        CPU seconds for the search (10 unless iterations are given).
    iterations
        Iterations of the search; given alone, the same seed gives the same plan to the byte.
    seed
        Seed of the search.
    output
        Where to write the plan, as JSON.
    start
        A plan to begin with, as this command writes it.
    bound
        CPU seconds to spend on a lower bound afterwards; it may find a cheaper plan, or prove this one the best.
    threads
        Searches with seeds of their own (seed, seed + 1, ...) side by side; the best plan counts. Each has the time.
    json
        Print the plan as JSON.
    """
    from contextlib import nullcontext
    from time import process_time

    from noriai_engine.plans import (
        SolveParams,
        best_of_seeds,
        certified,
        check_boundable,
        document_of,
        read_instance,
        read_routes,
        rehearse,
        text_of,
    )
    from noriai_engine.tables.files import replace_file
    from noriai_engine.terminal import out, progress
    from noriai_engine.terminal import tell as tell_line

    seconds = 10.0 if time is None and iterations is None else time
    params = SolveParams(seconds=seconds, iterations=iterations, seed=seed)
    problem = read_instance(file)
    if bound is not None:
        check_boundable(problem, bound)
    begin_with = None if start is None else read_routes(start, problem)
    if not json:
        tell_line("a first run compiles the kernels, which takes about a minute; the clock of the search starts then")
    rehearse(problem.travel.dtype, fewest_vehicles=problem.fewest_vehicles, bounds=bound is not None)
    with replace_file(output) if output is not None else nullcontext() as target:
        with progress(problem.name, quiet=json) as advance:

            def tell(share: float, absent: int, cost: float) -> None:
                advance(int(1000 * share), 1000)

            solution = best_of_seeds(problem, params, threads, begin_with=begin_with, progress=tell)
        if bound is not None:
            if not json:
                tell_line(f"{problem.name}: lower bound, at most {bound:g} CPU s")
            solution = certified(problem, solution, process_time, bound)
        document = document_of(problem, solution)
        text = text_of(document)
        if target is not None:
            target.write(text + "\n")
    if json:
        out(text)
    else:
        unserved = f", {len(solution.absent)} requests could not be placed" if solution.absent else ""
        out(f"{problem.name}: cost {solution.cost:,.4f} with {solution.vehicles} vehicles{unserved}")
        if solution.bound is not None or bound is not None:
            out(_about(solution))
        if output is not None:
            out(f"plan: {output}")
    return 1 if solution.absent else 0


def _about(solution: "Solution") -> str:
    """What the bound says, in a sentence."""
    if solution.bound is None:
        return "no lower bound was found in that time"
    if solution.is_optimal:
        return "proven: no plan is cheaper"
    return f"lower bound {solution.bound:,.4f}: at most {100 * solution.gap:.2f} % can be saved"
