"""Voids as a map, a table and GeoParquet."""

import csv
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from noriai_engine.tables import replace_file, replace_folder
from noriai_engine.texts import text
from noriai_gtfs.voids.voids import Voids

MARKER = "voids.json"
_WORDS = ("title", "day", "map", "table", "method")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def summary(found: Voids) -> dict[str, Any]:
    """People out of reach by purpose, day and hour: by line alone, and with on-demand service beside."""
    rows = []
    for p, purpose in enumerate(found.purposes):
        for d, day in enumerate(found.days):
            for h, hour in enumerate(found.hours):
                now, rides = (found.without(p, d, h, with_rides=flag) for flag in (False, True))
                rows.append(
                    {"purpose": purpose, "day": day.isoformat(), "weekday": _WEEKDAYS[day.weekday()], "hour": hour,
                     "people_out_of_reach": round(now, 1), "with_on_demand": round(rides, 1)}
                )  # fmt: skip
    total = float(found.cells.people.sum())
    return {
        "counts": found.cells.counts, "people": round(total, 1),
        "cells": len(found.cells.name), "purposes": list(found.purposes),
        "days": [day.isoformat() for day in found.days], "hours": list(found.hours),
        "minutes": found.params.max_ms // 60_000, "walk_m": found.params.walk_m,
        "ride_wait_minutes": found.params.ride_wait_ms // 60_000, "ride_detour": found.params.ride_detour,
        "people_beyond_stops": round(float(found.cells.people[found.stop_m > found.params.walk_m].sum()), 1),
        "rows": rows,
    }  # fmt: skip


def write_report(found: Voids, folder: Path, title: str, attribution: str, language: str) -> None:
    """Write voids.json, voids.csv, voids.parquet and voids.html into a folder that appears whole."""
    document = summary(found)
    with replace_folder(folder, marker=MARKER) as target:
        (target / MARKER).write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        _write_csv(document["rows"], target / "voids.csv")
        write_geoparquet(found, target / "voids.parquet")
        with replace_file(target / "voids.html") as page:
            page.write(_page(found, document, title, attribution, language))


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_geoparquet(found: Voids, path: Path) -> None:
    """One row for each cell, WKB polygons (GeoParquet 1.1.0): people, metres to a stop, void hours by purpose."""
    import arro3.core as arrow
    import arro3.io
    import shapely

    polygons = [shapely.Polygon(corners) for corners in found.cells.corners]
    columns: dict[str, Any] = {
        "cell": arrow.Array(found.cells.name, type=arrow.DataType.string()),
        "people": arrow.Array(found.cells.people.tolist(), type=arrow.DataType.float64()),
        "metres_to_stop": arrow.Array(found.stop_m.tolist(), type=arrow.DataType.float64()),
    }
    for p, purpose in enumerate(found.purposes):
        columns[f"void_hours_{purpose}"] = arrow.Array(found.void_hours(p).tolist(), type=arrow.DataType.int64())
        columns[f"on_demand_ms_{purpose}"] = arrow.Array(found.ride_ms[p].tolist(), type=arrow.DataType.int64())
    columns["geometry"] = arrow.Array([shapely.to_wkb(polygon) for polygon in polygons], type=arrow.DataType.binary())
    bounds = [float(value) for value in shapely.total_bounds(polygons)]
    meta = {
        "version": "1.1.0", "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Polygon"], "bbox": bounds}},
    }  # fmt: skip
    arro3.io.write_parquet(
        arrow.Table.from_pydict(columns), path, compression="zstd(3)", key_value_metadata={"geo": json.dumps(meta)}
    )


def _page(found: Voids, document: dict[str, Any], title: str, attribution: str, language: str) -> str:
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(
        files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    t = {word: text(f"voids.{word}", language) for word in _WORDS}
    purposes = [
        {"name": text(f"voids.{purpose}", language), "shapes": _shapes(found, p), "rows": _table(found, p, language)}
        for p, purpose in enumerate(found.purposes)
    ]
    method = text(
        "voids.method_text", language, minutes=document["minutes"], walk=round(document["walk_m"]),
        wait=document["ride_wait_minutes"], detour=document["ride_detour"],
    )  # fmt: skip
    width, height = _size(found)
    return template.render(
        language=language, title=title, t=t, purposes=purposes, width=width, height=height, method=method,
        hours=found.hours, attribution=attribution, counted=text(f"voids.{document['counts']}", language),
        people=f"{document['people']:,.0f}",
        beyond=text("voids.beyond", language, people=f"{document['people_beyond_stops']:,.0f}",
                    metres=round(document["walk_m"])),
    )  # fmt: skip


def _frame(found: Voids) -> tuple[float, float, float, float]:
    points = np.array([point for corners in found.cells.corners for point in corners])
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _size(found: Voids) -> tuple[float, float]:
    west, south, east, north = _frame(found)
    scale = np.cos(np.radians((south + north) / 2))
    return 900.0, float(max(200.0, 900.0 * (north - south) / max(1e-9, (east - west) * scale)))


def _shapes(found: Voids, purpose: int) -> list[dict[str, Any]]:
    west, south, east, north = _frame(found)
    width, height = _size(found)
    void = found.void_hours(purpose)
    most = len(found.days) * len(found.hours)
    out = []
    for k, corners in enumerate(found.cells.corners):
        points = " ".join(
            f"{(x - west) / (east - west) * width:.1f},{(north - y) / (north - south) * height:.1f}" for x, y in corners
        )
        out.append(
            {"points": points, "opacity": round(0.06 + 0.8 * int(void[k]) / most, 2),
             "title": f"{found.cells.name[k]}: {int(void[k])}/{most} h, {found.cells.people[k]:,.0f}"}
        )  # fmt: skip
    return out


def _table(found: Voids, purpose: int, language: str) -> list[dict[str, Any]]:
    rows = []
    for d, day in enumerate(found.days):
        name = text(f"voids.{_WEEKDAYS[day.weekday()].lower()}", language)
        for label, flag in (("now", False), ("with_rides", True)):
            numbers = [f"{found.without(purpose, d, h, with_rides=flag):,.0f}" for h in range(len(found.hours))]
            rows.append({"day": f"{name} {day}", "label": text(f"voids.{label}", language), "numbers": numbers})
    return rows
