"""Messages on their way to other nodes: sent in the order of their process until they have arrived.

Where an answer was lost, the other side is asked where it stands before anything is sent again, since after the move
the same message is illegal; a message carries an id, so that a second copy does no harm either. Where the other side
refuses, both states are compared, and what does not fit is written down.
"""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpx
from sqlalchemy import Connection, select, update

from noriai_api.clocks import after_pause
from noriai_api.exchange import processes
from noriai_api.exchange.processes import Here, Process
from noriai_api.exchange.protocol.messages import checked
from noriai_api.exchange.protocol.states import STATES, settled
from noriai_api.store.exchange_tables import messages
from noriai_engine.model.errors import InputError

if TYPE_CHECKING:
    from noriai_api.exchange.service import Exchange

FIRST_PAUSE_MS = 200
LONGEST_PAUSE_MS = 600_000
MOST_ATTEMPTS = 80
"""More than ten hours, with pauses that double to ten minutes."""

Send = Callable[[str, str, str, bytes, str | None], Awaitable[httpx.Response]]
"""(peer, method, url, body, message id) -> answer, with our proof. Raises httpx.HTTPError where nobody answers."""


def due(connection: Connection, tenant: str, now: int) -> list[dict[str, Any]]:
    """The first waiting message of each process whose pause is over."""
    query = select(messages).where(messages.c.tenant == tenant, messages.c.state == "waiting")
    first: dict[str, dict[str, Any]] = {}
    for row in connection.execute(query.order_by(messages.c.number).limit(1000)).mappings():
        first.setdefault(row["process"], dict(row))
    return [row for row in first.values() if row["next_try"] <= now]


def next_due(connection: Connection, tenant: str) -> int | None:
    """When the next waiting message is to be tried, None where none waits."""
    query = select(messages.c.next_try).where(messages.c.tenant == tenant, messages.c.state == "waiting")
    found = connection.execute(query.order_by(messages.c.next_try).limit(1)).scalar()
    return None if found is None else int(found)


async def deliver(exchange: "Exchange", row: dict[str, Any]) -> None:
    """Try a message once, and write down what came of it."""
    process = await exchange.read(lambda c: processes.find(c, exchange.tenant, row["process"]))
    if row["attempts"] > 0 and process.peer_pid is not None:
        theirs = await state_at_peer(exchange, process)
        if theirs is not None and theirs != row["before"]:
            await exchange.change(lambda c, here: _compare(c, here, row, theirs, refused=None))
            return
    if not await exchange.write(lambda c: _trying(c, exchange.here(), row)):
        return
    body = row["body"].encode()
    try:
        answer = await exchange.send(process.peer, "POST", row["url"], body, message_id(row))
    except httpx.HTTPError:
        exchange.wake()
        return
    if answer.is_success:
        await exchange.change(lambda c, here: _arrived(c, here, row, answer))
    elif answer.status_code >= 500 or answer.status_code in (401, 408, 429):
        exchange.wake()
    else:
        theirs = None if process.peer_pid is None else await state_at_peer(exchange, process)
        await exchange.change(lambda c, here: _compare(c, here, row, theirs, refused=_said(answer)))


async def state_at_peer(exchange: "Exchange", process: Process) -> str | None:
    """Where the other side has a process, None where it does not tell."""
    place, name = _PLACES[process.kind]
    try:
        url = f"{process.peer_address}/{place}/{process.peer_pid}"
        answer = await exchange.send(process.peer, "GET", url, b"", None)
        said = checked(answer.json(), name) if answer.status_code == 200 else None
    except (httpx.HTTPError, InputError, ValueError):
        return None
    if said is None:
        return None
    fits = said["providerPid"] == process.provider_pid and said["consumerPid"] == process.consumer_pid
    return str(said["state"]) if fits else None


_PLACES = {"negotiation": ("negotiations", "ContractNegotiation"), "transfer": ("transfers", "TransferProcess")}


def message_id(row: dict[str, Any]) -> str:
    """The same for each copy of a message."""
    return f"{row['process']}.{row['number']}"


def path_of(url: str) -> str:
    """The path of a URL as the receiver's server has it: decoded."""
    return unquote(urlsplit(url).path)


def _arrived(connection: Connection, here: Here, row: dict[str, Any], answer: httpx.Response) -> None:
    process = processes.find(connection, here.tenant, row["process"])
    if process.peer_pid is None:
        name = "providerPid" if process.role == "consumer" else "consumerPid"
        try:
            pid = checked(answer.json(), _PLACES[process.kind][1])[name]
        except (InputError, ValueError):
            processes.note_incident(connection, here, "answer_not_understood", process, {"status": answer.status_code})
            return
        processes.known_as(connection, here, process, pid)
    _mark(connection, here, row, "arrived")


def _compare(
    connection: Connection, here: Here, row: dict[str, Any], theirs: str | None, refused: str | None
) -> None:  # fmt: skip
    """The other side is in `theirs`, having taken the message or, with `refused`, not."""
    process = processes.find(connection, here.tenant, row["process"])
    if process.peer_pid is None:  # the first message itself was refused: there is nothing on the other side
        _mark(connection, here, row, "refused")
        processes.keep(connection, here, process, ended=[refused])
        if not process.is_final:
            processes.overtaken(
                connection, here, processes.find(connection, here.tenant, process.process), "TERMINATED"
            )
        return
    if theirs not in STATES[process.kind]:
        processes.note_incident(connection, here, "refused", process, {"message": row["message"], "said": refused})
        _mark(connection, here, row, "refused")
        return
    _mark(connection, here, row, "arrived" if refused is None else "refused")
    both = settled(process.kind, process.state, theirs)
    if both != process.state:
        processes.overtaken(connection, here, process, both)
    elif refused is not None and theirs != process.state:
        details = {"message": row["message"], "said": refused, "ours": process.state, "theirs": theirs}
        processes.note_incident(connection, here, "states_differ", process, details)


def _trying(connection: Connection, here: Here, row: dict[str, Any]) -> bool:
    """Write down that a message is being sent, and when it will be tried again unless it arrives: after a crash nobody
    knows whether it went out. False where it is given up."""
    attempts = row["attempts"] + 1
    if attempts > MOST_ATTEMPTS:
        process = processes.find(connection, here.tenant, row["process"])
        processes.note_incident(connection, here, "not_delivered", process, {"message": row["message"]})
        _mark(connection, here, row, "given_up")
        return False
    again = after_pause(here.now, attempts, FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
    where = (messages.c.tenant == here.tenant, messages.c.number == row["number"], messages.c.state == "waiting")
    connection.execute(update(messages).where(*where).values(attempts=attempts, next_try=again))
    return True


def _mark(connection: Connection, here: Here, row: dict[str, Any], state: str) -> None:
    where = (messages.c.tenant == here.tenant, messages.c.number == row["number"], messages.c.state == "waiting")
    connection.execute(update(messages).where(*where).values(state=state))


def _said(answer: httpx.Response) -> str:
    try:
        said = answer.json()
        return f"{answer.status_code} {json.dumps(said.get('reason', said.get('code')), ensure_ascii=False)}"[:300]
    except (ValueError, AttributeError):
        return str(answer.status_code)
