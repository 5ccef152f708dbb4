"""The plan of the evening before: each day as a whole, with those who wait for it."""

import json
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from noriai_api.events.waits import end_waits
from noriai_api.node import Node
from noriai_api.orders.waiting import listed
from noriai_api.runtime.actor import RegionActor, Writes
from noriai_api.runtime.records import REQUEST
from noriai_api.runtime.region import RegionRuntime
from noriai_api.store.tables import quotes, waiting
from noriai_engine.dispatch.ahead import Planning, Search, at_once
from noriai_engine.model import ServiceDay, UtcMs
from noriai_engine.model.errors import InputError, StalePlanError
from noriai_engine.plans import annealing
from noriai_engine.plans.params import SolveParams
from noriai_engine.plans.run import Solution

SEARCHES = 3
"""How often a plan is searched for while the region's other calls go on."""


async def plan_tomorrow(node: Node) -> None:
    """Each evening plan tomorrow as a whole, with those who wait for it; late where the node was away at the time."""
    failed: Exception | None = None
    for key, actor in node.actors.items():
        if actor.runtime.rules.plan_at and actor.is_held and node.paused.get(key) is None:
            try:
                await _plan_region(node, actor)
            except Exception as error:  # the other regions are planned all the same
                failed = error
    if failed is not None:
        raise failed


async def _plan_region(node: Node, actor: RegionActor) -> None:
    runtime, now = actor.runtime, UtcMs(node.clock.now())
    today = runtime.service_day(now)
    tomorrow = ServiceDay(today.date + timedelta(days=1), today.timezone)
    known: dict[str, list[dict[str, Any]]] = {tomorrow.date.isoformat(): []}
    for row in await node.read(lambda connection: _left_to_plan(connection, *actor.key)):
        known.setdefault(row.day, []).append(json.loads(row.body)["request"])
    for name, wishes in sorted(known.items()):
        day = ServiceDay.on(name, today.timezone)
        at = runtime.planned_at(day)
        if at is not None and at <= now and (wishes or not runtime.is_planned(day)):
            await _plan_day(node, actor, day, wishes)


async def _plan_day(node: Node, actor: RegionActor, day: ServiceDay, wishes: list[dict[str, Any]]) -> None:
    """The search runs beside the region's other calls; where they change the day, it begins anew, and the last time
    they wait for it."""
    params = annealing(0, actor.runtime.rules.plan_iterations)
    for _ in range(SEARCHES - 1):
        making = _Making(day, wishes)
        with suppress(StalePlanError):
            search = await actor.ask(making.go_on, "plan")
            while search is not None:
                making.found = await node.compute(partial(search.solve, params))
                search = await actor.ask(making.go_on, "plan")
            return
    await actor.ask(partial(_Making(day, wishes).go_on, at_once_with=params), "plan")


def _left_to_plan(connection: Connection, tenant: str, region: str) -> list[Any]:
    """Day and body of the quotes that wait for a plan, in the order they came."""
    query = listed().with_only_columns(quotes.c.quote, quotes.c.day, quotes.c.body)
    mine = (waiting.c.tenant == tenant, waiting.c.region == region, waiting.c.until == "plan")
    return list(connection.execute(query.where(*mine, waiting.c.state == "waiting").order_by(quotes.c.quote)))


class _Making:
    """A day's plan in the making, for those who wait for it (`wishes`: their requests)."""

    def __init__(self, day: ServiceDay, wishes: list[dict[str, Any]]) -> None:
        self._day, self._wishes = day, wishes
        self._steps: Planning[None] | None = None
        self.found: Solution | None = None

    def go_on(
        self, runtime: RegionRuntime, at_once_with: SolveParams | None = None
    ) -> tuple[Search | None, Writes | None]:
        """In the region's thread: the next search, None where the plan is made. Raises StalePlanError where the region
        has changed since the step before."""
        if self._steps is None:
            try:
                runtime.on(self._day)
            except InputError:  # over, while nobody was here
                return None, partial(self._over, runtime.rules.tenant, runtime.now)
            asked = [REQUEST.validate_python({**wish, "placed_at": runtime.now}) for wish in self._wishes]
            self._steps = runtime.plan_ahead(self._day, asked)
        if at_once_with is not None:
            at_once(self._steps, at_once_with)
            return None, None
        try:
            return (next(self._steps) if self.found is None else self._steps.send(self.found)), None
        except StopIteration:
            return None, None

    def _over(self, tenant: str, now: int, connection: Connection) -> None:
        they = waiting.c.fresh_quote.in_([wish["id"] for wish in self._wishes])
        end_waits(connection, tenant, they, "over", now, reason="time.past")
