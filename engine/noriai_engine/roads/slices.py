"""Times of day: a metric for each slice of the day, and drives that pass from one slice into the next.

Within a slice speeds are constant; a vehicle on a street when the slice ends does the rest of it at the next slice's
speed (Ichoua, Gendreau and Potvin, "Vehicle dispatching with time-dependent travel times", EJOR 144, 2003). So on any
given way, who leaves later arrives later, and nobody gains by waiting. Candidate ways are the fastest ones of every
slice; the best of them is the answer: FIFO as a minimum of FIFO functions, and exact where a drive ends in the slice
it begins in. Where it runs on into another slice it is a real drive and may miss a faster one that is best in none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.model.places import Spot
from noriai_engine.model.units import DAY_MS
from noriai_engine.roads.drives import Drive
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.traffic import Traffic
from noriai_engine.roads.travel_times import TravelTimes


@dataclass(frozen=True, slots=True)
class Slice:
    """Traffic from `begins_ms` (ms of the day) until the next slice begins."""

    begins_ms: int
    traffic: Traffic


class DaySlices:
    """Travel times by departure. Metrics are made when their slice is first asked about."""

    def __init__(self, network: RoadNetwork, slices: Sequence[Slice]) -> None:
        begins = [s.begins_ms for s in slices]
        if not slices or begins[0] != 0 or begins != sorted(set(begins)) or begins[-1] >= DAY_MS:
            raise InputError(
                f"slices begin at {begins} ms", where="time slices", remedy="begin with 0, then rise, within 24 hours"
            )
        self.network, self._slices = network, tuple(slices)
        self._begins = np.array(begins, np.int64)
        self._first = TravelTimes(network, slices[0].traffic)
        self._times = {0: self._first}

    def at(self, instant_ms: int) -> TravelTimes:
        """Times of the slice at an instant (ms of the day, may pass 24 hours), as if it lasted for ever."""
        return self._of(self._index(instant_ms))

    def duration_ms(self, source: Spot, target: Spot, departs_ms: int) -> int:
        """ms from spot to spot (offsets in ms of free flow), leaving at `departs_ms`.

        Raises LookupError where there is no way in any slice.
        """
        free = self._first.graph.inner_ms
        offset = source.offset_ms / max(1, int(free[source.state]))
        goal = target.offset_ms / max(1, int(free[target.state]))
        best: int | None = None
        for index in range(len(self._slices)):
            try:
                way = self._of(index).drive(self._at_share(index, source, offset), self._at_share(index, target, goal))
            except LookupError:
                continue
            took = self._driven(way, offset, goal, departs_ms)
            best = took if best is None or (took is not None and took < best) else best
        if best is None:
            raise LookupError(f"no way from {source} to {target} at {departs_ms} ms of the day")
        return best

    def _at_share(self, index: int, spot: Spot, share: float) -> Spot:
        """The same place in another slice, where its street takes another time."""
        return Spot(spot.state, round(share * int(self._of(index).metric.inner_ms[spot.state])))

    def _driven(self, way: Drive, first: float, last: float, departs_ms: int) -> int | None:
        """ms of a drive along a given way with the speeds of each moment; None where a turn is closed at its time."""
        parts: list[tuple[int, bool, float]] = []  # state or turn, is it a turn, share of it to do
        turns = way.turns.tolist()
        for k, state in enumerate(way.states.tolist()):
            low = first if k == 0 else 0.0
            high = last if k == len(turns) else 1.0
            parts.append((state, False, high - low))
            if k < len(turns):
                parts.append((turns[k], True, 1.0))
        now = float(departs_ms)
        for number, is_turn, share in parts:
            index = self._index(int(now))
            while share > 0.0:
                metric = self._of(index).metric
                whole = float(metric.between_ms[number] if is_turn else metric.inner_ms[number])
                if is_turn and whole >= DAY_MS:
                    return None
                rest = self._next_begin(now) - now
                if whole * share <= rest:
                    now += whole * share
                    break
                share -= rest / whole
                now += rest
                index = (index + 1) % len(self._slices)
        return round(now - departs_ms)

    def _index(self, instant_ms: int) -> int:
        return int(np.searchsorted(self._begins, instant_ms % DAY_MS, side="right")) - 1

    def _next_begin(self, instant: float) -> float:
        day, within = divmod(instant, DAY_MS)
        later = self._begins[self._begins > within]
        return day * DAY_MS + float(later[0] if len(later) else DAY_MS)

    def _of(self, index: int) -> TravelTimes:
        if index not in self._times:
            self._times[index] = self._first.under(self._slices[index].traffic)
        return self._times[index]
