"""Small worlds for tests: say what matters, the rest is ordinary."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from noriai_engine.dispatch.dispatcher import Dispatcher
from noriai_engine.dispatch.params import DispatchParams
from noriai_engine.model import (
    Battery,
    Break,
    IdSource,
    InputError,
    Place,
    Request,
    Resources,
    RiderNeeds,
    Service,
    ServiceDay,
    Shift,
    Spot,
    TimeWindow,
    Vehicle,
    VirtualClock,
)
from noriai_engine.regions import RegionDraft, Source
from noriai_engine.roads import PlainNetwork, RoadNetwork, TravelTimes, haversine_m
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.bridges import Link, streets_of_links
from noriai_engine.roads.footways import footways_of
from noriai_engine.roads.osm import Restriction
from noriai_engine.roads.profiles import PROFILES
from noriai_engine.roads.streets import RawStreets

MINUTE = 60_000
DAY = ServiceDay(date(2026, 11, 24), "Asia/Tokyo")


def a_network(arcs: list[tuple[int, int, int]], nodes: int) -> PlainNetwork:
    """Plain network of arcs (tail, head, seconds); nodes lie on a line, 0.001 degrees apart; 10 m a second."""
    tail, head, seconds = (np.array(x, np.int32) for x in zip(*arcs, strict=True))
    lon, lat = 137.0 + 0.001 * np.arange(nodes), np.full(nodes, 36.0)
    return PlainNetwork(lon, lat, tail, head, seconds * np.int32(1_000), seconds * np.int32(10_000))


def node(network: PlainNetwork, number: int) -> Place:
    return network.place_at(Spot(number))


def a_street(nodes: int = 8, seconds: int = 60) -> PlainNetwork:
    """A two-way street of `nodes` nodes, `seconds` between neighbours; one may turn round anywhere."""
    return a_network([(a, b, seconds) for k in range(nodes - 1) for a, b in ((k, k + 1), (k + 1, k))], nodes)


def a_random_town(rng: np.random.Generator, nodes: int) -> PlainNetwork:
    """A one-way ring (so that all nodes reach each other) with random streets across it, without turns."""
    arcs = [(k, (k + 1) % nodes, int(rng.integers(20, 200))) for k in range(nodes)]
    for _ in range(2 * nodes):
        a, b = rng.choice(nodes, 2, replace=False)
        arcs.append((int(a), int(b), int(rng.integers(20, 400))))
    return a_network(arcs, nodes)


def some_streets(rng: np.random.Generator, nodes: int) -> RawStreets:
    """Streets between random places in a square of 3 km: a ring, chords, one-way ones, bends, turn restrictions over a
    node and over ways, busy and quiet classes, blocked junctions."""
    lon, lat = 137.0 + rng.random(nodes) * 0.03, 36.0 + rng.random(nodes) * 0.03
    links: list[Link] = []
    ends = [(k, (k + 1) % nodes) for k in range(nodes)]
    ends += [tuple(int(x) for x in rng.choice(nodes, 2, replace=False)) for _ in range(nodes)]  # type: ignore[misc]
    for a, b in ends:
        metres = float(haversine_m(lon[a], lat[a], lon[b], lat[b]))
        bend = [(float((lon[a] + lon[b]) / 2 + rng.normal(0, 5e-4)), float((lat[a] + lat[b]) / 2))]
        road = str(rng.choice(["residential", "tertiary", "secondary"]))
        weights = (int(metres * rng.uniform(60, 200)), int(metres * 1_100), road, "")
        shape = bend if rng.random() < 0.5 else []
        links.append((a, b, *weights, shape))
        if rng.random() < 0.8:
            links.append((b, a, *weights, shape[::-1]))
    raw = streets_of_links(np.arange(1, nodes + 1), list(zip(lon.tolist(), lat.tolist(), strict=True)), links)
    count = len(raw.tail)
    return replace(
        raw, way_id=np.arange(1, count + 1), restrictions=some_restrictions(raw, rng), blocked=rng.random(nodes) < 0.05,
        roundabout=rng.random(count) < 0.1, forward_delay_ms=rng.integers(0, 3_000, count).astype(np.int32),
    )  # fmt: skip


def some_restrictions(raw: RawStreets, rng: np.random.Generator) -> tuple[Restriction, ...]:
    """Random walks of two to four streets, forbidden or the only way on."""
    out = []
    for number in range(len(raw.tail) // 2):
        street = int(rng.integers(len(raw.tail)))
        at, walk, nodes = int(raw.head[street]), [street], [int(raw.head[street])]
        for _ in range(int(rng.integers(1, 4))):
            near = np.flatnonzero(((raw.tail == at) | (raw.head == at)) & ~np.isin(np.arange(len(raw.tail)), walk))
            if not len(near):
                break
            street = int(rng.choice(near))
            at = int(raw.head[street] if raw.tail[street] == at else raw.tail[street])
            walk.append(street)
            nodes.append(at)
        if len(walk) > 1:
            via = (("n", nodes[0] + 1),) if len(walk) == 2 else tuple(("w", w + 1) for w in walk[1:-1])
            kind = str(rng.choice(["no_straight_on", "only_straight_on"]))
            out.append(Restriction(number, kind, "", (walk[0] + 1,), via, (walk[-1] + 1,)))
    return tuple(out)


def a_street_town(rng: np.random.Generator, nodes: int) -> RoadNetwork:
    """A turn-aware town of `some_streets`, drawn until some of it is connected."""
    while True:
        try:
            left = bool(rng.random() < 0.5)
            return assemble(some_streets(rng, max(4, nodes)), PROFILES["taxi"], left_hand=left)[0]
        except InputError:
            continue


def with_footways(network: RoadNetwork, rng: np.random.Generator) -> RoadNetwork:
    """The same town with ways on foot of their own, a third of them with steps, some in parts of their own."""
    raw = some_streets(rng, int(rng.integers(4, 40)))
    flags = np.where(rng.random(len(raw.flags)) < 0.3, raw.flags & ~2, raw.flags).astype(np.int8)
    try:
        return replace(network, foot=footways_of(replace(raw, flags=flags))[0])
    except InputError:
        return network


def somewhere(network: RoadNetwork | PlainNetwork, rng: np.random.Generator) -> Place:
    """A random node of a plain network, a random point of a street of any other."""
    if isinstance(network, PlainNetwork):
        return node(network, int(rng.integers(len(network.lon))))
    arc = int(rng.integers(network.arc_count))
    return network.place_at(Spot(arc, int(rng.integers(network.arc_ms[arc] + 1))))


def a_region_draft(network: RoadNetwork, name: str = "tiny") -> RegionDraft:
    source = Source("roads", "drawn by a test", "never", "CC0-1.0", "made-up streets", "")
    return RegionDraft(name, "A tiny town", "JP", DAY.timezone, network.driving_side, network, [source])


def at(text: str) -> Any:
    return DAY.at(text)


def a_vehicle(
    name: str = "v1",
    *,
    place: Place,
    operator: str = "op",
    seats: int = 4,
    wheelchairs: int = 0,
    layouts: tuple[Resources, ...] | None = None,
    shift: tuple[str, str] = ("07:00", "19:00"),
    breaks: tuple[tuple[str, str, int], ...] = (),
) -> Vehicle:
    """Breaks are (earliest, latest, minutes)."""
    return Vehicle(
        name, operator, "taxi", layouts or (Resources(seats, wheelchairs, 4),), Shift(at(shift[0]), at(shift[1])),
        place, tuple(Break(at(a), at(b), m * MINUTE) for a, b, m in breaks),
    )  # type: ignore[arg-type]  # fmt: skip


def a_battery(rng: np.random.Generator) -> Battery:
    """One that lasts for a few rides, and is charged in breaks or not."""
    start = int(rng.integers(8_000, 25_000))
    return Battery(start + int(rng.integers(0, 5_000)), 2_000, int(rng.choice([0, 100, 2_000])), start)


def a_request(
    name: str = "r1",
    *,
    origin: Place,
    destination: Place,
    departs: str | None = "08:00",
    arrives: str | None = None,
    placed: str | None = None,
    party: Resources | None = None,
    pickup: tuple[str, str] | None = None,
    operator: str | None = None,
    needs: RiderNeeds | None = None,
) -> Request:
    wished = at(arrives) if arrives else at(departs or "08:00")
    return Request(
        name, at(placed) if placed else wished, origin, destination, None if arrives else wished,
        wished if arrives else None, party or Resources(1), needs or RiderNeeds(),
        TimeWindow(at(pickup[0]), at(pickup[1])) if pickup else None, None, operator,
    )  # type: ignore[arg-type]  # fmt: skip


def a_dispatcher(
    network: RoadNetwork | PlainNetwork,
    vehicles: list[Vehicle],
    service: Service | None = None,
    *,
    now: str = "06:00",
    params: DispatchParams | None = None,
) -> tuple[Dispatcher, VirtualClock]:
    clock = VirtualClock(at(now))
    ids = IdSource(clock, np.random.default_rng(0))
    return Dispatcher(TravelTimes(network), service or Service(), vehicles, DAY, clock, ids, params), clock


def a_scenario_text(region: Path | str, *, requests: int = 60, seed: int = 3, extra: str = "") -> str:
    """scenario.toml of a small mixed fleet."""
    return f"""
format = 1
name = "small-day"
title = "A small day"
seed = {seed}
region = "{region}"
service_date = 2026-11-24
[service]
hours = ["07:00", "19:00"]
max_wait_min = 20
max_ride_min = 60
detour_factor = 1.6
[demand.synthetic]
requests = {requests}
prebooked = 0.4
wished_arrival = 0.4
wheelchair = 0.1
typical_km = 6
[[operators]]
id = "taxi"
name = "Taxi"
[[operators]]
id = "vol"
name = "Volunteers"
kind = "volunteer"
[[fleet]]
operator = "taxi"
count = 3
layouts = [{{ seats = 4, luggage = 2 }}, {{ seats = 2, wheelchairs = 1, luggage = 2 }}]
shift = ["07:00", "19:00"]
breaks = [{{ between = ["11:00", "14:00"], minutes = 45 }}]
[[fleet]]
operator = "vol"
kind = "volunteer"
count = 2
layouts = [{{ seats = 3, luggage = 1 }}]
shift = ["08:00", "16:00"]
{extra}
"""


def with_trips(text: str, table: str = 'file = "trips.csv"') -> str:
    """The scenario with its synthetic demand replaced by a [demand] table."""
    return re.sub(r"\[demand.synthetic\].*?(?=\[\[operators)", f"[demand]\n{table}\n", text, flags=re.S)


SERVICE = Service(max_wait_ms=20 * MINUTE, max_ride_ms=40 * MINUTE, detour_extra_ms=4 * MINUTE)
PARTIES = [Resources(1), Resources(2), Resources(1, 1), Resources(0, 1), Resources(3, 0, 2)]
LAYOUTS = [(Resources(4, 0, 4),), (Resources(4, 0, 2), Resources(2, 1, 2)), (Resources(2, 0, 0),)]


def random_requests(network: RoadNetwork | PlainNetwork, rng: np.random.Generator, count: int) -> list[Request]:
    out = []
    for k in range(count):
        origin, destination = somewhere(network, rng), somewhere(network, rng)
        minute = int(rng.integers(0, 90))
        clock = f"{8 + minute // 60:02d}:{minute % 60:02d}"
        placed = f"{7 + minute // 60:02d}:{minute % 60:02d}" if rng.random() < 0.4 else clock
        by_arrival = placed != clock and rng.random() < 0.5
        until = minute + int(rng.integers(0, 25))
        own = (clock, f"{8 + until // 60:02d}:{until % 60:02d}") if not by_arrival and rng.random() < 0.3 else None
        out.append(
            a_request(
                f"r{k}", origin=origin, destination=destination, placed=placed,
                departs=None if by_arrival else clock, arrives=clock if by_arrival else None,
                party=PARTIES[int(rng.integers(len(PARTIES)))], pickup=own,
                needs=RiderNeeds(int(rng.integers(0, 3)) * MINUTE, int(rng.integers(0, 2)) * MINUTE),
            )
        )  # fmt: skip
    return out


def with_demands(requests: list[Request], rng: np.random.Generator) -> list[Request]:
    """Some riders need a skill of the vehicle, some must not meet others, named by either of the two."""
    out = []
    for request in requests:
        skills = ("lift",) if rng.random() < 0.2 else ()
        others = [r.id for r in requests if r.id != request.id and rng.random() < 0.15]
        out.append(replace(request, needs=replace(request.needs, skills=skills), apart_from=tuple(others)))
    return out


def a_mixed_fleet(network: RoadNetwork | PlainNetwork, rng: np.random.Generator) -> list[Vehicle]:
    """Four vehicles of two operators, some with a break, somewhere in the town."""
    return [
        a_vehicle(
            f"v{k}", place=somewhere(network, rng), layouts=LAYOUTS[k % len(LAYOUTS)], shift=("07:30", "10:30"),
            breaks=(("08:15", "09:00", 15),) if rng.random() < 0.5 else (), operator=f"op{k % 2}",
        )
        for k in range(4)
    ]  # fmt: skip
