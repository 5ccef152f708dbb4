"""noriai solve: the optimiser on a benchmark file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def solve(
    file: Path,
    *,
    time: float | None = None,
    iterations: int | None = None,
    seed: int = 1,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    start: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Find the best plan for a dial-a-ride or pickup-and-delivery file in the time given.

    Reads Cordeau/Ropke dial-a-ride, Li & Lim, and Sartori & Buriol files. Ctrl-C ends the search early with the best
    plan found so far. Exit status 0: every request served; 1: some could not be placed; 2: bad input.

    Example: noriai solve a4-48.txt --time 10 --seed 1 -o plan.json

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
    json
        Print the plan as JSON.
    """
    from contextlib import nullcontext
    from time import process_time

    from noriai_engine.plans import SolveParams, document_of, read_instance, read_routes, text_of
    from noriai_engine.plans import solve as find_plan
    from noriai_engine.tables.files import replace_file
    from noriai_engine.terminal import out, progress

    seconds = 10.0 if time is None and iterations is None else time
    params = SolveParams(seconds=seconds, iterations=iterations, seed=seed)
    problem = read_instance(file)
    begin_with = None if start is None else read_routes(start, problem)
    with replace_file(output) if output is not None else nullcontext() as target:
        with progress(problem.name, quiet=json) as advance:

            def tell(share: float, absent: int, cost: float) -> None:
                advance(int(1000 * share), 1000)

            solution = find_plan(problem, params, process_time, begin_with=begin_with, progress=tell)
        document = document_of(problem, solution)
        text = text_of(document)
        if target is not None:
            target.write(text + "\n")
    if json:
        out(text)
    else:
        unserved = f", {len(solution.absent)} requests could not be placed" if solution.absent else ""
        out(f"{problem.name}: cost {solution.cost:,.4f} with {solution.vehicles} vehicles{unserved}")
        if output is not None:
            out(f"plan: {output}")
    return 1 if solution.absent else 0
