"""Our drivers and vehicles for other towns. Whether somebody may drive, and how long, is decided here, where their
hours are kept; a person is lent to one town at a time, and each loan is logged before its answer leaves."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import Connection, insert, select
from starlette.responses import JSONResponse, Response

from noriai_api.digests import digest
from noriai_api.exchange import data_plane, usage
from noriai_api.exchange.door import Call, Service
from noriai_api.exchange.terms import within
from noriai_api.node import Node
from noriai_api.parties.fleet import WEEKDAYS
from noriai_api.pool import store
from noriai_api.pool.hours import HOUR_MS, Duty, Limits, objection, weekly
from noriai_api.pool.schemas import NeedIn, ReturnIn
from noriai_api.pool.store import Row
from noriai_api.schemas import utc_ms
from noriai_api.store.exchange_tables import pool_loans
from noriai_api.store.tables import drivers, vehicles
from noriai_engine.model import ServiceDay
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import DAY_MS

PURPOSE = "dispatch"
POOL = ":pool"
"""End of the name of a dataset whose agreements cover loans."""
AROUND_MS = 60 * 86_400_000
"""Duties so long before and after a loan are looked at."""


def pool_services(node: Node) -> list[Service]:
    """What a node does for borrowers, as paths of the exchange's door."""

    async def search(call: Call) -> Response:
        need = _need(call.json())

        def look(connection: Connection) -> list[Row]:
            _granted(connection, call)
            zones = node.regions_of(call.exchange.tenant)
            found = (_free(connection, zones, row, need) for row in store.offers(connection, call.exchange.tenant))
            return [said for said in found if said is not None]

        found = await call.exchange.write(look)
        return JSONResponse({"free": found})

    async def lend(call: Call) -> Response:
        """The loan and the entry in the log are one transaction; asked again by the same key, the same loan."""
        key, offer, need = _asked(call.json())

        def change(connection: Connection) -> tuple[int, Row]:
            name = loan_of(call.peer, key)
            known = store.loan(connection, call.exchange.tenant, name)
            agreement, use = _granted(connection, call)
            if known is not None:
                return 200, known["body"]["credentials"]
            row = store.offer(connection, call.exchange.tenant, offer)
            zones = node.regions_of(call.exchange.tenant)
            why = "unknown_offer" if row is None else _objection(connection, zones, row, need)
            if row is None or why is not None:
                return 409, {"code": str(why)}
            credentials = _credentials(connection, row, need)
            connection.execute(insert(pool_loans).values(
                tenant=call.exchange.tenant, loan=name, role="lent", state="lent", peer=call.peer,
                agreement=agreement.agreement, subject=f"{row['body']['kind']}:{row['body']['name']}", offer=offer,
                begin=utc_ms(need.begin), end=utc_ms(need.end), next_try=0,
                body=json.dumps({"credentials": credentials, "yen": credentials["yen"]}),
            ))  # fmt: skip
            more = {"loan": key, "price": credentials["yen"]}
            data_plane.log_service(
                connection, call.exchange.here(), agreement, use, "loan", _bytes(credentials), **more
            )
            return 200, credentials

        status, said = await call.exchange.change(lambda c, here: change(c))
        return JSONResponse(said, status)

    async def take_back(call: Call) -> Response:
        key, said = call.request.path_params["key"], _returned(call.json())

        def change(connection: Connection) -> tuple[int, Row]:
            row = store.loan(connection, call.exchange.tenant, loan_of(call.peer, key))
            if row is None:
                return 404, {"code": "not_found"}
            worked = None if said.begin is None or said.end is None else (utc_ms(said.begin), utc_ms(said.end))
            if worked is not None and not _fits(row, worked):
                return 400, {"code": "invalid"}
            if row["state"] == "lent":
                body = row["body"] | {"worked": worked, "yen": _price(row, worked)}
                store.move(connection, row, "lent", "returned", body=body)
                _log_return(connection, call, row, key, body["yen"] - row["body"]["yen"])
                row["body"] = body
            return 200, {"yen": row["body"]["yen"]}

        status, answer = await call.exchange.change(lambda c, here: change(c))
        return JSONResponse(answer, status)

    return [
        ("POST", "pool/searches", search), ("POST", "pool/loans", lend), ("POST", "pool/loans/{key}/return", take_back)
    ]  # fmt: skip


def _log_return(connection: Connection, call: Call, row: Row, key: str, difference: int) -> None:
    """What hours worked change of the price that was agreed on, so that the log's sum is what is owed."""
    usage.append(
        connection, call.exchange.tenant, time=call.exchange.clock.now(), side="provider", peer=call.peer,
        agreement=row["agreement"], transfer="", uses=0,
        details={"purpose": PURPOSE, "service": "return", "loan": key, "price": difference},
    )  # fmt: skip


def loan_of(peer: str, key: str) -> str:
    """The loan that a borrower's key stands for here."""
    return digest([peer, key])[:32]


def _granted(connection: Connection, call: Call) -> tuple[Any, Any]:
    here = call.exchange.here()
    call.exchange.count_for_good(connection, here, call.proven)
    dataset = f"urn:noriai:dataset:{call.exchange.tenant}{POOL}"
    return data_plane.granted_service(connection, here, call.peer, dataset, PURPOSE, ())


def _free(connection: Connection, zones: dict[str, str], row: Row, need: NeedIn) -> Row | None:
    if _objection(connection, zones, row, need) is not None:
        return None
    said = _credentials(connection, row, need)
    return {
        "offer": row["offer"], "kind": said["kind"], "base": said["base"], "yen": said["yen"],
        "vehicle_kind": said["vehicle_kind"], "layouts": said["layouts"],
        "licences": sorted(one["licence"] for one in said["licences"]),
    }  # fmt: skip


def _objection(connection: Connection, zones: dict[str, str], row: Row, need: NeedIn) -> str | None:
    """Why something we offer cannot be lent for a need; None where it can. `zones`: of our regions."""
    body, begin, end = row["body"], utc_ms(need.begin), utc_ms(need.end)
    if body["kind"] != need.kind:
        return "another_kind"
    if body["areas"] and not any(within(need.area, area) for area in body["areas"]):
        return "area"
    subject = _subject(connection, row)
    if subject is None:
        return "unknown_offer"
    zone = zones.get(body["region"])
    if zone is None:
        return "unknown_offer"
    if body["kind"] == "driver" and set(need.licences) - _held(subject, zone, begin, end):
        return "licence"
    if body["kind"] == "vehicle" and not any(
        layout.get("seats", 0) >= need.seats and layout.get("wheelchairs", 0) >= need.wheelchairs
        for layout in subject["layouts"]
    ):
        return "seats"
    if body["kind"] == "vehicle" and subject.get("blocked"):
        return "blocked"
    if not any(a <= begin and end <= b for a, b in weekly(body["hours"], zone, begin, end)):
        return "hours"
    found = objection(_duties(connection, row, subject, zone, begin, end), (begin, end), _limits(body))
    return None if found is None else found.why


def _held(subject: Row, zone: str, begin: int, end: int) -> set[str]:
    """Licences that are valid on every day of an interval."""
    first, last = (
        datetime.fromtimestamp(ms / 1000, ZoneInfo(zone)).date().isoformat() for ms in (begin, end - 1)
    )  # fmt: skip
    licences = subject.get("licences", ())
    return {one["licence"] for one in licences if one["valid_from"] <= first and last <= one["valid_to"]}


def _duties(connection: Connection, row: Row, subject: Row, zone: str, begin: int, end: int) -> list[Duty]:
    """What a driver or vehicle does anyway, and the loans there are."""
    body = row["body"]
    own = body["duties"] if body["kind"] == "driver" else {d: h for d, h in subject["shifts"].items() if d in WEEKDAYS}
    duties = set(weekly(own, zone, begin - AROUND_MS, end + AROUND_MS))
    for day, hours in subject.get("dates", {}).items():
        start = ServiceDay.on(day, zone)
        duties.add((int(start.at(hours[0])), int(start.at(hours[1]))))
    for loan in store.loans_of(connection, row["tenant"], f"{body['kind']}:{body['name']}"):
        worked = loan["body"].get("worked")
        if loan["state"] == "lent":
            duties.add((loan["begin"], loan["end"]))
        elif worked is not None:
            duties.add((worked[0], worked[1]))
    return sorted(duties)


def _limits(body: Row) -> Limits:
    """A vehicle needs no rest."""
    if body["kind"] == "vehicle":
        return Limits(longest_day_h=24, least_rest_h=0, most_28_days_h=672)
    return Limits(**body["limits"])


def _subject(connection: Connection, row: Row) -> Row | None:
    table, body = (drivers if row["body"]["kind"] == "driver" else vehicles), row["body"]
    column = table.c.driver if body["kind"] == "driver" else table.c.vehicle
    where = (table.c.tenant == row["tenant"], column == body["name"], table.c.operator == row["operator"])
    found = connection.execute(select(table.c.body).where(*where)).scalar()
    return None if found is None else dict(json.loads(found))


def _credentials(connection: Connection, row: Row, need: NeedIn) -> Row:
    """What the borrower needs to know, and no more."""
    subject, body = _subject(connection, row) or {}, row["body"]
    hours = (utc_ms(need.end) - utc_ms(need.begin)) / HOUR_MS
    is_driver = body["kind"] == "driver"
    return {
        "kind": body["kind"], "base": body["base"], "yen": round(hours * body["yen_per_hour"]),
        "licences": [one | {"number": ""} for one in subject.get("licences", ())] if is_driver else [],
        "born": subject.get("born") if is_driver else None, "applied": subject.get("applied") if is_driver else None,
        "vehicle_kind": None if is_driver else subject["kind"], "layouts": [] if is_driver else subject["layouts"],
        "skills": [] if is_driver else subject.get("skills", []),
        "inspected": None if is_driver else subject.get("inspected"),
        "battery": None if is_driver else subject.get("battery"),
    }  # fmt: skip


def _fits(row: Row, worked: Duty) -> bool:
    """Hours worked are some of the loan's, give or take; not another day's."""
    return worked[0] < row["end"] and worked[1] > row["begin"] and worked[1] - worked[0] <= DAY_MS


def _price(row: Row, worked: Duty | None) -> int:
    """By the hours worked; nothing where it was not used."""
    if worked is None:
        return 0
    yen: int = row["body"]["credentials"]["yen"]
    lent_ms: int = row["end"] - row["begin"]
    return round(yen * (worked[1] - worked[0]) / lent_ms)


def _need(said: Any) -> NeedIn:
    try:
        return NeedIn.model_validate_json(json.dumps(said))
    except ValidationError as error:
        raise InputError(str(error)[:300], where="need", remedy="send what is needed, from when to when") from None


def _asked(said: Any) -> tuple[str, str, NeedIn]:
    try:
        return str(said["key"])[:64], str(said["offer"])[:64], _need(said["need"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{error} is missing", where="loan", remedy="send key, offer and need") from None


def _returned(said: Any) -> ReturnIn:
    try:
        return ReturnIn.model_validate_json(json.dumps(said))
    except ValidationError as error:
        raise InputError(str(error)[:300], where="return", remedy="send begin and end, or neither") from None


def _bytes(document: Row) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()
