"""Which origins and destinations are counted together, fixed before any trip is looked at.

Trips are counted for pairs of zones. A grid of fixed zones makes most pairs empty and a few full; here the plane of all
pairs is cut where public data (people, and places people go to) lets about as many trips be expected on both sides, so
that each part can be told from the noise. No budget is spent on it: it does not depend on a single trip.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noriai_api.exchange.privacy.mesh import Codes, centres_of
from noriai_engine.model.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TRAVEL_M = 5000.0
"""Distance over which the wish to go somewhere falls to 1/e in the public forecast."""
SELF_ATTRACTION = 0.01
"""What a cell without any known place to go to attracts, beside one that has one."""
METRES = 111_195.0


@dataclass(frozen=True)
class PublicData:
    """What everybody may know of an area: mesh cells (one level), people in each, and how much draws people there."""

    cells: Codes
    people: Floats
    attraction: Floats

    def __post_init__(self) -> None:
        if not len(self.cells) == len(self.people) == len(self.attraction) or not len(self.cells):
            raise InputError("needs people and attraction for each cell", where="public data", remedy="give all three")
        if self.people.min() < 0 or self.people.sum() <= 0:
            raise InputError("needs people", where="public data", remedy="take the census mesh")


@dataclass(frozen=True)
class Node:
    """A part of the plane of pairs: rows of origin and destination cells, the trips expected, and its two halves."""

    origins: Ints
    destinations: Ints
    expected: float
    children: tuple[int, ...]


@dataclass(frozen=True)
class Partition:
    """A binary tree over all pairs; node 0 is the whole. `leaf_of` (n, n): each pair's place in `leaves`."""

    data: PublicData
    nodes: tuple[Node, ...]
    leaves: tuple[int, ...]
    leaf_of: NDArray[np.int32]


def forecast(data: PublicData) -> Floats:
    """Shares of trips by pair, (n, n), from public data alone: a gravity model, there and back alike."""
    lon, lat = centres_of(data.cells)
    x, y = lon * np.cos(np.radians(lat.mean())) * METRES, lat * METRES
    far = np.hypot(x[:, None] - x[None], y[:, None] - y[None])
    draws = data.attraction / max(data.attraction.max(), 1e-12) + SELF_ATTRACTION * data.people / data.people.max()
    pull = draws[None] * np.exp(-far / TRAVEL_M)
    out = data.people[:, None] * pull / pull.sum(axis=1, keepdims=True)
    both: Floats = (out + out.T) / (2 * out.sum())
    return both


def partition(data: PublicData, expected_trips: float, least: float) -> Partition:
    """Cut until a further cut would leave fewer than `least` expected trips on one side.

    Each cut is across the longer side of origins or destinations, where it halves the forecast.
    """
    lon, lat = centres_of(data.cells)
    places = np.stack([lon * np.cos(np.radians(lat.mean())), lat], axis=1)
    flow = forecast(data) * expected_trips
    everywhere = np.arange(len(data.cells))
    nodes: list[Node] = []
    leaves: list[int] = []
    leaf_of = np.zeros(flow.shape, np.int32)
    waiting: list[tuple[Ints, Ints, int]] = [(everywhere, everywhere, -1)]
    children: dict[int, list[int]] = {}
    parts: list[tuple[Ints, Ints, float]] = []
    while waiting:
        origins, destinations, parent = waiting.pop()
        number = len(parts)
        block = flow[np.ix_(origins, destinations)]
        parts.append((origins, destinations, float(block.sum())))
        children.setdefault(parent, []).append(number)
        cut = _cut(places, origins, destinations, block, least)
        if cut is None:
            leaf_of[np.ix_(origins, destinations)] = len(leaves)
            leaves.append(number)
        else:
            waiting += [(*half, number) for half in reversed(cut)]
    nodes = [Node(o, d, e, tuple(children.get(n, ()))) for n, (o, d, e) in enumerate(parts)]
    return Partition(data, tuple(nodes), tuple(leaves), leaf_of)


def _cut(
    places: Floats, origins: Ints, destinations: Ints, block: Floats, least: float
) -> list[tuple[Ints, Ints]] | None:  # fmt: skip
    """The best cut of a block in two, None where both halves would not have enough."""
    best: tuple[float, list[tuple[Ints, Ints]]] | None = None
    for side, cells, weight in ((0, origins, block.sum(axis=1)), (1, destinations, block.sum(axis=0))):
        if len(cells) < 2:
            continue
        extent = np.ptp(places[cells], axis=0)
        axis = int(extent[1] > extent[0])
        order = np.lexsort((places[cells, 1 - axis], places[cells, axis]))
        before = np.cumsum(weight[order])
        at = int(np.clip(np.searchsorted(before, before[-1] / 2) + 1, 1, len(cells) - 1))
        if min(before[at - 1], before[-1] - before[at - 1]) < least:
            continue
        one, two = np.sort(cells[order[:at]]), np.sort(cells[order[at:]])
        halves = [(one, destinations), (two, destinations)] if side == 0 else [(origins, one), (origins, two)]
        if best is None or extent.max() > best[0]:
            best = (float(extent.max()), halves)
    return None if best is None else best[1]
