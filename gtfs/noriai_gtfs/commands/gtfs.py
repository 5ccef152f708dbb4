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
    html: Path | None = None,
    language: Annotated[Literal["en", "ja"], Parameter(alias="-l")] = "en",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Judge a feed: canonical rules, Japan's rules, service practice, and what the reader had to put right.

    Exit status 0: no error found; 1: errors; 2: the feed cannot be opened.

    Example: noriai gtfs validate bus.zip --date 2026-11-21 --country JP --html report.html

    Parameters
    ----------
    feed
        A zip, a folder of tables, or a zip inside a zip (outer.zip!inner.zip).
    date
        The day as of which calendars are judged (today).
    country
        ISO 3166 code: for phone numbers, and JP for Japan's rules.
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
        report = judge(feed, date or datetime.date.today(), country, progress=advance)  # noqa: DTZ011 (the user's own day)
    if html is not None:
        write_page(report, html, language)
    if json:
        out(report.json())
    else:
        for line in lines(report, language):
            out(line)
        if html is not None:
            out(f"page: {html}")
    return 1 if report.errors else 0
