"""noriai region: build, describe and check region bundles."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(name="region", help="Build region bundles from open data, and read what they hold.")


@app.command
def build(
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    osm: Path | None = None,
    gtfs: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    boundary: Path | None = None,
    population: Path | None = None,
    graphml: Path | None = None,
    nodes: Path | None = None,
    links: Path | None = None,
    wheel: Literal["coquimbo", "manhattan"] | None = None,
    wheel_file: Path | None = None,
    name: str = "",
    title: str = "",
    country: str = "",
    timezone: str = "",
    roads_source: str = "",
    roads_licence: str = "",
    profile: Literal["taxi", "volunteer", "bus", "shuttle", "walking"] = "taxi",
    ways: Path | None = None,
    speeds: Path | None = None,
) -> int:
    """Build a region bundle: roads, boundary, people, places, feeds, with provenance and checksums.

    Example: noriai region build --osm town.osm.pbf --gtfs bus.zip rail.zip --population census.csv -o town

    Parameters
    ----------
    out
        Folder of the bundle; an earlier bundle there is replaced.
    osm
        OSM extract: .osm.pbf, .osm, .osm.gz or .osm.bz2.
    gtfs
        GTFS feeds (.zip), stored as they are.
    boundary
        GeoJSON polygons; roads and people outside are left out.
    population
        Points (CSV, Excel, Parquet: lon, lat, population) or polygons (GeoJSON with a property `population`).
    graphml
        Roads from a GraphML file as osmnx saves it, instead of --osm.
    nodes
        Roads from tables, instead of --osm: node_id, lon, lat.
    links
        The links beside --nodes: from_node, to_node, length_m, freespeed_mps.
    wheel
        Rebuild one of the two shipped regions from its pinned PyPI wheel.
    wheel_file
        A copy of that wheel, where there is no network.
    name
        Short name; from the file's name if left out.
    title
        Title on reports and maps.
    country
        ISO 3166 code, for speeds and driving side; from the place if left out.
    timezone
        IANA time zone; from the place if left out.
    roads_source
        Attribution of roads that are not OpenStreetMap's.
    roads_licence
        Licence of such roads.
    profile
        Whose roads: access, one-way rules, turn restrictions and speeds differ.
    ways
        Table with a column way_id: the OSM ways a level-4 shuttle is approved for; no others are used.
    speeds
        Table way_id,road_class,kmh: speeds of your own, by OSM way or by class.
    """
    from noriai_engine.terminal import out as say
    from noriai_engine.terminal import tell

    if wheel is not None:
        from noriai_simulations.region_build.coquimbo import build_coquimbo
        from noriai_simulations.region_build.manhattan import build_manhattan

        converter = {"coquimbo": build_coquimbo, "manhattan": build_manhattan}[wheel]
        converter(out, wheel_file, tell)
    else:
        from noriai_simulations.region_build.build import BuildOptions, build_region

        options = BuildOptions(
            out=out, osm=osm, graphml=graphml, nodes=nodes, links=links, gtfs=gtfs, boundary=boundary,
            population=population, name=name, title=title, country=country, timezone=timezone,
            roads_source=roads_source, roads_licence=roads_licence, profile=profile, ways=ways, speeds=speeds,
        )  # fmt: skip
        build_region(options, tell)
    say(f"region: {out}  (noriai region info {out} describes it)")
    return 0


@app.command
def rural(
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    seed: int = 7,
    villages: int = 12,
    people: int = 6_000,
    valley_km: float = 18.0,
) -> int:
    """Make up a rural municipality: valley road, villages, station, clinic, shop, school.

    Example: noriai region rural -o valley --seed 7

    Parameters
    ----------
    out
        Folder of the bundle.
    seed
        The same seed gives the same town to the byte.
    villages
        Number of villages beside the town.
    people
        Inhabitants.
    valley_km
        Length of the valley road.
    """
    from noriai_engine.regions import write_region
    from noriai_engine.terminal import out as say
    from noriai_engine.world.rural import RuralParams, rural_region

    draft = rural_region(seed, RuralParams(villages=villages, people=people, valley_km=valley_km))
    write_region(draft, out)
    say(f"region: {out}  (noriai region info {out} describes it)")
    return 0


@app.command
def info(region: str, *, json: Annotated[bool, Parameter(negative="")] = False, verify: bool = True) -> int:
    """Describe a region bundle in words: roads, people, feeds, sources, licences, what was dropped.

    Example: noriai region info coquimbo

    Parameters
    ----------
    region
        Folder of a bundle, or the name of a shipped region.
    json
        Print the facts as JSON.
    verify
        Compare every file with its checksum.
    """
    import json as json_module

    from noriai_engine.terminal import out as say
    from noriai_simulations.region_info import region_facts, region_text
    from noriai_simulations.scenario import find_region

    opened = find_region(region, Path())
    if verify:
        opened.verify()
    facts = region_facts(opened)
    say(json_module.dumps(facts, ensure_ascii=False, indent=1) if json else region_text(opened, facts))
    return 0


@app.command
def arcs(region: str, *, out: Annotated[Path, Parameter(alias="-o")]) -> int:
    """Write the graph that routes run on as CSV, for anyone who wants to check us.

    Example: noriai region arcs coquimbo -o arcs.csv

    Parameters
    ----------
    region
        Folder of a bundle, or the name of a shipped region.
    out
        CSV from,to,duration_ms,length_m; nodes.csv is written beside it: id,lon,lat,end_lon,end_lat,way_id,name. A node
        is a street in one direction; an arc leads from its start, along it and round the turn, to the next start.
    """
    from noriai_engine.roads import TravelTimes
    from noriai_engine.terminal import out as say
    from noriai_simulations.matrix_file import write_arcs
    from noriai_simulations.scenario import find_region

    times = TravelTimes(find_region(region, Path()).network)
    nodes = write_arcs(times, out)
    say(f"graph: {out} ({len(times.graph.source):,} arcs), {nodes} ({times.graph.state_count:,} nodes)")
    return 0
