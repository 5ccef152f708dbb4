"""Staying aboard as a vehicle goes on as another trip: a run more for each chain of trips that one may ride through.
Nobody boards where a trip ends, or alights where one begins.

Chains come from transfers.txt (transfer_type 4, trip to trip; 5 forbids) and from blocks: trips with one block_id on
one service day, one after the other, where the next begins within WITHIN_M of where the last ended, at most WAIT_MS
later. A block whose trips overlap on a day is not believed.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from operator import le

import numpy as np
import numpy.typing as npt

from noriai_engine.roads.geodesy import haversine_m
from noriai_gtfs.timetable.days import DayTimetable, Run, with_more_runs
from noriai_gtfs.timetable.timetable import NO_ALIGHTING, NO_BOARDING

WITHIN_M = 200.0
WAIT_MS = 30 * 60_000
MOST_TRIPS = 3
"""Whoever stays aboard longer changes, for this search."""
Pairs = dict[int, list[int]]
Ridden = list[tuple[int, int, int]]
"""(run, place to board, place to alight), one after the other in one seat."""


@dataclass(frozen=True)
class Through:
    """A day with runs more, from run `first` on: `members[r - first]` are the runs that one rides through. Such a run
    has the places of its first member but the last one, for boarding, and of its last but the first, for alighting."""

    day: DayTimetable
    first: int
    members: list[tuple[int, ...]] = field(default_factory=list)

    def ridden(self, run: int, board: int, alight: int) -> Ridden:
        """The trips that a ride on a run consists of."""
        if run < self.first:
            return [(run, board, alight)]
        members = self.members[run - self.first]
        length = [int(self.day.length_of_run[member]) for member in members]
        middle = [(member, 0, length[k] - 1) for k, member in enumerate(members)][1:-1]
        end = alight - (length[0] - 1) + 1
        return [(members[0], board, length[0] - 1), *middle, (members[-1], 0, end)]


def through_runs(day: DayTimetable, usable: npt.NDArray[np.uint8]) -> Through:
    """The day with a run more for each chain of usable runs of up to MOST_TRIPS."""
    following = _links(day, usable)
    chains = [chain for start in sorted(following) for chain in _chains(following, (start,))]
    alike: dict[tuple[int, int], list[tuple[int, ...]]] = defaultdict(list)
    for chain in chains:
        alike[day.pattern_of(chain[0]), day.pattern_of(chain[-1])].append(chain)
    groups, members = [], []
    for ends in sorted(alike):
        joined = [(_joined(day, chain), chain) for chain in alike[ends]]
        for group in _in_order(joined):
            groups.append([run for run, _ in group])
            members += [chain for _, chain in group]
    more = with_more_runs(day, day.arrive_ms, day.depart_ms, day.alive, groups) if groups else day
    return Through(more, day.runs, members)


def _chains(following: Pairs, chain: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All ways to go on from a chain's last run."""
    if len(chain) == MOST_TRIPS:
        return []
    ahead = [(*chain, later) for later in following.get(chain[-1], ()) if later not in chain]
    return [longer for one in ahead for longer in (one, *_chains(following, one))]


def _joined(day: DayTimetable, chain: tuple[int, ...]) -> Run:
    out = Run(int(day.trip[chain[0]]), int(day.day_of[chain[0]]), [], [], [], [])
    for run, closed in ((chain[0], NO_ALIGHTING), (chain[-1], NO_BOARDING)):
        base, row, length = int(day.first_stop[day.pattern_of(run)]), int(day.first_time[run]), day.length_of_run[run]
        part = slice(0, length - 1) if closed == NO_ALIGHTING else slice(1, length)
        out.stop += day.stop[base : base + length][part].tolist()
        out.rule += (day.rule[base : base + length][part] | closed).tolist()
        out.arrive += day.arrive_ms[row : row + length][part].tolist()
        out.depart += day.depart_ms[row : row + length][part].tolist()
    return out


def _in_order(runs: list[tuple[Run, tuple[int, ...]]]) -> list[list[tuple[Run, tuple[int, ...]]]]:
    """Runs of the same stops in groups, in none of which one overtakes another."""
    groups: list[list[tuple[Run, tuple[int, ...]]]] = []
    for run in sorted(runs, key=lambda run: (run[0].depart, run[0].arrive, run[1])):
        for group in groups:
            last = group[-1][0]
            if all(map(le, last.arrive, run[0].arrive)) and all(map(le, last.depart, run[0].depart)):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _links(day: DayTimetable, usable: npt.NDArray[np.uint8]) -> Pairs:
    """Runs that a rider may stay aboard into, by run."""
    table, by_trip = day.timetable, dict[tuple[int, int], int]()
    linked, block = table.link_from.size > 0, table.trip_block[day.trip] >= 0
    if not linked and not block.any():
        return {}
    first, last = day.first_time[:-1], day.first_time[1:] - 1
    begin, end = day.depart_ms[first], day.arrive_ms[last]
    pattern = day.pattern_of_run
    from_stop, to_stop = day.stop[day.first_stop[pattern]], day.stop[day.first_stop[pattern + 1] - 1]
    pairs: set[tuple[int, int]] = set()
    runs = np.flatnonzero(block & (day.alive == 1))
    runs = runs[np.lexsort((end[runs], begin[runs], day.day_of[runs], table.trip_block[day.trip[runs]]))]
    a, b = runs[:-1], runs[1:]
    same = (table.trip_block[day.trip[a]] == table.trip_block[day.trip[b]]) & (day.day_of[a] == day.day_of[b])
    overlaps = np.zeros((3, int(table.trip_block.max(initial=0)) + 1), bool)
    wrong = a[same & (begin[b] < end[a])]
    overlaps[day.day_of[wrong] + 1, table.trip_block[day.trip[wrong]]] = True
    same &= ~overlaps[day.day_of[a] + 1, table.trip_block[day.trip[a]]] & (begin[b] - end[a] <= WAIT_MS)
    lon, lat = table.stop_lon, table.stop_lat
    metres = haversine_m(lon[to_stop[a]], lat[to_stop[a]], lon[from_stop[b]], lat[from_stop[b]])
    same &= (to_stop[a] == from_stop[b]) | (metres <= WITHIN_M)
    pairs.update(zip(a[same].tolist(), b[same].tolist(), strict=True))
    if linked:
        for run in np.flatnonzero(day.alive).tolist():
            by_trip[int(day.trip[run]), int(day.day_of[run])] = run
        columns = table.link_from.tolist(), table.link_to.tolist(), table.link_kind.tolist()
        for one, other, kind in zip(*columns, strict=True):
            for offset in (-1, 0, 1):
                x, y = by_trip.get((one, offset)), by_trip.get((other, offset))
                if x is None or y is None:
                    continue
                x, y = (y, x) if day.backward else (x, y)
                if kind == 4 and end[x] <= begin[y]:
                    pairs.add((x, y))
                elif kind == 5:
                    pairs.discard((x, y))
    out: Pairs = defaultdict(list)
    for x, y in sorted(pairs):
        if usable[x] and usable[y]:
            out[x].append(y)
    return dict(out)
