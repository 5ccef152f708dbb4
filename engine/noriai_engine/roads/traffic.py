"""Traffic: other times for streets, and streets or turns that are closed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.units import FOREVER_MS, BoolArray, IntArray
from noriai_engine.roads.network import RoadNetwork


@dataclass(frozen=True)
class Traffic:
    """What differs from free flow: `arc_ms` (m,) driving times, or None for free flow; `closed` (m,) arcs nobody may
    enter (who is on one may leave it); `closed_turns` (t,)."""

    arc_ms: IntArray | None = None
    closed: BoolArray | None = None
    closed_turns: BoolArray | None = field(default=None, repr=False)


def slower(network: RoadNetwork, arcs: IntArray, permille: int, base: Traffic | None = None) -> Traffic:
    """The traffic `base` with some arcs taking permille/1000 of their free-flow time. Raises InputError below 1."""
    if permille < 1:
        raise InputError(f"{permille} permille", where="traffic", remedy="give 1 or more; 1000 is free flow")
    base = base or Traffic()
    ms = network.arc_ms.astype(np.int64) if base.arc_ms is None else base.arc_ms.astype(np.int64)
    ms[arcs] = np.maximum(1, network.arc_ms[arcs].astype(np.int64) * permille // 1000)
    return Traffic(np.minimum(ms, FOREVER_MS - 1).astype(np.int32), base.closed, base.closed_turns)


def closed_area(network: RoadNetwork, shape: Any, base: Traffic | None = None) -> Traffic:
    """The traffic `base` with every street closed that touches a shapely geometry in degrees (a flood, an event)."""
    base = base or Traffic()
    closed = np.zeros(network.arc_count, bool) if base.closed is None else base.closed.copy()
    closed |= streets_in(network, shape)[network.arc_street]
    return Traffic(base.arc_ms, closed, base.closed_turns)


def streets_in(network: RoadNetwork, shape: Any) -> BoolArray:
    """(s,) streets of which some part lies in or touches a shapely geometry in degrees."""
    import shapely

    xy = np.column_stack([network.point_lon, network.point_lat])
    rows = np.repeat(np.arange(network.street_count), np.diff(network.street_first))
    lines = shapely.linestrings(xy, indices=rows)
    shapely.prepare(shape)
    out: BoolArray = shapely.intersects(shape, lines)
    return out


def turns_closed_at(network: RoadNetwork, when: datetime) -> BoolArray:
    """(t,) turns that a conditional restriction forbids at a local time. A condition that cannot be read never holds.

    Opening hours are read by opening-hours-rs (https://wiki.openstreetmap.org/wiki/Key:opening_hours).
    """
    from opening_hours import OpeningHours, ParserError  # type: ignore[attr-defined]  # its stub leaves errors out

    holds = np.zeros(len(network.conditions), bool)
    for k, text in enumerate(network.conditions):
        try:
            holds[k] = bool(text) and OpeningHours(text).is_open(when.replace(tzinfo=None))
        except ParserError:  # a condition on something else than time
            holds[k] = False
    return holds[network.turn_condition]


def traffic_at(network: RoadNetwork, when: datetime, base: Traffic | None = None) -> Traffic:
    """The traffic `base` with the conditional restrictions of a local time in force."""
    base = base or Traffic()
    closed = turns_closed_at(network, when)
    if base.closed_turns is not None:
        closed = closed | base.closed_turns
    return Traffic(base.arc_ms, base.closed, closed)
