"""noriai exchange publish, sum: figures of an area that no rider can be told from."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

Data = Annotated[Path | None, Parameter(help="Folder of the store.")]
MOST_ROWS = 15
Url = Annotated[str | None, Parameter(help="A postgresql:// URL instead.")]


def publish(
    *,
    area: str,
    data: Data = None,
    database: Url = None,
    tenant: str = "home",
    first_day: Annotated[str | None, Parameter(name="--from")] = None,
    epsilon: str = "1",
    limit: str = "1",
    what: Literal["trips", "kpis"] = "trips",
    expected: int = 0,
    trips: Path | None = None,
    public: Path | None = None,
    dataset: str | None = None,
    ngsi_ld: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Publish how many trips there were from where to where in 28 days, or what became of requests, so that no rider
    can be told from it.

    Charged to the privacy budget of the area's riders in the period before anything is made; the same question again is
    answered from what was published, at no cost.

    Example: noriai exchange publish --data my-node --area jis:08220 --from 2026-10-05

    Parameters
    ----------
    area
        Whose trips: a municipality by its code, as jis:08220.
    tenant
        Tenant whose bookings they are.
    first_day
        First day of the period; periods of 28 days follow each other. The last one that is over, if left out.
    epsilon
        What the release may cost.
    limit
        What all releases on these riders and days may cost together.
    what
        trips, by origin and destination; or kpis: requests by outcome, kind of day and hours, waits, shared rides.
    expected
        Trips that regions agreed to expect together: all count over the same parts then, and what was measured joins
        the dataset's -parts, for sums over regions (noriai exchange sum). 0: figures of our own.
    trips
        CSV file of trips (rider, origin_lon, origin_lat, destination_lon, destination_lat) instead of the node's rides.
    public
        CSV file of public data (mesh, people, attraction) instead of the region's people and places.
    dataset
        Dataset of the exchange that the figures join; urn:noriai:dataset:<tenant>:od (or :kpi) if left out.
    ngsi_ld
        File to write the figures to as NGSI-LD entities (CrowdFlowObserved).
    json
        The whole release as JSON.
    """
    import numpy as np

    from noriai_api.clocks import SystemClock
    from noriai_api.exchange.privacy import publishing
    from noriai_api.exchange.privacy.kpis import METHOD as KPI_METHOD
    from noriai_api.exchange.privacy.noise import measure
    from noriai_api.exchange.privacy.release import METHOD, Question, check_first_day
    from noriai_api.exchange.terms import is_area, micro
    from noriai_api.store import open_database
    from noriai_api.store.migrate import migrate
    from noriai_engine.model.errors import InputError

    if not is_area(area):
        raise InputError(f"{area!r} is no area", where="--area", remedy="write a municipality as jis:08220")
    now = SystemClock().now()
    if expected < 0:
        raise InputError(f"{expected}", where="--expected", remedy="give a number of trips, or leave it out")
    method = {"trips": METHOD, "kpis": KPI_METHOD}[what]
    first = check_first_day(first_day or publishing.period_now(now))
    question = Question(area, first, micro(epsilon), method=method, expected=expected)
    if question.micro_epsilon <= 0:
        raise InputError(f"{epsilon} is nothing", where="--epsilon", remedy="give more than 0")
    store = open_database(database or "", data or Path("noriai-data"))
    migrate(store)
    name, rng = dataset or f"urn:noriai:dataset:{tenant}:{'od' if what == 'trips' else 'kpi'}", np.random.default_rng()
    if what == "kpis":
        if trips is not None or public is not None or ngsi_ld is not None or expected:
            raise InputError("is for trips", where="--trips, --public, --ngsi-ld, --expected", remedy="leave it out")
        requests = _requests(store, tenant, first, now)
        release, is_new = publishing.publish_kpis(
            store, tenant, question, micro(limit), requests, dataset=name, measure=measure, rng=rng, now=now
        )
        _show(release, is_new, as_json=json)
        return 0
    found, known = _sources(store, tenant, question.first_day, trips, public)
    release, is_new = publishing.publish(
        store, tenant, question, micro(limit), found, known, dataset=name, measure=measure, rng=rng, now=now
    )
    if ngsi_ld is not None:
        _write_entities(release, tenant, ngsi_ld)
    _show(release, is_new, as_json=json)
    return 0


def sum_up(
    *,
    data: Data = None,
    database: Url = None,
    tenant: str = "home",
    first_day: Annotated[str, Parameter(name="--from")],
    expected: int,
    epsilon: str = "1",
    public: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Add up what regions measured: our release and those that neighbours shared with us.

    Each region counted its own riders and added its own noise before anything left it; nobody holds exact figures of
    all. It costs no budget. All regions publish with the same --expected, --epsilon, --from and --public.

    Example: noriai exchange sum --data my-node --from 2026-10-05 --expected 24000 --public life-area.csv

    Parameters
    ----------
    tenant
        Tenant who is given the sum.
    first_day
        First day of the period.
    expected
        Trips that the regions agreed to expect together.
    epsilon
        What each region's release cost.
    public
        CSV file of public data (mesh, people, attraction) that the regions agreed on; the region's own if left out.
    json
        The whole sum as JSON.
    """
    from noriai_api.exchange.privacy import publishing
    from noriai_api.exchange.privacy.release import Question, check_first_day
    from noriai_api.exchange.privacy.sums import summed
    from noriai_api.exchange.terms import micro
    from noriai_api.store import open_database
    from noriai_api.store.migrate import migrate
    from noriai_engine.model.errors import InputError

    if expected <= 0:
        raise InputError(f"{expected}", where="--expected", remedy="give the trips that all regions agreed to expect")
    store = open_database(database or "", data or Path("noriai-data"))
    migrate(store)
    question = Question("all", check_first_day(first_day), micro(epsilon), expected=expected)
    measured = store.read(lambda connection: publishing.measured_of(connection, tenant, question))
    known = publishing.public_of_file(public) if public is not None else _public(store, tenant)
    found = summed(question, known, measured)
    _show(found | {"area": " + ".join(sorted(one["area"] for one in measured))}, True, as_json=json)
    return 0


def _write_entities(release: dict[str, Any], tenant: str, file: Path) -> None:
    import json as encoding

    from noriai_api.exchange.privacy.ngsi import crowd_flows

    entities = crowd_flows(release, f"urn:noriai:node:{tenant}")
    file.write_text(encoding.dumps(entities, ensure_ascii=False, indent=1), encoding="utf-8")


def _sources(store: Any, tenant: str, first_day: str, trips: Path | None, public: Path | None) -> tuple[Any, Any]:
    """(trips, public data), from files or from the node's own region."""
    from noriai_api.exchange.privacy import publishing

    if trips is not None and public is not None:
        return publishing.trips_of_file(trips), publishing.public_of_file(public)
    region, _ = _region(store, tenant)
    found = (
        publishing.trips_of_file(trips) if trips is not None
        else store.read(lambda connection: publishing.trips_of_bookings(connection, tenant, region, first_day))
    )  # fmt: skip
    return found, publishing.public_of_file(public) if public is not None else _public(store, tenant)


def _public(store: Any, tenant: str) -> Any:
    """Public data of the node's own region."""
    from noriai_api.exchange.privacy import publishing
    from noriai_engine.regions import open_region

    return publishing.public_of_region(open_region(_region(store, tenant)[1]))


def _requests(store: Any, tenant: str, first_day: str, now: int) -> Any:
    """What became of requests in the node's own region. Raises InputError for a period that is kept no longer."""
    from datetime import UTC, date, datetime

    from noriai_api.exchange.privacy import publishing
    from noriai_api.housekeeping import REQUESTS_KEPT_DAYS
    from noriai_engine.model.errors import InputError
    from noriai_engine.regions import open_region

    age = (datetime.fromtimestamp(now / 1000, UTC).date() - date.fromisoformat(first_day)).days
    if age > REQUESTS_KEPT_DAYS:
        raise InputError(f"requests of {first_day} are kept no longer", where="--from",
                         remedy=f"publish within {REQUESTS_KEPT_DAYS} days from a period's first day")  # fmt: skip

    region, folder = _region(store, tenant)
    zone = open_region(folder).timezone
    return store.read(lambda c: publishing.requests_of_node(c, tenant, region, first_day, zone))


def _region(store: Any, tenant: str) -> tuple[str, Path]:
    """A tenant's first region, and its bundle. Raises InputError where it has none."""
    from sqlalchemy import select

    from noriai_api.store.tables import regions
    from noriai_engine.model.errors import InputError

    query = select(regions.c.region, regions.c.folder).where(regions.c.tenant == tenant).order_by(regions.c.region)
    row = store.read(lambda connection: connection.execute(query).first())
    if row is None:
        raise InputError(
            f"tenant {tenant} has no region here", where="--tenant", remedy="name one that has, or --trips and --public"
        )
    return row.region, Path(row.folder)


def _show(release: dict[str, Any], is_new: bool, *, as_json: bool) -> None:
    """A release as JSON, or what it comes to and its first figures."""
    import json as encoding

    from rich.console import Console

    from noriai_engine.terminal import out

    if as_json:
        out(encoding.dumps(release, ensure_ascii=False, indent=1))
        return
    total, what = release["total"], "requests" if "kpis" in release else "trips"
    out(f"{release['area']}, {release['period']}: {total[what]:,} {what} ({total['low']:,} to {total['high']:,})"
        f"{'' if is_new else ', as published before: no budget spent'}")  # fmt: skip
    covering = f", covering about {100 * (release['covered'] or 0):.0f} %" if "covered" in release else ""
    out(f"epsilon {release['epsilon']:g} for {release['unit']}, at most {release['cap']} {what} of each; figures from "
        f"{release['threshold']} {what} up{covering}")  # fmt: skip
    table, more = _kpi_table(release) if what == "requests" else _trip_table(release)
    Console().print(table)
    if more:
        out(f"and {more} more: --json has them all")
    out(f"not counted: {release['left_out']}")


def _kpi_table(release: dict[str, Any]) -> tuple[Any, int]:
    """(the figures of the whole, how many there are by kind of day and hours)."""
    from rich.table import Table

    table = Table("figure", "value", "95 % interval", box=None, pad_edge=False)
    for one in [*release["kpis"], *release["outcomes"]]:
        name = f"{one['kpi']} {one.get('outcome', '')}".strip()
        table.add_row(name, f"{one['value']:,}", f"{one['low']:,} to {one['high']:,} {one['unit']}")
    return table, len(release["figures"])


def _trip_table(release: dict[str, Any]) -> tuple[Any, int]:
    """(the largest figures, how many there are besides)."""
    from rich.table import Table

    table = Table("from (mesh)", "to (mesh)", "trips", "95 % interval", box=None, pad_edge=False)
    figures = sorted(release["figures"], key=lambda figure: -figure["trips"])
    for figure in figures[:MOST_ROWS]:
        table.add_row(_area(figure["origins"]), _area(figure["destinations"]), f"{figure['trips']:,}",
                      f"{figure['low']:,} to {figure['high']:,}")  # fmt: skip
    return table, max(0, len(figures) - MOST_ROWS)


def _area(meshes: list[int]) -> str:
    return f"{meshes[0]}" if len(meshes) == 1 else f"{meshes[0]} and {len(meshes) - 1} more"
