"""noriai route, matrix, isochrone: travel times of a region for people and programs."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from noriai_engine.model import Place
    from noriai_engine.roads import TravelTimes

Point = Annotated[str, Parameter(allow_leading_hyphen=True)]
Flag = Annotated[bool, Parameter(negative="")]

TURNS = {
    "depart": ("start", "出発"), "straight": ("straight on", "直進"), "left": ("turn left", "左折"),
    "right": ("turn right", "右折"), "back": ("turn back", "転回"),
}  # fmt: skip


def place_of(text: str, where: str) -> "Place":
    """LON,LAT as a Place. Raises InputError."""
    from noriai_engine.model import InputError, Place

    try:
        lon, lat = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{text!r} is no place", where=where, remedy="give LON,LAT in degrees, such as -71.34,-29.95"
        ) from error
    return Place(lon, lat)


def flags(*, step_free: bool) -> int:
    """Flags a street must have to be stopped at."""
    from noriai_engine.roads.access import STEP_FREE, STOPPABLE

    return STOPPABLE | STEP_FREE if step_free else STOPPABLE


def times_of(region: str) -> "TravelTimes":
    from noriai_engine.roads import TravelTimes
    from noriai_simulations.scenario import find_region

    return TravelTimes(find_region(region, Path()).network)


def route(
    region: str,
    origin: Point,
    destination: Point,
    *,
    approach: Literal["any", "kerb"] = "any",
    step_free: Flag = False,
    language: Literal["en", "ja"] = "en",
    json: Flag = False,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
) -> int:
    """The fastest way between two places: time, length, streets, turns.

    Example: noriai route coquimbo -71.3436,-29.9533 -71.2489,-29.9045

    Parameters
    ----------
    region
        Folder of a bundle, or the name of a shipped region.
    origin
        LON,LAT in degrees.
    destination
        LON,LAT in degrees.
    approach
        kerb: stop on the side where the place lies; any: either side.
    step_free
        Stop only at streets fit for a wheelchair: no rough surface, no steps.
    language
        en or ja.
    json
        Print times, lengths, steps and line as JSON.
    out
        Write the line as GeoJSON.
    """
    from noriai_engine.model import InputError
    from noriai_engine.roads.routes import find_route
    from noriai_engine.tables import replace_file
    from noriai_engine.terminal import out as say

    ends = place_of(origin, "origin"), place_of(destination, "destination")
    times = times_of(region)
    try:
        found = find_route(times, *ends, approach=approach, needed=flags(step_free=step_free))
    except LookupError as error:
        raise InputError(str(error), where="route", remedy="choose another place") from error
    steps = [{"turn": s.turn, "street": s.name, "duration_ms": s.ms, "distance_m": s.mm / 1e3} for s in found.steps]
    facts: dict[str, Any] = {
        "duration_ms": found.ms, "distance_m": found.mm / 1e3, "steps": steps,
        "metres_off_the_road": [round(m, 1) for m in found.metres_off],
    }  # fmt: skip
    line = [[round(x, 6), round(y, 6)] for x, y in found.line]
    if out is not None:
        feature = {"type": "Feature", "properties": facts, "geometry": {"type": "LineString", "coordinates": line}}
        with replace_file(out) as file:
            file.write(json_module.dumps(feature, ensure_ascii=False) + "\n")
    if json:
        say(json_module.dumps(facts | {"line": line}, ensure_ascii=False))
        return 0
    total = f"{_minutes(found.ms)}, {found.mm / 1e6:,.2f} km"
    say(total if language == "en" else f"所要 {total}")
    for step in found.steps:
        turn = TURNS[step.turn][language == "ja"]
        say(f"  {_minutes(step.ms):>9}  {step.mm / 1e6:>7,.2f} km  {turn:<12} {step.name or '-'}")
    if out is not None:
        say(f"line: {out}")
    return 0


def matrix(
    region: str,
    points: Path,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    destinations: Path | None = None,
    approach: Literal["any", "kerb"] = "any",
    step_free: Flag = False,
    max_snap_m: float = 1_000.0,
) -> int:
    """Travel times and lengths between all places of a table.

    Example: noriai matrix coquimbo points.csv -o matrix.csv

    Parameters
    ----------
    region
        Folder of a bundle, or the name of a shipped region.
    points
        Table (CSV, Excel, Parquet) with id, lon, lat.
    out
        CSV from,to,duration_ms,distance_m; the last two are empty where there is no way.
    destinations
        Another table: from every place of the first to every place of this one.
    approach
        kerb: stop on the side where the place lies; any: either side.
    step_free
        Stop only at streets fit for a wheelchair: no rough surface, no steps.
    max_snap_m
        Places farther from any street count as unreachable.
    """
    from noriai_engine.terminal import out as say
    from noriai_engine.terminal import tell
    from noriai_simulations.matrix_file import read_points, write_matrix

    origins = read_points(points)
    targets = origins if destinations is None else read_points(destinations)
    times = times_of(region)
    starts = times.snap(list(origins.values()), limit_m=max_snap_m, needed=flags(step_free=step_free))
    goals = times.snap(list(targets.values()), limit_m=max_snap_m, needed=flags(step_free=step_free))
    off = write_matrix(times, (list(origins), starts), (list(targets), goals), out, approach=approach, tell=tell)
    if off:
        shown = ", ".join(off[:5]) + (", ..." if len(off) > 5 else "")
        tell(f"{len(off):,} places have no street within {max_snap_m:,.0f} m: {shown}")
    say(f"matrix: {out} ({len(origins):,} x {len(targets):,})")
    return 0


def isochrone(
    region: str,
    origin: Point,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    minutes: Annotated[tuple[float, ...], Parameter(consume_multiple=True)] = (5.0, 10.0, 15.0),
    step_free: Flag = False,
) -> int:
    """What can be reached from a place within so many minutes, as GeoJSON areas.

    Example: noriai isochrone coquimbo -71.3436,-29.9533 --minutes 5 10 -o reach.geojson

    Parameters
    ----------
    region
        Folder of a bundle, or the name of a shipped region.
    origin
        LON,LAT in degrees.
    out
        GeoJSON: one area a limit, 60 m to both sides of the streets reached.
    minutes
        Limits.
    step_free
        Set out from a street fit for a wheelchair.
    """
    import shapely

    from noriai_engine.model import InputError
    from noriai_engine.roads.isochrones import isochrones
    from noriai_engine.tables import replace_file
    from noriai_engine.terminal import out as say

    place = place_of(origin, "origin")
    if not all(0 < limit <= 24 * 60 for limit in minutes):
        raise InputError(f"{list(minutes)} minutes", where="--minutes", remedy="give numbers above 0 and up to 1440")
    limits = [round(m * 60_000) for m in minutes]
    found = isochrones(times_of(region), place, limits, needed=flags(step_free=step_free))
    features = [
        {
            "type": "Feature", "properties": {"minutes": limit, "street_km": round(item.km, 3)},
            "geometry": json_module.loads(shapely.to_geojson(shapely.set_precision(item.area, 1e-6))),
        }
        for limit, item in zip(minutes, found, strict=True)
    ]  # fmt: skip
    document = {"type": "FeatureCollection", "features": features}
    with replace_file(out) as file:
        file.write(json_module.dumps(document) + "\n")
    for limit, item in zip(minutes, found, strict=True):
        say(f"  {limit:g} min: {item.km:,.1f} km of streets")
    say(f"areas: {out}")
    return 0


def _minutes(ms: int) -> str:
    seconds = round(ms / 1000)
    return f"{seconds // 60}:{seconds % 60:02d} min"
