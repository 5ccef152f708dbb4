"""Population tables: points from CSV, Excel or Parquet (`lon,lat,population`), or polygons from GeoJSON."""

import gzip
import json
from pathlib import Path
from typing import Any

from noriai_engine.model.errors import InputError
from noriai_engine.tables import read_table

PROPERTY_NAMES = ("population", "people", "JINKO", "PopT", "pop", "POP")


def read_population(path: Path, boundary: Any) -> list[tuple[Any, float]]:
    """(shape, people) of every zone that touches the boundary (None: all). Raises InputError with row or feature."""
    import shapely

    if path.name.endswith((".geojson", ".geojson.gz", ".json")):
        zones = _from_geojson(path)
    else:
        table = read_table(path)
        table.expect(required=["lon", "lat", "population"], optional=table.columns)
        zones = []
        for row in table:
            people = row.number("population")
            if people < 0:
                raise row.error("population", f"{people} is below 0", "give 0 or more people")
            place = row.place()
            zones.append((shapely.Point(place.lon, place.lat), people))
    if boundary is not None:
        zones = [zone for zone in zones if boundary.intersects(zone[0])]
    if not zones or sum(people for _, people in zones) <= 0:
        raise InputError("nobody lives in the area", where=path, remedy="check place and column of the table")
    return zones


def _from_geojson(path: Path) -> list[tuple[Any, float]]:
    import shapely

    if not path.is_file():
        raise InputError("there is no such file", where=path, remedy="check the path")
    try:
        raw = path.read_bytes()
        document = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        features = document["features"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"is not readable GeoJSON: {error}", where=path, remedy="save it again") from error
    zones = []
    for number, feature in enumerate(features, start=1):
        properties = feature.get("properties") or {}
        name = next((n for n in PROPERTY_NAMES if n in properties), None)
        if name is None:
            raise InputError(
                f"feature {number} has none of the properties {', '.join(PROPERTY_NAMES)}", where=path,
                remedy="name the number of people `population`",
            )  # fmt: skip
        try:
            people = float(properties[name] or 0)
            shape = shapely.make_valid(shapely.from_geojson(json.dumps(feature["geometry"])))
        except (ValueError, TypeError, KeyError, shapely.errors.GEOSException) as error:
            raise InputError(
                f"feature {number} cannot be used: {error}", where=path, remedy="correct or drop it"
            ) from error
        zones.append((shape, people))
    return zones
