"""Manhattan, New York: roads, 19,979 taxi trips of 2014-12-21 and vehicle starts from the HIVE wheel."""

import csv
import io
import json
import zipfile
from pathlib import Path

from noriai_engine.regions import RegionDraft, Source, write_region
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.bridges import from_node_link
from noriai_engine.roads.osm import sha256_of
from noriai_engine.roads.profiles import PROFILES
from noriai_engine.tables import Column
from noriai_simulations.region_build.build import OSM_ATTRIBUTION, Tell, licences
from noriai_simulations.region_build.wheels import HIVE, fetch

_FOLDER = "nrel/hive/resources/scenarios/manhattan"


def build_manhattan(out: Path, wheel_file: Path | None, tell: Tell) -> RegionDraft:
    """Build the shipped Manhattan bundle. Raises InputError where the wheel is not the pinned one."""
    wheel = fetch(HIVE, wheel_file)
    with zipfile.ZipFile(wheel) as archive:
        graph = json.loads(archive.read(f"{_FOLDER}/road_network/manhattan_network.json"))
        trips = _table(archive.read(f"{_FOLDER}/requests/nyc_20k.csv"))
        starts = _table(archive.read(f"{_FOLDER}/vehicles/nyc_1200.csv"))
    network, dropped = assemble(from_node_link(graph, "US"), PROFILES["taxi"], left_hand=False)
    told = [
        f"{network.node_count:,} junctions, {network.street_count:,} streets, {network.length_km:,.0f} km (both "
        "directions counted)",
        *dropped.sentences(),
        f"{len(trips):,} taxi trips of 2014-12-21, {len(starts):,} vehicle starts",
        "Speeds and travel times are those of the source's edges; turns cost what the taxi profile says.",
    ]
    for line in told:
        tell(line)
    credit = "trips: NYC TLC public records, as in HIVE (National Renewable Energy Laboratory, BSD-3-Clause)"
    draft = RegionDraft(
        name="manhattan", title="Manhattan, New York", country="US", timezone="America/New_York",
        driving_side="right", network=network, notes=told,
        sources=[
            Source("roads", f"{HIVE.file}: manhattan_network.json", "2023-04-04", "ODbL-1.0", OSM_ATTRIBUTION,
                   sha256_of(wheel)),
            Source("trips", f"{HIVE.file}: nyc_20k.csv", "2014-12-21", "BSD-3-Clause", credit, sha256_of(wheel)),
        ],
        tables={
            "demand/trips.parquet": [
                Column("request_id", "string", [row["request_id"] for row in trips]),
                Column("earliest_pickup", "string", [row["departure_time"] for row in trips]),
                Column("origin_lon", "float64", [float(row["o_lon"]) for row in trips]),
                Column("origin_lat", "float64", [float(row["o_lat"]) for row in trips]),
                Column("destination_lon", "float64", [float(row["d_lon"]) for row in trips]),
                Column("destination_lat", "float64", [float(row["d_lat"]) for row in trips]),
                Column("seats", "int64", [int(row["passengers"]) for row in trips]),
            ],
            "demand/vehicles.parquet": [
                Column("vehicle_id", "string", [row["vehicle_id"] for row in starts]),
                Column("lon", "float64", [float(row["lon"]) for row in starts]),
                Column("lat", "float64", [float(row["lat"]) for row in starts]),
            ],
        },
        licences=licences("ODbL-1.0.txt", "HIVE-BSD-3-Clause.txt"),
    )  # fmt: skip
    write_region(draft, out)
    return draft


def _table(raw: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8"))))
