"""A node: the store, its regions, and who may call. Everything from outside (clock, chance, threads) is passed in."""

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import structlog
from sqlalchemy import Connection, select

from noriai_api import first_start
from noriai_api.access import clients
from noriai_api.access.clients import Client
from noriai_api.access.decision import Grant
from noriai_api.bell import Bell
from noriai_api.events import feed
from noriai_api.events.relay import client as nats_client
from noriai_api.holding.forwarding import process_at
from noriai_api.holding.leases import CHORES, Holding
from noriai_api.holding.process import HeldElsewhereError, Process
from noriai_api.housekeeping import do_chores, look_after_positions
from noriai_api.identity.providers import load_providers
from noriai_api.identity.service import Identity
from noriai_api.parties.fleet import fleet_on, operators_of
from noriai_api.problems import Problem
from noriai_api.runtime.actor import InlineWorker, RegionActor, ThreadWorker, Worker
from noriai_api.runtime.legality import Legality
from noriai_api.runtime.region import RegionRules, RegionRuntime
from noriai_api.runtime.rehearsal import rehearse
from noriai_api.settings import NodeSettings
from noriai_api.store import Database, Writer, open_database
from noriai_api.store.migrate import migrate
from noriai_api.store.tables import regions
from noriai_api.vehicles.positions import Positions
from noriai_api.vehicles.repository import regions_of
from noriai_engine.dispatch import DispatchParams
from noriai_engine.dispatch.rebalancing import RebalanceParams, flow_solver
from noriai_engine.model import Clock, IdSource, Service, ServiceDay, Vehicle
from noriai_engine.regions import Region, open_region
from noriai_engine.rules.pack_file import PackFile
from noriai_engine.rules.tariff import FareTable, Tariff, tariff_of

T = TypeVar("T")

KNOWN_CLIENTS = 4096
WARN_DAYS = 30

log = structlog.get_logger("noriai")


@dataclass(frozen=True, slots=True)
class Outside:
    """What a node gets from outside: the clock, a seed of chance, and whether it may use threads."""

    clock: Clock
    seed: int | None
    threaded: bool = True


class Node:
    """Start with `start`, stop with `stop`; between them every request goes through here."""

    def __init__(self, settings: NodeSettings, outside: Outside) -> None:
        self.settings, self.clock, self._outside = settings, outside.clock, outside
        rng = np.random.default_rng(outside.seed)
        self._secrets, self._region_rng, ids = rng.spawn(3)
        self.ids = IdSource(outside.clock, ids)
        self.database: Database = open_database(settings.database, settings.data)
        self.writer = Writer(self.database, threaded=outside.threaded)
        self.actors: dict[tuple[str, str], RegionActor] = {}
        self.paused: dict[tuple[str, str], dict[str, str] | None] = {}
        self.in_flight: set[tuple[str, str, str]] = set()
        self.positions = Positions()
        self._operators: dict[str, dict[str, dict[str, Any]]] = {}
        self._fleets: dict[str, dict[str, tuple[str, str]]] = {}
        """Tenant -> vehicle -> (region, operator), until a vehicle changes."""
        self.is_ready = False
        self.is_draining = False
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="noriai reader") if outside.threaded else None
        self._clients: OrderedDict[str, Client] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []
        self.news = Bell()
        """Rings when something happened to a booking of this store, whichever process did it."""
        self._chores: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        if settings.nats or settings.exchange_nats:
            nats_client()  # told now, not once there are events
        self.public_address = settings.public_address
        self.tenants: frozenset[str] = frozenset()
        self.identity = Identity(self, self.clock, load_providers(settings.providers), self.ids.new_id, self.new_secret)
        self.process = Process(self.ids.new_id(), self, self, settings.lease_s, process_at)
        self.taking_turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        """Clients whose bookings are counted, one after another."""
        self.of_regions: list[Callable[[str, str, bool], Awaitable[None]]] = []
        """Told of each region this process gets (True) or loses."""

    # --- start and stop -------------------------------------------------------------------------------------

    def prepare(self) -> dict[str, str]:
        """Bring the store up to date and open its regions; returns the keys made at the first start, else nothing."""
        if self.settings.rebalance_every_s:
            flow_solver()  # told now, not once a vehicle should be sent
        migrate(self.database)
        if not self.database.is_sqlite and not self.database.is_bound():
            log.warning("row policies do not bind this user of the database, a superuser: let a plain role own it")
        keys: dict[str, str] = {}
        if not self.database.read(first_start.has_tenants):
            ready, now = first_start.prepare(self.settings), self.clock.now()

            def write(connection: Connection) -> dict[str, str]:
                if first_start.has_tenants(connection):  # another process was faster
                    return {}
                return first_start.write_first(connection, self.settings, ready, self.new_secret, now)

            keys = self.writer.put(write).result()
        rows = self.database.read(
            lambda c: c.execute(select(regions).order_by(regions.c.tenant, regions.c.region)).all()
        )
        for row in rows:
            self._open(row.tenant, open_region(Path(row.folder)), json.loads(row.body))
        self.database.read(self.positions.load)
        self.tenants = frozenset(self.database.read(clients.all_tenants))
        self.writer.put(lambda c: self.identity.prepare(c, self.settings.data / "token-keys.json")).result()
        return keys

    async def start(self, address: str, *every_minute: Callable[["Node"], Awaitable[None]]) -> None:
        """Take the regions that are ours, let each be what its log says, and look after it. `address`: where other
        processes reach this one; `every_minute`: what else is due now and then."""
        await self.process.start(address)
        self._tasks.append(asyncio.create_task(self.process.run(self.settings.tick_ms / 1000)))
        self._tasks += [asyncio.create_task(self._look_after(actor)) for actor in self.actors.values()]
        self._tasks.append(asyncio.create_task(look_after_positions(self)))
        self._tasks.append(asyncio.create_task(self._hear()))
        self._tasks += [asyncio.create_task(self._now_and_then(work)) for work in every_minute]
        self.is_ready = True

    def drain(self) -> None:
        """Take nothing new for long: regions are passed on to other processes, and streams to vehicles end, to begin
        anew with whoever serves them next."""
        self.is_ready, self.is_draining = False, True
        for actor in self.actors.values():
            actor.changed.ring()
        self.news.ring()
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        try:
            await self.process.leave()
        except Exception as error:  # the store is down: others take the regions once this process is gone
            log.warning("could not say goodbye", error=type(error).__name__)

    async def stop(self) -> None:
        """Finish what was begun, and let go of everything."""
        self.drain()
        if self._leaving is not None:
            await self._leaving
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for actor in self.actors.values():
            actor.close()
        await self.identity.close()
        self.writer.close()
        if self._readers is not None:
            self._readers.shutdown()
        self.database.close()

    def _open(self, tenant: str, region: Region, body: dict[str, Any]) -> None:
        settings = self.settings
        service: Service = first_start.SERVICE.validate_python(body["service"])
        rules = RegionRules(
            tenant, region.name, service, DispatchParams(), settings.quote_lifetime_s * 1000, body["moves_itself"],
            settings.improve_every_s * 1000, match_every_ms=settings.match_every_s * 1000,
            rebalance=RebalanceParams(settings.rebalance_every_s * 1000), plan_at=settings.plan_at,
            plan_iterations=settings.plan_iterations, tariff=_tariff(body, "fare"), legality=_legality(body, region),
        )  # fmt: skip

        def fleet(day: ServiceDay) -> list[Vehicle]:
            return self.database.read(lambda connection: fleet_on(connection, tenant, region.name, day, rules.legality))

        runtime = RegionRuntime(rules, region, fleet, self._region_rng.spawn(1)[0])
        improves, matches = rules.improve_every_ms > 0, rules.match_every_ms > 0
        rehearse(region, runtime.travel_times, improves=improves, matches=matches, plans=bool(rules.plan_at))
        worker: Worker = ThreadWorker(f"region {region.name}") if self._outside.threaded else InlineWorker()
        self._warn_of_packs(rules)
        self.paused[tenant, region.name] = body.get("paused")
        self.actors[tenant, region.name] = RegionActor(
            runtime, self.database, self.writer, self.clock, worker, self.process.check, settings.inbox
        )  # fmt: skip

    # --- what this process holds --------------------------------------------------------------------------------

    def to_hold(self) -> list[tuple[str, str]]:
        """Every region of the store, and the chores."""
        return [*sorted(self.actors), CHORES]

    async def begin(self, key: tuple[str, str], holding: Holding) -> None:
        """A region, or the chores, are this process's from now on."""
        if key == CHORES:
            self._chores = asyncio.create_task(do_chores(self))
        elif key in self.actors:
            await self._dispatch(key, holding)
        for tell in self.of_regions:
            await tell(*key, True)

    async def _dispatch(self, key: tuple[str, str], holding: Holding) -> None:
        tenant, region = key

        def read(connection: Connection) -> dict[str, Any]:
            where = (regions.c.tenant == tenant, regions.c.region == region)
            self.positions.load(connection)
            return dict(json.loads(connection.execute(select(regions.c.body).where(*where)).scalar_one()))

        body = await self.read(read)
        self.paused[key] = body.get("paused")
        self.actors[key].hold(holding)
        await self.confirm_rules(*key, confirmed_in(body))
        await self.actors[key].ask(partial(_tick, is_paused=self.paused[key] is not None), "tick")

    def is_busy(self, key: tuple[str, str]) -> bool:
        return key in self.actors and self.actors[key].waiting > 0

    async def end(self, key: tuple[str, str]) -> None:
        """A region, or the chores, are another's from now on."""
        if key == CHORES and self._chores is not None:
            self._chores.cancel()
            await asyncio.gather(self._chores, return_exceptions=True)
        if key in self.actors:
            self.actors[key].let_go()
        for tell in self.of_regions:
            await tell(*key, False)

    async def heed(self, kind: str, subject: str) -> None:
        """Clients, operators or vehicles have changed, here or in another process."""
        if kind == "clients":
            self._clients.clear()
        elif kind == "operators":
            self._operators.pop(subject, None)
        elif kind == "vehicles":
            tenant, region = subject.split("/")
            self.forget_fleet(tenant)
            if (actor := self.actors.get((tenant, region))) is not None:
                with contextlib.suppress(HeldElsewhereError):
                    await actor.ask(_take_in, "join")

    def first_region(self, tenant: str) -> tuple[str, str]:
        """Whoever holds a tenant's first region also speaks for the tenant in the exchange."""
        return min((key for key in self.actors if key[0] == tenant), default=CHORES)

    async def _hear(self) -> None:
        """Ring when there are new events."""
        last = -1
        while True:
            with contextlib.suppress(Exception):  # the store is down: the next look tries again
                newest = await self.read(feed.newest)
                if newest != last:
                    last = newest
                    self.news.ring()
            await asyncio.sleep(self.settings.tick_ms / 1000)

    async def _now_and_then(self, work: Callable[["Node"], Awaitable[None]]) -> None:
        """Do something every so many ticks; what fails is tried again the next time."""
        while True:
            await asyncio.sleep(60 * self.settings.tick_ms / 1000)
            try:
                await work(self)
            except Exception as error:
                log.warning("not done, to be tried again", work=work.__name__, error=type(error).__name__)

    def _warn_of_packs(self, rules: RegionRules) -> None:
        """Rules that end soon are said at the start, a month ahead."""
        today = datetime.fromtimestamp(self.clock.now() / 1000, UTC).date()
        for licence, packs in (rules.legality.licences if rules.legality is not None else {}).items():
            for pack in packs:
                if (pack.pack.valid_to - today).days < WARN_DAYS:
                    log.warning("rule pack ends", pack=pack.pack.id, licence=licence, valid_to=str(pack.pack.valid_to))

    async def _look_after(self, actor: RegionActor) -> None:
        while True:
            await asyncio.sleep(self.settings.tick_ms / 1000)
            if not actor.is_held:
                continue
            try:
                is_paused = self.paused.get(actor.key) is not None
                await actor.ask(partial(_tick, is_paused=is_paused), "tick")
            except HeldElsewhereError:
                continue
            except Exception as error:  # the store is down, or a call failed: the next look tries again
                log.warning("a tick failed", region=actor.key[1], error=type(error).__name__)

    # --- for routes -----------------------------------------------------------------------------------------

    async def open_for_rides(self, tenant: str, region: str) -> None:
        """Raises Problem (paused) where no new rides are taken, with the reason riders are told."""
        await self.actor(tenant, region).here()
        reason = self.paused.get((tenant, region))
        if reason is not None:
            raise Problem("paused", headers={"Retry-After": "600"}, reason=reason)

    async def confirm_rules(self, tenant: str, region: str, confirmed: frozenset[tuple[str, int]]) -> None:
        """Judge by these packs, too, from now on."""
        await self.actors[tenant, region].ask(partial(_confirm, confirmed=confirmed), "rules")

    def actor(self, tenant: str, region: str) -> RegionActor:
        """The task of a region. Raises Problem where the tenant has none by that name."""
        if (tenant, region) not in self.actors:
            raise Problem("not_found", f"no region {region}")
        return self.actors[tenant, region]

    def today_in(self, tenant: str) -> str:
        """The date where a tenant is, by its first region."""
        actor = self.actors.get(self.first_region(tenant))
        if actor is None:
            return datetime.fromtimestamp(self.clock.now() / 1000, UTC).date().isoformat()
        return actor.runtime.service_day(self.clock.now()).date.isoformat()

    def regions_of(self, tenant: str) -> dict[str, str]:
        """A tenant's regions, each with its time zone."""
        return {name: a.runtime.region.timezone for (owner, name), a in self.actors.items() if owner == tenant}

    async def read(self, query: Callable[[Connection], T], tenant: str | None = None) -> T:
        """Run a query on what is durable, with rows of one tenant or, for the node's own work, of all."""
        if self._readers is None:
            return self.database.read(query, tenant)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.database.read, query, tenant)

    async def write(self, change: Callable[[Connection], T], tenant: str | None = None) -> T:
        """Write a change of no region, to rows of one tenant or of all, and wait until it is durable."""
        result: T = await asyncio.wrap_future(self.writer.put(change, tenant=tenant))
        return result

    async def compute(self, work: Callable[[], T]) -> T:
        """Do some work off the event loop."""
        if self._readers is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def new_secret(self) -> str:
        """256 random bits in hexadecimal."""
        return bytes(self._secrets.integers(0, 256, 32, dtype=np.uint8)).hex()

    async def client(self, key: str) -> Client | None:
        """Whose key this is, if it is valid now."""
        digest = clients.hash_of(key)
        known = self._clients.get(digest)
        if known is None:
            known = await self.read(lambda connection: clients.by_key(connection, key))
            if known is None:
                return None
            self._clients[digest] = known
            if len(self._clients) > KNOWN_CLIENTS:
                self._clients.popitem(last=False)
        return known if known.is_valid(self.clock.now()) else None

    async def client_named(self, tenant: str, client: str) -> Client | None:
        """A client by its id, if it is valid now."""
        name = f"{tenant}/{client}"
        known = self._clients.get(name) or await self.read(lambda c: clients.named(c, tenant, client))
        if known is None:
            return None
        self._clients[name] = known
        if len(self._clients) > KNOWN_CLIENTS:
            self._clients.popitem(last=False)
        return known if known.is_valid(self.clock.now()) else None

    async def operators(self, grant: Grant) -> dict[str, dict[str, Any]]:
        """A tenant's operators by id; the store is asked again once one has changed."""
        if grant.tenant not in self._operators:
            self._operators[grant.tenant] = await self.read(lambda connection: operators_of(connection, grant))
        return self._operators[grant.tenant]

    def forget_fleet(self, tenant: str) -> None:
        """A vehicle of a tenant has changed: whose it is and where is looked up anew."""
        self._fleets.pop(tenant, None)

    async def region_of(self, grant: Grant, vehicle: str) -> str:
        """A vehicle's region. Raises Problem (not_found) for a vehicle that is not there or out of reach."""
        tenant = grant.tenant
        if tenant not in self._fleets:
            self._fleets[tenant] = await self.read(lambda connection: regions_of(connection, tenant), tenant)
        region, operator = self._fleets[tenant].get(vehicle, ("", ""))
        own = {"vehicle": vehicle, "operator": operator}
        if not region or any(own.get(column) != value for column, value in grant.only.items()):
            raise Problem("not_found", f"no vehicle {vehicle}")
        return region


def _tariff(body: dict[str, Any], name: str) -> Tariff | None:
    return None if body[name] is None else tariff_of(FareTable.model_validate(body[name]), body["zones"])


def _legality(body: dict[str, Any], region: Region) -> Legality | None:
    law = body["law"]
    if not law["licences"]:
        return None
    licences = {name: tuple(PackFile.model_validate(pack) for pack in packs) for name, packs in law["licences"].items()}
    service: Service = first_start.SERVICE.validate_python(body["service"])
    holidays = frozenset(date.fromisoformat(day) for day in law["holidays"])
    area, taxi = service.area or region.boundary, _tariff(body, "taxi_fare")
    return Legality(licences, area, holidays, law["cash"], law["fares_posted"], taxi, law["taxis_of_area"],
                    law["declared_number"], not body["moves_itself"], confirmed_in(body))  # fmt: skip


def confirmed_in(body: dict[str, Any]) -> frozenset[tuple[str, int]]:
    """Packs (id, version) that were confirmed, from a region's body."""
    return frozenset((one["pack"], one["version"]) for one in body["law"].get("confirmed", ()))


def _confirm(runtime: RegionRuntime, confirmed: frozenset[tuple[str, int]]) -> tuple[None, None]:
    if runtime.rules.legality is not None:
        runtime.rules = replace(runtime.rules, legality=replace(runtime.rules.legality, confirmed=confirmed))
    return None, None


def _tick(runtime: RegionRuntime, *, is_paused: bool = False) -> tuple[None, None]:
    runtime.tick(is_paused=is_paused)
    return None, None


def _take_in(runtime: RegionRuntime) -> tuple[None, None]:
    runtime.take_in()
    return None, None
