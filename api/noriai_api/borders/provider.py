"""Our fleet for the riders of neighbours: their searches and purchases, under an agreement, each use logged before its
answer leaves. The neighbour is a client like any other: our own dispatcher decides, by our own rules and fares."""

import json
from typing import Any

from sqlalchemy import Connection, select
from starlette.responses import JSONResponse, Response

from noriai_api.access.decision import Subject, granted
from noriai_api.bookings import service as bookings
from noriai_api.bookings.schemas import BookingIn, QuoteOut
from noriai_api.digests import digest
from noriai_api.exchange import data_plane
from noriai_api.exchange.agreements import Agreement
from noriai_api.exchange.data_plane import RefusedError
from noriai_api.exchange.door import Call, Service
from noriai_api.exchange.terms import Use
from noriai_api.guard import Caller
from noriai_api.idempotency import Answer, Keep, once
from noriai_api.node import Node
from noriai_api.problems import Problem, document
from noriai_api.standards import tomp
from noriai_api.store.tables import idempotency
from noriai_engine.model.errors import InputError

PURPOSE = "dispatch"
RIDES = ":rides"
"""End of the name of a dataset whose agreements cover rides."""


NEIGHBOUR = "neighbour-"


def dataset_of(tenant: str) -> str:
    """The dataset whose agreements cover rides with a tenant's fleet."""
    return f"urn:noriai:dataset:{tenant}{RIDES}"


def client_of(participant: str) -> str:
    """A neighbour as a client of ours."""
    return f"{NEIGHBOUR}{digest(participant)[:32]}"


def ride_services(node: Node) -> list[Service]:
    """What a node does for neighbours, as paths of the exchange's door."""

    async def search(call: Call) -> Response:
        wish = tomp.wish_of(call.json())
        agreement, use = await _granted(node, call)
        caller, region = _caller(node, call), _region(node, call)
        try:
            answer = await bookings.quote(caller, region, wish, lambda connection, status, body: None)
        except Problem as problem:
            return _problem(problem, call)
        payload = _bytes(tomp.offers(QuoteOut.model_validate(answer.body)))

        def log(connection: Connection) -> None:
            """An agreement revoked meanwhile holds the answer back."""
            here = call.exchange.here()
            data_plane.granted_service(connection, here, call.peer, agreement.dataset, PURPOSE, ())
            data_plane.log_service(connection, here, agreement, use, "search", payload)

        await call.exchange.write(log)
        return Response(payload, media_type="application/json")

    async def purchase(call: Call) -> Response:
        """The booking, the answer to the ride's id and the entry in the log are one transaction."""
        quote, number, ride = tomp.purchase_of(call.json())
        agreement, use = await _granted(node, call)
        try:
            caller, taking = _caller(node, call), BookingIn(quote=quote, offer=number)
        except ValueError as error:
            raise InputError(str(error)[:300], where="purchase", remedy="name one offer of ours") from None

        async def book(keep: Keep) -> Answer:
            def keep_all(connection: Connection, status: int, body: Any) -> None:
                keep(connection, status, body)
                price = (body["fare"] or {}).get("total", 0)
                more = {"ride": ride, "booking": body["booking"], "price": price}
                payload = _bytes(tomp.package(body))
                data_plane.log_service(connection, call.exchange.here(), agreement, use, "purchase", payload, **more)

            return await bookings.book(caller, taking, keep_all)

        try:
            answer = await once(caller, ride, ["purchase", quote, number], book)
        except Problem as problem:
            return _problem(problem, call)
        return Response(_bytes(tomp.package(answer.body)), media_type="application/json")

    async def look(call: Call) -> Response:
        """A package by its id, or by the ride it was bought for."""
        caller, name = _caller(node, call), call.request.path_params["package"]
        if call.request.query_params.get("by") == "ride":
            found = await call.exchange.read(lambda c: _bought(c, call, name))
            if found is None:
                return _problem(Problem("not_found"), call)
            name = found
        try:
            return JSONResponse(tomp.package((await bookings.booked(caller, name)).model_dump(mode="json")))
        except Problem as problem:
            return _problem(problem, call)

    async def cancel(call: Call) -> Response:
        caller, name = _caller(node, call), call.request.path_params["package"]
        try:
            return JSONResponse(tomp.package((await bookings.cancel(caller, name)).model_dump(mode="json")))
        except Problem as problem:
            return _problem(problem, call)

    return [
        ("POST", "rides/processes/search-offers/execution", search),
        ("POST", "rides/processes/purchase-offers/execution", purchase),
        ("GET", "rides/collections/packages/items/{package}", look),
        ("POST", "rides/collections/packages/items/{package}/cancellation", cancel),
    ]


def _caller(node: Node, call: Call) -> Caller:
    subject = Subject(call.exchange.tenant, client_of(call.peer), "neighbour")
    grant = granted(subject, "booking.create")
    assert grant is not None
    return Caller(node, subject, grant)


def _region(node: Node, call: Call) -> str:
    """The region whose fleet is asked. Raises RefusedError where the tenant has none."""
    mine = [region for tenant, region in node.actors if tenant == call.exchange.tenant]
    if not mine:
        raise RefusedError("no_region")
    return mine[0]


async def _granted(node: Node, call: Call) -> tuple[Agreement, Use]:
    exchange = call.exchange

    def change(connection: Connection) -> tuple[Agreement, Use]:
        here = exchange.here()
        exchange.count_for_good(connection, here, call.proven)
        return data_plane.granted_service(connection, here, call.peer, dataset_of(exchange.tenant), PURPOSE, ())

    return await exchange.write(change)


def _bytes(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()


def _bought(connection: Connection, call: Call, ride: str) -> str | None:
    """The booking that a ride of the caller led to."""
    where = (idempotency.c.tenant == call.exchange.tenant, idempotency.c.client == client_of(call.peer),
             idempotency.c.key == ride)  # fmt: skip
    row = connection.execute(select(idempotency.c.result).where(*where)).scalar()
    return None if row is None else str(json.loads(row)["booking"])


def _problem(problem: Problem, call: Call) -> Response:
    return JSONResponse(document(problem, call.request.url.path), problem.status)
