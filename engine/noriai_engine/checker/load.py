"""Read a run folder and its region: plain rows, nothing interpreted."""

import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RowDict = dict[str, Any]
Spot = tuple[int, int]
"""A state (a directed street) and how far along it in ms."""


class CheckError(ValueError):
    """The folder cannot be judged at all: a file is missing or unreadable."""


@dataclass
class Run:
    """A run as its files say."""

    folder: Path
    meta: RowDict
    requests: dict[str, RowDict]
    vehicles: dict[str, RowDict]
    events: list[RowDict]
    legs: list[RowDict]
    stops: list[RowDict]
    kpis: RowDict
    lines: RowDict
    traffic: list[RowDict]
    duplicates: list[str] = field(default_factory=list)

    @staticmethod
    def details(event: RowDict) -> Any:
        """What an event says beyond its columns."""
        return json.loads(event["details"] or "{}")

    @staticmethod
    def breaks(vehicle: RowDict) -> Any:
        """Breaks due: [earliest, latest, duration] each."""
        return json.loads(vehicle["breaks"])


@dataclass(frozen=True)
class Roads:
    """The region's road arrays (docs/region-bundle.md), integers widened."""

    point_lon: npt.NDArray[np.float64]
    point_lat: npt.NDArray[np.float64]
    street_first: npt.NDArray[np.int64]
    street_class: npt.NDArray[np.int64]
    street_flags: npt.NDArray[np.int64]
    arc_street: npt.NDArray[np.int64]
    arc_reversed: npt.NDArray[np.int64]
    arc_tail: npt.NDArray[np.int64]
    arc_head: npt.NDArray[np.int64]
    street_mm: npt.NDArray[np.int64]
    arc_ms: npt.NDArray[np.int64]
    arc_mm: npt.NDArray[np.int64]
    state_arc: npt.NDArray[np.int64]
    turn_source: npt.NDArray[np.int64]
    turn_target: npt.NDArray[np.int64]
    turn_ms: npt.NDArray[np.int64]
    driving_side: str


@dataclass(frozen=True)
class Footways:
    """The region's ways on foot (docs/region-bundle.md): ends, mm, flags; geometry in rows first[k] .. first[k + 1]."""

    tail: npt.NDArray[np.int64]
    head: npt.NDArray[np.int64]
    mm: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    point_lon: npt.NDArray[np.float64]
    point_lat: npt.NDArray[np.float64]


def boarding_ms(run: Run, request: str) -> int:
    """How long a request's riders board."""
    asked, chair = run.requests[request], "wheelchair_" if run.requests[request]["wheelchairs"] else ""
    return int(run.meta["service"][f"{chair}boarding_ms"] + asked["extra_boarding_ms"])


def load_run(folder: Path) -> Run:
    """Raises CheckError naming the file that is missing or unreadable."""
    requests, vehicles = _rows(folder / "requests.parquet"), _rows(folder / "vehicles.parquet")
    events, legs = _rows(folder / "events.parquet"), _rows(folder / "legs.parquet")
    for event in events:
        event["spot"] = None if event["state"] is None else (event["state"], event["offset_ms"])
    for leg in legs:
        for end in ("from", "to"):
            leg[f"{end}_spot"] = (leg[f"{end}_state"], leg[f"{end}_offset_ms"])
    twice = [str(r["request_id"]) for r in requests] + [f"vehicle {v['vehicle_id']}" for v in vehicles]

    def optional(name: str) -> list[RowDict]:
        return _rows(folder / name) if (folder / name).exists() else []

    return Run(
        folder, _json(folder / "run.json"), {r["request_id"]: r for r in requests},
        {v["vehicle_id"]: v for v in vehicles}, events, legs, optional("stops.parquet"), _json(folder / "kpis.json"),
        _json(folder / "plan.geojson"), optional("traffic.parquet"),
        sorted({x for x in twice if twice.count(x) > 1}) if len(set(twice)) < len(twice) else [],
    )  # fmt: skip


def load_roads(folder: Path, checksum: str) -> Roads:
    """The region's roads, after comparing every file with its checksum. Raises CheckError."""
    file = folder / "region.toml"
    if not file.is_file():
        raise CheckError(f"{folder}: no region bundle there; name it with --region")
    raw = file.read_bytes()
    if hashlib.sha256(raw).hexdigest() != checksum:
        raise CheckError(f"{folder}: this is not the region the run was made with (checksum differs)")
    region = tomllib.loads(raw.decode("utf-8"))
    for name, digest in region["files"].items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise CheckError(f"{folder / name}: differs from its checksum")

    def ints(name: str) -> Any:
        return np.load(folder / "roads" / f"{name}.npy").astype(np.int64)

    points = [np.load(folder / "roads" / f"point_{axis}.npy") for axis in ("lon", "lat")]
    names = ("street_first", "street_class", "street_flags", "street_mm", "arc_street", "arc_reversed", "arc_tail",
             "arc_head", "arc_ms", "state_arc", "turn_source", "turn_target", "turn_ms")  # fmt: skip
    return Roads(
        point_lon=points[0], point_lat=points[1], arc_mm=ints("street_mm")[ints("arc_street")],
        driving_side=region["driving_side"], **{name: ints(name) for name in names},
    )  # fmt: skip


def load_footways(folder: Path) -> Footways | None:
    """The region's ways on foot, whose checksums `load_roads` compared; None where it has none of their own."""
    if not (folder / "walks").is_dir():
        return None
    names = ("tail", "head", "mm", "flags", "first")
    ints = (np.load(folder / "walks" / f"street_{name}.npy").astype(np.int64) for name in names)
    return Footways(*ints, *(np.load(folder / "walks" / f"point_{axis}.npy") for axis in ("lon", "lat")))


def _json(path: Path) -> RowDict:
    try:
        document: RowDict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise CheckError(f"{path}: cannot be read ({why}); is this a run folder?") from error
    return document


def _rows(path: Path) -> list[RowDict]:
    import arro3.io

    if not path.is_file() or path.read_bytes()[:4] != b"PAR1":
        raise CheckError(f"{path}: no Parquet file; is this a run folder?")
    try:
        table = arro3.io.read_parquet(path).read_all()
        columns = {name: table[name].to_pylist() for name in table.column_names}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the Rust reader panics on a damaged footer
        raise CheckError(f"{path}: the Parquet file is damaged") from error
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
