"""Benchmark instances as the checker reads them, written from the files' published descriptions alone."""

import math
from dataclasses import dataclass
from pathlib import Path

from noriai_engine.checker.load import CheckError


@dataclass(frozen=True)
class Stop:
    """A node of the file: at the depot `load` is 0 and `partner` is 0."""

    load: float
    earliest: float
    latest: float
    service: float
    partner: int


@dataclass(frozen=True)
class Instance:
    """What a benchmark file asks for. `legs[a][b]` is time and cost of the drive from node a to node b."""

    stops: list[Stop]
    legs: list[list[float]]
    capacity: float
    vehicles: int | None
    longest_ride: float | None
    longest_route: float | None
    whole_numbers: bool


def load_instance(file: Path) -> Instance:
    """Read a file of one of the three formats. Raises CheckError where that cannot be done."""
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CheckError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    try:
        if lines[0][0].endswith(":"):
            return _street_matrix(lines)
        return _dial_a_ride(lines) if len(lines[0]) == 5 else _plane(lines)
    except (ValueError, IndexError, KeyError) as error:
        raise CheckError(f"{file}: is no benchmark file this checker knows ({error})") from error


def _euclid(rows: list[list[float]]) -> list[list[float]]:
    return [[math.dist(a[1:3], b[1:3]) for b in rows] for a in rows]


def _dial_a_ride(lines: list[list[str]]) -> Instance:
    """K 2n T Q L; id x y service load e l; a row 2n + 1 is the depot again."""
    vehicles, twice, route, capacity, ride = map(float, lines[0])
    rows = [[float(word) for word in line] for line in lines[1 : int(twice) + 2]]
    n = int(twice) // 2
    if len(rows) != 2 * n + 1:
        raise ValueError(f"{len(rows)} rows for {2 * n} stops")
    stops = [
        Stop(row[4], row[5], row[6], row[3], 0 if i == 0 else i + n if i <= n else i - n) for i, row in enumerate(rows)
    ]
    return Instance(stops, _euclid(rows), capacity, int(vehicles), ride, route, False)


def _plane(lines: list[list[str]]) -> Instance:
    """K Q speed; id x y demand e l service pickup delivery."""
    vehicles, capacity, _ = map(float, lines[0])
    rows = [[float(word) for word in line] for line in lines[1:]]
    stops = [Stop(row[3], row[4], row[5], row[6], int(row[7] + row[8])) for row in rows]
    return Instance(stops, _euclid(rows), capacity, int(vehicles), None, None, False)


def _street_matrix(lines: list[list[str]]) -> Instance:
    """KEY: value, NODES, EDGES, EOF; no fleet limit, whole numbers."""
    at = lines.index(["NODES"])
    head = {line[0]: line[1:] for line in lines[:at]}
    size, capacity = int(head["SIZE:"][0]), float(head["CAPACITY:"][0])
    rows = [[float(word) for word in line] for line in lines[at + 1 : at + 1 + size]]
    stops = [Stop(row[3], row[4], row[5], row[6], int(row[7] + row[8])) for row in rows]
    if lines[at + 1 + size] != ["EDGES"]:
        raise ValueError("EDGES do not follow the nodes")
    legs = [[float(int(word)) for word in line] for line in lines[at + 2 + size : at + 2 + 2 * size]]
    return Instance(stops, legs, capacity, None, None, None, True)
