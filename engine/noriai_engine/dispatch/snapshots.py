"""The Dispatcher's whole state as a value: kept before a risky step and put back, or carried to another process."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noriai_engine.model.errors import InputError

if TYPE_CHECKING:
    from noriai_engine.dispatch.dispatcher import Dispatcher

_KEPT = ("bookings", "events")
"""Parts that know how to copy themselves: their values never change, only which there are."""
_STORE = ("plans", "version", "operators", "fleet", "depot", "home", "paths", "_vehicles", "_skill_bit")
_DISPATCHER = ("vehicles", "_index_of", "bookings", "events", "outlook")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Plans, paths, bookings, log and ids as they were, with the version of the travel times; nothing later reaches
    into it. Can be pickled."""

    metric_version: int
    state: dict[str, Any]


def take(dispatcher: "Dispatcher") -> Snapshot:
    """A copy of everything that quotes, commits, vehicles and incidents change."""
    store = dispatcher._store
    state = {name: getattr(store, name) for name in _STORE} | {name: getattr(dispatcher, name) for name in _DISPATCHER}
    state["ids"] = dispatcher._ids.state
    return Snapshot(dispatcher.travel_times.metric.version, _copied(state))


def put_back(dispatcher: "Dispatcher", snapshot: Snapshot) -> None:
    """Raises InputError where other travel times are in force than then: put those back first."""
    version = dispatcher.travel_times.metric.version
    if snapshot.metric_version != version:
        raise InputError(
            f"was taken with travel times of version {snapshot.metric_version}, now {version}", where="snapshot",
            remedy="put the same traffic in force on fresh travel times first",
        )  # fmt: skip
    state = _copied(snapshot.state)
    for name in _STORE:
        setattr(dispatcher._store, name, state[name])
    for name in _DISPATCHER:
        setattr(dispatcher, name, state[name])
    dispatcher._ids.state = state["ids"]
    dispatcher._rewire()


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.copy() if name in _KEPT else deepcopy(value) for name, value in state.items()}
