"""This process among those that serve the store: what it holds, what it takes from those that are gone, what it passes
on. Every region has a holder as long as one process lives."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from noriai_api.holding import leases
from noriai_api.holding.leases import CHORES, Holding, Key, Peer
from noriai_engine.model.errors import InputError

T = TypeVar("T")

NOBODYS = Holding(None, 0)
SETTLE_S = 5.0
"""What is being done to a region may take so long before it is passed on."""
LOOKS_A_LEASE, BEATS_A_LEASE = 8, 4

log = structlog.get_logger("noriai.holding")


class HeldElsewhereError(Exception):
    """A region is asked of a process that does not hold it. The request is meant for the one that does."""

    def __init__(self, key: Key) -> None:
        self.key = key
        super().__init__(f"{key[0]}/{key[1]} is held by another process")


class Store(Protocol):
    """Reading what is durable, and writing through the one writer."""

    def read(self, query: Callable[[Connection], T]) -> Awaitable[T]: ...

    def write(self, change: Callable[[Connection], T]) -> Awaitable[T]: ...


class Work(Protocol):
    """What there is to hold, and what is to be done when that changes."""

    def to_hold(self) -> list[Key]:
        """Every region of the store, and CHORES."""
        ...

    async def begin(self, key: Key, holding: Holding) -> None: ...

    def is_busy(self, key: Key) -> bool:
        """Something is being done to a region at this moment."""
        ...

    async def end(self, key: Key) -> None: ...

    async def heed(self, kind: str, subject: str) -> None:
        """Another process has changed something that may be remembered here."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """A peer's beat, and when it was first seen (s of the loop's clock)."""

    beat: int
    since: float


class Process:
    """`lease_s`: a process that has not been heard of for so long is gone. `probe` says which process answers at an
    address ("": nobody listens there, None: no answer)."""

    def __init__(
        self, name: str, store: Store, work: Work, lease_s: float, probe: Callable[[str], Awaitable[str | None]]
    ) -> None:
        self.name, self.address, self._store, self._work = name, "", store, work
        self._lease_s, self._probe = lease_s, probe
        self.held: dict[Key, Holding] = {}
        self.peers: dict[str, Peer] = {}
        self.counts: Counter[str] = Counter()
        self._seen: dict[str, Seen] = {}
        self._gone: set[str] = set()
        self._valid_until = 0.0
        self._signal = 0
        self._lock = asyncio.Lock()
        self._is_leaving = False
        self._under_way: set[asyncio.Task[None]] = set()

    # --- for as long as it runs ---------------------------------------------------------------------------------

    async def start(self, address: str) -> None:
        """Take part. Raises what `begin` raises of a region that is ours from the start."""
        self.address = address
        self._signal = await self._store.read(leases.last_signal)
        await self.say()
        await self.look(is_first=True)

    async def run(self, every_s: float) -> None:
        """Say again and again that we live, and look at what others do: a look may take long (a region is built from
        its log), and must not let the beat falter."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._again(self.say, self._lease_s / BEATS_A_LEASE))
            both.create_task(self._again(self.look, min(every_s, self._lease_s / LOOKS_A_LEASE)))

    async def _again(self, act: Callable[[], Awaitable[None]], pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            try:
                await act()
            except Exception as error:  # the store is down: the next time it is tried again
                log.warning("not done, to be tried again", work=act.__name__, error=type(error).__name__)

    async def say(self) -> None:
        """Say that we live; until a lease later nobody takes what is ours."""
        if self._is_leaving:
            return
        now = asyncio.get_running_loop().time()
        await self._store.write(lambda c: leases.beat(c, self.name, self.address))
        self._valid_until = now + self._lease_s

    async def leave(self) -> None:
        """Pass everything on, and be gone."""
        self._is_leaving = True
        async with self._lock:
            held = await self._store.read(leases.all_held)
            for key in sorted(self.held):
                await self._give(key, self._idlest(held))
            await self._store.write(lambda c: leases.bury(c, self.name))

    async def look(self, *, is_first: bool = False) -> None:
        """See who else lives; take what is ours or nobody's, give what is too much."""
        async with self._lock:
            if self._is_leaving:
                return
            now = asyncio.get_running_loop().time()
            self.peers, held = await self._store.read(lambda c: (leases.peers(c), leases.all_held(c)))
            await self._watch(now, is_first=is_first)
            await self._see(held, is_first=is_first)
            await self._level(held)
            await self._listen()

    # --- for requests -------------------------------------------------------------------------------------------

    async def check(self, key: Key) -> None:
        """Raises HeldElsewhereError unless this process holds a region. Where it has not said for a lease that it lives
        (it was frozen, or the store away), others may hold it by now: the store says."""
        mine = self.held.get(key)
        if mine is not None and asyncio.get_running_loop().time() >= self._valid_until:
            if await self._store.read(lambda c: leases.held(c, key)) != mine:
                mine = None  # the next look lets it go
            else:
                await self.say()
        if mine is None:
            raise HeldElsewhereError(key)

    async def whereabouts(self, key: Key) -> Peer | None:
        """Who holds a region; None where it is this process by now, since nobody else did. Raises TimeoutError where
        it is on its way from one to another for too long."""
        async with asyncio.timeout(SETTLE_S):
            while True:
                holding = await self._store.read(lambda c: leases.held(c, key))
                if key in self.held and self.held[key] == holding:
                    return None
                if holding.holder == self.name and not self._is_leaving:
                    await self._surely(self.look())
                elif holding.holder is None or holding.holder == self.name or not self._is_alive(holding.holder):
                    await self._surely(self._take(key, holding))
                elif holding.holder in self.peers:
                    return self.peers[holding.holder]
                else:
                    self.peers = await self._store.read(leases.peers)
                    if holding.holder not in self.peers:
                        self._gone.add(holding.holder)
                await asyncio.sleep(0.02)

    def is_there(self, peer: Peer) -> bool:
        """Whether a peer has been heard of lately."""
        return peer.process in self.peers and peer.process not in self._gone

    async def suspect(self, peer: Peer) -> None:
        """A process did not answer: see whether it is there at all."""
        if await self._is_dead(peer.process, peer):
            self._gone.add(peer.process)

    async def _surely(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do something to its end, also where whoever asked for it goes away or waits no longer: a region half taken
        over would be nobody's."""
        task = asyncio.create_task(doing)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.shield(task)

    async def _take(self, key: Key, holding: Holding) -> None:
        async with self._lock:
            if not self._is_leaving and key not in self.held:
                await self._claim(key, holding)

    # --- parts ---------------------------------------------------------------------------------------------------

    async def _watch(self, now: float, *, is_first: bool) -> None:
        """Which of the others live."""
        self.peers.pop(self.name, None)
        for name, peer in self.peers.items():
            seen = self._seen.get(name)
            if seen is None or seen.beat != peer.beat:
                self._seen[name] = Seen(peer.beat, now)
                self._gone.discard(name)
            if is_first or now - self._seen[name].since > self._lease_s / 2:
                late = now - self._seen[name].since > self._lease_s
                if late or await self._is_dead(name, peer):
                    self._gone.add(name)
        for name in sorted(self._gone & self.peers.keys()):
            log.warning("a process is gone", process=name)
            await self._store.write(lambda c, name=name: leases.bury(c, name))  # type: ignore[misc]
            del self.peers[name]
            self._seen.pop(name, None)  # should it come back, its count begins anew

    async def _is_dead(self, name: str, peer: Peer) -> bool:
        if peer.address == self.address:
            return True  # we listen there now
        answers = await self._probe(peer.address)
        return answers is not None and answers != name

    def _is_alive(self, name: str) -> bool:
        return name not in self._gone

    async def _see(self, held: dict[Key, Holding], *, is_first: bool) -> None:
        for key in [key for key in self.held if held.get(key) != self.held[key]]:
            await self._lose(key)
        for key, holding in held.items():
            if holding.holder == self.name and key not in self.held:
                await self._begin(key, holding)
        for key in self._work.to_hold():
            holding = held.get(key, NOBODYS)
            if holding.holder is not None and holding.holder != self.name and holding.holder not in self.peers:
                self._gone.add(holding.holder)
            free = holding.holder is None or not self._is_alive(holding.holder)
            if free and key not in self.held and (key == CHORES or self._regions() < self._share()):
                await self._claim(key, holding, is_first=is_first)

    async def _claim(self, key: Key, holding: Holding, *, is_first: bool = False) -> None:
        mine = await self._store.write(lambda c: leases.pass_on(c, key, holding, self.name))
        if mine is None:
            return
        if holding.holder is not None:
            self.counts["taken from the gone"] += 1
            log.warning("a region is taken over", tenant=key[0], region=key[1], before=holding.holder)
        try:
            await self._begin(key, mine)
        except InputError as error:
            if is_first:
                raise
            log.error("a region cannot be served", tenant=key[0], region=key[1], error=str(error))

    async def _begin(self, key: Key, holding: Holding) -> None:
        self.held[key] = holding
        try:
            await self._work.begin(key, holding)
        except BaseException:
            self.held.pop(key, None)  # the next look begins it again
            raise
        self.counts["begun"] += 1

    async def _lose(self, key: Key) -> None:
        """Somebody else holds it already."""
        self.held.pop(key)
        self.counts["lost"] += 1
        log.warning("a region was taken from this process", tenant=key[0], region=key[1])
        await self._work.end(key)

    async def _give(self, key: Key, to: str | None) -> None:
        """Take nothing more in for a region, finish what was begun, and pass it on."""
        holding = self.held.pop(key)
        ends = asyncio.get_running_loop().time() + SETTLE_S
        while self._work.is_busy(key) and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(0.005)
        await self._work.end(key)
        await self._store.write(lambda c: leases.pass_on(c, key, holding, to))
        self.counts["given"] += 1

    async def _level(self, held: dict[Key, Holding]) -> None:
        """Give one region to a process that has too few, where this one has too many."""
        to = self._idlest(held)
        if to is not None and self._regions() > self._share() > _count(held)[to]:
            await self._give(max(key for key in self.held if key != CHORES), to)

    def _regions(self) -> int:
        return sum(key != CHORES for key in self.held)

    def _share(self) -> int:
        """Regions for each process, if all have the same."""
        return -(-(len(self._work.to_hold()) - 1) // (1 + len(self.peers)))

    def _idlest(self, held: dict[Key, Holding]) -> str | None:
        """The process with the fewest regions beside this one."""
        has = _count(held)
        return min(sorted(self.peers), key=lambda name: has[name], default=None)

    async def _listen(self) -> None:
        """What others have changed."""
        for number, kind, subject in await self._store.read(lambda c: leases.signals_after(c, self._signal)):
            self._signal = number
            await self._work.heed(kind, subject)


def _count(held: dict[Key, Holding]) -> Counter[str | None]:
    """Regions of each process."""
    return Counter(holding.holder for key, holding in held.items() if key != CHORES)
