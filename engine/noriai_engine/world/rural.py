"""A seeded generator of a rural municipality: a valley road, scattered villages, a station, a clinic, a shop, a school.

Everything is made up from the seed; the same seed gives the same town to the byte. It is the default world of
tests and examples, and never evidence about a real place.
"""

from dataclasses import dataclass

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.regions import PlaceOfInterest, Population, RegionDraft, Source
from noriai_engine.roads import haversine_m
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.bridges import Link, streets_of_links
from noriai_engine.roads.profiles import PROFILES
from noriai_engine.roads.streets import RawStreets

_KMH = {"secondary": 45.0, "tertiary": 35.0, "residential": 20.0}


@dataclass(frozen=True)
class RuralParams:
    """Size and place of the town. The valley runs east from (`lon`, `lat`) for `valley_km`."""

    villages: int = 12
    people: int = 6_000
    valley_km: float = 18.0
    lon: float = 137.55
    lat: float = 36.90
    timezone: str = "Asia/Tokyo"

    def __post_init__(self) -> None:
        if self.villages < 2 or self.people < 1 or self.valley_km <= 0:
            raise InputError(
                f"villages = {self.villages}, people = {self.people}, valley_km = {self.valley_km}",
                where="rural town",
                remedy="give at least 2 villages, 1 person and a length above 0",
            )


class _Sketch:
    """Nodes and two-way streets while the town is drawn, in metres east and north of its western end."""

    def __init__(self) -> None:
        self.xy: list[tuple[float, float]] = []
        self.streets: list[tuple[int, int, str, str, bool]] = []

    def node(self, x: float, y: float) -> int:
        self.xy.append((x, y))
        return len(self.xy) - 1

    def street(self, a: int, b: int, road: str, name: str, *, oneway: bool = False) -> None:
        self.streets.append((a, b, road, name, oneway))

    def road(self, points: list[tuple[float, float]], road: str, name: str, start: int | None = None) -> list[int]:
        """A chain of streets through `points`; returns its nodes."""
        nodes = [start if start is not None else self.node(*points[0])]
        for point in points[1:]:
            nodes.append(self.node(*point))
            self.street(nodes[-2], nodes[-1], road, name)
        return nodes


def rural_region(seed: int, params: RuralParams | None = None) -> RegionDraft:
    """Draft of the town of `seed`. Raises InputError for parameters that make no town."""
    params = params or RuralParams()
    rng = np.random.default_rng(seed)
    sketch = _Sketch()
    valley = _valley_road(sketch, params, rng)
    centre = valley[len(valley) // 2]
    town = _village(sketch, centre, 5, 110.0, "Town", rng)
    shares = rng.dirichlet(np.full(params.villages, 2.0)) * 0.6
    homes: list[tuple[list[int], float]] = [(town, 0.4 * params.people)]
    for number in range(params.villages):
        at = valley[int(rng.integers(1, len(valley) - 1))]
        side = 1.0 if number % 2 else -1.0
        hub = _side_road(sketch, at, side, number, rng)
        nodes = _village(sketch, hub, int(rng.integers(2, 4)), 90.0, f"Village {number + 1}", rng)
        homes.append((nodes, float(shares[number]) * params.people))

    raw = _raw_streets(sketch, params)
    network, dropped = assemble(raw, PROFILES["taxi"], left_hand=True)
    lon, lat = raw.node_lon, raw.node_lat
    spots = [(node, people / len(nodes)) for nodes, people in homes for node in nodes]
    population = Population(
        lon[[s for s, _ in spots]], lat[[s for s, _ in spots]], np.array([p for _, p in spots], np.float64)
    )
    chosen = rng.choice(town, 4, replace=False)
    places = [
        PlaceOfInterest("station", "Station", float(lon[valley[0]]), float(lat[valley[0]])),
        PlaceOfInterest("clinic", "Clinic", float(lon[chosen[0]]), float(lat[chosen[0]])),
        PlaceOfInterest("shop", "Shop", float(lon[chosen[1]]), float(lat[chosen[1]])),
        PlaceOfInterest("school", "School", float(lon[chosen[2]]), float(lat[chosen[2]])),
        PlaceOfInterest("civic", "Town hall", float(lon[chosen[3]]), float(lat[chosen[3]])),
    ]
    source = Source("all", f"rural generator, seed {seed}", "made up", "CC0-1.0", "made-up town (noriai)", "")
    return RegionDraft(
        name=f"rural-{seed}", title=f"Made-up rural town, seed {seed}", country="JP", timezone=params.timezone,
        driving_side="left", network=network, sources=[source],
        notes=["This town does not exist: it is drawn from its seed.", *dropped.sentences()],
        population=population, places=places,
    )  # fmt: skip


def _valley_road(sketch: _Sketch, params: RuralParams, rng: np.random.Generator) -> list[int]:
    steps = max(6, round(params.valley_km * 1_000 / 140))
    bends = np.cumsum(rng.normal(0.0, 0.12, steps))
    bends -= np.linspace(0.0, bends[-1], steps)
    north = np.cumsum(np.sin(bends) * 140.0)
    points = [(140.0 * i, float(north[i])) for i in range(steps)]
    return sketch.road(points, "secondary", "Valley Road")


def _side_road(sketch: _Sketch, start: int, side: float, number: int, rng: np.random.Generator) -> int:
    x, y = sketch.xy[start]
    length = float(rng.uniform(600.0, 3_500.0))
    steps = max(4, round(length / 130))
    east = np.cumsum(rng.normal(0.0, 35.0, steps))
    points = [(x, y), *((x + float(east[i]), y + side * length * (i + 1) / steps) for i in range(steps))]
    return sketch.road(points, "tertiary", f"Hill Road {number + 1}", start)[-1]


def _village(sketch: _Sketch, hub: int, size: int, spacing_m: float, name: str, rng: np.random.Generator) -> list[int]:
    """A bent grid of size x size streets around the hub, one of them one-way."""
    x, y = sketch.xy[hub]
    turn = float(rng.uniform(0.0, np.pi / 2))
    cos, sin = np.cos(turn), np.sin(turn)
    grid: dict[tuple[int, int], int] = {}
    for i in range(size):
        for j in range(size):
            if (i, j) == (0, 0):
                grid[i, j] = hub
                continue
            dx, dy = i * spacing_m + rng.normal(0, 8), j * spacing_m + rng.normal(0, 8)
            grid[i, j] = sketch.node(float(x + cos * dx - sin * dy), float(y + sin * dx + cos * dy))
    for (i, j), node in grid.items():
        if (i + 1, j) in grid:
            sketch.street(node, grid[i + 1, j], "residential", f"{name} Street {j + 1}", oneway=j == 1)
        if (i, j + 1) in grid:
            sketch.street(node, grid[i, j + 1], "residential", f"{name} Lane {i + 1}")
    return list(grid.values())


def _raw_streets(sketch: _Sketch, params: RuralParams) -> RawStreets:
    xy = np.array(sketch.xy)
    lat = np.round(params.lat + xy[:, 1] / 111_195.0, 7)
    lon = np.round(params.lon + xy[:, 0] / (111_195.0 * np.cos(np.radians(params.lat))), 7)
    links: list[Link] = []
    for a, b, road, street, oneway in sketch.streets:
        metres = float(haversine_m(lon[a], lat[a], lon[b], lat[b]))
        weights = (round(metres * 3_600.0 / _KMH[road]), round(metres * 1e3), road, street)
        links.append((a, b, *weights, []))
        if not oneway:
            links.append((b, a, *weights, []))
    places = list(zip(lon.tolist(), lat.tolist(), strict=True))
    return streets_of_links(np.arange(1, len(xy) + 1, dtype=np.int64), places, links)
