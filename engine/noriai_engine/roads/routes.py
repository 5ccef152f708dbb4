"""Routes for people: the way between two coordinates with its line, its streets by name and its turns."""

from dataclasses import dataclass

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Place, Spot
from noriai_engine.roads.access import STOPPABLE
from noriai_engine.roads.drives import Drive
from noriai_engine.roads.geodesy import bearing_deg, turn_angle_deg
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.travel_times import Approach, TravelTimes

_STRAIGHT_DEG, _SHARP_DEG = 30.0, 170.0


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch along streets of one name: how it begins (depart, straight, left, right, back), ms and mm."""

    turn: str
    name: str
    ms: int
    mm: int


@dataclass(frozen=True)
class Route:
    """ms, mm, the line (lon, lat), its steps, and how far both ends lie from the street (m)."""

    ms: int
    mm: int
    line: tuple[tuple[float, float], ...]
    steps: tuple[Step, ...]
    metres_off: tuple[float, float]


def find_route(
    times: TravelTimes, origin: Place, destination: Place, *, approach: Approach = "any", limit_m: float = 1_000.0,
    needed: int = STOPPABLE,
) -> Route:  # fmt: skip
    """The fastest way, the shortest among equally fast ones, between streets with all flags in `needed`.

    Raises InputError where an end is off the road, LookupError where there is no way.
    """
    with times.reading():
        return _find_route(times, (origin, destination), approach, limit_m, needed)


def _find_route(
    times: TravelTimes, places: tuple[Place, Place], approach: Approach, limit_m: float, needed: int
) -> Route:
    network = times.network
    if not isinstance(network, RoadNetwork):
        raise InputError("a plain network has no streets to show", remedy="ask TravelTimes.drive for the nodes")
    snapped = times.snap(places, limit_m=limit_m, needed=needed)
    for place, street, name in zip(places, snapped.street, ("origin", "destination"), strict=True):
        if street < 0:
            raise InputError(
                f"({place.lon:g}, {place.lat:g}) has no street within {limit_m:,.0f} m", where=name,
                remedy="check the coordinates: (lon, lat), and inside the region",
            )  # fmt: skip
    ends = times.spots_of(snapped, approach)
    drives = [drive for a in ends[0] for b in ends[1] if (drive := _drive(times, a, b)) is not None]
    if not drives:
        raise LookupError("there is no way between the two places")
    best = min(drives, key=lambda drive: (drive.ms, drive.mm))
    line = network.line(best.states.tolist(), best.source.offset_ms, best.target.offset_ms)
    metres = tuple(float(m) for m in snapped.metres)
    return Route(best.ms, best.mm, tuple(line), tuple(_steps(times, network, best)), (metres[0], metres[1]))


def _drive(times: TravelTimes, source: Spot, target: Spot) -> Drive | None:
    try:
        return times.drive(source, target)
    except LookupError:
        return None


def _steps(times: TravelTimes, network: RoadNetwork, drive: Drive) -> list[Step]:
    arcs = network.state_arc[drive.states].tolist()
    leaves = [0, *drive.enter_ms[1:].tolist(), drive.ms]
    lengths = [int(network.arc_mm[arc]) for arc in arcs]
    lengths[0] -= times.along_mm(drive.source)
    lengths[-1] = drive.mm - sum(lengths[:-1])
    steps: list[Step] = []
    for k, arc in enumerate(arcs):
        turn = "depart" if k == 0 else _turn(network, arcs[k - 1], arc)
        name, ms, mm = network.name_of(arc), leaves[k + 1] - leaves[k], lengths[k]
        if steps and turn == "straight" and name == steps[-1].name:
            last = steps.pop()
            steps.append(Step(last.turn, name, last.ms + ms, last.mm + mm))
        else:
            steps.append(Step(turn, name, ms, mm))
    return steps


def _turn(network: RoadNetwork, before: int, after: int) -> str:
    if network.arc_street[before] == network.arc_street[after]:
        return "back"
    lon, lat = network.geometry(before)
    arriving = bearing_deg(lon[-2], lat[-2], lon[-1], lat[-1], lat[-1])
    lon, lat = network.geometry(after)
    leaving = bearing_deg(lon[0], lat[0], lon[1], lat[1], lat[0])
    angle = float(turn_angle_deg(np.asarray(arriving), np.asarray(leaving)))
    if abs(angle) > _SHARP_DEG:
        return "back"
    return "straight" if abs(angle) < _STRAIGHT_DEG else ("right" if angle > 0 else "left")
