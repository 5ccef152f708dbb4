"""State as JSON values, vehicle by vehicle and request by request: what a log needs to hold so that a Dispatcher can be
put together again from it, whatever a later noriai would have decided.

A record says what is, not how it came about: the last record of each vehicle and request is the whole state.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from noriai_engine.dispatch.bookings import OpenQuote
from noriai_engine.dispatch.kernels.insertion import Wish
from noriai_engine.dispatch.plan_arrays import ROW
from noriai_engine.dispatch.plan_store import IN_SERVICE
from noriai_engine.dispatch.terms import Ends
from noriai_engine.model.fleet import Vehicle
from noriai_engine.model.lifecycle import BookingState
from noriai_engine.model.places import Spot
from noriai_engine.model.requests import Booking, Request

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher, DriveOrder

_VEHICLE: TypeAdapter[Vehicle] = TypeAdapter(Vehicle)
_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
_BOOKING: TypeAdapter[Booking] = TypeAdapter(Booking)
_FIELDS = tuple(name for name in ROW.names or () if name not in ("request", "load", "spare"))


def vehicle_as_json(vehicle: Vehicle) -> dict[str, Any]:
    """A vehicle of the fleet as JSON values."""
    out: dict[str, Any] = _VEHICLE.dump_python(vehicle, mode="json")
    return out


def vehicle_from_json(values: dict[str, Any]) -> Vehicle:
    return _VEHICLE.validate_python(values)


def vehicle_record(dispatcher: "Dispatcher", vehicle: int) -> dict[str, Any]:
    """Plan, position, load and shift end of a vehicle. Instants are day ms, as in the plan arrays."""
    store, book = dispatcher._store, dispatcher.bookings
    plans, base = store.plans, int(store.plans.first[vehicle])
    block = plans.rows[base : base + int(plans.count[vehicle])].view(np.ndarray)
    columns = [block[name].tolist() for name in _FIELDS]
    riders = [book.requests[request].id if request >= 0 else None for request in block["request"].tolist()]
    rows = [list(row) for row in zip(riders, block["load"].tolist(), *columns, strict=True)]
    battery = store.fleet.battery
    driving = bool(store.paths.driving[vehicle])
    return {
        "version": int(store.version[vehicle]),
        "rows": rows,
        "load": plans.aboard[vehicle].tolist(),
        "shift_end": int(store.fleet.shift_end[vehicle]),
        "in_service": bool(store.fleet.can[vehicle] & IN_SERVICE),
        "depot": list(store.depot[vehicle]),
        "home": list(store.home[vehicle]),
        "charge": [int(column[vehicle]) for column in (battery.left_mm, battery.state, battery.offset)],
        "path": [int(store.paths.located[vehicle]), int(store.paths.at[vehicle])] if driving else None,
        "onward": int(store.paths.onward[vehicle]) if store.paths.roaming[vehicle] else None,
    }


def put_vehicle(
    dispatcher: "Dispatcher", vehicle: int, record: dict[str, Any], order: "DriveOrder | None" = None
) -> None:
    """Back to a record. `order`: the drive the vehicle is on, where it is under way. Its requests must be known."""
    store, book = dispatcher._store, dispatcher.bookings
    rows = record["rows"]
    store.make_room(vehicle, len(rows))
    base = int(store.plans.first[vehicle])
    for k, (request, load, *values) in enumerate(rows):
        row = store.plans.rows[base + k]
        row.request, row.load = -1 if request is None else book.row_of[request], load
        for name, value in zip(_FIELDS, values, strict=False):  # a record from before there were buffers has one less
            row[name] = value
    store.plans.count[vehicle] = len(rows)
    store.plans.aboard[vehicle] = record["load"]
    store.version[vehicle] = record["version"]
    store.fleet.shift_end[vehicle] = record["shift_end"]
    store.set_in_service(vehicle, record["in_service"])
    store.depot[vehicle] = Spot(*record["depot"])
    store.home[vehicle] = Spot(*record.get("home", record["depot"]))
    battery = store.fleet.battery
    store.paths.driving[vehicle], store.paths.roaming[vehicle] = 0, 0
    if order is not None and record["path"] is not None:
        position = rows[0]
        store.set_path(vehicle, order.drive, int(dispatcher.day.to_day_ms(order.leaves)))
        store.paths.located[vehicle], store.paths.at[vehicle] = record["path"]
        if record.get("onward") is not None:
            store.roam(vehicle, order.drive.target, int(dispatcher.day.to_day_ms(order.arrives)), record["onward"])
        for name, value in zip(_FIELDS, position[2:], strict=False):
            store.plans.rows[int(store.plans.first[vehicle])][name] = value
    if "charge" in record:
        battery.left_mm[vehicle], battery.state[vehicle], battery.offset[vehicle] = record["charge"]
    store.new_question()


def request_record(dispatcher: "Dispatcher", request_id: str) -> dict[str, Any]:
    """A request with its state, its open quote or its promise."""
    book = dispatcher.bookings
    row = book.row_of[request_id]
    ends, opened, booking = book.ends[row], book.open.get(request_id), book.booked.get(request_id)
    wish = book.promised.get(row, opened.wish if opened else None)
    return {
        "request": _REQUEST.dump_python(book.requests[row], mode="json"),
        "ends": [*ends.origin, *ends.destination, ends.walk_to_ms, ends.walk_from_ms],
        "state": book.states[request_id].value,
        "open": opened is not None,
        "runner_up": list(opened.runner_up) if opened and opened.runner_up else None,
        "wish": None if wish is None else [np.asarray(x).tolist() for x in wish],
        "booking": None if booking is None else _BOOKING.dump_python(booking, mode="json"),
        "waiting": request_id in book.waiting,
        "fallen": book.fallen.get(request_id),
        "pinned": request_id in book.pinned,
        "unassigned": book.unassigned.get(request_id),
    }


def put_request(dispatcher: "Dispatcher", record: dict[str, Any]) -> None:
    """Back to a record; a request not known yet gets the next row."""
    book = dispatcher.bookings
    request = _REQUEST.validate_python(record["request"])
    a, b, c, d, walk_to, walk_from = record["ends"]
    ends = Ends(Spot(a, b), Spot(c, d), walk_to, walk_from)
    if request.id not in book.row_of:
        book.add(request)
        book.ends.append(ends)
    row = book.row_of[request.id]
    book.ends[row], book.states[request.id] = ends, BookingState(record["state"])
    book.open.pop(request.id, None)
    book.promised.pop(row, None)
    book.booked.pop(request.id, None)
    if request.id in book.waiting:
        book.waiting.remove(request.id)
    if record["waiting"]:
        book.waiting.append(request.id)
    book.fallen.pop(request.id, None)
    if record.get("fallen") is not None:
        book.fallen[request.id] = record["fallen"]
    book.unassigned.pop(request.id, None)
    if record.get("unassigned") is not None:
        book.unassigned[request.id] = record["unassigned"]
    (book.pinned.add if record["pinned"] else book.pinned.discard)(request.id)
    wish = None
    if record["wish"] is not None:
        values = list(record["wish"])
        values[12], values[15] = np.array(values[12], np.int16), np.array(values[15], np.int32)
        wish = Wish(*values, *[0] * (len(Wish._fields) - len(values)))  # as it was before there were buffers
    if record["booking"] is not None:
        book.booked[request.id] = _BOOKING.validate_python(record["booking"])
        assert wish is not None
        book.promised[row] = wish
    elif record["open"] and wish is not None:
        second = record["runner_up"]
        book.open[request.id] = OpenQuote(wish, ends, None if second is None else (second[0], second[1]))
