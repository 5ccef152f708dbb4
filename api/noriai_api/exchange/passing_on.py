"""Passing on what others shared with us, as far as they allow it. A dataset that passes on carries the terms it came
under: nobody may do more with it than its source allowed us to let them, and where the source's agreement ends, so does
everything under ours.

Only operations data is passed on: statistics are published by the region whose riders they protect.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from sqlalchemy import Connection, select

from noriai_api.digests import digest
from noriai_api.exchange import agreements, catalogue, data_plane, processes
from noriai_api.exchange.agreements import Agreement
from noriai_api.exchange.processes import Here
from noriai_api.exchange.protocol.messages import Message
from noriai_api.exchange.terms import ONWARD, duration_ms, rfc3339
from noriai_api.store.exchange_tables import cursors, received
from noriai_engine.model.errors import InputError

ROWS = 500


def carried(connection: Connection, tenant: str, name: str, permission: list[Message]) -> tuple[list[Message], str]:
    """(permissions of a dataset that passes on what an agreement gives us, the dataset it comes from): ours, each with
    the source's constraints and its list of recipients. Raises InputError where the source does not allow it."""
    source = agreements.find(connection, tenant, name)
    where = f"passes_on {name}"
    if source is None or source.role != "consumer" or source.revoked is not None:
        raise InputError("is no agreement in force that gives us data", where=where, remedy="name one of ours")
    onward = source.terms.onward
    if onward is None:
        raise InputError("lets us give it to nobody", where=where, remedy="negotiate terms with onward transfer")
    theirs = [_kept(rule.get("constraint", []), source) for rule in source.body["permission"]]
    recipients = {"leftOperand": "recipient", "operator": "isAnyOf", "rightOperand": list(onward)}
    nobody = {"leftOperand": ONWARD, "operator": "eq", "rightOperand": "none"}
    made = []
    for own, other in product(permission, theirs):
        mine = [part for part in own.get("constraint", []) if part.get("leftOperand") != ONWARD]
        made.append({"action": "use", "constraint": [*mine, *other, recipients, nobody]})
    return made, source.dataset


def _kept(constraint: Any, source: Agreement) -> list[Message]:
    """A source's constraints as they bind those after us: not who we are and how often we use it; a duration since our
    agreement is an instant for them."""
    found = []
    for part in constraint if isinstance(constraint, list) else [constraint]:
        operand = str(part.get("leftOperand", "")).removeprefix("odrl:")
        if operand in ("recipient", "count", ONWARD):
            continue
        if operand == "elapsedTime":
            right = part["rightOperand"]
            text = right["@value"] if isinstance(right, dict) else right
            part = {"leftOperand": "dateTime", "operator": part["operator"],
                    "rightOperand": rfc3339(source.finalized + duration_ms(text))}  # fmt: skip
        found.append(part)
    return found


def add_waiting(connection: Connection, here: Here, upsert: Any) -> int:
    """Records that came under agreements whose data we pass on join our datasets; how many."""
    found = list(waiting(connection, here, ROWS))
    for dataset, cursor, rows in found:
        made = []
        for row in rows:
            body = {k: v for k, v in json.loads(row.body).items() if k not in ("sequence", "time", "area")}
            made.append({"time": row.time, "area": row.area.split(), "body": body})
        data_plane.add_records(connection, here.tenant, dataset, made)
        value = {"tenant": here.tenant, "name": cursor, "value": rows[-1].sequence}
        connection.execute(upsert(cursors), [value])
    return sum(len(rows) for _, _, rows in found)


def waiting(connection: Connection, here: Here, most: int) -> Iterator[tuple[str, str, Sequence[Any]]]:
    """(dataset, cursor, rows that came after it) of every transfer whose data we pass on, where there are any."""
    for dataset in catalogue.seen_by(connection, here.tenant, None):
        if dataset.about.passes_on is None:
            continue
        for transfer in processes.all_of(connection, here.tenant, "transfer", dataset.about.passes_on):
            cursor = f"on:{digest([dataset.dataset, transfer.process])[:40]}"
            known = select(cursors.c.value).where(cursors.c.tenant == here.tenant, cursors.c.name == cursor)
            last = connection.execute(known).scalar()
            where = (received.c.tenant == here.tenant, received.c.transfer == transfer.process,
                     received.c.sequence > (-1 if last is None else last))  # fmt: skip
            rows = connection.execute(select(received).where(*where).order_by(received.c.sequence).limit(most)).all()
            if rows:
                yield dataset.dataset, cursor, rows
