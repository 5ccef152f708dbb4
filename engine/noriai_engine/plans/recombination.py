"""New solutions from routes: those met by the search, those the relaxation asks for, and all there are."""

import numpy as np

from noriai_engine.plans.closing import Proof
from noriai_engine.plans.exact import MOST_FRAGMENTS
from noriai_engine.plans.kernels.anneal import rows_of, take_over
from noriai_engine.plans.kernels.arrays import Array, Pool
from noriai_engine.plans.kernels.pricing import collect, load_row
from noriai_engine.plans.partition import Master
from noriai_engine.plans.run import Run, write_route
from noriai_engine.plans.state import empty_memo, empty_pool, empty_routes, working_space


class Recombination:
    """Works on the pool of one search and puts what it finds into it."""

    def __init__(self, run: Run) -> None:
        self.run, self.exact = run, False
        self.master: Master | None = None
        self.chance = np.random.default_rng(run.params.seed)

    def proof(self) -> Proof | None:
        """What it takes to price all routes exactly, where that is possible; time bounds it, never iterations."""
        p = self.run.params
        if (
            p.seconds is None
            or self.run.done() >= 1.0
            or self.run.problem.fewest_vehicles
            or self.run.tasks.jobs["held"].any()
            or self.run.tasks.cars["full"].any()  # fragments know neither batteries
            or self.run.problem.comfort is not None  # nor comfort
        ):
            return None

        seconds = p.seconds * p.exact_share

        def left() -> float:
            return seconds * (1.0 - self.run.done())

        most = int(min(p.exact_pace * p.seconds, MOST_FRAGMENTS))
        proof = Proof(self.run.tasks, left, int(min(p.exact_steps * p.seconds, 1e9)), most)
        self.exact = proof.usable
        return proof if proof.usable else None

    def recombine(self, *, prices: bool = True) -> None:
        """The best choice among all routes met, and those that pricing adds if it `prices`, where that beats the best;
        the search goes on there."""
        p = self.run.params
        seconds = None if p.seconds is None else p.seconds * p.recombine_share
        rows = np.full(len(self.run.tasks.cars), -1, np.int32)
        rows_of(self.run.tasks, self.run.best, self.run.pool, rows)
        if (rows[self.run.best.heads["count"] > 2] < 0).any():  # the pool is full: begin anew
            self.run.pool = empty_pool(self.run.tasks)
            rows_of(self.run.tasks, self.run.best, self.run.pool, rows)
        if self.master is None or self.master.t is not self.run.tasks or self.master.pool is not self.run.pool:
            self.master = Master(self.run.tasks, self.run.pool)
        if prices:
            self.price_routes(self.master, rows[rows >= 0])
        choice = self.master.choose(self.run.costs[1], rows[rows >= 0], seconds)
        if choice is not None:
            self._go_on_from(choice.rows, self.run.pool)

    def widen(self, proof: Proof) -> None:
        """Into the pool: the routes that the relaxation over all routes needs."""
        proof.begin(self.run.routes_of(self.run.best), self.run.costs[1], self.run.pool)
        proof.relax()
        proof.give(self.run.pool)

    def close(self, proof: Proof) -> None:
        """The best plan there is, if it can be told in time; the search goes on there otherwise."""
        proof.begin(self.run.routes_of(self.run.best), self.run.costs[1], self.run.pool)
        proof.close(self.run.params.exact_patience)
        if proof.cost < self.run.costs[1] - 1e-9:
            for k, nodes in enumerate(proof.routes()):
                write_route(self.run.tasks, self.run.routes, k, nodes)
            self.run.load()
            self.run.take_stock()
        if proof.is_closed:
            self.run.bound = proof.bound

    def dive(self) -> None:
        """Go on from routes that the relaxation likes; what they leave out is inserted by the search."""
        assert self.master is not None
        self._go_on_from(self.master.dive(self.chance), self.run.pool)

    def _go_on_from(self, rows: Array, pool: Pool) -> None:
        """Make pool routes the current solution; the best one is kept until it is beaten."""
        chosen = empty_routes(self.run.tasks)
        sequences = [pool.node[pool.first[row] : pool.first[row + 1]] for row in rows]
        home = [self._held_by(sequence) for sequence in sequences]
        free = [k for k in range(len(self.run.tasks.cars)) if k not in home]
        for row, sequence, k in zip(rows, sequences, home, strict=True):
            if k < 0:
                k = next((k for k in free if self.run.tasks.cars["kind"][k] == pool.kind[row]), -1)
                if k < 0:
                    continue  # within the relaxation's tolerance there may be a vehicle too many
                free.remove(k)
            write_route(self.run.tasks, chosen, k, sequence)
        take_over(self.run.routes, chosen)
        self.run.load()
        self.run.take_stock()

    def price_routes(self, master: Master, known_rows: Array) -> None:
        """Find routes whose tasks are worth more than they cost in the relaxation, until its value stops falling."""
        p, t = self.run.params, self.run.tasks
        began, value = self.run.done(), master.relax()
        if t.jobs["held"].any() or self.exact:
            return
        kinds, firsts = np.unique(t.cars["kind"], return_index=True)
        lone = []
        for k in firsts:
            one = t._replace(cars=t.cars[k : k + 1].copy(), may=np.ascontiguousarray(t.may[:, k : k + 1]))
            lone.append((one, empty_routes(one), empty_routes(one), empty_memo(one)))
        work = working_space(t, p.seed + 7_919 * (1 + self.run.iterations))
        heat = p.price_heat * self.run.scale
        stalled = 0
        while stalled < 2 and value < self.run.costs[1] - 1e-7:
            found = 0
            for row in np.union1d(master.in_use(), known_rows):
                kind = int(self.run.pool.kind[row])
                one, routes, old, memo = lone[int(np.searchsorted(kinds, kind))]
                worth = np.maximum(master.dual[: len(t.jobs)], 0.0)
                most = master.dual[len(t.jobs) + kind] + 0.3 * (self.run.costs[1] - value)
                load_row(one, routes, self.run.pool, row, work)
                found += collect(one, routes, old, memo, self.run.pool, work, worth, most, p.price_iterations, heat)
                if self.run.done() - began > p.price_share:
                    break
            lower = master.relax()
            stalled = stalled + 1 if value - lower < 2e-4 * (self.run.costs[1] - lower) else 0
            value = lower
            self.run.tell(self.run.done())
            if not found or self.run.done() - began > p.price_share:
                return

    def _held_by(self, sequence: Array) -> int:
        """The vehicle that tasks of this sequence must stay with, -1: any."""
        tasks = self.run.tasks.stops["task"][sequence]
        held = tasks[self.run.tasks.jobs["held"][tasks] != 0]
        return int(self.run.routes.home[held[0]]) if len(held) else -1
