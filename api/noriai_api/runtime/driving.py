"""What drivers report, turned into steps of their vehicle: each report says what is done, and whatever must have
happened before it is taken as done too."""

from typing import Literal

from noriai_api.runtime.day import DayRun
from noriai_engine.model.errors import InputError
from noriai_engine.model.plan import Activity, ActivityKind
from noriai_engine.model.units import RequestId
from noriai_engine.world.motion import Step

Report = Literal["start_shift", "arrive", "begin", "end", "no_show"]


def report(run: DayRun, vehicle: int, what: Report, rider: str | None) -> None:
    """Take a report in. `rider`: the request it is about, where it is about one.

    Repeating a report changes nothing. Raises InputError where it does not fit what the vehicle is to do.
    """
    if not run.motion.has_started(vehicle):
        run.motion.act(vehicle, Step.START_SHIFT)
    changed: list[int] = []
    if what == "arrive":
        changed = _arrive(run, vehicle, rider)
    elif what == "begin":
        changed = _begin(run, vehicle, rider)
    elif what == "end":
        changed = _end(run, vehicle, rider)
    elif what == "no_show":
        changed = _no_show(run, vehicle, rider)
    run.look_again(sorted({vehicle, *changed}))


def _next(run: DayRun, vehicle: int) -> Activity:
    activities = run.dispatcher.plan(vehicle).activities
    if len(activities) < 2:
        who = f"vehicle {run.dispatcher.vehicles[vehicle].id}"
        raise InputError("is off duty", where=who, remedy="start a shift, or ask the operator")
    return activities[1]


def _expect(run: DayRun, vehicle: int, rider: str | None) -> Activity:
    """The next activity, which must be the rider's where one is named."""
    coming = _next(run, vehicle)
    if rider is not None and coming.request_id != rider:
        raise InputError(
            f"is not next: next is {coming.kind.name.lower()} {_booking(run, coming.request_id) or ''}".rstrip(),
            where=f"booking {_booking(run, rider)}", remedy="read the plan again",
        )  # fmt: skip
    return coming


def _arrive(run: DayRun, vehicle: int, rider: str | None) -> list[int]:
    motion, doing = run.motion, run.motion.doing(vehicle)
    if doing is not None:
        if rider is not None and doing[1] == rider:
            return []
        raise InputError(f"is at {doing[0].name.lower()}", where="step arrive", remedy="report its end first")
    _expect(run, vehicle, rider)
    if _is_sent_to_wait(run, vehicle):
        if rider is None:
            return motion.act(vehicle, Step.ARRIVE)
        motion.call_off(vehicle)
    if motion.under_way(vehicle) is None and not _at_next_stop(run, vehicle):
        motion.act(vehicle, Step.DEPART)
    if motion.under_way(vehicle) is not None:
        return motion.act(vehicle, Step.ARRIVE)
    return []


def _begin(run: DayRun, vehicle: int, rider: str | None) -> list[int]:
    doing = run.motion.doing(vehicle)
    if doing is not None and (rider is None or doing[1] == rider):
        return []
    if _is_sent_to_wait(run, vehicle):
        run.motion.call_off(vehicle)
    changed = _arrive(run, vehicle, rider)
    changed += run.dispatcher.incidents.begin_now(vehicle)
    return changed + run.motion.act(vehicle, Step.DEPART)


def _end(run: DayRun, vehicle: int, rider: str | None) -> list[int]:
    doing = run.motion.doing(vehicle)
    if doing is None or (rider is not None and doing[1] != rider):
        if rider is None:
            raise InputError("nothing is going on", where="step end", remedy="report its begin first")
        changed = _begin(run, vehicle, rider)
    else:
        changed = []
    changed += run.motion.act(vehicle, Step.END_SERVICE)
    if run.dispatcher.is_on_duty(vehicle):
        changed += run.dispatcher.incidents.free_now(vehicle)
    return changed


def _no_show(run: DayRun, vehicle: int, rider: str | None) -> list[int]:
    doing = run.motion.doing(vehicle)
    if rider is None:
        raise InputError("names nobody", where="step no_show", remedy="say whose booking it is")
    changed = []
    if doing is None or doing[1] != rider:
        if _expect(run, vehicle, rider).kind != ActivityKind.PICKUP:
            raise InputError("is not to be picked up next", where=f"booking {_booking(run, rider)}",
                             remedy="read the plan again")  # fmt: skip
        changed = _begin(run, vehicle, rider)
    return changed + run.motion.no_show(RequestId(rider))


def _is_sent_to_wait(run: DayRun, vehicle: int) -> bool:
    order = run.motion.under_way(vehicle)
    return order is not None and order.is_to_wait


def _at_next_stop(run: DayRun, vehicle: int) -> bool:
    return run.dispatcher.next_stop(vehicle) == run.dispatcher.position(vehicle)[0]


def _booking(run: DayRun, request: str | None) -> str | None:
    booking = run.dispatcher.bookings.booked.get(request or "")
    return None if booking is None else str(booking.id)
