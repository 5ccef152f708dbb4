"""Receipts of riders and settlements of operators, from bookings as they ended."""

import json
from typing import Any

from sqlalchemy import Connection, select

from noriai_api.bookings import repository
from noriai_api.bookings.schemas import FareLine, FareOut, ReceiptOut, SettlementOut, SettlementsOut
from noriai_api.guard import Caller
from noriai_api.problems import Problem
from noriai_api.store.tables import bookings
from noriai_api.tenancy import narrowed
from noriai_engine.model import BookingState

FINAL = (BookingState.DONE, BookingState.NO_SHOW)


async def receipt(caller: Caller, name: str) -> ReceiptOut:
    """What a ride cost, or would as things stand. Raises Problem (not_found)."""
    row = await caller.read(lambda connection: repository.booking(connection, caller.grant, name))
    if row is None:
        raise Problem("not_found", f"no booking {name}")
    fee = no_show_fee(caller, row)
    return ReceiptOut(
        booking=name, state=row["state"], final=row["state"] in FINAL, shared=row["shared"],
        fare=_charged(row["state"], row["body"]["fares"], shared=row["shared"], fee=fee),
    )  # fmt: skip


def no_show_fee(caller: Caller, row: Any) -> int:
    """What the region's tariff takes of who was not there."""
    tariff = caller.node.actor(caller.tenant, row["region"]).runtime.rules.tariff
    return 0 if tariff is None else tariff.table.no_show


def _charged(state: str, fares: list[Any], *, shared: bool, fee: int) -> FareOut | None:
    alone = fares[1] if shared else fares[0]
    if alone is None or state in ("cancelled", "dropped"):
        return None
    if state == "no_show":
        lines = [FareLine(who="no_show", count=1, each=fee)]
        return FareOut(currency=alone["currency"], total=fee, rider_pays=fee, subsidy=0, payer=None, lines=lines)
    return FareOut.model_validate(alone)


async def settlements(caller: Caller, first: str, last: str) -> SettlementsOut:
    """Each operator's rides of some days, as they ended."""

    def read(connection: Connection) -> list[Any]:
        days = (bookings.c.day >= first, bookings.c.day <= last, bookings.c.state.in_([s.value for s in FINAL]))
        query = narrowed(select(bookings).where(*days), bookings, caller.grant)
        return list(connection.execute(query.order_by(bookings.c.operator, bookings.c.booking)).mappings())

    sums: dict[str, dict[str, Any]] = {}
    for row in await caller.read(read):
        body = json.loads(row["body"])
        fee = no_show_fee(caller, row)
        fare = _charged(row["state"], body["fares"], shared=row["shared"], fee=fee)
        entry = sums.setdefault(row["operator"], {"rides": 0, "riders": 0, "no_shows": 0, "currency": "", "total": 0,
                                                  "rider_pays": 0, "subsidy": {}})  # fmt: skip
        done = row["state"] == BookingState.DONE
        entry["rides"] += done
        entry["riders"] += (body["party"][0] + body["party"][1]) * done
        entry["no_shows"] += not done
        if fare is not None:
            entry["currency"] = fare.currency
            entry["total"] += fare.total
            entry["rider_pays"] += fare.rider_pays
            if fare.payer is not None:
                entry["subsidy"][fare.payer] = entry["subsidy"].get(fare.payer, 0) + fare.subsidy
    found = [SettlementOut(operator=name, **entry) for name, entry in sums.items()]
    return SettlementsOut(first=first, last=last, operators=found)
