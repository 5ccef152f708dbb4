"""Who lives where, and the places people travel to."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from noriai_engine.model.units import FloatArray
from noriai_engine.roads.network import RoadNetwork


@dataclass(frozen=True)
class Population:
    """People at points: lon, lat (degrees) and number of people, all (k,)."""

    lon: FloatArray
    lat: FloatArray
    people: FloatArray

    @property
    def total(self) -> float:
        return float(self.people.sum())


@dataclass(frozen=True, slots=True)
class PlaceOfInterest:
    """Somewhere people go: kind (hospital, clinic, school, shop, station, civic), name, coordinates."""

    kind: str
    name: str
    lon: float
    lat: float


HOME_CLASSES = (5, 6, 7)  # unclassified, residential, living_street
HOMES_EVERY_M = 100.0


def spread_population(network: RoadNetwork, zones: list[tuple[Any, float]]) -> tuple[Population, list[str]]:
    """Spread each zone's people evenly along its residential streets.

    `zones` are (shapely polygon or point, people). A zone without such a street keeps its people at one point
    inside it. Returns the points (each place once) and sentences on what was done.
    """
    import shapely

    lon, lat = network.points_along(HOME_CLASSES, HOMES_EVERY_M)
    points_at_home: Any = shapely.points(np.column_stack([lon, lat]))
    tree = shapely.STRtree(points_at_home)
    people_at: dict[tuple[float, float], float] = {}
    lonely = 0
    for shape, people in zones:
        if people <= 0:
            continue
        inside = np.sort(tree.query(shape, predicate="intersects")) if shape.area else np.array([], int)
        if len(inside) == 0:
            lonely += bool(shape.area)
            point = shape.representative_point()
            spots = [(point.x, point.y)]
        else:
            spots = [(float(lon[i]), float(lat[i])) for i in inside]
        for spot in spots:
            people_at[spot] = people_at.get(spot, 0.0) + people / len(spots)
    points = sorted(people_at)
    notes = [f"{sum(people_at.values()):,.0f} people of {len(zones):,} zones on {len(points):,} points"]
    if lonely:
        notes.append(f"{lonely:,} zones without a residential street keep their people at one point")
    return (
        Population(
            np.array([p[0] for p in points]),
            np.array([p[1] for p in points]),
            np.array([people_at[p] for p in points]),
        ),
        notes,
    )
