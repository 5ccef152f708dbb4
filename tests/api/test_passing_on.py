"""Passing on what others shared: only to whom and for what its source allows, and no longer than it allows."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exchanging import FOR_PLANNING, Party, a_description, agreed, limit, live, parties, rule, settled, until
from sqlalchemy import insert

from noriai_api.exchange import catalogue, data_plane, inbox, passing_on
from noriai_api.exchange.catalogue import PULL, STREAM
from noriai_api.exchange.data_plane import RefusedError
from noriai_api.exchange.terms import ONWARD, Use, terms_of
from noriai_api.exchange.workers import pass_on
from noriai_api.store.exchange_tables import received
from noriai_engine.model.errors import InputError

UP, DOWN = "urn:noriai:dataset:up", "urn:noriai:dataset:down"


def onward(*names: str) -> dict[str, Any]:
    return limit(ONWARD, "isAnyOf", list(names))


def test_what_is_passed_on_carries_the_terms_it_came_under(tmp_path: Path) -> None:
    """a gives to b, b passes on to c and not to d: c may do only what a allowed and what b allows; records of other
    areas are cut, c may pass nothing on, and what b's agreement counts stays b's."""
    _, clock, (a, b, c, d) = parties(tmp_path, "a", "b", "c", "d")

    async def go() -> None:
        given = rule(
            limit("purpose", "isAnyOf", ["service-planning", "research"]), limit("spatial", "isAnyOf", ["jis:08220"]),
            limit("elapsedTime", "lt", "P10D"), limit("count", "lteq", {"@value": "99", "@type": "xsd:integer"}),
            limit("recipient", "isAnyOf", [b.id]), onward(c.id),
        )  # fmt: skip
        await a.exchange.offer(UP, a_description(), [given])
        source = await agreed(b, a, UP)
        about = a_description(owner=b.id, passes_on=source)
        with pytest.raises(InputError, match="no agreement"):
            await b.exchange.offer(DOWN, a_description(passes_on="urn:none"), [FOR_PLANNING])
        with pytest.raises(InputError, match="statistics"):
            await b.exchange.offer(DOWN, a_description(kind="statistics", passes_on=source), [FOR_PLANNING])
        await b.exchange.offer(DOWN, about, [rule(limit("purpose", "isAnyOf", ["service-planning", "dispatch"]))])
        offered = b.read(lambda x: catalogue.described(x, "t", DOWN))
        assert offered is not None
        assert offered.about.source == UP
        terms = terms_of(offered.offer)
        now = int(clock.now())
        good = Use(c.id, "service-planning", now, now, 1, ("jis:08220",))
        assert terms.judge(good).allowed
        assert terms.onward is None, "c may pass nothing on"
        for change, operand in (({"recipient": d.id}, "recipient"), ({"purpose": "research"}, "purpose"),
                                ({"purpose": "dispatch"}, "purpose"), ({"area": ("jis:08203",)}, "spatial"),
                                ({"now_ms": now + 11 * 86_400_000}, "dateTime")):  # fmt: skip
            verdict = terms.judge(replace(good, **change))
            assert (verdict.allowed, verdict.operand) == (False, operand)
        process = await d.exchange.ask(b.id, DOWN, purpose="service-planning")
        await settled(b, d)
        assert (await d.exchange.process(process.process)).state != "FINALIZED"
        down = await agreed(c, b, DOWN)

        transfer = await b.exchange.request_transfer(source, PULL, "service-planning", manual=True)
        await settled(a, b)

        def came(x: Any) -> None:
            rows = [{"sequence": n, "time": "2026-09-21T00:00:00.000+00:00", "area": ["jis:08220" if n % 2 else "jis:08203"],
                     "n": n} for n in range(6)]  # fmt: skip
            for row in rows:
                x.execute(insert(received).values(
                    tenant="t", transfer=transfer.process, sequence=row["sequence"], dataset=UP, peer=a.id, time=now,
                    area=" ".join(row["area"]), body=json.dumps(row)))  # fmt: skip

        b.database_write(came)
        assert b.database_write(lambda x: passing_on.add_waiting(x, b.exchange.here(), b.exchange.upsert)) == 6
        assert b.database_write(lambda x: passing_on.add_waiting(x, b.exchange.here(), b.exchange.upsert)) == 0, "once"
        got = await c.exchange.request_transfer(down, PULL, "service-planning", manual=True)
        await settled(b, c)
        peer = (await c.exchange.process(got.process)).peer_pid

        def page(x: Any) -> Any:
            here = b.exchange.here()
            grant = data_plane.granted(x, here, c.id, str(peer), "service-planning", 0, new_use=True)
            return data_plane.page(x, here, grant, -1, new_use=True)

        said = json.loads(b.database_write(page).payload)
        assert [record["n"] for record in said["records"]] == [1, 3, 5]

        await a.exchange.revoke(source, "enough")
        await settled(a, b)
        with pytest.raises(RefusedError, match="source:revoked"):
            b.database_write(page)
        with pytest.raises(InputError, match="no agreement"):
            await b.exchange.offer(DOWN, about, [FOR_PLANNING])

    asyncio.run(go())


def test_nothing_is_passed_on_that_its_source_forbids(tmp_path: Path) -> None:
    _, _, (a, b) = parties(tmp_path, "a", "b")

    async def go() -> None:
        for terms in ([FOR_PLANNING], [rule(limit(ONWARD, "eq", "none"))]):
            await a.exchange.offer(UP, a_description(), terms)
            source = await agreed(b, a, UP)
            with pytest.raises(InputError, match="to nobody"):
                await b.exchange.offer(DOWN, a_description(passes_on=source), [FOR_PLANNING])

    asyncio.run(go())


def test_a_source_that_is_taken_back_stops_what_streams_on(tmp_path: Path) -> None:
    """a streams to b, b on to c: every record arrives, and after a's revocation nothing comes to c any more, within a
    second, though b's own agreement with c still stands."""

    async def final(asker: Party, provider: Party, dataset: str) -> str:
        process = await asker.exchange.ask(provider.id, dataset, purpose="service-planning")

        async def done() -> bool:
            return (await asker.exchange.process(process.process)).state == "FINALIZED"

        await until(done)
        return str((await asker.exchange.process(process.process)).body["agreement"]["@id"])

    async def go() -> None:
        async with live(tmp_path, "a", "b", "c") as (_, (a, b, c)):
            task = asyncio.create_task(pass_on(b.exchange))
            await a.exchange.offer(
                UP, a_description(), [rule(limit("purpose", "eq", "service-planning"), onward(c.id))]
            )
            source = await final(b, a, UP)
            await b.exchange.offer(DOWN, a_description(passes_on=source), [FOR_PLANNING])
            down = await final(c, b, DOWN)
            await b.exchange.request_transfer(source, STREAM, "service-planning")
            transfer = await c.exchange.request_transfer(down, STREAM, "service-planning")

            def had() -> list[int]:
                return [row["n"] for row in c.read(lambda x: inbox.received_of(x, "t", DOWN))]

            async def came(count: int) -> None:
                async def here() -> bool:
                    return len(had()) == count

                await until(here)

            a.add(UP, *({"n": n} for n in range(700)))
            await came(700)
            a.add(UP, {"n": 700})
            await came(701)
            assert had() == list(range(701))
            await a.exchange.revoke(source, "enough")

            async def over() -> bool:
                return (await c.exchange.process(transfer.process)).state == "TERMINATED"

            await until(over)
            b.add(DOWN, {"n": 999})
            await asyncio.sleep(1)
            assert 999 not in had()
            task.cancel()

    asyncio.run(go())
