"""`noriai region build`: roads, boundary, people and feeds into one bundle, with every step told."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from noriai_engine.model.clock import ServiceDay
from noriai_engine.model.errors import InputError
from noriai_engine.model.units import BoolArray
from noriai_engine.regions import Feed, PlaceOfInterest, RegionDraft, Source, spread_population, write_region
from noriai_engine.roads.access import STEP_FREE
from noriai_engine.roads.assemble import assemble
from noriai_engine.roads.bridges import from_graphml, from_tables
from noriai_engine.roads.footways import footways_of
from noriai_engine.roads.network import RoadNetwork
from noriai_engine.roads.osm import read_osm, sha256_of
from noriai_engine.roads.profiles import CAR_CLASSES, PROFILES, Profile, profile_named
from noriai_engine.roads.snapper import FAR_M, Snapper
from noriai_engine.roads.speeds import LEFT_HAND_COUNTRIES, ROAD_CLASSES, speed_table
from noriai_engine.roads.streets import RawStreets, trace_streets
from noriai_engine.rules.service_file import read_polygons
from noriai_engine.tables import read_table
from noriai_gtfs import FeedSummary, read_feed, summarise_feed
from noriai_gtfs.timetable import build_timetable, save_timetable
from noriai_gtfs.timetable.of_region import TIMETABLE
from noriai_gtfs.timetable.walking import BETWEEN_STOPS_M, walking_on
from noriai_simulations.region_build.population import read_population

OSM_ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0"
STOP_FAR_M = 500.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class BuildOptions:
    """What to build from. Exactly one of `osm`, `graphml` and `nodes` with `links`."""

    out: Path
    osm: Path | None = None
    graphml: Path | None = None
    nodes: Path | None = None
    links: Path | None = None
    gtfs: tuple[Path, ...] = ()
    boundary: Path | None = None
    population: Path | None = None
    name: str = ""
    title: str = ""
    country: str = ""
    timezone: str = ""
    roads_source: str = ""
    roads_licence: str = ""
    profile: str = "taxi"
    ways: Path | None = None
    speeds: Path | None = None


@dataclass
class _Roads:
    streets: RawStreets
    source: Source
    notes: list[str] = field(default_factory=list)
    places: list[PlaceOfInterest] = field(default_factory=list)


def build_region(options: BuildOptions, tell: Tell) -> RegionDraft:
    """Build and write the bundle. Raises InputError (what, where, remedy); then nothing is written."""
    file = _roads_file(options)
    boundary = None if options.boundary is None else read_polygons(options.boundary)
    feeds = _read_feeds(options.gtfs, tell)
    tell(f"reading roads from {file.name} ...")
    profile = _profile(options)
    roads = _read_roads(options, profile)
    middle_lon, middle_lat = (float(np.median(x)) for x in (roads.streets.node_lon, roads.streets.node_lat))
    timezone = options.timezone or _timezone(middle_lon, middle_lat, feeds)
    ServiceDay(date(2026, 1, 1), timezone)  # refuses an unknown zone
    country = options.country.upper() or _country_at(middle_lon, middle_lat)

    left_hand = country in LEFT_HAND_COUNTRIES
    inside = _inside(boundary, roads.streets, options.boundary)
    network, dropped = assemble(roads.streets, profile, left_hand=left_hand, inside=inside)
    network, walk_notes = _with_walks(network, options, boundary, country)
    told = [
        *roads.notes,
        f"{network.node_count:,} junctions, {network.street_count:,} streets, {network.length_km:,.0f} km (both "
        f"directions counted), {network.turn_count:,} turns for the profile {profile.name}",
        *dropped.sentences(),
        *walk_notes,
    ]
    population, sources = None, [roads.source, *_feed_sources(feeds)]
    if options.population is not None:
        population, notes = spread_population(network, read_population(options.population, boundary))
        sources.append(_population_source(options.population))
        told += notes
    stops, stop_notes = stops_on_network(network, feeds)
    timetable, timetable_notes = _timetable_of(network, feeds)
    told += [*stop_notes, *timetable_notes]
    for line in told:
        tell(line)

    name = options.name or file.name.split(".")[0]
    draft = RegionDraft(
        name=name, title=options.title or name, country=country or "unknown", timezone=timezone,
        driving_side="left" if left_hand else "right", network=network, sources=sources,
        notes=told, boundary=boundary, population=population, places=_places_on_network(network, roads.places),
        feeds=[_feed_record(path, feed) for path, feed in feeds],
        feed_files=[(path.name, path.read_bytes()) for path, _ in feeds], stops=stops, folders=timetable,
        licences=licences("ODbL-1.0.txt") if "OpenStreetMap" in roads.source.attribution else {},
    )  # fmt: skip
    write_region(draft, options.out)
    return draft


def _with_walks(
    network: RoadNetwork, options: BuildOptions, boundary: Any, country: str
) -> tuple[RoadNetwork, list[str]]:
    """The network with the ways on foot that an OSM extract knows; another source knows of none."""
    along_streets = network, ["walks follow the streets of vehicles: the source knows no other ways"]
    if options.osm is None:
        return along_streets
    walking = PROFILES["walking"]
    extract = read_osm(options.osm, walking, lambda lon, lat: country, lambda code: speed_table(code, options.speeds))
    streets = trace_streets(extract)
    if np.isin(streets.road_class, [ROAD_CLASSES.index(name) for name in CAR_CLASSES]).all():
        return along_streets
    ways, lost_km = footways_of(streets, _inside(boundary, streets, options.boundary))
    steps = ways.street_mm[(ways.street_flags & STEP_FREE) == 0].sum(dtype=np.int64) / 1e6
    note = f"{ways.length_km:,.0f} km of ways on foot, {steps:,.0f} km of them not step-free"
    note += f"; {lost_km:,.0f} km in parts of under 1 km left out" if lost_km >= 1 else ""
    return replace(network, foot=ways), [note]


def _timetable_of(
    network: RoadNetwork, feeds: list[tuple[Path, FeedSummary]]
) -> tuple[dict[str, Callable[[Path], None]], list[str]]:
    """The timetable of all feeds, with walks between stops, ready to be opened by memory map."""
    if not feeds:
        return {}, []
    paths = [path for path, _ in feeds]
    try:
        timetable = build_timetable(
            [read_feed(path) for path in paths], [path.stem for path in paths], walk_m=BETWEEN_STOPS_M,
            walking=walking_on(network),
        )  # fmt: skip
    except InputError as error:
        return {}, [f"no timetable to search was made of the feeds: {error.what} ({error.where})"]
    first, last = timetable.days
    note = (
        f"timetable: {timetable.trips:,} trips, {timetable.footpath_ms.size:,} walks between stops, {first} to {last}"
    )
    return {TIMETABLE: partial(save_timetable, timetable, sources={p.name: sha256_of(p) for p in paths})}, [note]


def _roads_file(options: BuildOptions) -> Path:
    given = [path for path in (options.osm, options.graphml, options.links) if path is not None]
    if len(given) != 1 or (options.links is None) != (options.nodes is None):
        raise InputError("roads from one source are needed", remedy="give --osm, or --graphml, or --nodes with --links")
    return given[0]


def _read_feeds(paths: tuple[Path, ...], tell: Tell) -> list[tuple[Path, FeedSummary]]:
    """Facts of every feed. Raises InputError where two have one file name: in the bundle they would be one."""
    feeds: dict[str, tuple[Path, FeedSummary]] = {}
    for path in paths:
        if path.name in feeds:
            raise InputError(
                f"has the same file name as {feeds[path.name][0]}", where=path, remedy="rename one of the two feeds"
            )
        feed = summarise_feed(path)
        feeds[path.name] = (path, feed)
        tell(
            f"feed {path.name}: {feed.trips:,} trips, {len(feed.stops):,} stops, "
            f"valid {feed.valid_from} to {feed.valid_to}"
        )
    return list(feeds.values())


def _inside(boundary: Any, streets: RawStreets, where: Path | None) -> BoolArray | None:
    """Mask of the nodes within the boundary; None without one. Raises InputError where no node is."""
    if boundary is None:
        return None
    import shapely

    inside: BoolArray = shapely.contains_xy(boundary, streets.node_lon, streets.node_lat)
    if not inside.any():
        raise InputError(
            "no road of the extract lies inside the boundary", where=where,
            remedy="check that boundary and extract are of the same place, in (lon, lat)",
        )  # fmt: skip
    return inside


def _population_source(path: Path) -> Source:
    return Source("population", path.name, "unknown", "see its publisher", "", sha256_of(path))


def licences(*names: str) -> dict[str, str]:
    folder = files("noriai_simulations") / "shipped" / "licences"
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}


def _profile(options: BuildOptions) -> Profile:
    """The profile asked for, on the approved ways if it needs such a list. Raises InputError."""
    profile = profile_named(options.profile)
    if options.ways is not None:
        rows = read_table(options.ways)
        rows.expect(required=["way_id"], optional=rows.columns)
        profile = profile.limited_to(frozenset(row.integer("way_id", least=1) for row in rows))
    elif profile.only_ways is not None:
        raise InputError(
            f"the profile {profile.name} drives approved ways only", where="--profile",
            remedy="give --ways, a table with a column way_id of OSM way ids",
        )  # fmt: skip
    if options.osm is None and (options.ways or options.speeds or options.profile != "taxi"):
        raise InputError(
            "--profile, --ways and --speeds need OSM tags", where="region build", remedy="take the roads from --osm"
        )
    return profile


def _read_roads(options: BuildOptions, profile: Profile) -> _Roads:
    country = options.country.upper() or None
    if options.osm is not None:
        extract = read_osm(
            options.osm, profile, _country_at if country is None else lambda lon, lat: country,
            lambda code: speed_table(code, options.speeds),
        )  # fmt: skip
        notes = [
            f"{len(extract.ways.way_id):,} ways read for the profile {profile.name}; {extract.closed_ways:,} closed to "
            "it left out"
        ]
        if extract.missing_nodes:
            notes.append(f"{extract.missing_nodes:,} way nodes lie outside the extract; their ways were cut there")
        source = Source(
            "roads", options.osm.name, extract.timestamp, options.roads_licence or "ODbL-1.0",
            options.roads_source or OSM_ATTRIBUTION, extract.sha256,
            "https://www.openstreetmap.org/copyright",
        )  # fmt: skip
        return _Roads(trace_streets(extract), source, notes, [PlaceOfInterest(*place) for place in extract.places])
    path = options.graphml or options.links
    assert path is not None
    if options.graphml is not None:
        streets, licence, attribution = from_graphml(options.graphml, country), "ODbL-1.0", OSM_ATTRIBUTION
    else:
        assert options.nodes is not None
        assert options.links is not None
        streets, licence, attribution = from_tables(options.nodes, options.links), "unknown", ""
    source = Source(
        "roads", path.name, "unknown", options.roads_licence or licence, options.roads_source or attribution,
        sha256_of(path),
    )  # fmt: skip
    return _Roads(streets, source, [f"{len(streets.tail):,} streets read from {path.name}"])


def _timezone(lon: float, lat: float, feeds: list[tuple[Path, FeedSummary]]) -> str:
    """The place's time zone, from a map of zones; a feed of another zone is a mix-up and refused."""
    import tzfpy

    zone = tzfpy.get_tz(lon, lat)
    if not zone or zone.startswith("Etc/"):
        zone = next((feed.timezone for _, feed in feeds if feed.timezone), "")
    if not zone:
        raise InputError(
            f"no time zone is known at ({lon:.3f}, {lat:.3f})", remedy="give --timezone, such as Asia/Tokyo"
        )
    for path, feed in feeds:
        if feed.timezone and feed.timezone != zone and not _same_time(feed.timezone, zone):
            raise InputError(
                f"agency_timezone is {feed.timezone}, the roads lie in {zone}", where=path,
                remedy="is it the feed of another place? otherwise give --timezone to settle it",
            )  # fmt: skip
    return zone


def _same_time(a: str, b: str) -> bool:
    days = [date(2026, month, 15) for month in range(1, 13)]
    return all(ServiceDay(day, a).start == ServiceDay(day, b).start for day in days)


def _country_at(lon: float, lat: float) -> str:
    """ISO 3166 code of the country at a place, by its time zone in the IANA zone table; "" where unknown."""
    import tzfpy

    zone = tzfpy.get_tz(lon, lat)
    table = files("tzdata") / "zoneinfo" / "zone.tab"
    for line in table.read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if not line.startswith("#") and len(fields) > 2 and fields[2] == zone:
            return fields[0]
    return ""


def _places_on_network(network: RoadNetwork, places: list[PlaceOfInterest]) -> list[PlaceOfInterest]:
    """Places that a road passes within STOP_FAR_M."""
    if not places:
        return []
    lon, lat = np.array([p.lon for p in places]), np.array([p.lat for p in places])
    metres = Snapper(network).snap(lon, lat, limit_m=STOP_FAR_M).metres
    return [place for place, distance in zip(places, metres, strict=True) if distance <= STOP_FAR_M]


def stops_on_network(
    network: RoadNetwork, feeds: list[tuple[Path, FeedSummary]]
) -> tuple[list[tuple[str, str, str, float, float, int]], list[str]]:
    """Stops of all feeds that a road passes within STOP_FAR_M, and what was left out."""
    stops = [(path.name, *stop) for path, feed in feeds for stop in feed.stops]
    if not stops:
        return [], []
    lon, lat = np.array([s[3] for s in stops]), np.array([s[4] for s in stops])
    metres = Snapper(network).snap(lon, lat, limit_m=FAR_M).metres
    kept = [stop for stop, distance in zip(stops, metres, strict=True) if distance <= STOP_FAR_M]
    notes = [f"{len(kept):,} of {len(stops):,} GTFS stops lie within {STOP_FAR_M:.0f} m of a road"]
    if kept:
        inside = metres[metres <= STOP_FAR_M]
        notes[0] += f" (median {np.median(inside):.0f} m, farthest {inside.max():.0f} m)"
    return kept, notes


def _feed_record(path: Path, feed: FeedSummary) -> Feed:
    return Feed(
        path.name, sha256_of(path), feed.agencies, feed.valid_from, feed.valid_to, len(feed.stops), feed.routes,
        feed.trips, feed.stop_times,
    )  # fmt: skip


def _feed_sources(feeds: list[tuple[Path, FeedSummary]]) -> list[Source]:
    return [
        Source("gtfs", path.name, f"{feed.valid_from}/{feed.valid_to}", "see its publisher",
               f"timetable: {', '.join(feed.agencies)}", sha256_of(path))
        for path, feed in feeds
    ]  # fmt: skip
