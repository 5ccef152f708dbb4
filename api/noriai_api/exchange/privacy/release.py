"""Origin-destination figures of an area for a period, with noise that hides any one rider.

The unit is a rider's whole period of 28 days: at most CAP of their trips count, chosen at random, so that one rider
changes the counts by at most CAP in all. The pairs of zones are fixed by public data and by the noisy total alone.
Every figure comes with an interval, and what was left out is said.
"""

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noriai_api.digests import digest
from noriai_api.exchange.privacy.mesh import codes_of
from noriai_api.exchange.privacy.noise import Measure, micro_epsilon
from noriai_api.exchange.privacy.partition import Partition, PublicData, partition
from noriai_api.exchange.privacy.tree import consistent
from noriai_engine.model.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METHOD = "noriai od 1"
PERIOD_DAYS = 28
FIRST_PERIOD = date(2024, 1, 1)
"""A Monday; periods follow each other without overlap, so that each rider's budget is clear."""
CAP = 12
TOTAL_SHARE = 0.05
"""Share of epsilon for the total, which says how finely the rest can be told."""
LEAST_SCALES = 10
"""A part is cut no further where less than so many scales of noise would be expected: about 7 % median error."""
PUBLISH_SCALES = 5
"""A part without a single trip is published in one of 300 cases (half of e^-5)."""
SMALLEST_GROUP = 10
ZONES_WANTED = 16
INTERVAL = 0.95
INTERVAL_SIGMAS = sqrt(0.5) * log(1 / (1 - INTERVAL))
"""Half the width of an interval in standard deviations, as for Laplace noise; sums of many need less."""


@dataclass(frozen=True)
class Question:
    """What is asked. Its digest is the release's name: the same question has one answer."""

    area: str
    first_day: str
    micro_epsilon: int
    cap: int = CAP
    method: str = METHOD
    expected: int = 0
    """Trips that regions agreed to expect together, so that all count over the same parts; 0: as our own noisy total
    says, and the figures are not for sums."""

    @property
    def release(self) -> str:
        said = {name: value for name, value in asdict(self).items() if name != "expected" or value}
        return digest(said)[:40]

    @property
    def period(self) -> str:
        return f"{self.first_day}/P{PERIOD_DAYS}D"


@dataclass(frozen=True)
class Trips:
    """Trips of a period: riders as numbers (n,), origins and destinations as (n, 2) of (lon, lat)."""

    riders: Ints
    origins: Floats
    destinations: Floats


def check_first_day(text: str) -> str:
    """Raises InputError for a day no period begins on, naming those around it."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no date", where="from", remedy="write it as 2026-11-02") from None
    past = (day - FIRST_PERIOD).days % PERIOD_DAYS
    if past:
        before = day - timedelta(days=past)
        raise InputError(
            f"no period begins on {text}", where="from",
            remedy=f"take {before} or {before + timedelta(days=PERIOD_DAYS)}: periods of 28 days do not overlap",
        )  # fmt: skip
    return text


def capped(riders: Ints, cap: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which trips count: of each rider at most `cap`, chosen at random. (n,)"""
    shuffled = rng.permutation(len(riders))
    order = shuffled[np.argsort(riders[shuffled], kind="stable")]
    same = riders[order]
    first = np.flatnonzero(np.r_[True, same[1:] != same[:-1]]) if len(same) else np.zeros(0, np.int64)
    rank = np.arange(len(same)) - np.repeat(first, np.diff(np.r_[first, len(same)]))
    kept = np.zeros(len(riders), np.bool_)
    kept[order[rank < cap]] = True
    return kept


def release(
    question: Question, trips: Trips, data: PublicData, measure: Measure, rng: np.random.Generator
) -> dict[str, Any]:
    """Answer a question; its budget has been charged. Nothing else of the trips is looked at."""
    origins, destinations, inside = _cells(trips, data)
    kept = np.flatnonzero(inside)
    kept = kept[capped(trips.riders[kept], question.cap, rng)]
    leaf_scale, total_scale = scales_of(question)
    cost = micro_epsilon(total_scale, question.cap) + micro_epsilon(leaf_scale, question.cap)
    if cost > question.micro_epsilon + 2:  # each of the two is rounded up
        raise AssertionError(f"{cost} would be spent where {question.micro_epsilon} was charged")
    total = measure(np.array([len(kept)], np.int64), total_scale)
    parts, name = fixed_parts(question, data, int(total[0]))
    exact = np.bincount(
        parts.leaf_of[origins[kept], destinations[kept]], minlength=len(parts.leaves)
    ).astype(np.int64)  # fmt: skip
    noisy = measure(exact, leaf_scale)
    estimates, variances = estimated(parts, noisy, leaf_scale, int(total[0]), total_scale)
    said = said_of(question, parts, estimates, variances, leaf_scale)
    if not question.expected:
        return said
    measured = {
        "area": question.area, "partition": name, "leaves": noisy.tolist(), "total": int(total[0]),
        "leaf_scale": leaf_scale, "total_scale": total_scale,
    }  # fmt: skip
    return said | {"measured": measured}


def fixed_parts(question: Question, data: PublicData, own_total: int = 0) -> tuple[Partition, str]:
    """The parts that trips are counted by, and the name that all regions know them by."""
    leaf_scale, total_scale = scales_of(question)
    least = LEAST_SCALES * leaf_scale
    expected = float(max(question.expected or own_total, least))
    public = [data.cells.tolist(), data.people.tolist(), data.attraction.tolist()]
    said = [question.method, question.period, expected, leaf_scale, total_scale, digest(public)]
    return partition(data, expected, least), digest(said)[:40]


def scales_of(question: Question) -> tuple[float, float]:
    """Of the noise of each part, and of the total."""
    epsilon = question.micro_epsilon / 1e6
    return question.cap / (epsilon * (1 - TOTAL_SHARE)), question.cap / (epsilon * TOTAL_SHARE)


def _cells(trips: Trips, data: PublicData) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """(origin, destination) cells of trips as places in `data.cells`, and which trips lie inside: others do not
    count."""
    digits = len(str(data.cells[0]))
    order = np.argsort(data.cells)
    found = []
    inside = np.ones(len(trips.riders), np.bool_)
    for points in (trips.origins, trips.destinations):
        codes = codes_of(points[:, 0], points[:, 1], digits)
        place = np.minimum(np.searchsorted(data.cells[order], codes), len(order) - 1)
        cells = order[place]
        inside &= data.cells[cells] == codes
        found.append(cells)
    return found[0], found[1], inside


def variance_of(scale: float) -> float:
    """Of the discrete Laplace distribution."""
    q = np.exp(-1 / scale)
    return float(2 * q / (1 - q) ** 2)


def estimated(
    parts: Partition, noisy: Ints, leaf_scale: float, total: int, total_scale: float
) -> tuple[Floats, Floats]:  # fmt: skip
    """Noisy counts of parts and of the total made consistent: (estimates, variances) of the tree's nodes."""
    measured = np.zeros(len(parts.nodes))
    variance = np.full(len(parts.nodes), np.inf)
    measured[list(parts.leaves)], variance[list(parts.leaves)] = noisy, variance_of(leaf_scale)
    if len(parts.nodes) > 1:
        measured[0], variance[0] = total, variance_of(total_scale)
    return consistent([node.children for node in parts.nodes], measured, variance)


def said_of(
    question: Question, parts: Partition, estimates: Floats, variances: Floats, leaf_scale: float
) -> dict[str, Any]:
    """The release as it is published. Whole numbers, where a total is that of its leaves' whole numbers."""
    whole = np.zeros(len(parts.nodes), np.int64)
    whole[list(parts.leaves)] = np.rint(estimates[list(parts.leaves)]).astype(np.int64)
    for number in range(len(parts.nodes) - 1, -1, -1):
        if parts.nodes[number].children:
            whole[number] = whole[list(parts.nodes[number].children)].sum()
    threshold = max(SMALLEST_GROUP, int(np.ceil(PUBLISH_SCALES * leaf_scale)))

    def figure(number: int) -> dict[str, Any]:
        node, half = parts.nodes[number], half_width(variances[number])
        trips = int(whole[number])
        return {
            "origins": parts.data.cells[node.origins].tolist(),
            "destinations": parts.data.cells[node.destinations].tolist(),
            "trips": trips, "low": max(0, trips - half), "high": trips + half,
        }  # fmt: skip

    shown = [number for number in parts.leaves if whole[number] >= threshold]
    zones = [number for number in _zones(parts) if whole[number] >= threshold]
    total, published = int(whole[0]), int(whole[shown].sum())
    return {
        "release": question.release, "area": question.area, "period": question.period, "method": question.method,
        "unit": f"a rider's {PERIOD_DAYS} days", "epsilon": question.micro_epsilon / 1e6, "cap": question.cap,
        "noise": {"mechanism": "discrete Laplace, OpenDP", "scale": round(leaf_scale, 3)},
        "threshold": threshold, "parts": len(parts.leaves), "interval": INTERVAL,
        "total": {"trips": total, "low": max(0, total - half_width(variances[0])),
                  "high": total + half_width(variances[0])},
        "covered": round(min(1.0, published / total), 3) if total > 0 else None,
        "left_out": f"trips of riders without a profile, outside the area, or beyond {question.cap} of a rider",
        "zones": [figure(number) for number in zones], "figures": [figure(number) for number in shown],
    }  # fmt: skip


def half_width(variance: float) -> int:
    """Half the width of an interval of INTERVAL for noise of that variance."""
    return int(np.ceil(np.sqrt(variance) * INTERVAL_SIGMAS))


def _zones(parts: Partition) -> list[int]:
    """The tree's nodes of about 1/ZONES_WANTED of the trips: a view from further off, of the same figures."""
    limit = parts.nodes[0].expected / ZONES_WANTED
    found, waiting = [], [0]
    while waiting:
        number = waiting.pop()
        node = parts.nodes[number]
        if node.children and node.expected > limit:
            waiting += reversed(node.children)
        else:
            found.append(number)
    return found
