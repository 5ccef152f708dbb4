"""noriai gtfs: validate, describe, compare, merge and write feeds."""

import datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(name="gtfs", help="Read, validate, compare, merge and publish GTFS feeds.")


@app.command
def validate(
    feed: Path,
    *,
    date: datetime.date | None = None,
    country: str | None = None,
    beside: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    html: Path | None = None,
    language: Annotated[Literal["en", "ja"], Parameter(alias="-l")] = "en",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Judge a feed: canonical rules, Japan's rules, service practice, and what the reader had to put right.

    Exit status 0: no error found; 1: errors, or a table that cannot be read; 2: the feed cannot be opened.

    Example: noriai gtfs validate bus.zip --date 2026-11-21 --country JP --html report.html

    Parameters
    ----------
    feed
        A zip, a folder of tables, or a zip inside a zip (outer.zip!inner.zip).
    date
        The day as of which calendars are judged (today).
    country
        ISO 3166 code: for phone numbers, public holidays, and JP for Japan's rules.
    beside
        Feeds of neighbours: ids, names, dates, trips of both and connections at the border are compared.
    html
        Write the report as a page.
    language
        en or ja.
    json
        Print the report as JSON: canonical codes under notices, ours under noriai, repairs with file and row.
    """
    from noriai_engine.terminal import out, progress
    from noriai_gtfs.validation.present import lines, write_page
    from noriai_gtfs.validation.validate import validate as judge

    with progress(feed.name, quiet=json) as advance:
        report = judge(feed, date or datetime.date.today(), country, beside=beside, progress=advance)  # noqa: DTZ011 (the user's own day)
    if html is not None:
        write_page(report, html, language)
    if json:
        out(report.json())
    else:
        for line in lines(report, language):
            out(line)
        if html is not None:
            out(f"page: {html}")
    return 1 if report.errors or report.unread else 0


@app.command
def info(feed: Path, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Say what a feed holds: agencies, validity, tables, trips a day, standards it uses, repairs.

    Example: noriai gtfs info bus.zip

    Parameters
    ----------
    feed
        A zip, a folder of tables, or a zip inside a zip.
    json
        Print it as JSON.
    """
    from json import dumps

    from noriai_engine.terminal import out
    from noriai_gtfs.feeds.facts import facts_of, lines_of
    from noriai_gtfs.feeds.feed import read_feed

    facts = facts_of(read_feed(feed))
    if json:
        out(dumps(facts, ensure_ascii=False, indent=1))
    else:
        for line in lines_of(facts):
            out(line)
    return 0


@app.command
def diff(old: Path, new: Path, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Compare two editions of a feed: rows by key, stops that moved, trips a day by route.

    Exit status 0: they say the same; 1: they differ; 2: one cannot be read.

    Example: noriai gtfs diff bus-2025.zip bus-2026.zip

    Parameters
    ----------
    old
        The earlier edition.
    new
        The later edition.
    json
        Print the differences as JSON.
    """
    from json import dumps

    from noriai_engine.terminal import out
    from noriai_gtfs.feeds.diff import diff_feeds
    from noriai_gtfs.feeds.feed import read_feed

    found = diff_feeds(read_feed(old), read_feed(new))
    if json:
        out(dumps(found.document(), ensure_ascii=False, indent=1))
        return 0 if found.is_empty else 1
    for name, table in found.tables.items():
        fields = "".join(f", {field} {count:,}" for field, count in table["fields"].items())
        out(f"{name}: {table['added']:,} added, {table['removed']:,} removed, {table['changed']:,} changed{fields}")
        for kind, examples in table["examples"].items():
            for example in examples[:3]:
                out(f"    {kind}: {example}")
    for stop, name, metres in found.moved[:20]:
        out(f"stop moved by {metres:,.0f} m: {stop} {name}")
    for route, name, day, before, after in found.service[:40]:
        out(f"trips on a {day}: {before} -> {after}  {route} {name}")
    if found.is_empty:
        out("no difference")
    return 0 if found.is_empty else 1


@app.command
def merge(
    *feeds: Path,
    out: Annotated[Path, Parameter(alias="-o")],
    names: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    dates: Literal["union", "common"] = "union",
    join: float = 0.0,
) -> int:
    """Make one feed of several: ids get their feed's name in front, translations one form, calendars one span.

    Example: noriai gtfs merge asahi.zip nyuzen.zip kurobe.zip --join 50 -o niikawa.zip

    Parameters
    ----------
    feeds
        Two or more feeds of one time zone.
    out
        The zip to write.
    names
        Short names for the ids, one for each feed; from the file names if left out.
    dates
        union: every service keeps its days; common: only days that all feeds cover.
    join
        Metres: stops of different feeds no further apart get transfers with walking times.
    """
    from noriai_engine.model.errors import InputError
    from noriai_engine.terminal import out as say
    from noriai_gtfs.feeds.feed import read_feed
    from noriai_gtfs.feeds.merge import merge_feeds
    from noriai_gtfs.feeds.write import write_feed

    if len(feeds) < 2:
        raise InputError("merging takes two feeds or more", remedy="name them: noriai gtfs merge a.zip b.zip -o ab.zip")
    labels = names or tuple(path.stem.removesuffix("_gtfs").replace(":", "_") for path in feeds)
    merged = merge_feeds([read_feed(path) for path in feeds], labels, dates=dates, join_m=join)
    write_feed(out, merged.tables, {"locations.geojson": merged.locations} if merged.locations else {})
    for remark in merged.remarks:
        say(remark)
    say(
        f"{out}: "
        + ", ".join(f"{len(merged.tables.get(t, ())):,} {t}" for t in ("stops", "routes", "trips", "stop_times"))
    )
    return 0


@app.command
def export(feed: Path, *, out: Annotated[Path, Parameter(alias="-o")]) -> int:
    """Write a feed anew in one clean form: UTF-8, commas, files at the root, every repair made.

    Example: noriai gtfs export old-shift-jis.zip -o clean.zip

    Parameters
    ----------
    feed
        A feed of any dialect.
    out
        The zip to write.
    """
    from noriai_engine.terminal import out as say
    from noriai_gtfs.feeds.feed import read_feed
    from noriai_gtfs.feeds.write import write_feed

    source = read_feed(feed)
    tables = {name: list(table.records()) for name, table in source.read_all().items()}
    zones = {name: source.geojson(name) for name in source.files if name.endswith(".geojson")}
    write_feed(out, tables, zones)
    say(f"{out}: {len(tables)} tables, {sum(map(len, tables.values())):,} rows, {len(source.repairs):,} repairs")
    return 0


@app.command
def build(
    *feeds: Path, out: Annotated[Path, Parameter(alias="-o")], walk: float = 300.0, region: Path | None = None
) -> int:
    """Build a timetable folder that opens by memory map: stops, trips, services, walks between stops.

    Example: noriai gtfs build bus.zip rail.zip --walk 300 -o timetable

    Parameters
    ----------
    feeds
        One or more feeds of one time zone.
    out
        Folder of the timetable; an earlier one there is replaced.
    walk
        Metres: stops no further apart are joined on foot.
    region
        A region bundle: walks go along its ways on foot, and those who need it get ways without steps. Without one
        they are 1.3 times the air line.
    """
    from hashlib import sha256

    from noriai_engine.model.errors import InputError
    from noriai_engine.regions import open_region
    from noriai_engine.terminal import out as say
    from noriai_gtfs.feeds.feed import read_feed
    from noriai_gtfs.timetable import build_timetable, save_timetable
    from noriai_gtfs.timetable.walking import walking_on

    if not feeds:
        raise InputError("no feed was named", remedy="noriai gtfs build bus.zip -o timetable")
    opened = [read_feed(path) for path in feeds]
    walking = walking_on(None if region is None else open_region(region).network)
    timetable = build_timetable(opened, [path.stem for path in feeds], walk_m=walk, walking=walking)
    sources = {p.name: sha256(p.read_bytes()).hexdigest() if p.is_file() else "" for p in feeds}
    save_timetable(timetable, out, sources)
    first, last = timetable.days
    say(
        f"{out}: {timetable.stops:,} stops, {timetable.trips:,} trips, {timetable.arrive_ms.size:,} stop times, "
        f"{timetable.footpath_ms.size:,} walks, {first} to {last}"
    )
    return 0


@app.command
def journey(
    timetable: Path,
    origin: Annotated[str, Parameter(allow_leading_hyphen=True)],
    destination: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    date: datetime.date,
    time: str = "08:00",
    window: int = 0,
    arrive: str | None = None,
    wheelchair: bool = False,
    region: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Find journeys by line between two stops: none worse than another in arrival and rides.

    Exit status 0: found; 1: there is none; 2: bad input.

    Example: noriai gtfs journey bus.zip みどり駅 町立病院 --date 2026-11-24 --time 08:30 --window 60

    Parameters
    ----------
    timetable
        A region bundle with feeds, a timetable folder of noriai gtfs build, or a feed.
    origin
        A stop's id, its name, its kana reading, or lon,lat.
    destination
        The same.
    date
        The day, YYYY-MM-DD.
    time
        When to leave, HH:MM; with --window the earliest.
    window
        Minutes within which to leave.
    arrive
        When to be there at the latest, HH:MM, instead of --time.
    wheelchair
        Leave out trips and stops marked as not accessible, and stairs.
    region
        A region bundle, along whose ways one walks from and to places given as lon,lat.
    json
        Print the journeys as JSON.
    """
    from json import dumps

    from noriai_engine.regions import open_region
    from noriai_engine.terminal import out
    from noriai_gtfs.journeys.backward import ArriveBySearch
    from noriai_gtfs.journeys.places import clock_ms, open_any, places_near
    from noriai_gtfs.journeys.present import document, lines
    from noriai_gtfs.journeys.search import JourneySearch, SearchParams
    from noriai_gtfs.timetable import day_timetable
    from noriai_gtfs.timetable.walking import walking_on

    if region is None and (timetable / "region.toml").is_file():
        region = timetable
    walking = walking_on(None if region is None else open_region(region).network)
    table = open_any(timetable, walking)
    start = clock_ms(time)
    ends = (
        places_near(table, origin, walking, step_free=wheelchair),
        places_near(table, destination, walking, step_free=wheelchair),
    )
    day = day_timetable(table, date)
    params = SearchParams(wheelchair="known" if wheelchair else "")
    if arrive is not None:
        found = ArriveBySearch(day, params).journeys(*ends, clock_ms(arrive, "--arrive"))
    elif window:
        found = JourneySearch(day, params).window(*ends, start, start + 60_000 * window)
    else:
        found = JourneySearch(day, params).journeys(*ends, start)
    if json:
        out(dumps([document(day, one) for one in found], ensure_ascii=False, indent=1))
    else:
        for line in lines(day, found):
            out(line)
    return 0 if found else 1


@app.command
def cars(
    sharing: Path, *, out: Annotated[Path, Parameter(alias="-o")], url: str, at: datetime.datetime | None = None
) -> int:
    """Publish a town's shared cars as GBFS 3.0: stations, kinds, prices, and which cars are free now.

    Example: noriai gtfs cars shared-cars.toml --url https://example.com/gbfs -o gbfs

    Parameters
    ----------
    sharing
        TOML file of the system; it names the table of cars (docs/gtfs.md has an example).
    out
        Folder for the files; an earlier edition there is replaced at once.
    url
        Where the files will lie on the web.
    at
        The moment they speak of, ISO 8601 with offset; the latest report of a car if left out.
    """
    from json import dumps

    from noriai_engine.model.errors import InputError
    from noriai_engine.tables import replace_folder
    from noriai_engine.terminal import out as say
    from noriai_gtfs.publish.gbfs import gbfs_documents, load_sharing

    if at is not None and at.tzinfo is None:
        raise InputError("has no offset from UTC", where="--at", remedy="write 2026-11-23T08:30:00+09:00")
    system, known = load_sharing(sharing)
    now = int(at.timestamp()) if at is not None else max((car.reported_s for car in known), default=0)
    documents = gbfs_documents(system, known, url, now)
    with replace_folder(out, marker="gbfs.json") as folder:
        for name, document in documents.items():
            (folder / name).write_text(dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    free = sum(car.state == "free" for car in known)
    say(f"{out}: {len(documents)} files, {len(system.stations)} stations, {free} of {len(known)} cars free")
    return 0


@app.command
def voids(
    region: Path,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    dates: Annotated[tuple[datetime.date, ...], Parameter(consume_multiple=True)] = (),
    cells: Literal["mesh", "hex"] | None = None,
    size: int = 500,
    minutes: int = 60,
    walk: float = 500.0,
    hours: tuple[int, int] = (7, 19),
    places: Path | None = None,
    feeds: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    language: Annotated[Literal["en", "ja"], Parameter(alias="-l")] = "en",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Find who cannot reach a clinic, a shop, a school, a station or work by line, where and when.

    Writes a map with tables (voids.html), voids.csv, voids.parquet (GeoParquet) and voids.json.

    Example: noriai gtfs voids niikawa --dates 2019-06-12 2019-06-15 --size 500 -o voids

    Parameters
    ----------
    region
        A region bundle of noriai region build, with its feeds.
    out
        Folder for the result; an earlier one there is replaced.
    dates
        Days to look at; a Wednesday, a Saturday and a Sunday in the middle of the feeds' validity if left out.
    cells
        mesh (JIS X 0410) or hex (H3); mesh in Japan, hex elsewhere if left out.
    size
        Metres: side of a cell; mesh knows 80000, 10000, 1000, 500, 250 and 125, of H3 the nearest resolution is taken.
    minutes
        Most minutes from door to door.
    walk
        Metres on foot to and from stops, as the crow flies; along the region's ways 1.3 times as much.
    hours
        First hour and the hour after the last.
    places
        Table with columns kind, name, lon, lat: places beside those of the region; kinds clinic, hospital, shop,
        school, station, work.
    feeds
        Feeds instead of the region's own.
    language
        en or ja.
    json
        Print the summary as JSON.
    """
    from json import dumps

    from noriai_engine.regions import open_region
    from noriai_engine.terminal import out as say
    from noriai_engine.terminal import progress
    from noriai_engine.texts import text
    from noriai_gtfs.feeds.feed import read_feed
    from noriai_gtfs.timetable import build_timetable
    from noriai_gtfs.timetable.of_region import timetable_of
    from noriai_gtfs.timetable.walking import BETWEEN_STOPS_M, walking_on
    from noriai_gtfs.voids.prepare import cells_of, dates_within, places_of, travel_times_of
    from noriai_gtfs.voids.report import summary, write_report
    from noriai_gtfs.voids.voids import VoidParams, find_voids

    opened = open_region(region)
    params = VoidParams(max_ms=60_000 * minutes, walk_m=walk, first_hour=hours[0], last_hour=hours[1])
    walking = walking_on(opened.network)
    if feeds:
        opened_feeds, names = [read_feed(path) for path in feeds], [path.stem for path in feeds]
        table = build_timetable(opened_feeds, names, walk_m=BETWEEN_STOPS_M, walking=walking)
    else:
        table = timetable_of(opened)
    days = dates or dates_within(table)
    ground = cells_of(opened, cells, size)
    with progress(opened.title, quiet=json) as advance:
        found = find_voids(
            table, ground, places_of(opened, places), days, travel_times_of(opened), params, progress=advance,
            walking=walking,
        )  # fmt: skip
    write_report(found, out, opened.title, opened.attribution, language)
    document = summary(found)
    if json:
        say(dumps(document, ensure_ascii=False, indent=1))
        return 0
    for p, purpose in enumerate(found.purposes):
        for d, day in enumerate(found.days):
            now, rides = (
                sum(found.without(p, d, h, with_rides=flag) for h in range(len(found.hours))) / len(found.hours)
                for flag in (False, True)
            )
            name = text(f"voids.{purpose}", language)
            say(text("voids.line", language, purpose=name, day=day, now=f"{now:,.0f}", rides=f"{rides:,.0f}"))
    say(f"{out / 'voids.html'}")
    return 0
