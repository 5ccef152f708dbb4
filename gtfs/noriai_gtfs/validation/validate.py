"""One feed judged: canonical rules on the raw bytes, ours on what the reader made of it, and the reader's repairs."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from noriai_engine.model.errors import InputError
from noriai_gtfs.feeds import Feed, ReadLimits, read_feed
from noriai_gtfs.validation.across import across_notices
from noriai_gtfs.validation.canonical import canonical_notices
from noriai_gtfs.validation.japan import is_japanese, japanese_notices
from noriai_gtfs.validation.notices import Notice, canonical_codes, own_codes, own_notice
from noriai_gtfs.validation.practice import holiday_notices, practice_notices

SAMPLES = 20
_ORDER = {"ERROR": 0, "WARNING": 1, "INFO": 2}


@dataclass(frozen=True)
class Report:
    """What was found. `totals` and `own` count notices by code, `samples` has some of each with their place."""

    feed: str
    day: date
    country: str | None
    rows: dict[str, int]
    totals: dict[str, int]
    own: dict[str, int]
    samples: tuple[Notice, ...]
    repairs: tuple[dict[str, Any], ...]
    repair_totals: dict[str, int]
    unread: dict[str, str]

    @property
    def errors(self) -> int:
        """Notices of severity ERROR, canonical and own."""
        return self._count("ERROR")

    @property
    def warnings(self) -> int:
        """Notices of severity WARNING, canonical and own."""
        return self._count("WARNING")

    def _count(self, severity: str) -> int:
        return sum(n for code, n in self.totals.items() if canonical_codes()[code]["severity"] == severity) + sum(
            n for code, n in self.own.items() if own_codes()[code]["severity"] == severity
        )

    def samples_of(self, code: str) -> list[Notice]:
        return [notice for notice in self.samples if notice.code == code]

    def codes(self) -> list[tuple[str, str, int]]:
        """(severity, code, total), errors first, canonical before own."""
        rows = [(canonical_codes()[code]["severity"], 0, code, n) for code, n in self.totals.items()]
        rows += [(own_codes()[code]["severity"], 1, code, n) for code, n in self.own.items()]
        return [
            (severity, code, n) for severity, _, code, n in sorted(rows, key=lambda row: (_ORDER[row[0]], *row[1:]))
        ]

    def document(self) -> dict[str, Any]:
        """The report as JSON has it: in `notices` the canonical codes alone, ours under `noriai` and `repairs`."""

        def counted(totals: dict[str, int], known: dict[str, dict[str, str]]) -> dict[str, Any]:
            return {code: {"severity": known[code]["severity"], "total": totals[code]} for code in sorted(totals)}

        return {
            "feed": self.feed,
            "date": self.day.isoformat(),
            "country": self.country,
            "rows": self.rows,
            "unread": self.unread,
            "notices": counted(self.totals, canonical_codes()),
            "noriai": counted(self.own, own_codes()),
            "repairs": {"totals": self.repair_totals, "list": list(self.repairs)},
            "samples": [
                {"code": n.code, "file": n.file, "row": n.row, "field": n.field, "value": n.value} for n in self.samples
            ],
        }

    def json(self) -> str:
        return json.dumps(self.document(), ensure_ascii=False, indent=1)


def validate(
    path: Path, day: date, country: str | None = None, *, beside: Sequence[Path] = (),
    limits: ReadLimits | None = None, progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:  # fmt: skip
    """Judge a feed as of a day (calendar rules depend on it).

    `country` is an ISO 3166 code for phone numbers and national rules; without it Japan's rules apply to feeds with
    agencies in Asia/Tokyo. `beside` names the feeds of neighbours to hold it against. Raises FeedError where one of the
    feeds cannot be opened at all.
    """
    feed = read_feed(path, limits)
    rows, unread = {}, {}
    for number, name in enumerate(feed.table_names):
        try:
            rows[f"{name}.txt"] = len(feed[name])
        except InputError as error:
            unread[f"{name}.txt"] = str(error)
        progress(number + 1, len(feed.table_names) + 2)
    totals, samples = canonical_notices(path, day, country)
    progress(len(feed.table_names) + 1, len(feed.table_names) + 2)
    own: dict[str, int] = {}
    neighbours = [read_feed(other, limits) for other in beside]
    for notice in own_notices(feed, country, neighbours, day):
        own[notice.code] = own.get(notice.code, 0) + 1
        if own[notice.code] <= SAMPLES:
            samples.append(notice)
    progress(1, 1)
    return Report(
        feed=str(path), day=day, country=country, rows=rows, totals=totals, own=own, samples=tuple(samples),
        repairs=tuple(
            {"code": r.code, "file": r.file, "row": r.row, "column": r.column, "detail": r.detail} for r in feed.repairs
        ),
        repair_totals=feed.repairs.totals(), unread=unread,
    )  # fmt: skip


def own_notices(
    feed: Feed, country: str | None, neighbours: Sequence[Feed] = (), day: date | None = None
) -> Iterator[Notice]:
    """Findings of our own rules. A rule that meets a cell it cannot read says so and goes no further."""
    japanese = is_japanese(feed, country)
    nation = country or ("JP" if japanese else None)
    rules: list[Callable[[], Iterator[Notice]]] = [
        lambda: practice_notices(feed, japanese=japanese),
        lambda: holiday_notices(feed, nation),
    ]
    if neighbours and day is not None:
        rules.append(lambda: across_notices(feed, neighbours, day))
    if japanese:
        rules.insert(0, lambda: japanese_notices(feed))
    told: set[str] = set()
    for rule in rules:
        try:
            yield from rule()
        except InputError as error:
            if (why := str(error).replace("\n", " ")) not in told:
                told.add(why)
                yield own_notice("rules_not_judged", "", 0, "", why)
