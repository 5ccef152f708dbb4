"""The task that owns a region: calls come in one after another, and leave only once what they changed is durable.

Memory runs ahead of the store by no more than the group being written: an answer waits for its own rows. Where rows
cannot be written, or a call fails halfway, the region is built anew from the log, and nobody was told otherwise.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, insert, select

from noriai_api.bell import Bell
from noriai_api.holding.leases import FencedError, Holding, fence
from noriai_api.holding.process import HeldElsewhereError
from noriai_api.problems import Problem
from noriai_api.runtime.changes import FIRST_HASH, DayChange, DayState, chained
from noriai_api.runtime.projections import Projected, project, write_projected
from noriai_api.runtime.region import RegionRuntime
from noriai_api.store import Database, Writer
from noriai_api.store.tables import log
from noriai_api.store.writer import Lane, LaneBrokenError
from noriai_api.tracing import span
from noriai_engine.model import Clock, UtcMs
from noriai_engine.model.errors import NoriaiError
from noriai_engine.model.units import DAY_MS

T = TypeVar("T")

Writes = Callable[[Connection], None]
Act = Callable[[RegionRuntime], tuple[T, Writes | None]]
"""What to do, in the region's thread: a value, and what to write with the change, in its transaction."""


PATIENCE_S = 0.5
"""Nobody is let in who would wait for longer than this: an answer that comes too late is asked for again."""
PACE_OVER = 20
"""Calls over which their pace is smoothed."""


class Urgency(IntEnum):
    """Who is turned away first when a region has more to do than it can: the share in per cent of the inbox, and of
    the patience, that each may use up."""

    QUOTE = 50
    BOOKING = 80
    VEHICLE = 90
    CANCEL = 100


class Worker(Protocol):
    """Where a region's calls run: one at a time, in order. `pace_s`: what a call takes, of late."""

    pace_s: float

    def run(self, call: Callable[[], T]) -> Awaitable[T]: ...

    def close(self) -> None: ...


class ThreadWorker:
    """A thread of its own: kernels run off the event loop."""

    def __init__(self, name: str, now: Callable[[], float] = time.perf_counter) -> None:
        self._pool, self._now = ThreadPoolExecutor(1, thread_name_prefix=name), now
        self.pace_s = 0.0

    def run(self, call: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, self._timed, call)

    def _timed(self, call: Callable[[], T]) -> T:
        began = self._now()
        try:
            return call()
        finally:
            self.pace_s += (self._now() - began - self.pace_s) / PACE_OVER

    def close(self) -> None:
        self._pool.shutdown()


class InlineWorker:
    """At once, in the caller's own turn: for deterministic simulation on a virtual clock."""

    pace_s = 0.0

    async def run(self, call: Callable[[], T]) -> T:
        return call()

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any
    error: Exception | None
    written: "Future[Any] | None"


class RegionActor:
    """One region's inbox. `room`: calls that may wait at one time; `check` raises HeldElsewhereError where another
    process holds the region by now."""

    def __init__(
        self, runtime: RegionRuntime, database: Database, writer: Writer, clock: Clock, worker: Worker,
        check: Callable[[tuple[str, str]], Awaitable[None]], room: int = 400,
    ) -> None:  # fmt: skip
        self.runtime, self._database, self._writer, self._clock = runtime, database, writer, clock
        self._worker, self._check, self._room = worker, check, room
        self._holding: Holding | None = None
        rules = runtime.rules
        self.key = (rules.tenant, rules.region)
        self._lane = Lane(f"{rules.tenant}/{rules.region}")
        self._sequence, self._hash = 0, FIRST_HASH
        self._is_stale = True
        self.waiting = 0
        self.rebuilds = 0
        self.changed = Bell()

    @property
    def is_held(self) -> bool:
        """Whether this process dispatches the region."""
        return self._holding is not None

    async def here(self) -> None:
        """Raises HeldElsewhereError where another process holds the region: what this one remembers of it is old."""
        await self._check(self.key)

    def hold(self, holding: Holding) -> None:
        """The region is this process's: the first call builds it from the log."""
        self._is_stale, self._holding = True, holding

    def let_go(self) -> None:
        """The region is another's. Whoever follows its plans here learns of it."""
        self._holding = None
        self.changed.ring()

    async def ask(self, act: Act[T], cause: str, *, actor: str | None = None, urgency: Urgency = Urgency.CANCEL) -> T:
        """Do something to the region, and wait until it is durable.

        Raises Problem (busy) where the inbox is full, StoreError where it could not be written, HeldElsewhereError
        where another process holds the region, and what `act` raises.
        """
        await self.here()
        if max(self.waiting / self._room, self.waiting * self._worker.pace_s / PATIENCE_S) * 100 >= urgency:
            raise Problem("busy", headers={"Retry-After": "1"})
        self.waiting += 1
        try:
            with span("region", region=self.key[1], cause=cause):
                done = await self._worker.run(lambda: self._step(act, cause, actor))
            if done.written is not None:
                with span("durable", cause=cause):
                    await asyncio.wrap_future(done.written)
                self.changed.ring()
        except (FencedError, LaneBrokenError) as error:
            if isinstance(error, FencedError) or not self.is_held:  # nothing of it was written: it can be done there
                raise HeldElsewhereError(self.key) from error
            raise
        finally:
            self.waiting -= 1
        if done.error is not None:
            raise done.error
        value: T = done.value
        return value

    async def look(self, view: Callable[[RegionRuntime], T]) -> T:
        """Read the region as it stands, plans that are not durable yet included."""
        return await self.ask(lambda runtime: (view(runtime), None), "look")

    def close(self) -> None:
        self._worker.close()

    # --- in the region's thread -----------------------------------------------------------------------------

    def _step(self, act: Act[Any], cause: str, actor: str | None) -> _Done:
        holding = self._holding
        if holding is None:
            raise HeldElsewhereError(self.key)
        if self._is_stale or self._lane.broken:
            self._rebuild()
        runtime, value, writes, error = self.runtime, None, None, None
        try:
            runtime.advance(UtcMs(self._clock.now()))
            try:
                value, writes = act(runtime)
            except NoriaiError as said:  # an answer that is no: nothing has changed but what time brought
                error = said
            rows = [(change, project(runtime, change)) for change in runtime.take()]
        except Exception:
            self._is_stale = True
            raise
        if not rows and writes is None:
            return _Done(value, error, None)
        return _Done(value, error, self._put(self._change(holding, rows, writes, cause, actor)))

    def _put(self, change: Writes) -> "Future[Any]":
        return self._writer.put(change, self._lane, self.key[0])

    def _change(
        self, holding: Holding, rows: list[tuple[DayChange, Projected]], writes: Writes | None, cause: str,
        actor: str | None,
    ) -> Writes:  # fmt: skip
        tenant, region = self.key
        entries = []
        for change, _ in rows:
            body = change.body()
            self._hash = chained(self._hash, body)
            entries.append({
                "tenant": tenant, "region": region, "sequence": self._sequence, "day": change.day, "time": change.time,
                "cause": cause, "actor": actor, "body": body, "hash": self._hash,
            })  # fmt: skip
            self._sequence += 1

        def write(connection: Connection) -> None:
            fence(connection, self.key, holding)
            if entries:
                connection.execute(insert(log), entries)
            for _, projected in rows:
                write_projected(self._database, connection, tenant, region, projected)
            if writes is not None:
                writes(connection)

        return write

    def _rebuild(self) -> None:
        """The region as the log has it, once all that waits to be written is, or has failed."""
        self._is_stale = True  # until all of this has succeeded: what is in memory is ahead of the log
        self._writer.put(lambda connection: None).result()
        self._lane.broken = False
        tenant, region = self.key
        yesterday = self.runtime.service_day(UtcMs(self._clock.now() - DAY_MS)).date.isoformat()

        def read(connection: Connection) -> dict[str, DayState]:
            mine = (log.c.tenant == tenant, log.c.region == region)
            last = connection.execute(
                select(log.c.sequence, log.c.hash).where(*mine).order_by(log.c.sequence.desc()).limit(1)
            ).first()
            self._sequence, self._hash = (0, FIRST_HASH) if last is None else (last.sequence + 1, bytes(last.hash))
            rows = connection.execute(
                select(log.c.day, log.c.time, log.c.body).where(*mine, log.c.day >= yesterday).order_by(log.c.sequence)
            )
            states: dict[str, DayState] = {}
            for day, moment, body in rows:
                states.setdefault(day, DayState()).fold(json.loads(body), moment)
            return states

        self.runtime.rebuild(self._database.read(read, tenant))
        self._is_stale = False
        self.rebuilds += 1
