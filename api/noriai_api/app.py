"""The HTTP application: routers over a node, problems, limits on bodies, health, metrics."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_swagger import patch_fastapi
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noriai_api.access.decision import Subject
from noriai_api.access.router import router as access
from noriai_api.bookings.router import router as bookings
from noriai_api.borders.provider import ride_services
from noriai_api.borders.riding import looking_after_rides
from noriai_api.borders.router import router as borders
from noriai_api.broker.router import router as broker
from noriai_api.delegates.router import router as delegates
from noriai_api.events.router import router as events
from noriai_api.exchange.door import exchange_app
from noriai_api.guard import SCHEMES, Rates, guarded
from noriai_api.holding.forwarding import Forwarding, client
from noriai_api.holding.leases import Key
from noriai_api.identity.router import guarded as identity
from noriai_api.identity.router import router as signing_in
from noriai_api.node import Node
from noriai_api.notices.service import give_notices
from noriai_api.ods.adapter import OdsAdapter
from noriai_api.orders.chores import look_after_wishes
from noriai_api.orders.evening import plan_tomorrow
from noriai_api.orders.router import router as orders
from noriai_api.overrides.router import router as overrides
from noriai_api.parties.router import router as parties
from noriai_api.pool.borrowing import looking_after_loans
from noriai_api.pool.lending import pool_services
from noriai_api.pool.router import router as pool
from noriai_api.problems import MEDIA_TYPE, SCHEMA, Problem, add_problems, document
from noriai_api.rules import router as rules
from noriai_api.services import router as services
from noriai_api.sharing.definitions import publishing_definitions
from noriai_api.sharing.demand import publishing_demand
from noriai_api.sharing.participants import MOUNT, exchanges_of, keys_of
from noriai_api.sharing.router import router as sharing
from noriai_api.sharing.supply import publishing_supply
from noriai_api.standards.mds_router import router as mds
from noriai_api.standards.router import feeds
from noriai_api.standards.router import router as standards
from noriai_api.standards.tomp_router import router as tomp
from noriai_api.tracing import set_up, tear_down
from noriai_api.vehicles.router import router as vehicles
from noriai_api.watch import Watch
from noriai_api.watch.router import router as watch
from noriai_api.webhooks.router import router as webhooks
from noriai_engine import __version__

ROUTERS = (
    vehicles, bookings, orders, overrides, parties, standards, mds, feeds, webhooks, events, access, identity,
    signing_in, delegates, tomp, services, rules, sharing, borders, broker, pool, watch,
)  # fmt: skip

DESCRIPTION = """
Shared rides: quotes, bookings, vehicles and their plans, one tenant's data apart from the other's.

Every request says who calls: an API key (`Authorization: Bearer noriai_...`), an access token with its proof (`DPoP`),
or the session of a sign-in (then whatever changes something carries the header `Noriai-Request: 1`). Errors are problem
documents (RFC 9457) with cause and next step in Japanese and English. A request that books carries an
`Idempotency-Key`, so that it may be repeated.
"""


def create_app(node: Node, address: str) -> FastAPI:
    """The application of a node that `prepare` has been called on; serving starts and stops it. `address`: where it
    listens, for other nodes unless settings name another."""
    areas = (node.settings.exchange_area,) if node.settings.exchange_area else ()
    demand, supply = publishing_demand(areas), publishing_supply(node.regions_of, areas)
    definitions = publishing_definitions(node, areas)
    exchanges = exchanges_of(
        node, address, looking_after_rides(node), looking_after_loans(node), demand, supply, definitions
    )

    node.public_address = node.public_address or address
    http = client()

    async def speaks(tenant: str, region: str, ours: bool) -> None:
        """Whoever holds a tenant's first region speaks for it in the exchange."""
        for name, exchange in exchanges.items():
            if node.first_region(name) == (tenant, region):
                if ours:
                    exchange.keyring = keys_of(node, name)
                    exchange.start()
                else:
                    await exchange.stop()

    node.of_regions.append(speaks)

    async def of_key(key: str) -> Subject | None:
        client = await node.client(key)
        return None if client is None else client.subject

    def speaker(path: str) -> Key | None:
        return node.first_region(path.split("/")[2]) if path.startswith(f"{MOUNT}/") else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await node.start(node.settings.process_address or address, look_after_wishes, plan_tomorrow, give_notices)
        yield
        await node.stop()
        await http.aclose()
        tear_down(app)

    app = FastAPI(
        title="noriai", version=__version__, description=DESCRIPTION.strip(), lifespan=lifespan,
        separate_input_output_schemas=False, redirect_slashes=False, docs_url=None, redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )  # fmt: skip
    app.state.node, app.state.rates, app.state.watch = node, Rates(node.settings.requests_per_minute), Watch(node)
    for router in ROUTERS:
        app.include_router(router)
    app.state.exchanges = exchanges
    app.mount(MOUNT, exchange_app(exchanges, [*ride_services(node), *pool_services(node)]))
    patch_fastapi(app, docs_url="/docs")  # FastAPI's own page loads its scripts from elsewhere
    add_problems(app)
    app.add_middleware(Forwarding, process=node.process, http=http, speaker=speaker)
    app.add_middleware(OdsAdapter, of_key=of_key, of_token=node.identity.of_bearer)
    app.add_middleware(Edge, limit=node.settings.body_limit_kb * 1024, watch=app.state.watch)
    if node.settings.otlp:
        set_up(app, node.settings.otlp)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to add to it
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the problem's schema in it and FastAPI's own error schema out."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes,
            separate_input_output_schemas=False,
        )  # fmt: skip
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = SCHEMA
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        made["components"]["securitySchemes"] = SCHEMES
        actions = guarded(ROUTERS)
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                said = operation["responses"]
                if (method.upper(), path) in actions:
                    operation["security"] = [{scheme: [actions[method.upper(), path]]} for scheme in SCHEMES]
                needs_key = "key_missing" in said.get("400", {}).get("description", "")
                for parameter in operation.get("parameters", ()):
                    if parameter["name"] == "Idempotency-Key" and needs_key:
                        parameter["required"] = True
                if "application/json" in said.get("422", {}).get("content", {}):
                    said["422"]["content"].pop("application/json")
        app.openapi_schema = made
    return app.openapi_schema


class Edge:
    """What every request passes: a limit on its body, a measure of its time, and an answer even where we fail."""

    def __init__(self, app: ASGIApp, limit: int, watch: Watch, now: Callable[[], float] = time.perf_counter) -> None:
        self._app, self._limit, self._watch, self._now = app, limit, watch, now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, read = self._now(), 500, 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit and not scope["path"].startswith(f"{MOUNT}/"):  # pages of data: it has its own
                raise HTTPException(413)  # the one error that FastAPI lets pass from here
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_SAFE]
            await send(message)

        try:
            await self._app(scope, limited, noted)
        except Problem as problem:
            status = problem.status
            await _answer(problem, scope, receive, noted)
        except Exception as error:
            self._watch.fault(scope, error)
            if status != 500:  # half an answer is out: nothing more can be said
                raise
            await _answer(Problem("fault"), scope, receive, noted)
        finally:
            self._watch.request(scope, status, self._now() - began)


_SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
]


async def _answer(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    from fastapi.responses import JSONResponse

    body = document(problem, scope["path"])
    await JSONResponse(body, problem.status, headers=problem.headers, media_type=MEDIA_TYPE)(scope, receive, send)
