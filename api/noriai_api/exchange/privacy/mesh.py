"""Mesh codes of JIS X 0410 for whole arrays: from (lon, lat) to a code and back.

A first mesh is 40' high and 1 degree wide; the second 1/8 of it, the third 1/10 of that (about 1 km), then halves
(500 m) and quarters (250 m), numbered 1 to 4 from the south-west by rows.
"""

import numpy as np
from numpy.typing import NDArray

from noriai_engine.model.errors import InputError

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

LEVELS = {4: (320, 320), 6: (40, 40), 8: (4, 4), 9: (2, 2), 10: (1, 1)}
"""Digits of a code -> its size in quarter meshes (south to north, west to east)."""

_LAT, _LON, _WEST = 480, 320, 100
"""Quarter meshes in a degree: 7.5" high, 11.25" wide, counted from 100 degrees east."""


def codes_of(lon: Floats, lat: Floats, digits: int = 9) -> Codes:
    """Codes of points, (n,). Raises InputError outside of 100 to 180 E, 0 to 66.66 N, or for digits of no level."""
    if digits not in LEVELS:
        raise InputError(f"{digits} digits", where="mesh", remedy=f"take one of {', '.join(map(str, LEVELS))}")
    south = np.floor(np.asarray(lat, np.float64) * _LAT).astype(np.int64)
    west = np.floor((np.asarray(lon, np.float64) - _WEST) * _LON).astype(np.int64)
    if south.size and (south.min() < 0 or south.max() >= 100 * 320 or west.min() < 0 or west.max() >= 100 * 320):
        raise InputError("a point has no mesh code", where="mesh", remedy="give places in Japan as (lon, lat)")
    code = south // 320 * 100 + west // 320
    for digit, (high, wide), parts in ((6, LEVELS[6], 8), (8, LEVELS[8], 10)):
        if digits >= digit:
            code = code * 100 + south // high % parts * 10 + west // wide % parts
    for digit, (high, wide) in ((9, LEVELS[9]), (10, LEVELS[10])):
        if digits >= digit:
            code = code * 10 + south // high % 2 * 2 + west // wide % 2 + 1
    return code


def size_of(codes: Codes) -> tuple[float, float]:
    """(width, height) in degrees of meshes of one level."""
    high, wide = LEVELS[len(str(int(codes[0])))]
    return wide / _LON, high / _LAT


def centres_of(codes: Codes) -> tuple[Floats, Floats]:
    """(lon, lat) of the middles of meshes, all of one level. Raises InputError for what is no code."""
    text = [str(code) for code in codes]
    digits = {len(code) for code in text}
    if len(digits) != 1 or digits - set(LEVELS):
        raise InputError("codes of one level are wanted", where="mesh", remedy="4, 6, 8, 9 or 10 digits each")
    number, level = np.array(codes, np.int64), digits.pop()
    south = west = np.zeros(len(number), np.int64)
    for digit in (10, 9):
        if level >= digit:
            part, number = number % 10 - 1, number // 10
            if part.size and (part.min() < 0 or part.max() > 3):
                raise InputError("a half has no such number", where="mesh", remedy="they are 1 to 4")
            south, west = south + part // 2 * LEVELS[digit][0], west + part % 2 * LEVELS[digit][1]
    for digit in (8, 6):
        if level >= digit:
            part, number = number % 100, number // 100
            south, west = south + part // 10 * LEVELS[digit][0], west + part % 10 * LEVELS[digit][1]
    south, west = south + number // 100 * 320, west + number % 100 * 320
    high, wide = LEVELS[level]
    return _WEST + (west + wide / 2) / _LON, (south + high / 2) / _LAT
