"""Places: coordinates are (lon, lat), WGS84, everywhere; a spot is a place on the road graph."""

from dataclasses import dataclass
from typing import NamedTuple

from noriai_engine.model.errors import InputError


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the ground, with the name people call it by (may be empty)."""

    lon: float
    lat: float
    name: str = ""

    def __post_init__(self) -> None:
        if not (-180.0 <= self.lon <= 180.0 and -90.0 <= self.lat <= 90.0):
            swapped = -90.0 <= self.lon <= 90.0 and -180.0 <= self.lat <= 180.0
            raise InputError(
                f"({self.lon}, {self.lat}) is not a (lon, lat) on Earth",
                remedy="longitude and latitude look swapped" if swapped else "give degrees WGS84, longitude first",
            )


class Spot(NamedTuple):
    """A state of the turn-aware graph (a directed street) and how far along it, in ms of driving.

    On a plain graph a state is a node and the offset 0. States are rows of one network and leave the process only in
    files that carry its checksum. A state of -1 is nowhere.
    """

    state: int
    offset_ms: int = 0
