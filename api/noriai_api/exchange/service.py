"""A participant of the data space: what it offers and asks for, and the work that goes on meanwhile.

It needs a store, a clock, ids, its keys and a way to send; everything is passed in. Changes go through the store's one
writer, and a message leaves only once the change it tells of is durable.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx
import structlog
from sqlalchemy import Connection, delete, insert, select

from noriai_api.exchange import (
    agreements,
    bus,
    catalogue,
    courier,
    negotiations,
    participants,
    passing_on,
    processes,
    transfers,
)
from noriai_api.exchange.agreements import Agreement
from noriai_api.exchange.data_plane import Page
from noriai_api.exchange.keys import (
    ACCESS,
    PROOF_LIVES_S,
    USAGE,
    Keyring,
    ProofError,
    check_proof,
    issuer,
    opened,
    proof,
)
from noriai_api.exchange.participants import Authorities, Participant
from noriai_api.exchange.processes import Here, Process
from noriai_api.exchange.protocol.messages import CONTEXT, Message, checked
from noriai_api.store.exchange_tables import proofs
from noriai_engine.model import Clock
from noriai_engine.model.errors import InputError

T = TypeVar("T")

ASK_KEYS_AGAIN_S = 30
IDLE_S = 5.0

ALSO: ContextVar[Callable[[Connection], None] | None] = ContextVar("also", default=None)
"""What a caller wants written with each change it makes, such as who asked for it."""

log = structlog.get_logger("noriai.exchange")


class Store(Protocol):
    """Reading what is durable, and writing through the one writer."""

    def read(self, query: Callable[[Connection], T], tenant: str) -> Awaitable[T]: ...

    def write(self, change: Callable[[Connection], T], tenant: str) -> Awaitable[T]: ...


@dataclass(frozen=True)
class Me:
    """Who we are in the data space, and where others reach us."""

    tenant: str
    participant: str
    address: str


@dataclass(frozen=True, slots=True)
class Proven:
    """Who sent a request, by its proof."""

    peer: str
    proof_id: str
    message_id: str | None


class Exchange:
    """Start with `start`, stop with `stop`; whatever was under way goes on after a restart."""

    def __init__(
        self, me: Me, store: Store, upsert: Callable[[Any], Any], clock: Clock, new_id: Callable[[], str],
        keyring: Keyring, authorities: Authorities, http: httpx.AsyncClient, bus: str = "",
    ) -> None:  # fmt: skip
        self.bus = bus
        self.me, self.tenant, self.clock, self.keyring, self.upsert = me, me.tenant, clock, keyring, upsert
        self._store, self._new_id, self._authorities, self._http = store, new_id, authorities, http
        self._seen: dict[tuple[str, str], int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()
        self.listeners: list[Callable[[], None]] = []
        self.workers: list[Callable[[Exchange], Awaitable[None]]] = []
        self.is_ending = False

    # --- start and stop -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to deliver, and whatever workers were added; also again after `stop`."""
        self.is_ending = False
        works = [self._keep_delivering, *(lambda work=work: work(self) for work in self.workers)]
        self._tasks = [asyncio.create_task(work()) for work in works]

    def end_streams(self) -> None:
        """Let what is streamed to others end; they come again. A server waits for it before it stops."""
        self.is_ending = True
        self.wake()

    async def stop(self) -> None:
        self.end_streams()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _keep_delivering(self) -> None:
        while True:
            self._news.clear()
            try:
                await self.deliver_due()
                following = await self.read(lambda c: courier.next_due(c, self.tenant))
            except Exception as error:  # the store is down: the next look tries again
                log.warning("not delivered, to be tried again", error=type(error).__name__)
                following = None
            pause = IDLE_S if following is None else min(IDLE_S, max(0.01, (following - self.clock.now()) / 1000))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def deliver_due(self) -> int:
        """Try every message whose time has come, side by side; how many."""
        rows = await self.read(lambda c: courier.due(c, self.tenant, self.clock.now()))
        await asyncio.gather(*(courier.deliver(self, row) for row in rows))
        return len(rows)

    # --- the store ------------------------------------------------------------------------------------------

    def here(self) -> Here:
        address = f"{self.me.address}/dsp"
        return Here(self.tenant, self.me.participant, address, self.clock.now(), self._new_id, self.bus)

    async def read(self, query: Callable[[Connection], T]) -> T:
        return await self._store.read(query, self.tenant)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Make a change that nobody else waits for."""
        return await self._store.write(change, self.tenant)

    async def change(self, change: Callable[[Connection, Here], T]) -> T:
        """Make a change; once it is durable, everybody who waits for news looks. What stands in ALSO is done in the
        same transaction."""
        also = ALSO.get()

        def both(connection: Connection) -> T:
            found = change(connection, self.here())
            if also is not None:
                also(connection)
            return found

        done = await self._store.write(both, self.tenant)
        self.wake()
        return done

    def wake(self) -> None:
        self._news.set()
        for listener in self.listeners:
            listener()

    # --- proofs ---------------------------------------------------------------------------------------------

    async def send(
        self,
        peer: str,
        method: str,
        url: str,
        body: bytes,
        message_id: str | None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """A request with our proof. Raises httpx.HTTPError where nobody answers."""
        return await self._http.request(
            method, url, content=body, headers=self.signed(peer, method, url, body, message_id) | (headers or {})
        )

    async def call(self, peer: str, method: str, path: str, body: Message | None = None) -> tuple[int, Any] | None:
        """(status, document) that a participant's service answers, None where it is none we understand. `path`: below
        its address. Raises httpx.HTTPError, ProofError."""
        known = await self.known(peer)
        sent = b"" if body is None else json.dumps(body).encode()
        answer = await self.send(peer, method, f"{known.address}/{path}", sent, None)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return None

    def stream(self, peer: str, method: str, url: str, headers: dict[str, str]) -> Any:
        """A request whose answer is read piece by piece."""
        return self._http.stream(method, url, headers=self.signed(peer, method, url, b"", None) | headers, timeout=None)

    def signed(self, peer: str, method: str, url: str, body: bytes, message_id: str | None) -> dict[str, str]:
        """The headers that carry our proof."""
        now_s = self.clock.now() // 1000
        text = proof(self.keyring.signing(now_s), self.me.participant, peer, method, courier.path_of(url), body, now_s,
                     self._new_id(), message_id)  # fmt: skip
        return {"Noriai-Proof": text, "Content-Type": "application/json"}

    async def proven(self, text: str | None, method: str, path: str, body: bytes) -> Proven:
        """Who sent a request. Raises ProofError: missing, unknown_participant, denied, replayed, and those of
        `check_proof`."""
        if text is None:
            raise ProofError("missing")
        sender, now_s = issuer(text), self.clock.now() // 1000
        known = await self.known(sender)
        keys = known.keys
        try:
            claims = check_proof(text, keys, self.me.participant, method, path, body, now_s)
        except ProofError as error:
            if error.code != "unknown_key" or not await self._ask_for_keys(known, now_s):
                raise
            keys = (await self.known(sender)).keys
            claims = check_proof(text, keys, self.me.participant, method, path, body, now_s)
        self._count_once(sender, claims["jti"], now_s)
        return Proven(sender, claims["jti"], claims.get("mid"))

    async def known(self, participant: str) -> Participant:
        """Raises ProofError: unknown_participant, denied."""
        known = await self.read(lambda c: participants.find(c, self.tenant, participant))
        if known is None:
            raise ProofError("unknown_participant")
        if not known.counts(self.clock.now() // 1000):
            raise ProofError("denied")
        return known

    def _count_once(self, sender: str, proof_id: str, now_s: int) -> None:
        if (sender, proof_id) in self._seen:
            raise ProofError("replayed")
        if len(self._seen) > 100_000:
            self._seen = {key: until for key, until in self._seen.items() if until > now_s}
        self._seen[sender, proof_id] = now_s + 2 * PROOF_LIVES_S

    def count_for_good(self, connection: Connection, here: Here, proven: Proven) -> None:
        """A proof whose message changes something counts once, also after a restart. Raises ProofError (replayed)."""
        where = (proofs.c.tenant == here.tenant, proofs.c.participant == proven.peer, proofs.c.proof == proven.proof_id)
        if connection.execute(select(proofs.c.proof).where(*where)).first() is not None:
            raise ProofError("replayed")
        connection.execute(delete(proofs).where(proofs.c.tenant == here.tenant, proofs.c.expires < here.now))
        connection.execute(
            insert(proofs).values(
                tenant=here.tenant, participant=proven.peer, proof=proven.proof_id,
                expires=here.now + 2000 * PROOF_LIVES_S,
            )
        )  # fmt: skip

    async def _ask_for_keys(self, known: Participant, now_s: int) -> bool:
        """A key we do not know: the participant may have a new one. They are asked once in a while."""
        if now_s - known.asked < ASK_KEYS_AGAIN_S:
            return False
        await self.write(lambda c: participants.note_asked(c, self.tenant, known.participant, now_s))
        try:
            answer = await self._http.get(f"{known.address}/keys")
            if answer.status_code != 200:
                return False
            text = answer.text
            await self.write(lambda c: participants.learn_keys(c, self.tenant, known, text, now_s))
        except (httpx.HTTPError, ProofError):
            return False
        return True

    def keys_statement(self) -> str:
        """What our keys are, signed by the oldest that counts: those who do not know the newest know that one."""
        now_s = self.clock.now() // 1000
        valid = [key for key in self.keyring.keys if key.valid_from <= now_s < key.valid_to]
        oldest = min(valid, key=lambda key: key.valid_from, default=self.keyring.signing(now_s))
        return participants.keys_statement(oldest, self.me.participant, self.keyring.public(now_s), now_s)

    # --- tokens of pulls ------------------------------------------------------------------------------------

    def access_token(self, process: Process, epoch: int) -> str:
        """A token for one transfer: it works only with proofs of the one it was given to, and for one epoch. Of a
        transfer over the bus, the key of its pages."""
        if process.body["format"] == catalogue.BUS:
            return bus.key_for(self.keyring.oldest_secret(), process.process, epoch)
        claims = {"iss": self.me.participant, "sub": process.peer, "transfer": process.process, "epoch": epoch}
        return self.keyring.signing(self.clock.now() // 1000).sign(ACCESS, claims)

    def token_epoch(self, text: str | None, peer: str, transfer: str) -> int:
        """Raises ProofError for a token that is not this participant's for this transfer."""
        if text is None:
            raise ProofError("no_token")
        now_s = self.clock.now() // 1000
        claims = opened(text, ACCESS, self.keyring.public(now_s), now_s)
        if (claims["sub"], claims["transfer"]) != (peer, transfer):
            raise ProofError("other_token")
        return int(claims["epoch"])

    def usage_statement(self, peer: str, page: Page) -> str:
        """What we sign about a page of data: the receiver keeps it."""
        claims = {"iss": self.me.participant, "aud": peer, **page.statement()}
        return self.keyring.signing(self.clock.now() // 1000).sign(USAGE, claims)

    # --- what people and programs ask of us -------------------------------------------------------------------

    async def admit(self, membership: str) -> str:
        """Take a participant in by their membership. Raises InputError."""
        now_s = self.clock.now() // 1000
        return await self.change(
            lambda c, here: participants.admit(c, self.upsert, self.tenant, membership, self._authorities, now_s)
        )

    async def offer(self, dataset: str, about: catalogue.Description, permission: list[Message], *,
                    viewers: list[str] | None = None, manual: bool = False) -> None:  # fmt: skip
        """Offer a dataset. Raises InputError."""

        def change(connection: Connection, here: Here) -> None:
            said, rules = about.model_copy(update={"source": None}), permission
            if about.passes_on is not None:
                if about.kind != "operations":
                    raise InputError("is not passed on", where=f"dataset {dataset}, statistics",
                                     remedy="let the region whose riders they protect publish them")  # fmt: skip
                rules, source = passing_on.carried(connection, self.tenant, about.passes_on, permission)
                said = about.model_copy(update={"source": source})
            catalogue.put(
                connection, self.upsert, self.tenant, dataset, said, rules, here.now, viewers=viewers, manual=manual
            )

        await self.change(change)

    async def catalogue_of(self, peer: str) -> Message:
        """What another participant offers us. Raises InputError where they do not answer as the protocol has it."""
        known = await self._peer(peer)
        body = json.dumps({"@context": CONTEXT, "@type": "CatalogRequestMessage", "filter": []}).encode()
        return await self._asked(known, "POST", "catalog/request", body, "Catalog")

    async def ask(self, peer: str, dataset: str, *, purpose: str | None, offer: Message | None = None,
                  manual: bool = False) -> Process:  # fmt: skip
        """Ask a participant for a dataset, on its own terms where none are given. Raises InputError."""
        known = await self._peer(peer)
        if offer is None:
            path = f"catalog/datasets/{quote(dataset, safe='')}"
            offer = (await self._asked(known, "GET", path, b"", "Dataset"))["hasPolicy"][0]
        address, terms = f"{known.address}/dsp", offer
        return await self.change(lambda c, here: negotiations.ask(
            c, here, peer, address, dataset, terms, purpose=purpose, manual=manual))  # fmt: skip

    async def propose(self, peer: str, dataset: str) -> Process:
        """Offer a dataset to a participant who has not asked. Raises InputError."""
        known = await self._peer(peer)
        return await self.change(lambda c, here: negotiations.propose(c, here, peer, f"{known.address}/dsp", dataset))

    async def request_transfer(self, agreement: str, way: str, purpose: str, *, manual: bool = False) -> Process:
        """Ask for the data of an agreement that we are the consumer of. Raises InputError."""
        found = await self.read(lambda c: agreements.find(c, self.tenant, agreement))
        if found is None or found.role != "consumer":
            raise InputError(
                f"{agreement} gives us nothing", where="agreement", remedy="name one of those we asked for"
            )
        whole, known = found, await self._peer(found.peer)
        return await self.change(lambda c, here: transfers.ask(
            c, here, whole, f"{known.address}/dsp", way, purpose, manual=manual))  # fmt: skip

    async def move(
        self, process: str, move: str, *, offer: Message | None = None, reason: str | None = None
    ) -> Process:
        """Make a move in a negotiation or transfer. Raises UnknownProcessError, IllegalMessageError, InputError."""

        def change(connection: Connection, here: Here) -> Process:
            found = processes.find(connection, self.tenant, process)
            if found.kind == "negotiation":
                return negotiations.act(connection, here, found, move, offer=offer, reason=reason)
            token = self.access_token(found, found.body["epoch"]) if found.role == "provider" else None
            return transfers.act(connection, here, found, move, token=token, reason=reason)

        return await self.change(change)

    async def revoke(self, agreement: str, reason: str) -> int | None:
        """Take an agreement back: its transfers end, and what runs under it stops at the next record."""
        return await self.change(lambda c, here: agreements.revoke(c, here, agreement, reason))

    async def agreements(self) -> list[Agreement]:
        return await self.read(lambda c: agreements.all_of(c, self.tenant))

    async def process(self, process: str) -> Process:
        """Raises UnknownProcessError."""
        return await self.read(lambda c: processes.find(c, self.tenant, process))

    async def _peer(self, peer: str) -> Participant:
        try:
            return await self.known(peer)
        except ProofError as error:
            raise InputError(f"{peer}: {error.code}", where="participant", remedy="admit them first") from None

    async def _asked(self, known: Participant, method: str, path: str, body: bytes, name: str) -> Message:
        url = f"{known.address}/dsp/{path}"
        try:
            answer = await self.send(known.participant, method, url, body, None)
        except httpx.HTTPError as error:
            raise InputError(f"does not answer: {type(error).__name__}", where=url, remedy="try again later") from error
        if answer.status_code != 200:
            raise InputError(f"answers {answer.status_code}", where=url, remedy="ask its operator")
        try:
            said = answer.json()
        except ValueError as error:
            raise InputError("answers no JSON", where=url, remedy="ask its operator") from error
        return checked(said, name)
