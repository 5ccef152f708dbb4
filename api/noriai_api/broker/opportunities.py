"""Unmet wishes that come together at a place and a time of the week, found by a scan statistic.

For every mesh of 1 km that wishes lead to or from, every weekday (or all of them) and every window of one to three
hours, the number of unmet wishes is compared with what chance would bring if place, day and hour had nothing to do with
each other (Kulldorff, "A spatial scan statistic", 1997, with the Poisson likelihood ratio). What is left over after
correcting for all the places looked at is an opportunity; its wishes are taken out, and the rest is looked at again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

Ints = NDArray[np.int64]

UNMET = ("refused", "abandoned")
MESH_DIGITS = 8
STEP_MIN = 30
WINDOWS = (2, 4, 6)
"""Lengths of windows, in steps."""
FEWEST = 6
ALPHA = 0.01

Side = Literal["to", "from"]

NAMES: Mapping[tuple[str, Side], tuple[str, str]] = {
    ("clinic", "to"): ("Clinic day", "通院の日"), ("clinic", "from"): ("Ride home from the clinic", "通院帰りの便"),
    ("shop", "to"): ("Shop shuttle", "買い物便"), ("shop", "from"): ("Ride home from the shop", "買い物帰りの便"),
    ("school", "to"): ("School run", "登校便"), ("school", "from"): ("School return", "下校便"),
    ("station", "to"): ("Feeder to the station", "駅行き接続便"),
    ("station", "from"): ("Feeder from the station", "駅発接続便"),
    ("civic", "to"): ("Town hall day", "役場の日"), ("civic", "from"): ("Ride home from the hall", "役場帰りの便"),
}  # fmt: skip
PLAIN: Mapping[Side, tuple[str, str]] = {
    "to": ("Shared ride there", "行きの乗合便"), "from": ("Shared ride back", "帰りの乗合便")
}  # fmt: skip
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Wishes:
    """Unmet wishes: local date as a day number, weekday (0 Monday), minute of the day, meshes they lead from and to,
    how many ride; all (n,)."""

    day: Ints
    weekday: Ints
    minute: Ints
    origin: Ints
    destination: Ints
    riders: Ints

    def only(self, kept: NDArray[np.bool_]) -> "Wishes":
        return Wishes(*(getattr(self, name)[kept] for name in Wishes.__slots__))


@dataclass(frozen=True, slots=True)
class Opportunity:
    """Wishes that could ride together: a place, a day, a window (minutes of the day, half-open)."""

    name: str
    name_ja: str
    side: Side
    mesh: int
    weekday: int | None
    """None: on all days alike."""
    begin: int
    end: int
    wishes: int
    days: int
    expected: float
    members: tuple[int, ...]
    """Rows of the wishes."""

    @property
    def when(self) -> str:
        day = "every day" if self.weekday is None else DAYS[self.weekday]
        return f"{day} {self.begin // 60:02}:{self.begin % 60:02} to {self.end // 60:02}:{self.end % 60:02}"


def wishes_of(records: Sequence[Mapping[str, Any]], timezone: str) -> Wishes:
    """Unmet wishes among records of demand, whoever shared them; finer meshes count as those of 1 km they lie in,
    coarser ones tell too little."""
    zone, rows = ZoneInfo(timezone), []
    for record in records:
        codes = _codes(record)
        if record["what"] in UNMET and tells_enough(record):
            when = datetime.fromisoformat(record["time"]).astimezone(zone)
            ends = (int(code) for code in codes)
            riders = max(1, int(record.get("riders", 1)))
            rows.append((when.toordinal(), when.weekday(), when.hour * 60 + when.minute, *ends, riders))
    table = np.array(rows, np.int64).reshape(-1, 6)
    return Wishes(*(table[:, column] for column in range(6)))


def tells_enough(record: Mapping[str, Any]) -> bool:
    """Are both ends of a record known to 1 km?"""
    return all(len(code) == MESH_DIGITS for code in _codes(record))


def _codes(record: Mapping[str, Any]) -> list[str]:
    return [str(record[end]).partition(":")[2][:MESH_DIGITS] for end in ("from", "to")]


def opportunities(wishes: Wishes, places: Mapping[int, str]) -> list[Opportunity]:
    """What belongs together, the clearest first. `places`: mesh -> kind of a known place in it."""
    found, rows = [], np.arange(len(wishes.day))
    while (best := _best(wishes, places)) is not None:
        opportunity, taken = best
        found.append(replace(opportunity, members=tuple(rows[taken].tolist())))
        wishes, rows = wishes.only(~taken), rows[~taken]
    return found


def _best(wishes: Wishes, places: Mapping[int, str]) -> tuple[Opportunity, NDArray[np.bool_]] | None:
    count = len(wishes.day)
    if count < FEWEST:
        return None
    slot = wishes.minute // STEP_MIN
    by_slot = np.bincount(slot, minlength=24 * 60 // STEP_MIN)
    by_day = np.bincount(wishes.weekday, minlength=7)
    looked = 0
    best: tuple[float, Side, int, int | None, int, int, float, NDArray[np.bool_]] | None = None
    for side, meshes in (("to", wishes.destination), ("from", wishes.origin)):
        for mesh, share in Counter(meshes.tolist()).items():
            there = meshes == mesh
            for weekday in (None, *range(7)):
                here = there if weekday is None else there & (wishes.weekday == weekday)
                days = 1.0 if weekday is None else by_day[weekday] / count
                in_slot = np.bincount(slot[here], minlength=len(by_slot))
                for length in WINDOWS:
                    sums = np.convolve(in_slot, np.ones(length, int), "valid")
                    looked += len(sums)
                    for begin in np.flatnonzero(sums >= FEWEST).tolist():
                        expected = share * days * by_slot[begin : begin + length].sum() / count
                        gain = _gain(int(sums[begin]), float(expected))
                        if best is None or gain > best[0]:
                            kept = here & (slot >= begin) & (slot < begin + length)
                            best = (gain, side, mesh, weekday, begin, length, float(expected), kept)  # type: ignore[assignment]  # side is one of the two
    if best is None:
        return None
    gain, side, mesh, weekday, begin, length, expected, kept = best
    if pdtrc(int(kept.sum()) - 1, expected) * looked > ALPHA:
        return None
    name, name_ja = NAMES.get((places.get(mesh, ""), side), PLAIN[side])
    minutes = wishes.minute[kept]
    return Opportunity(
        name, name_ja, side, mesh, weekday, int(minutes.min()), int(minutes.max()) + STEP_MIN // 2, int(kept.sum()),
        len(set(wishes.day[kept].tolist())), expected, (),
    ), kept  # fmt: skip


def _gain(count: int, expected: float) -> float:
    """Poisson log likelihood ratio of an excess; 0 where there is none."""
    return 0.0 if count <= expected else float(count * np.log(count / expected) - (count - expected))
