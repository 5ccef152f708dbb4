"""Drivers and vehicles of other towns for ours. A loan is written down before it is asked for, and asked for by its own
id until the answer is known; what is lent becomes a driver or vehicle of ours, for those hours only, in the transaction
that the answer is kept in."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from pydantic import ValidationError
from sqlalchemy import Connection, insert

from noriai_api.access.decision import Grant
from noriai_api.clocks import after_pause
from noriai_api.exchange import agreements, usage
from noriai_api.exchange.agreements import Agreement
from noriai_api.exchange.keys import ProofError
from noriai_api.exchange.service import Exchange, log
from noriai_api.guard import Caller
from noriai_api.node import Node
from noriai_api.parties import joining
from noriai_api.parties.schemas import DriverIn, VehicleIn
from noriai_api.pool import store
from noriai_api.pool.lending import POOL
from noriai_api.pool.schemas import Credentials, FreeList, FreeOut, LoanIn, NeedIn, ReturnIn
from noriai_api.pool.store import Row
from noriai_api.problems import Problem
from noriai_api.schemas import utc_ms
from noriai_api.store.exchange_tables import pool_loans
from noriai_engine.model import ServiceDay

ASK_WITHIN_S = 4.0
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1_000, 60_000
UNANSWERED_MS = 30_000
LOOK_S = 1.0


async def search(exchange: Exchange, need: NeedIn) -> FreeList:
    """Who and what neighbours would lend, the cheapest first; one that does not answer in time lends nothing."""
    under = await exchange.read(lambda c: _agreements(c, exchange.tenant))
    asked = need.model_dump(mode="json")

    async def one(peer: str) -> list[FreeOut]:
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                answer = await exchange.call(peer, "POST", "pool/searches", asked)
            if answer is None or answer[0] != 200:
                return []
            return [FreeOut.model_validate({"participant": peer, **said}) for said in answer[1]["free"]]
        except (httpx.HTTPError, TimeoutError, ProofError, ValidationError, KeyError, TypeError):
            return []

    found = await asyncio.gather(*(one(peer) for peer in sorted(under)))
    return FreeList(free=sorted((one for each in found for one in each), key=lambda one: (one.yen, one.offer)))


async def borrow(caller: Caller, exchange: Exchange, new: LoanIn) -> Row:
    """Ask for a loan; the row as it stands then. Raises Problem (not_found)."""
    node, now = caller.node, caller.node.clock.now()
    node.actor(caller.tenant, new.region)
    own = caller.grant.narrows("operator")
    names = await node.operators(caller.grant)
    if new.operator not in names or own not in (None, new.operator):
        raise Problem("not_found", f"no operator {new.operator}")
    under = await exchange.read(lambda c: _agreements(c, exchange.tenant))
    agreement = under.get(new.participant)
    if agreement is None:
        raise Problem("not_found", f"no agreement on loans with {new.participant}")
    loan = node.ids.new_id()
    need = new.need.model_dump(mode="json")

    def write(connection: Connection) -> None:
        connection.execute(insert(pool_loans).values(
            tenant=caller.tenant, loan=loan, role="borrowed", state="asking", peer=new.participant,
            agreement=agreement.agreement, subject="", offer=new.offer, begin=_ms(need["begin"]), end=_ms(need["end"]),
            next_try=now + UNANSWERED_MS, body=json.dumps({"asked": new.model_dump(mode="json")}),
        ))  # fmt: skip
        caller.note(connection, now, f"loan/{loan}", new.model_dump(mode="json"))

    await caller.write(write)
    await pursue(node, exchange, loan)
    return await row_of(exchange, loan)


async def give_back(caller: Caller, exchange: Exchange, loan: str, said: ReturnIn) -> Row:
    """Return what was borrowed, with the hours it was used. Raises Problem (not_found, conflict)."""
    row, now = await row_of(exchange, loan), caller.node.clock.now()
    if row["role"] != "borrowed":
        raise Problem("conflict", f"loan {loan} is not ours to return")
    if row["state"] == "lent":
        body = row["body"] | {"worked": said.model_dump(mode="json")}

        def write(connection: Connection) -> None:
            if store.move(connection, row, "lent", "returning", body=body, next_try=now + UNANSWERED_MS):
                _no_longer_here(connection, caller.node, row)
                caller.note(connection, now, f"loan/{loan}", body["worked"])

        await caller.write(write)
        await pursue(caller.node, exchange, loan)
    return await row_of(exchange, loan)


async def row_of(exchange: Exchange, loan: str) -> Row:
    """Raises Problem (not_found)."""
    row = await exchange.read(lambda c: store.loan(c, exchange.tenant, loan))
    if row is None:
        raise Problem("not_found", f"no loan {loan}")
    return row


def looking_after_loans(node: Node) -> Callable[[Exchange], Awaitable[None]]:
    """A worker of the exchange: lenders who did not answer are asked until they do."""

    async def look_after_loans(exchange: Exchange) -> None:
        while True:
            try:
                for row in await exchange.read(lambda c: store.due(c, exchange.tenant, exchange.clock.now())):
                    await pursue(node, exchange, row["loan"])
            except Exception as error:  # the store is down: the next look tries again
                log.warning("loans are looked at later", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    return look_after_loans


async def pursue(node: Node, exchange: Exchange, loan: str) -> None:
    """Ask the lender about a loan that is not settled, once."""
    row = await row_of(exchange, loan)
    asked = row["body"]["asked"]
    try:
        if row["state"] == "asking":
            body = {"key": loan, "offer": row["offer"], "need": asked["need"]}
            answer = await exchange.call(row["peer"], "POST", "pool/loans", body)
        elif row["state"] == "returning":
            answer = await exchange.call(row["peer"], "POST", f"pool/loans/{loan}/return", row["body"]["worked"])
        else:
            return
    except (httpx.HTTPError, ProofError):
        answer = None
    if answer is None or answer[0] >= 500 or answer[0] in (401, 429):
        await exchange.write(lambda c: _later(c, exchange, row))
    elif row["state"] == "asking":
        made = await exchange.write(lambda c: _lent(c, node, exchange, row, *answer))
        if made is not None:
            await node.heed("vehicles", f"{exchange.tenant}/{made}")
    else:
        yen = answer[1].get("yen") if isinstance(answer[1], dict) else None
        await exchange.write(lambda c: _returned(c, exchange, row, yen if isinstance(yen, int) else None))


def _lent(
    connection: Connection, node: Node, exchange: Exchange, row: Row, status: int, said: Any
) -> str | None:  # fmt: skip
    """What an answer means: ours for those hours, or not to be had. The region whose open days take a vehicle in."""
    asked, name = row["body"]["asked"], f"loan-{row['loan']}"[:64]
    try:
        given = Credentials.model_validate_json(json.dumps(said)) if status == 200 else None
    except ValidationError:
        given = None
    if given is None or given.kind != asked["need"]["kind"]:
        code = said.get("code", "not_understood") if isinstance(said, dict) else "not_understood"
        store.move(connection, row, "asking", "refused", body=row["body"] | {"reason": str(code)[:64]})
        return None
    body = row["body"] | {"yen": given.yen, "name": name}
    if not store.move(connection, row, "asking", "lent", body=body, subject=f"{given.kind}:{name}"):
        return None
    _log(connection, exchange, row, "loan", given.yen)
    grant = Grant(exchange.tenant, "fleet.write", row["peer"], {})
    if given.kind == "driver":
        joining.write(connection, grant, "drivers", name, _driver(given, asked), node.clock.now())
        return None
    vehicle = _vehicle(given, asked, node.regions_of(exchange.tenant)[asked["region"]], row)
    joining.write(connection, grant, "vehicles", name, vehicle, node.clock.now())
    return vehicle.region


def _returned(connection: Connection, exchange: Exchange, row: Row, yen: int | None) -> None:
    """The lender has it back; what the hours worked come to is theirs to say."""
    agreed = row["body"]["yen"]
    body = row["body"] | {"yen": agreed if yen is None else yen}
    if store.move(connection, row, "returning", "returned", body=body):
        _log(connection, exchange, row, "return", body["yen"] - agreed)


def _log(connection: Connection, exchange: Exchange, row: Row, what: str, price: int) -> None:
    """Our side's entry; the lender's says the same."""
    usage.append(
        connection, exchange.tenant, time=exchange.clock.now(), side="consumer", peer=row["peer"],
        agreement=row["agreement"], transfer="", uses=0,
        details={"purpose": "dispatch", "service": what, "loan": row["loan"], "price": price},
    )  # fmt: skip


def _driver(given: Credentials, asked: Row) -> DriverIn:
    """A driver of another town, for the hours of the loan."""
    said = {
        "operator": asked["operator"], "born": given.born, "applied": given.applied,
        "licences": [one.model_dump(mode="json") for one in given.licences],
        "between": [asked["need"]["begin"], asked["need"]["end"]],
    }  # fmt: skip
    return DriverIn.model_validate_json(json.dumps(said))


def _vehicle(given: Credentials, asked: Row, zone: str, row: Row) -> VehicleIn:
    """A vehicle of another town, for the day and hours of the loan."""
    date = datetime.fromtimestamp(row["begin"] / 1000, UTC).astimezone(ZoneInfo(zone)).date()
    start = ServiceDay(date, zone).start
    hours = [f"{(ms - start) // 3_600_000:02}:{(ms - start) // 60_000 % 60:02}" for ms in (row["begin"], row["end"])]
    said = {
        "region": asked["region"], "operator": asked["operator"], "kind": given.vehicle_kind,
        "layouts": [one.model_dump(mode="json") for one in given.layouts],
        "depot": asked["depot"] or given.base.model_dump(mode="json"), "shifts": {},
        "dates": {date.isoformat(): hours}, "skills": list(given.skills), "licence": asked["licence"],
        "inspected": given.inspected, "battery": given.battery,
    }  # fmt: skip
    return VehicleIn.model_validate_json(json.dumps(said))


def _no_longer_here(connection: Connection, node: Node, row: Row) -> None:
    """What is given back serves here no more; a day it is on duty in already goes on."""
    grant = Grant(row["tenant"], "fleet.write", row["peer"], {})
    kind, _, name = row["subject"].partition(":")
    joining.end(connection, grant, f"{kind}s", name, node.clock.now())


def settlement(connection: Connection, tenant: str, agreement: str) -> list[Row]:
    """Loans under an agreement by our own log, with what was owed when each was made, and what hours worked changed."""
    found = [json.loads(entry["body"]) for entry in usage.entries(connection, tenant, agreement)]
    wanted = ("loan", "return")
    return [
        {"loan": body["loan"], "what": body["service"], "price": body["price"]}
        for body in found
        if body.get("service") in wanted
    ]


def _agreements(connection: Connection, tenant: str) -> dict[str, Agreement]:
    found = agreements.all_of(connection, tenant)
    return {a.peer: a for a in found if a.role == "consumer" and a.revoked is None and a.dataset.endswith(POOL)}


def _later(connection: Connection, exchange: Exchange, row: Row) -> None:
    """Ask again after a pause that doubles."""
    pauses = row["body"].get("pauses", 0)
    again = after_pause(exchange.clock.now(), pauses, FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
    store.move(connection, row, row["state"], row["state"], body=row["body"] | {"pauses": pauses + 1}, next_try=again)


def _ms(text: str) -> int:
    return utc_ms(datetime.fromisoformat(text))
