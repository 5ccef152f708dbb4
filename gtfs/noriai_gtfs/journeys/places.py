"""From what a person writes to stops: an id, a name, a kana reading, a place on the map."""

import re
from pathlib import Path

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.roads.geodesy import haversine_m
from noriai_gtfs.timetable.timetable import Timetable
from noriai_gtfs.timetable.walking import BETWEEN_STOPS_M, Walking

_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)")
NEAR_M = 800.0


def open_any(path: Path, walking: Walking) -> Timetable:
    """A region's timetable, a stored one, or one built from a feed on the spot."""
    from noriai_engine.regions import open_region
    from noriai_gtfs.feeds import read_feed
    from noriai_gtfs.timetable import build_timetable, open_timetable
    from noriai_gtfs.timetable.of_region import timetable_of
    from noriai_gtfs.timetable.store import MARKER

    if (path / "region.toml").is_file():
        return timetable_of(open_region(path))
    if (path / MARKER).is_file():
        return open_timetable(path)
    return build_timetable([read_feed(path)], walk_m=BETWEEN_STOPS_M, walking=walking)


def clock_ms(text: str, option: str = "--time") -> int:
    """HH:MM as ms of the service day; hours to 29 for the night after. Raises InputError."""
    found = _CLOCK.fullmatch(text)
    if not found or int(found[1]) > 29:
        raise InputError(f"{text!r} is no time", where=option, remedy="write HH:MM, as 08:30")
    return 60_000 * (60 * int(found[1]) + int(found[2]))


def places_near(timetable: Timetable, text: str, walking: Walking, *, step_free: bool = False) -> list[tuple[int, int]]:
    """Stops a text means, with ms on foot: every stop of a name, or all within 800 m of lon,lat.

    Raises InputError where there is none.
    """
    row = timetable.stop_id.row_of.get(text)
    if row is not None:
        return _platforms(timetable, [row])
    place = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*", text)
    if place:
        lon, lat = np.array([float(place[1])]), np.array([float(place[2])])
        _, near, ms = walking.to(timetable.stop_lon, timetable.stop_lat)(lon, lat, NEAR_M, step_free)
        if near.size:
            return list(zip(near.tolist(), ms.tolist(), strict=True))
        metres = haversine_m(lon, lat, timetable.stop_lon, timetable.stop_lat)
        nearest = int(np.nanargmin(metres))
        raise InputError(
            f"no stop within a walk of {NEAR_M:g} m; the nearest is {timetable.stop_name[nearest]} at "
            f"{metres[nearest]:,.0f} m as the crow flies",
            where=text, remedy="give a place nearer to a stop",
        )  # fmt: skip
    for texts in (timetable.stop_name, timetable.stop_kana):
        rows = [row for row, name in enumerate(texts.all()) if name == text]
        if rows:
            return _platforms(timetable, rows)
    like = [name for name in dict.fromkeys(timetable.stop_name.all()) if text and text in name][:5]
    raise InputError(
        f"there is no stop {text!r}", where="timetable",
        remedy=f"did you mean {', '.join(like)}?" if like else "give an id, a name or lon,lat",
    )  # fmt: skip


def _platforms(timetable: Timetable, rows: list[int]) -> list[tuple[int, int]]:
    """The stops themselves and the platforms of stations among them."""
    children = np.flatnonzero(np.isin(timetable.stop_parent, rows)).tolist()
    return [(row, 0) for row in dict.fromkeys([*rows, *children])]
