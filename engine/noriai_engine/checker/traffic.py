"""Travel times that changed in the course of a day: which were in force, and where a spot is under others."""

from dataclasses import replace

import numpy as np

from noriai_engine.checker.load import Roads, RowDict, Run, Spot
from noriai_engine.checker.report import CheckReport


class Versions:
    """The roads by version: 0 until the first change, then one more with each `traffic_changed` of the log."""

    def __init__(self, run: Run, roads: Roads) -> None:
        declared = run.meta["life"]["traffic"]
        self.roads = [roads] + [_under(roads, [t for t in run.traffic if t["version"] == d["version"]])
                                for d in declared]  # fmt: skip
        changes = [event for event in run.events if event["kind"] == "traffic_changed"]
        self._sequences = [event["sequence"] for event in changes][: len(declared)]
        self._times = [event["time_ms"] for event in changes][: len(declared)]

    def at_event(self, event: RowDict) -> int:
        """The version in force when an event was logged; the change itself counts as the new one."""
        return int(np.searchsorted(self._sequences, event["sequence"], side="right"))

    def at_time(self, instant: int) -> int:
        """The version in force for a drive that begins at an instant."""
        return int(np.searchsorted(self._times, instant, side="right"))

    def carried(self, spot: Spot, before: int, after: int) -> Spot:
        """A spot under a later version: its share of the street's time, rounded down at each change."""
        state, offset = spot
        for version in range(before, after):
            old, new = (int(r.arc_ms[int(r.state_arc[state])]) for r in self.roads[version : version + 2])
            offset = offset * new // max(1, old)
        return state, offset


def check_traffic(run: Run, report: CheckReport) -> None:
    """Travel times change when and as often as the run says."""
    wanted = [(d["at_ms"], d["cause"]) for d in run.meta["life"]["traffic"]]
    seen = [(e["time_ms"], run.details(e)["cause"]) for e in run.events if e["kind"] == "traffic_changed"]
    # What was to change after the last vehicle came home or failed may be missing.
    report.expect(seen == wanted[: len(seen)], "incident", "traffic", f"changed {seen}, declared {wanted}")
    last = run.events[-1]["time_ms"] if run.events else 0
    late = [at for at, _ in wanted[len(seen) :] if at < last]
    report.expect(not late, "incident", "traffic", f"declared for {late}, never changed")


def _under(roads: Roads, rows: list[RowDict]) -> Roads:
    """The roads with other times for some arcs; nobody may enter those without one."""
    ms, closed = roads.arc_ms.copy(), np.zeros(len(roads.arc_ms), bool)
    for row in rows:
        if row["ms"] is None:
            closed[row["arc"]] = True
        else:
            ms[row["arc"]] = row["ms"]
    open_ = ~closed[roads.state_arc[roads.turn_target]]
    return replace(
        roads, arc_ms=ms, turn_source=roads.turn_source[open_], turn_target=roads.turn_target[open_],
        turn_ms=roads.turn_ms[open_],
    )  # fmt: skip
