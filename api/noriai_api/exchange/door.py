"""The door to other nodes: the paths of the Dataspace Protocol's HTTPS binding, and of the data that moves.

Whoever knocks without a proof that holds gets the same answer, whatever is wrong with it. Refusals are the protocol's
own error messages and change nothing.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Connection
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from noriai_api.exchange import anchors, catalogue, data_plane, inbox, negotiations, processes, transfers, usage
from noriai_api.exchange.data_plane import Page, RefusedError
from noriai_api.exchange.encodings import media_type_of
from noriai_api.exchange.keys import USAGE, ProofError, opened
from noriai_api.exchange.processes import Here, IllegalMessageError, Process, UnknownProcessError
from noriai_api.exchange.protocol import messages as dsp
from noriai_api.exchange.protocol.states import Kind, Role
from noriai_api.exchange.service import Exchange, Proven
from noriai_api.exchange.streams import pages
from noriai_api.store import StoreError
from noriai_engine.model.errors import InputError

BODY_LIMIT = 8_000_000

log = structlog.get_logger("noriai.exchange")

_ERRORS: Mapping[str, str] = {"negotiation": "ContractNegotiationError", "transfer": "TransferError"}
_STEPS: Mapping[tuple[str, str], str] = {
    (kind, path): name for (kind, name), (_, path) in dsp.NAMES.items() if path != "events"
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose sender is proven."""

    exchange: Exchange
    proven: Proven
    request: Request
    body: bytes

    @property
    def peer(self) -> str:
        return self.proven.peer

    def json(self) -> Any:
        """The body as JSON. Raises InputError."""
        return _json(self.body)

    def message(self, *names: str) -> dsp.Message:
        """The body as one of the protocol's messages. Raises InputError."""
        return dsp.checked(self.json(), *names)

    async def callback(self, message: dsp.Message) -> str:
        """Where the sender wants answers: only at the address of their membership. Raises InputError."""
        known = await self.exchange.known(self.peer)
        asked = str(message.get("callbackAddress", f"{known.address}/dsp"))
        for url in (asked, (message.get("dataAddress") or {}).get("endpoint", asked)):
            if _origin(str(url)) != _origin(known.address):
                raise InputError("is not at the address of your membership", where="callbackAddress, dataAddress",
                                 remedy="use the address you were admitted with")  # fmt: skip
        return asked


Handler = Callable[[Call], Awaitable[Response]]


Service = tuple[str, str, Handler]
"""(method, path below the tenant, handler) of what else a node does for participants it has agreements with."""


def exchange_app(exchanges: Mapping[str, Exchange], services: Sequence[Service] = ()) -> Starlette:
    """An ASGI application for the participants of a node, by tenant: `/{tenant}/dsp/...` and what belongs to it."""

    def door(path: str, handler: Handler, method: str = "GET", error: str = "CatalogError") -> Route:
        return Route(f"/{{tenant}}/{path}", _guarded(handler, error), methods=[method])

    routes = [
        Route("/.well-known/dspace-version", _versions),
        Route("/{tenant}/.well-known/dspace-version", _versions),
        Route("/{tenant}/keys", _keys),
        Route("/{tenant}/inbox/{pid}", _inbox, methods=["POST"]),
        door("dsp/catalog/request", _catalogue, "POST"),
        door("dsp/catalog/datasets/{dataset:path}", _dataset),
        door("data/{pid}", _data, error="TransferError"),
        door("data/{pid}/stream", _stream, error="TransferError"),
        door("usage/{agreement:path}", _usage),
        door("anchors", _anchor, "POST"),
    ]
    first: dict[Kind, list[tuple[str, Handler]]] = {
        "negotiation": [("request", _first_request), ("offers", _first_offer)],
        "transfer": [("request", _first_transfer)],
    }
    places: dict[Kind, str] = {"negotiation": "negotiations", "transfer": "transfers"}
    for kind, place in places.items():
        error = _ERRORS[kind]
        routes += [door(f"dsp/{place}/{path}", handler, "POST", error) for path, handler in first[kind]]
        routes.append(door(f"dsp/{place}/{{pid}}", _state(kind), error=error))
        routes.append(door(f"dsp/{place}/{{pid}}/{{step:path}}", _step(kind), "POST", error))
    routes += [door(path, handler, method) for method, path, handler in services]
    app = Starlette(routes=routes, exception_handlers={404: _absent, 405: _absent})
    app.state.exchanges = exchanges
    return app


# --- who knocks -------------------------------------------------------------------------------------------------


def _guarded(handler: Handler, error: str) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        exchange = request.app.state.exchanges.get(request.path_params["tenant"])
        if exchange is None:
            return _no(404, error, "not_found", "nothing here")
        try:
            body = await _body(request)
            proven = await exchange.proven(
                request.headers.get("noriai-proof"), request.method, request.scope["path"], body
            )  # fmt: skip
            return await handler(Call(exchange, proven, request, body))
        except Exception as raised:
            return _refusal(raised, error)

    return guarded


def _refusal(raised: Exception, error: str) -> Response:
    """What is told of an error: what is wrong with a message, and nothing about proofs."""
    if isinstance(raised, ProofError):
        log.info("refused", why=raised.code)
        return _no(401, error, "not_authenticated", "a proof of a member is needed")
    if isinstance(raised, IllegalMessageError):
        process = raised.process
        return _no(409, error, "illegal", str(raised), process.provider_pid, process.consumer_pid)
    if isinstance(raised, UnknownProcessError):
        return _no(404, error, "not_found", "no such process")
    if isinstance(raised, RefusedError):
        if raised.code == "no_transfer":
            return _no(404, error, "not_found", "no such process")
        return _no(403, error, raised.code, f"refused: {raised.code}")
    if isinstance(raised, InputError):
        return _no(400, error, "invalid", f"{raised.where}: {raised.what}"[:500])
    if isinstance(raised, StoreError):
        return _no(503, error, "store_down", "try again later")
    log.error("a fault", error=type(raised).__name__, exc_info=raised)
    return _no(500, error, "fault", "our fault; it is noted")


def _no(status: int, error: str, code: str, reason: str, provider: str | None = None, consumer: str | None = None,
        ) -> Response:  # fmt: skip
    pids = ("unknown", "unknown") if error != "CatalogError" else (None, None)
    return JSONResponse(dsp.error(error, code, reason, provider or pids[0], consumer or pids[1]), status)


async def _absent(request: Request, raised: Exception) -> Response:
    return _no(getattr(raised, "status_code", 404), "CatalogError", "not_found", "nothing here")


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > BODY_LIMIT:
            raise InputError("is too large", where="body", remedy=f"send at most {BODY_LIMIT} bytes")
    return bytes(found)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("is no JSON", where="body", remedy="send a message of the protocol") from None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


# --- what anybody may read --------------------------------------------------------------------------------------


async def _versions(request: Request) -> Response:
    named = request.path_params.get("tenant")
    tenants = [tenant for tenant in request.app.state.exchanges if named in (None, tenant)]
    if not tenants:
        return _no(404, "CatalogError", "not_found", "nothing here")
    mounted = request.scope.get("root_path", "")
    return JSONResponse({
        "protocolVersions": [
            {"version": dsp.VERSION, "path": f"{mounted}/{tenant}/dsp", "binding": "HTTPS", "serviceId": tenant,
             "auth": {"protocol": "noriai-proof", "version": "1", "profile": ["Ed25519"]}}
            for tenant in tenants
        ]
    })  # fmt: skip


async def _keys(request: Request) -> Response:
    exchange = request.app.state.exchanges.get(request.path_params["tenant"])
    if exchange is None:
        return _no(404, "CatalogError", "not_found", "nothing here")
    return PlainTextResponse(exchange.keys_statement())


# --- catalogue --------------------------------------------------------------------------------------------------


async def _catalogue(call: Call) -> Response:
    call.message("CatalogRequestMessage")
    exchange = call.exchange
    found = await exchange.read(lambda c: catalogue.seen_by(c, exchange.tenant, call.peer))
    return JSONResponse(catalogue.catalogue(exchange.me.participant, f"{exchange.me.address}/dsp", found))


async def _dataset(call: Call) -> Response:
    exchange, name = call.exchange, call.request.path_params["dataset"]
    found = await exchange.read(lambda c: catalogue.dataset_for(c, exchange.tenant, name, call.peer))
    if found is None:
        return _no(404, "CatalogError", "not_found", "no such dataset")
    return JSONResponse(catalogue.dataset_message(exchange.me.participant, f"{exchange.me.address}/dsp", found))


# --- negotiations and transfers ---------------------------------------------------------------------------------


async def _first_request(call: Call) -> Response:
    message = call.message("ContractRequestMessage")
    if "callbackAddress" not in message:
        raise InputError("is missing", where="callbackAddress", remedy="say where to send answers")
    address = await call.callback(message)
    return await _begun(
        call, "negotiation", "provider", message["consumerPid"],
        lambda c, here: negotiations.asked(c, here, call.peer, message, address),
    )  # fmt: skip


async def _first_offer(call: Call) -> Response:
    message = call.message("ContractOfferMessage")
    if "callbackAddress" not in message:
        raise InputError("is missing", where="callbackAddress", remedy="say where to send answers")
    address = await call.callback(message)
    return await _begun(
        call, "negotiation", "consumer", message["providerPid"],
        lambda c, here: negotiations.offered(c, here, call.peer, message, address),
    )  # fmt: skip


async def _first_transfer(call: Call) -> Response:
    message, token_for = call.message("TransferRequestMessage"), call.exchange.access_token
    address = await call.callback(message)
    return await _begun(
        call, "transfer", "provider", message["consumerPid"],
        lambda c, here: transfers.asked(c, here, call.peer, message, address, token_for),
    )  # fmt: skip


async def _begun(
    call: Call, kind: Kind, role: Role, peer_pid: str, begin: Callable[[Connection, Here], Process]
) -> Response:  # fmt: skip
    """Answer a first message: with the state it led to, or, where it is a second copy, the one that stands."""

    def change(connection: Connection, here: Here) -> tuple[Process, str]:
        call.exchange.count_for_good(connection, here, call.proven)
        known = processes.of_peer(connection, here.tenant, kind, role, call.peer, peer_pid)
        first = "REQUESTED" if role == "provider" else "OFFERED"
        return begin(connection, here), first if known is None else known.state

    process, state = await call.exchange.change(change)
    return _standing(process, state, 201)


def _state(kind: Kind) -> Handler:
    async def state(call: Call) -> Response:
        exchange, pid = call.exchange, call.request.path_params["pid"]
        process = await exchange.read(lambda c: processes.find(c, exchange.tenant, pid, kind))
        if process.peer != call.peer or process.peer_pid is None:
            raise UnknownProcessError(pid)
        return _standing(process, process.state, 200)

    return state


def _step(kind: Kind) -> Handler:
    take = negotiations.take if kind == "negotiation" else transfers.take

    async def step(call: Call) -> Response:
        path, pid = call.request.path_params["step"], call.request.path_params["pid"]
        if path == "events" and kind == "negotiation":
            message = call.message("ContractNegotiationEventMessage")
            name = dsp.EVENTS[message["eventType"]]
        elif (kind, path) in _STEPS:
            name = _STEPS[kind, path]
            message = call.message(dsp.NAMES[kind, name][0])
        else:
            raise UnknownProcessError(path)

        def change(connection: Connection, here: Here) -> tuple[str, Process]:
            call.exchange.count_for_good(connection, here, call.proven)
            before = processes.find(connection, here.tenant, pid, kind)
            process = take(connection, here, call.peer, pid, name, message, call.proven.message_id)
            return processes.led_to(before, name), process

        state, process = await call.exchange.change(change)
        return _standing(process, state, 200)

    return step


def _standing(process: Process, state: str, status: int) -> Response:
    provider, consumer = process.provider_pid, process.consumer_pid
    return JSONResponse(dsp.process(process.kind, str(provider), str(consumer), state), status)


# --- data -------------------------------------------------------------------------------------------------------


def _asked_for(call: Call) -> tuple[str, str | None, int]:
    """(transfer, purpose, last sequence number had). Raises InputError."""
    after = call.request.query_params.get("after", "-1")
    if not after.removeprefix("-").isdigit() or len(after) > 18:
        raise InputError("is no number", where="after", remedy="give the last sequence number you have")
    return call.request.path_params["pid"], call.request.headers.get("noriai-purpose"), int(after)


def _epoch(call: Call, transfer: str) -> int:
    given = call.request.headers.get("authorization", "")
    token = given.removeprefix("DPoP ") if given.startswith("DPoP ") else None
    return call.exchange.token_epoch(token, call.peer, transfer)


async def _data(call: Call) -> Response:
    """One page: its entry is in the log before the answer leaves."""
    transfer, purpose, after = _asked_for(call)
    epoch, exchange = _epoch(call, transfer), call.exchange

    def change(connection: Connection) -> Page | None:
        here = exchange.here()
        exchange.count_for_good(connection, here, call.proven)
        grant = data_plane.granted(connection, here, call.peer, transfer, purpose, epoch, new_use=True)
        return data_plane.page(connection, here, grant, after, new_use=True)

    page = await exchange.write(change)
    assert page is not None
    headers = {"Noriai-Usage": exchange.usage_statement(call.peer, page)}
    return Response(page.payload, media_type=media_type_of(page.way), headers=headers)


async def _stream(call: Call) -> Response:
    """Records as they come, for as long as the transfer and its agreement hold."""
    transfer, purpose, after = _asked_for(call)
    epoch, exchange = _epoch(call, transfer), call.exchange

    def begin(connection: Connection) -> Page | None:
        here = exchange.here()
        exchange.count_for_good(connection, here, call.proven)
        grant = data_plane.granted(connection, here, call.peer, transfer, purpose, epoch, new_use=True)
        return data_plane.page(connection, here, grant, after, new_use=True)

    first = await exchange.write(begin)
    assert first is not None
    follow = pages(exchange, call.peer, transfer, purpose, epoch, first.cursor)
    return StreamingResponse(_events(exchange, call.peer, first, follow), media_type="text/event-stream")


async def _events(
    exchange: Exchange, peer: str, first: Page, follow: AsyncIterator[Page | str | None]
) -> AsyncIterator[bytes]:
    """Each page as two events: what the receiver writes down, then what it reads."""
    yield _event_of(exchange, peer, first)
    async for found in follow:
        if found is None:
            yield b": still here\n\n"
        elif isinstance(found, str):
            yield f"event: end\ndata: {found}\n\n".encode()
        else:
            yield _event_of(exchange, peer, found)


def _event_of(exchange: Exchange, peer: str, page: Page) -> bytes:
    statement = exchange.usage_statement(peer, page).encode()
    return b"event: usage\ndata: " + statement + b"\n\nevent: records\ndata: " + page.payload + b"\n\n"


async def _inbox(request: Request) -> Response:
    """Data pushed to us: what its sender signed about it goes into our log before we read it."""
    exchange = request.app.state.exchanges.get(request.path_params["tenant"])
    if exchange is None:
        return _no(404, "TransferError", "not_found", "nothing here")
    try:
        pid, now_s = request.path_params["pid"], exchange.clock.now() // 1000
        process = await exchange.read(lambda c: processes.find(c, exchange.tenant, pid, "transfer"))
        known = await exchange.known(process.peer)
        claims = opened(request.headers.get("noriai-usage", ""), USAGE, known.keys, now_s)
        await exchange.write(lambda c: inbox.mirror(c, exchange.here(), pid, claims))
        body = await _body(request)
        await exchange.proven(request.headers.get("noriai-proof"), "POST", request.scope["path"], body)
        await exchange.write(lambda c: inbox.store(c, exchange.here(), pid, body, claims["digest"]))
    except Exception as raised:
        return _refusal(raised, "TransferError")
    return Response(status_code=204)


# --- logs -------------------------------------------------------------------------------------------------------


async def _usage(call: Call) -> Response:
    """Our entries under an agreement, for the other party to it."""
    exchange, agreement = call.exchange, call.request.path_params["agreement"]
    rows = await exchange.read(lambda c: usage.shared_entries(c, exchange.tenant, agreement, call.peer))
    if rows is None:
        return _no(404, "CatalogError", "not_found", "no such agreement")
    return JSONResponse({"agreement": agreement, "entries": rows})


async def _anchor(call: Call) -> Response:
    """A neighbour's signed head of its log: we keep it, so that they cannot rewrite what they had."""
    text, now_s = call.body.decode("utf-8", "replace"), call.exchange.clock.now() // 1000
    known = await call.exchange.known(call.peer)
    await call.exchange.write(lambda c: anchors.keep(c, call.exchange.here(), known, text, now_s))
    return Response(status_code=204)
