"""Negotiations and transfers as rows: the one place where their states change, on the word of either side.

A change and the message that tells of it are one transaction. An illegal message changes nothing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from noriai_api.exchange.protocol.messages import NAMES, Message, made
from noriai_api.exchange.protocol.states import FINAL, Kind, Role, after, other
from noriai_api.store.exchange_tables import incidents, messages, processes, taken
from noriai_engine.model.errors import InputError, NoriaiError


class UnknownProcessError(NoriaiError, LookupError):
    """There is no such process, or it is not the caller's: both look the same."""


class IllegalMessageError(NoriaiError, ValueError):
    """A message that the state does not allow; nothing was changed."""

    def __init__(self, process: "Process", message: str) -> None:
        self.process = process
        super().__init__(f"{message} is not possible in {process.state}")


@dataclass(frozen=True, slots=True)
class Here:
    """Who we are, when it is, and where ids come from: what a change needs of the world."""

    tenant: str
    participant: str
    address: str
    now: int
    new_id: Callable[[], str]
    bus: str = ""
    """NATS server that pages may be read from; empty: none."""


@dataclass(frozen=True, slots=True)
class Process:
    """A negotiation or a transfer as one side has it."""

    process: str
    kind: Kind
    role: Role
    peer: str
    peer_pid: str | None
    peer_address: str
    state: str
    version: int
    subject: str
    manual: bool
    created: int
    changed: int
    body: dict[str, Any]

    @property
    def provider_pid(self) -> str | None:
        return self.process if self.role == "provider" else self.peer_pid

    @property
    def consumer_pid(self) -> str | None:
        return self.process if self.role == "consumer" else self.peer_pid

    @property
    def is_final(self) -> bool:
        return self.state in FINAL[self.kind]


def find(connection: Connection, tenant: str, process: str, kind: Kind | None = None) -> Process:
    """Raises UnknownProcessError."""
    where = [processes.c.tenant == tenant, processes.c.process == process]
    if kind is not None:
        where.append(processes.c.kind == kind)
    row = connection.execute(select(processes).where(*where)).mappings().first()
    if row is None:
        raise UnknownProcessError(f"no process {process}")
    return _process(row)


def of_peer(
    connection: Connection, tenant: str, kind: Kind, role: Role, peer: str, peer_pid: str
) -> Process | None:  # fmt: skip
    """The process that a first message of the peer began already."""
    where = (processes.c.tenant == tenant, processes.c.kind == kind, processes.c.role == role,
             processes.c.peer == peer, processes.c.peer_pid == peer_pid)  # fmt: skip
    row = connection.execute(select(processes).where(*where)).mappings().first()
    return None if row is None else _process(row)


def all_of(
    connection: Connection, tenant: str, kind: Kind, subject: str | None = None, states: tuple[str, ...] = ()
) -> list[Process]:
    """Processes of a kind, the oldest first."""
    where = [processes.c.tenant == tenant, processes.c.kind == kind]
    if subject is not None:
        where.append(processes.c.subject == subject)
    if states:
        where.append(processes.c.state.in_(states))
    query = select(processes).where(*where).order_by(processes.c.created, processes.c.process)
    return [_process(row) for row in connection.execute(query).mappings()]


def create(
    connection: Connection, here: Here, *, kind: Kind, role: Role, peer: str, peer_pid: str | None, peer_address: str,
    state: str, subject: str, manual: bool, body: dict[str, Any],
) -> Process:  # fmt: skip
    process = Process(here.new_id(), kind, role, peer, peer_pid, peer_address.rstrip("/"), state, 1, subject, manual,
                      here.now, here.now, body)  # fmt: skip
    row = {name: getattr(process, name) for name in Process.__slots__}
    connection.execute(insert(processes).values(tenant=here.tenant, **row | {"body": json.dumps(body)}))
    return process


def heard(
    connection: Connection, here: Here, process: Process, message: str, message_id: str | None, **more: Any
) -> Process:
    """The other side sent a message: into the state it leads to, `more` being added to the process's body. What we had
    under way for this process has arrived, or does not matter any longer.

    Raises IllegalMessageError.
    """
    state = after(process.kind, process.state, other(process.role), message)
    if state is None or not _is_fresh(connection, here, process, message_id):
        raise IllegalMessageError(process, message)
    waiting = (messages.c.tenant == here.tenant, messages.c.process == process.process, messages.c.state == "waiting")
    connection.execute(update(messages).where(*waiting).values(state="arrived"))
    return _changed(connection, here, process, state, more)


def tell(
    connection: Connection, here: Here, process: Process, message: str, *, fields: dict[str, Any] | None = None,
    **more: Any,
) -> Process:  # fmt: skip
    """We send a message: into the state it leads to, with the message on its way. `fields` are the message's, `more` is
    added to the process's body.

    Raises IllegalMessageError.
    """
    state = after(process.kind, process.state, process.role, message)
    if state is None:
        raise IllegalMessageError(process, message)
    post(connection, here, process, message, process.state, fields or {})
    return _changed(connection, here, process, state, more)


def post(
    connection: Connection, here: Here, process: Process, message: str, before: str | None, fields: dict[str, Any]
) -> None:
    """Put a message of a process on its way."""
    body: Message = made(process.kind, message, process.provider_pid, process.consumer_pid, **fields)
    last = connection.execute(select(func.max(messages.c.number)).where(messages.c.tenant == here.tenant)).scalar()
    place = "negotiations" if process.kind == "negotiation" else "transfers"
    end = NAMES[process.kind, message][1]
    path = f"{place}/{process.peer_pid}/{end}" if process.peer_pid is not None else f"{place}/{end}"
    connection.execute(
        insert(messages).values(
            tenant=here.tenant, number=0 if last is None else last + 1, process=process.process, message=message,
            before=before, url=f"{process.peer_address}/{path}", peer=process.peer, body=json.dumps(body),
            state="waiting", attempts=0, next_try=0,
        )
    )  # fmt: skip


def overtaken(connection: Connection, here: Here, process: Process, state: str) -> Process:
    """The other side ended in a state that ours cannot reach by a message: so do we, and it is noted."""
    note_incident(connection, here, "ended_differently", process, {"ours": process.state, "becomes": state})
    return _changed(connection, here, process, state, {})


def known_as(connection: Connection, here: Here, process: Process, peer_pid: str) -> Process:
    """The other side has told its id for the process."""
    connection.execute(_at(here, process).values(peer_pid=peer_pid))
    return replace(process, peer_pid=peer_pid)


def keep(connection: Connection, here: Here, process: Process, **more: Any) -> Process:
    """Add to a process's body; its state stays."""
    body = process.body | more
    connection.execute(_at(here, process).values(body=json.dumps(body)))
    return replace(process, body=body)


def note_incident(
    connection: Connection, here: Here, what: str, process: Process | None, details: dict[str, Any],
    peer: str | None = None, once: bool = False,
) -> None:  # fmt: skip
    """Write down what did not go as it should. `once`: not again where the same stands there already."""
    said = json.dumps(details, sort_keys=True)
    if once:
        where = (incidents.c.tenant == here.tenant, incidents.c.what == what, incidents.c.body == said)
        if connection.execute(select(incidents.c.incident).where(*where)).first() is not None:
            return
    connection.execute(
        insert(incidents).values(
            tenant=here.tenant, incident=here.new_id(), time=here.now, what=what,
            peer=peer if process is None else process.peer, process=None if process is None else process.process,
            body=said,
        )
    )  # fmt: skip


def led_to(before: Process, message: str) -> str:
    """The state that a legal message of the other side leads to."""
    return str(after(before.kind, before.state, other(before.role), message))


def met(connection: Connection, here: Here, process: Process, message: Message) -> Process:
    """The process, with the other side's id where this message is the first we hear of it: it may overtake the answer
    to our own first message. Raises InputError where a message names other ids than its process has."""
    theirs = "providerPid" if process.role == "consumer" else "consumerPid"
    if process.peer_pid is None and message.get(theirs):
        process = known_as(connection, here, process, message[theirs])
    _check_pids(process, message)
    return process


def _check_pids(process: Process, message: Message) -> None:
    for name, ours in (("providerPid", process.provider_pid), ("consumerPid", process.consumer_pid)):
        if message.get(name, ours) != ours:
            raise InputError(f"{message[name]} is not of this process", where=name, remedy="send its own ids")


def _is_fresh(connection: Connection, here: Here, process: Process, message_id: str | None) -> bool:
    """False for a second copy of a message; one without an id is judged by the state alone."""
    if message_id is None:
        return True
    where = (taken.c.tenant == here.tenant, taken.c.participant == process.peer, taken.c.message == message_id)
    if connection.execute(select(taken.c.process).where(*where)).first() is not None:
        return False
    row = {"tenant": here.tenant, "participant": process.peer, "message": message_id, "process": process.process}
    connection.execute(insert(taken).values(**row))
    return True


def _changed(connection: Connection, here: Here, process: Process, state: str, more: dict[str, Any]) -> Process:
    changed = replace(process, state=state, version=process.version + 1, changed=here.now, body=process.body | more)
    connection.execute(
        _at(here, process).values(
            state=state, version=changed.version, changed=here.now, body=json.dumps(changed.body)
        )
    )  # fmt: skip
    return changed


def _at(here: Here, process: Process) -> Any:
    return update(processes).where(processes.c.tenant == here.tenant, processes.c.process == process.process)


def _process(row: Any) -> Process:
    found = {name: row[name] for name in Process.__slots__}
    return Process(**found | {"body": json.loads(row["body"])})
