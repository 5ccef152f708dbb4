"""Coordinates to streets: the nearest piece, how far along it, and on which side."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from noriai_engine.model.places import Place
from noriai_engine.model.units import ByteArray, FloatArray, IntArray
from noriai_engine.roads.access import STOPPABLE
from noriai_engine.roads.geodesy import EARTH_RADIUS_M
from noriai_engine.roads.kernels import snapping
from noriai_engine.roads.network import points_at

FAR_M = 50_000.0
"""How far `metres_off` looks."""

_CELL_PIECES = 2.0
_SMALLEST_CELL_M = 20.0


@dataclass(frozen=True)
class Snapped:
    """Points on streets, (p,) each: `street` (-1 where none is near enough), `share` of the way along its geometry,
    `metres` off it, `side` 1 left of the geometry's direction, -1 right, 0 on it."""

    street: IntArray
    share: FloatArray
    metres: FloatArray
    side: ByteArray

    def rows(self, part: slice) -> "Snapped":
        """Some of the points."""
        return Snapped(self.street[part], self.share[part], self.metres[part], self.side[part])


class Lines(Protocol):
    """Streets as rows of points: see RoadNetwork."""

    @property
    def street_first(self) -> IntArray: ...
    @property
    def street_flags(self) -> ByteArray: ...
    @property
    def point_lon(self) -> FloatArray: ...
    @property
    def point_lat(self) -> FloatArray: ...
    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees."""


class Snapper:
    """Finds streets near points. The plane is that of the network's middle latitude: over a region of 100 km, metres
    are right to some 0.5 %, and the street found is the nearest but for near ties."""

    def __init__(self, network: Lines) -> None:
        self._network = network
        west, south, east, north = network.bounds
        metres = EARTH_RADIUS_M * np.pi / 180.0
        self._lat, self._kx, self._ky = (south + north) / 2, 0.0, metres
        self._kx = metres * float(np.cos(np.radians(self._lat)))
        x, y = network.point_lon * self._kx, network.point_lat * self._ky
        counts = np.diff(network.street_first)
        street = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        street[network.street_first[1:] - 1] = -1
        step = np.zeros(len(x))
        step[1:] = np.hypot(np.diff(x), np.diff(y))
        step[network.street_first[:-1]] = 0.0
        along = np.cumsum(step)
        along -= np.repeat(along[network.street_first[:-1]], counts)
        width, height = (east - west) * self._kx, (north - south) * self._ky
        pieces = max(1, len(x) - len(counts))
        size = max(_SMALLEST_CELL_M, float(np.sqrt(width * height * _CELL_PIECES / pieces)), (width + height) / 10_000)
        columns, rows = int(width / size) + 1, int(height / size) + 1
        grid = snapping.Grid(
            x, y, along, street, np.array(network.street_first), np.array(network.street_flags, np.int8),
            west * self._kx, south * self._ky, size, columns, rows,
            np.zeros(columns * rows + 1, np.int32), np.zeros(0, np.int32),
        )  # fmt: skip
        snapping.count_cells(grid, grid.first)
        self._grid = grid._replace(piece=np.empty(int(grid.first[-1]), np.int32))
        snapping.fill_cells(self._grid)

    def snap(self, lon: FloatArray, lat: FloatArray, *, limit_m: float = 1_000.0, needed: int = STOPPABLE) -> Snapped:
        """The nearest street of each point (p,) that has all flags in `needed`, within `limit_m` metres."""
        lon, lat = np.ascontiguousarray(lon, np.float64), np.ascontiguousarray(lat, np.float64)
        count = len(lon)
        out = Snapped(np.empty(count, np.int32), np.zeros(count), np.full(count, np.inf), np.zeros(count, np.int8))
        snapping.snap(
            self._grid, lon * self._kx, lat * self._ky, needed, float(limit_m), out.street, out.share, out.metres,
            out.side,
        )  # fmt: skip
        return out

    def metres_off(self, place: Place) -> float:
        """Metres from a place to the nearest street where one may stop; inf beyond FAR_M."""
        return float(self.snap(np.array([place.lon]), np.array([place.lat]), limit_m=FAR_M).metres[0])

    def on_street(self, lon: FloatArray, lat: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The nearest points (p,) on streets where one may stop."""
        found = self.snap(lon, lat, limit_m=FAR_M)
        rows = self._network.street_first
        places = [
            points_at(self._network.point_lon[rows[k] : rows[k + 1]], self._network.point_lat[rows[k] : rows[k + 1]],
                      np.array([share]))[0]
            for k, share in zip(found.street.tolist(), found.share.tolist(), strict=True)
        ]  # fmt: skip
        return np.array([p[0] for p in places]), np.array([p[1] for p in places])
