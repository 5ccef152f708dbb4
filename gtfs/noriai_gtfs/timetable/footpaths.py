"""Ways between stops: transfers.txt, pathways.txt, and walks between stops that lie near each other.

Times follow the reference: min_transfer_time of type 2, none for type 1 (the vehicle waits), no transfer for type 3.
A row from a stop to itself is the time to change there. Rows that name a station hold for all its platforms, unless
others name the platforms.
Pathways give the quickest way within a station, once for everybody and once without stairs and escalators.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noriai_engine.model.units import FOREVER_MS
from noriai_engine.roads.geodesy import haversine_m
from noriai_gtfs.feeds import Feed
from noriai_gtfs.timetable.walking import WALK_M_PER_S, Walking, walk_ms

IntArray = npt.NDArray[np.int32]
NEVER = 1_000_000_000
_STEPS = {"2", "4"}  # stairs, escalator


@dataclass(frozen=True)
class Footpaths:
    """Edges between stops; `steps` 1 where a wheelchair cannot pass. `change_ms` (stops,): time to change at a stop
    where the feed says so, -1 where not, NEVER where one cannot."""

    origin: IntArray
    target: IntArray
    ms: IntArray
    steps: npt.NDArray[np.uint8]
    change_ms: IntArray


def footpaths_of(
    feeds: Sequence[Feed],
    stop_rows: Sequence[dict[str, int]],
    lon: npt.NDArray[np.float64],
    lat: npt.NDArray[np.float64],
    walk_m: float,
    walking: Walking,
) -> Footpaths:
    """All edges, quickest first for each pair and kind; a transfer the feed forbids (type 3) is left out.

    Row numbers of `stop_rows` count within a feed; the feeds follow one another in `lon` and `lat`. Stops within a
    walk of `walk_m` are joined; where a walk without steps is longer, those who need it get that one.
    """
    best: dict[tuple[int, int, int], int] = {}
    change = np.full(len(lon), -1, np.int32)
    forbidden: set[tuple[int, int]] = set()
    given: set[tuple[int, int]] = set()
    base = 0
    for feed, rows in zip(feeds, stop_rows, strict=True):
        for origin, target, kind, ms in _transfers(feed, rows):
            pair = base + origin, base + target
            if origin == target:
                change[pair[0]] = {"1": 0, "2": ms, "3": NEVER}.get(kind, -1)
            elif kind == "3":
                forbidden.add(pair)
            else:
                forbidden.discard(pair)
                given.add(pair)
                walk = 0 if kind == "1" else _walk_between(lon, lat, *pair)
                best[(*pair, 0)] = max(ms, 0) if kind in ("1", "2") and ms >= 0 else walk
        for origin, target, steps, ms in _pathways(feed, rows):
            key = base + origin, base + target, steps
            best[key] = min(best.get(key, ms), ms)
        base += len(feed["stops"])
    if walk_m > 0:
        walks = walking.to(lon, lat)
        for steps in (0, 1):
            for a, b, ms in zip(*(c.tolist() for c in walks(lon, lat, walk_m, steps == 0)), strict=True):
                if a != b and (a, b) not in given and ms < best.get((a, b, 0), FOREVER_MS):
                    best[(a, b, steps)] = min(best.get((a, b, steps), ms), ms)
    edges = sorted((a, b, ms, steps) for (a, b, steps), ms in best.items() if (a, b) not in forbidden)
    table = np.array(edges, np.int64).reshape(-1, 4)
    return Footpaths(
        table[:, 0].astype(np.int32), table[:, 1].astype(np.int32), table[:, 2].astype(np.int32),
        table[:, 3].astype(np.uint8), change,
    )  # fmt: skip


def _walk_between(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64], a: int, b: int) -> int:
    return int(walk_ms(haversine_m(lon[[a]], lat[[a]], lon[[b]], lat[[b]]))[0])


def _transfers(feed: Feed, rows: dict[str, int]) -> list[tuple[int, int, str, int]]:
    """(from, to, type, ms or -1) between stops; what names a station comes first, for each pair of its platforms. Rows
    for certain trips or routes only are left out."""
    table = feed.get("transfers")
    platforms = _platforms(feed, rows)
    out: list[tuple[int, int, int, str, int]] = []
    for row in table.records():
        if any(row.get(name) for name in ("from_trip_id", "to_trip_id", "from_route_id", "to_route_id")):
            continue
        origin, target = rows.get(row.get("from_stop_id", "")), rows.get(row.get("to_stop_id", ""))
        if origin is None or target is None or row.get("transfer_type", "") in ("4", "5"):
            continue
        text = row.get("min_transfer_time", "")
        kind, ms = row.get("transfer_type", "") or "0", 1000 * int(text) if text.isdigit() else -1
        named = (origin not in platforms) + (target not in platforms)
        out += [
            (named, a, b, kind, ms)
            for a in platforms.get(origin, [origin]) for b in platforms.get(target, [target])
        ]  # fmt: skip
    return [row for _, *row in sorted(out, key=lambda row: row[0])]  # type: ignore[misc]


def _platforms(feed: Feed, rows: dict[str, int]) -> dict[int, list[int]]:
    """Stops of each station."""
    stops = feed["stops"]
    if not len(feed.get("transfers")):
        return {}
    kinds, parents = stops.column_or_blank("location_type").values, stops.column_or_blank("parent_station").values
    out: dict[int, list[int]] = {}
    for row, (kind, parent) in enumerate(zip(kinds, parents, strict=True)):
        if kind in ("", "0") and parent in rows:
            out.setdefault(rows[parent], []).append(row)
    return out


def _pathways(feed: Feed, rows: dict[str, int]) -> list[tuple[int, int, int, int]]:
    """(from, to, needs steps, ms) between the platforms of stations, by Dijkstra over pathways.txt."""
    table = feed.get("pathways")
    if not len(table):
        return []
    graph: dict[int, list[tuple[int, int, bool]]] = {}
    given, length, stairs = (table.column_or_blank(c).floats(0) for c in ("traversal_time", "length", "stair_count"))
    spent = np.where(given > 0, given, length / WALK_M_PER_S + 2 * np.abs(stairs))
    for row, seconds in zip(table.records(), spent.tolist(), strict=True):
        a, b = rows.get(row.get("from_stop_id", "")), rows.get(row.get("to_stop_id", ""))
        if a is None or b is None:
            continue
        ms, steps = int(1000 * seconds), row.get("pathway_mode") in _STEPS
        graph.setdefault(a, []).append((b, ms, steps))
        if row.get("is_bidirectional") == "1":
            graph.setdefault(b, []).append((a, ms, steps))
    kinds = feed["stops"].column_or_blank("location_type").values
    platforms = [stop for stop in graph if kinds[stop] in ("", "0")]
    out = []
    for source in platforms:
        for allow in (True, False):
            reached = _quickest(graph, source, steps=allow)
            out += [
                (source, other, int(allow), reached[other])
                for other in platforms
                if other in reached and other != source
            ]
    return out


def _quickest(graph: dict[int, list[tuple[int, int, bool]]], source: int, *, steps: bool) -> dict[int, int]:
    done: dict[int, int] = {}
    heap = [(0, source)]
    while heap:
        ms, place = heapq.heappop(heap)
        if place in done:
            continue
        done[place] = ms
        for other, more, needs_steps in graph.get(place, ()):
            if steps or not needs_steps:
                heapq.heappush(heap, (ms + more, other))
    return done
