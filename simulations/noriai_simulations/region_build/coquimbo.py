"""Coquimbo and La Serena, Chile: roads, zones and one bus line from AequilibraE's sample project.

Population in the sample has no fractions of meaning; the zones' people are spread over residential streets.
The sample gives speeds to 17 % of the links, so all speeds come from the road class table.
"""

import io
import sqlite3
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from noriai_engine.model.errors import InputError
from noriai_engine.regions import Feed, RegionDraft, Source, spread_population, write_region
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.bridges import Link, streets_of_links
from noriai_engine.roads.osm import sha256_of
from noriai_engine.roads.profiles import PROFILES
from noriai_engine.roads.speeds import SLOWEST_KMH, speed_table
from noriai_engine.roads.streets import RawStreets
from noriai_gtfs import summarise_feed
from noriai_simulations.region_build.build import OSM_ATTRIBUTION, Tell, licences, stops_on_network
from noriai_simulations.region_build.wheels import AEQUILIBRAE, fetch


def build_coquimbo(out: Path, wheel_file: Path | None, tell: Tell) -> RegionDraft:
    """Build the shipped Coquimbo bundle. Raises InputError where the wheel is not the pinned one."""
    import shapely

    wheel = fetch(AEQUILIBRAE, wheel_file)
    with zipfile.ZipFile(wheel) as archive:
        sample = zipfile.ZipFile(io.BytesIO(archive.read("aequilibrae/reference_files/coquimbo.zip")))
        database = sample.read("project_database.sqlite")
        feed_bytes = sample.read("gtfs_coquimbo.zip")
    connection = sqlite3.connect(":memory:")
    connection.deserialize(database)
    network, dropped = assemble(_roads(connection), PROFILES["taxi"], left_hand=False)
    zones = [
        (shapely.from_wkb(_wkb(blob)), float(people or 0))
        for people, blob in connection.execute("SELECT population, geometry FROM zones ORDER BY zone_id")
    ]
    population, notes = spread_population(network, zones)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gtfs_coquimbo.zip"
        path.write_bytes(feed_bytes)
        summary, digest = summarise_feed(path), sha256_of(path)
        stops, stop_notes = stops_on_network(network, [(path, summary)])
    told = [
        f"{network.node_count:,} junctions, {network.street_count:,} streets, {network.length_km:,.0f} km (both "
        "directions counted)",
        *dropped.sentences(), *notes, *stop_notes,
        "Speeds by road class; the source has no turn restrictions and no places of interest.",
    ]  # fmt: skip
    for line in told:
        tell(line)
    credit = "sample project of AequilibraE (www.aequilibrae.com)"
    licence, origin = "AequilibraE licence (MIT with an added clause)", f"{AEQUILIBRAE.file}: coquimbo.zip"
    draft = RegionDraft(
        name="coquimbo", title="Coquimbo and La Serena, Chile", country="CL", timezone="America/Santiago",
        driving_side="right", network=network, notes=told, population=population,
        sources=[
            Source("roads", origin, "unknown", "ODbL-1.0", OSM_ATTRIBUTION, sha256_of(wheel)),
            Source("population", origin, "unknown", licence,
                   credit, sha256_of(wheel)),
            Source("gtfs", "gtfs_coquimbo.zip", f"{summary.valid_from}/{summary.valid_to}",
                   "AequilibraE licence (MIT with an added clause)", credit, digest),
        ],
        feeds=[Feed("gtfs_coquimbo.zip", digest, summary.agencies, summary.valid_from, summary.valid_to,
                    len(summary.stops), summary.routes, summary.trips, summary.stop_times)],
        feed_files=[("gtfs_coquimbo.zip", feed_bytes)], stops=stops,
        licences=licences("ODbL-1.0.txt", "AequilibraE.txt"),
    )  # fmt: skip
    write_region(draft, out)
    return draft


def _wkb(blob: bytes) -> bytes:
    """The WKB inside a SpatiaLite geometry blob (header of 39 bytes, end mark of 1)."""
    if len(blob) < 45 or blob[0] != 0 or blob[38] != 0x7C or blob[-1] != 0xFE:
        raise InputError("a geometry of the sample is not a SpatiaLite blob", remedy="use the pinned wheel")
    return blob[1:2] + blob[39:-1]


def _roads(connection: sqlite3.Connection) -> RawStreets:
    import shapely

    nodes = connection.execute(
        "SELECT node_id, osm_id, geometry FROM nodes WHERE is_centroid = 0 ORDER BY node_id"
    ).fetchall()
    index = {node_id: k for k, (node_id, _, _) in enumerate(nodes)}
    points = shapely.from_wkb([_wkb(blob) for _, _, blob in nodes])
    speeds, links = speed_table("CL").by_class, list[Link]()
    rows = connection.execute(
        "SELECT a_node, b_node, direction, distance, link_type, name, geometry FROM links "
        "WHERE link_type <> 'centroid_connector' AND modes LIKE '%c%' ORDER BY link_id"
    )
    for a, b, direction, metres, kind, name, blob in rows:
        road = kind if kind in speeds else "other"
        shape = [(float(x), float(y)) for x, y in shapely.get_coordinates(shapely.from_wkb(_wkb(blob)))[1:-1]]
        weights = (round(metres * 3_600 / max(SLOWEST_KMH, speeds[road])), round(metres * 1e3), road, name or "")
        if direction >= 0:
            links.append((index[a], index[b], *weights, shape))
        if direction <= 0:
            links.append((index[b], index[a], *weights, shape[::-1]))
    places = list(zip(shapely.get_x(points).tolist(), shapely.get_y(points).tolist(), strict=True))
    return streets_of_links(np.array([osm_id or 0 for _, osm_id, _ in nodes], np.int64), places, links)
