"""Cells of the ground: Japan's standard mesh (JIS X 0410), and hexagons elsewhere."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
LEVELS = {80_000: 1, 10_000: 2, 1_000: 3, 500: 4, 250: 5, 125: 6}
"""Level of the mesh by the length of a cell's side in metres, roughly."""
_ROWS, _COLUMNS = 960, 640  # cells of level 6 in a degree of latitude and of longitude: 3.75 and 5.625 seconds
_SPAN = {1: 640, 2: 80, 3: 8, 4: 4, 5: 2, 6: 1}  # cells of level 6 along the side of one


@dataclass(frozen=True)
class Cells:
    """Cells with people: `name`, corners (k, corners, 2) lon and lat, centre of its people, how many they are."""

    name: list[str]
    corners: list[list[tuple[float, float]]]
    lon: FloatArray
    lat: FloatArray
    people: FloatArray
    counts: Literal["people", "junctions"] = "people"
    """What `people` counts: where no population is known, the junctions of roads stand for it."""


def jis_codes(lon: FloatArray, lat: FloatArray, level: int) -> IntArray:
    """(n,) mesh codes of level 1 (80 km) to 6 (125 m). Raises InputError outside 20-46 N, 122-154 E."""
    if level not in _SPAN:
        raise InputError(f"{level} is no level", where="mesh", remedy="give 1 (80 km) to 6 (125 m)")
    if lon.size and not (lon.min() >= 122 and lon.max() < 154 and lat.min() >= 20 and lat.max() < 46):
        raise InputError("is outside Japan", where="mesh", remedy="use hexagons there")
    y, x = np.floor(lat * _ROWS).astype(np.int64), np.floor((lon - 100) * _COLUMNS).astype(np.int64)
    code = (y // 640) * 100 + x // 640
    if level >= 2:
        code = code * 100 + (y % 640 // 80) * 10 + x % 640 // 80
    if level >= 3:
        code = code * 100 + (y % 80 // 8) * 10 + x % 80 // 8
    for half in (4, 2, 1)[: max(0, level - 3)]:
        code = code * 10 + 1 + 2 * (y // half % 2) + x // half % 2
    return code


def jis_corners(code: int) -> list[tuple[float, float]]:
    """South-west, south-east, north-east and north-west corner (lon, lat) of a mesh cell."""
    text = str(code)
    level = {4: 1, 6: 2, 8: 3, 9: 4, 10: 5, 11: 6}.get(len(text))
    if level is None:
        raise InputError(f"{code} is no mesh code", where="mesh", remedy="4, 6, 8, 9, 10 or 11 digits")
    y, x = int(text[:2]) * 640, int(text[2:4]) * 640
    if level >= 2:
        y, x = y + int(text[4]) * 80, x + int(text[5]) * 80
    if level >= 3:
        y, x = y + int(text[6]) * 8, x + int(text[7]) * 8
    for digit, half in zip(text[8:], (4, 2, 1), strict=False):
        y, x = y + (int(digit) - 1) // 2 * half, x + (int(digit) - 1) % 2 * half
    span = _SPAN[level]
    south, north, west, east = y / _ROWS, (y + span) / _ROWS, 100 + x / _COLUMNS, 100 + (x + span) / _COLUMNS
    return [(west, south), (east, south), (east, north), (west, north)]


def mesh_cells(lon: FloatArray, lat: FloatArray, people: FloatArray, level: int) -> Cells:
    """People gathered by mesh cell."""
    codes = jis_codes(lon, lat, level)
    names, group = np.unique(codes, return_inverse=True)
    corners = [jis_corners(int(code)) for code in names]
    return _gathered([str(code) for code in names], corners, group.reshape(-1), lon, lat, people)


def hex_resolution(side_m: float) -> int:
    """The resolution of H3 whose hexagons have sides of about so many metres, 0 (1,281 km) to 15 (0.6 m)."""
    import h3

    sides = np.array([h3.average_hexagon_edge_length(resolution, unit="m") for resolution in range(16)])
    return int(np.argmin(np.abs(np.log(sides / side_m))))


def hex_cells(lon: FloatArray, lat: FloatArray, people: FloatArray, resolution: int) -> Cells:
    """People gathered by cells of H3 (h3geo.org), by which hexagons have the same names everywhere."""
    import h3

    places = zip(lat.tolist(), lon.tolist(), strict=True)
    names, group = np.unique([h3.latlng_to_cell(y, x, resolution) for y, x in places], return_inverse=True)
    corners = [[(x, y) for y, x in h3.cell_to_boundary(name)] for name in names.tolist()]
    return _gathered(names.tolist(), corners, group.reshape(-1), lon, lat, people)


def _gathered(
    names: list[str], corners: list[list[tuple[float, float]]], group: npt.NDArray[np.intp], lon: FloatArray,
    lat: FloatArray, people: FloatArray,
) -> Cells:  # fmt: skip
    total = np.bincount(group, people, len(names)).astype(np.float64)
    weight = np.where(total > 0, total, 1.0)
    share = np.where(total[group] > 0, people, 1.0 / np.bincount(group)[group])
    return Cells(
        names, corners, np.bincount(group, lon * share, len(names)) / weight,
        np.bincount(group, lat * share, len(names)) / weight, total,
    )  # fmt: skip
