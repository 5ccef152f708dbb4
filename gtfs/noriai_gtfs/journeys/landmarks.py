"""Least times between stops and a few landmarks over a whole day: lower bounds for the search (ALT: Goldberg, Harrelson
2005). Whoever is at a stop by vehicle rides on at once, changes in no time and walks every footpath."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from noriai_gtfs.timetable.days import DayTimetable

if TYPE_CHECKING:
    from noriai_gtfs.journeys.kernels.raptor import DayArrays

IntArray = npt.NDArray[np.int32]
FARTHEST = 1_000_000_000
LANDMARKS = 4


def least_ms(day: DayTimetable, arrays: "DayArrays") -> IntArray:
    """(stops, 2 L) least ms from each landmark to a stop, then from the stop to each; FARTHEST where there is no way.

    Landmarks are taken one after the other, each the stop farthest from those before (Goldberg, Harrelson: farthest
    selection).
    """
    from scipy.sparse.csgraph import dijkstra

    ahead = _graph(day, arrays)
    back = ahead.T.tocsr()
    stops = ahead.shape[0]
    used = np.unique(day.stop)
    if not used.size:
        return np.zeros((stops, 0), np.int32)
    chosen: list[int] = []
    reach = dijkstra(ahead, indices=int(used[0]))
    nearest = np.where(np.isfinite(reach), reach, -1.0)
    rows, columns = [], []
    for _ in range(min(LANDMARKS, used.size)):
        landmark = int(used[int(np.argmax(nearest[used]))])
        chosen.append(landmark)
        rows.append(dijkstra(ahead, indices=landmark))
        columns.append(dijkstra(back, indices=landmark))
        both = np.minimum(rows[-1], columns[-1])
        nearest = np.minimum(nearest, np.where(np.isfinite(both), both, nearest))
        nearest[landmark] = -2.0
    table = np.stack([*rows, *columns], axis=1)
    return np.ascontiguousarray(np.where(table < FARTHEST, np.floor(table), FARTHEST).astype(np.int32))


def _graph(day: DayTimetable, arrays: "DayArrays") -> Any:
    """ms between neighbouring stops, the least of the day; at least a millionth of a ms, for 0 is no edge."""
    from scipy.sparse import csr_matrix

    length = day.length_of_run.astype(np.int64)
    ends = day.first_time[1:] - 1
    row = np.arange(day.first_time[-1])
    inner = np.ones(row.size, bool)
    inner[ends] = False
    run = np.repeat(np.arange(day.runs), length)
    place = row - day.first_time[:-1][run]
    at = day.first_stop[day.pattern_of_run[run]] + place
    here, there = day.stop[at[inner]], day.stop[at[inner] + 1]
    ms = (day.arrive_ms[row[inner] + 1] - day.depart_ms[row[inner]]).astype(np.float64)
    walked = np.repeat(np.arange(arrays.walk_first.size - 1), np.diff(arrays.walk_first))
    tail, head = np.concatenate([here, walked]), np.concatenate([there, arrays.walk_to])
    cost = np.maximum(np.concatenate([ms, arrays.walk_ms]), 1e-6)
    order = np.lexsort((cost, head, tail))
    tail, head, cost = tail[order], head[order], cost[order]
    first = np.ones(cost.size, bool)
    first[1:] = (tail[1:] != tail[:-1]) | (head[1:] != head[:-1])
    shape = (arrays.walk_first.size - 1,) * 2
    return csr_matrix((cost[first], (tail[first], head[first])), shape=shape)
