"""Printable run sheets: one page or more per vehicle, with times, places, riders and promises."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from noriai_engine.model import Request, Spot, Vehicle
from noriai_simulations.report.words import both, word

if TYPE_CHECKING:
    from noriai_simulations.simulate import Result

_ROWS = {"shift_started": "start", "pickup_started": "pickup", "dropoff_started": "dropoff",
         "break_started": "break", "shift_ended": "end"}  # fmt: skip


def write_run_sheets(result: "Result", path: Path, language: str) -> None:
    """Write run-sheets.html; names of riders are not in it, only request ids."""
    from noriai_simulations.report.report import asset, render

    scenario = result.scenario
    rows: dict[str, list[dict[str, Any]]] = {v.id: [] for v in scenario.vehicles}
    aboard = dict.fromkeys(rows, 0)
    for event in result.events:
        if event.kind not in _ROWS or event.vehicle_id is None:
            continue
        ride = result.rides.get(event.request_id or "")
        promise = ""
        if ride is not None:
            step = ride.request.party.riders * (1 if event.kind == "pickup_started" else -1)
            aboard[event.vehicle_id] += step
            promise = _promise(result, event.kind, ride.request, ride.promised_pickup)
        rows[event.vehicle_id].append(
            {
                "time": scenario.day.clock_text(event.time),
                "what": _ROWS[event.kind],
                "request": event.request_id or "",
                "where": _where(result, event.state, event.offset_ms),
                "who": _party(ride.request) if ride is not None else "",
                "promise": promise,
                "aboard": aboard[event.vehicle_id],
            }
        )
    sheets = [_sheet(result, vehicle, rows[vehicle.id]) for vehicle in scenario.vehicles]
    html = render(
        "run_sheets.html.j2", language=language, css=Markup(asset("base.css") + asset("run_sheets.css")),
        title=scenario.source.title or scenario.source.name, date=scenario.day.date.isoformat(), sheets=sheets,
    )  # fmt: skip
    path.write_text(html, encoding="utf-8")


def _sheet(result: "Result", vehicle: Vehicle, rows: list[dict[str, Any]]) -> dict[str, Any]:
    day = result.scenario.day
    name = next(o.name for o in result.scenario.operators if o.id == vehicle.operator_id)
    return {
        "vehicle": vehicle.id,
        "operator": name,
        "shift": f"{day.clock_text(vehicle.shift.start)}–{day.clock_text(vehicle.shift.end)}",
        "seats": max(x.seats for x in vehicle.layouts),
        "wheelchairs": max(x.wheelchairs for x in vehicle.layouts),
        "rows": rows if any(row["request"] for row in rows) else [],
    }


def _where(result: "Result", state: int | None, offset_ms: int | None) -> Markup:
    if state is None or offset_ms is None:
        return Markup("")
    network = result.scenario.region.network
    spot = network.place_at(Spot(state, offset_ms))
    place = f"{spot.lat:.5f}, {spot.lon:.5f}"
    street = network.name_of(int(network.state_arc[state]))
    return both(f"{street} ({place})", f"{street}（{place}）") if street else both(place, place)


def _party(request: Request) -> Markup:
    party = request.party
    parts = [(party.seats, "seats"), (party.wheelchairs, "wheelchairs"), (party.luggage, "luggage")]
    return Markup(", ").join(word(name, n=n) for n, name in parts if n)


def _promise(result: "Result", kind: str, request: Request, pickup: tuple[int, int] | None) -> Markup:
    from noriai_engine.model import UtcMs

    clock = result.scenario.day.clock_text
    if kind == "pickup_started" and pickup is not None:
        window = f"{clock(UtcMs(pickup[0]))}–{clock(UtcMs(pickup[1]))}"
        return both(window, window)
    if kind == "dropoff_started" and request.latest_arrival is not None:
        there = clock(request.latest_arrival)
        return both(f"by {there}", f"{there}まで")
    return Markup("")
