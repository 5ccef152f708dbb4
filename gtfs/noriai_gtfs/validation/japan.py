"""GTFS-JP (標準的なバス情報フォーマット): what the third edition and the draft of the fourth ask beyond GTFS."""

import re
from collections.abc import Callable, Iterator

from noriai_gtfs.feeds import Feed, Table
from noriai_gtfs.validation.notices import Notice, own_notice

_REQUIRED = {
    "feed_info": ("feed_publisher_name", "feed_publisher_url", "feed_lang", "feed_start_date", "feed_end_date",
                  "feed_version"),
    "agency": ("agency_id", "agency_name", "agency_url", "agency_timezone", "agency_lang"),
    "routes": ("route_id", "agency_id", "route_type"),
    "fare_attributes": ("fare_id", "price", "currency_type", "payment_method", "transfers"),
}  # fmt: skip
_LETTERS = re.compile(r"[^\x00-\x7f]")


def is_japanese(feed: Feed, country: str | None) -> bool:
    """Whether Japan's rules apply: asked for by country, or the agencies' clocks stand in Tokyo."""
    if country:
        return country.upper() == "JP"
    zones = {row.get("agency_timezone") for row in feed.get("agency").records()}
    return "Asia/Tokyo" in zones


def japanese_notices(feed: Feed) -> Iterator[Notice]:
    """Every finding, rule by rule."""
    for rule in _RULES:
        yield from rule(feed)


def _files(feed: Feed) -> Iterator[Notice]:
    if "feed_info" not in feed or not len(feed["feed_info"]):
        yield own_notice("jp_missing_feed_info", "feed_info.txt")
    fares = len(feed.get("fare_attributes"))
    if not fares or (fares > 1 and not len(feed.get("fare_rules"))):
        yield own_notice("jp_missing_fares", "fare_attributes.txt")
    if "translations" not in feed:
        yield own_notice("jp_missing_translations", "translations.txt")


def _required(feed: Feed) -> Iterator[Notice]:
    for name, fields in _REQUIRED.items():
        table = feed.get(name)
        for field in fields:
            column = table.column_or_blank(field)
            for row in (~column.is_filled).nonzero()[0].tolist():
                yield own_notice("jp_required_field_empty", table.name, table.line_of(row), field)


class Readings:
    """Kana readings of a feed, in the adopted form of translations.txt and the one before 2020."""

    def __init__(self, feed: Feed) -> None:
        table = feed.get("translations")
        self.is_legacy = "trans_id" in table and "table_name" not in table
        self._by_record: set[tuple[str, str, str]] = set()
        self._by_value: set[tuple[str, str, str]] = set()
        self._legacy: set[str] = set()
        for row in table.records():
            if not row.get("translation"):
                continue
            if row.get("lang" if self.is_legacy else "language", "").lower() != "ja-hrkt":
                continue
            if self.is_legacy:
                self._legacy.add(row.get("trans_id", ""))
                continue
            key = row.get("table_name", ""), row.get("field_name", "")
            if row.get("record_id"):
                self._by_record.add((*key, row["record_id"]))
            elif row.get("field_value"):
                self._by_value.add((*key, row["field_value"]))
            else:
                self._by_record.add((*key, ""))

    def has(self, table: str, field: str, record: str, value: str) -> bool:
        """Whether a text of a record has a reading."""
        return (
            value in self._legacy
            or (table, field, record) in self._by_record
            or (table, field, value) in self._by_value
            or (table == "feed_info" and (table, field, "") in self._by_record)
        )


def _kana(feed: Feed) -> Iterator[Notice]:
    readings = Readings(feed)
    if readings.is_legacy:
        yield own_notice("jp_legacy_translations", "translations.txt", 1)
    for code, table_name, key, fields in (
        ("jp_stop_name_without_kana", "stops", "stop_id", ("stop_name",)),
        ("jp_route_name_without_kana", "routes", "route_id", ("route_long_name", "route_short_name")),
        ("jp_headsign_without_kana", "trips", "trip_id", ("trip_headsign",)),
        ("jp_agency_name_without_kana", "agency", "agency_id", ("agency_name",)),
    ):
        table = feed.get(table_name)
        for field in fields:
            if field not in table:
                continue
            for row, (record, value) in enumerate(
                zip(table.column_or_blank(key).values, table[field].values, strict=True)
            ):
                if value and _LETTERS.search(value) and not readings.has(table_name, field, record, value):
                    yield own_notice(code, table.name, table.line_of(row), field, value)


def _known(feed: Feed, code: str, table: Table, field: str, known: set[str]) -> Iterator[Notice]:
    if field in table:
        for row, value in enumerate(table[field].values):
            if value and value not in known:
                yield own_notice(code, table.name, table.line_of(row), field, value)


def _unique(code: str, table: Table, field: str, known: set[str] | None = None) -> Iterator[Notice]:
    seen: set[str] = set()
    for row, value in enumerate(table.column_or_blank(field).values):
        if not value or value in seen or (known is not None and value not in known):
            yield own_notice(code, table.name, table.line_of(row), field, value)
        seen.add(value)


def _values(feed: Feed, table: str, field: str) -> set[str]:
    return set(feed.get(table).column_or_blank(field).texts)


def _own_tables(feed: Feed) -> Iterator[Notice]:
    agency_jp, office, routes_jp = feed.get("agency_jp"), feed.get("office_jp"), feed.get("routes_jp")
    pattern, trips = feed.get("pattern_jp"), feed.get("trips")
    for row, value in enumerate(agency_jp.column_or_blank("agency_id").values):
        if not value:
            yield own_notice("jp_agency_jp_without_id", agency_jp.name, agency_jp.line_of(row), "agency_id")
    yield from _known(feed, "jp_agency_jp_unknown", agency_jp, "agency_id", _values(feed, "agency", "agency_id"))
    for row, value in enumerate(agency_jp.column_or_blank("agency_zip_number").values):
        if value and not re.fullmatch(r"[0-9]{7}", value):
            yield own_notice("jp_zip_number", agency_jp.name, agency_jp.line_of(row), "agency_zip_number", value)
    yield from _unique("jp_office_id", office, "office_id")
    for row, value in enumerate(office.column_or_blank("office_name").values):
        if not value:
            yield own_notice("jp_office_without_name", office.name, office.line_of(row), "office_name")
    yield from _unique("jp_routes_jp_id", routes_jp, "route_id", _values(feed, "routes", "route_id"))
    yield from _unique("jp_pattern_id", pattern, "jp_pattern_id")
    yield from _known(feed, "jp_unknown_pattern", trips, "jp_pattern_id", _values(feed, "pattern_jp", "jp_pattern_id"))
    yield from _known(feed, "jp_unknown_office", trips, "jp_office_id", _values(feed, "office_jp", "office_id"))


def _settings(feed: Feed) -> Iterator[Notice]:
    for code, table_name, field, wanted in (
        ("jp_feed_lang", "feed_info", "feed_lang", "ja"),
        ("jp_agency_lang", "agency", "agency_lang", "ja"),
        ("jp_timezone", "agency", "agency_timezone", "Asia/Tokyo"),
        ("jp_currency", "fare_attributes", "currency_type", "JPY"),
    ):
        table = feed.get(table_name)
        for row, value in enumerate(table.column_or_blank(field).values):
            if value and value != wanted:
                yield own_notice(code, table.name, table.line_of(row), field, value)
    agency = feed.get("agency")
    for row, value in enumerate(agency.column_or_blank("agency_id").values):
        if value and not is_corporate_number(re.split(r"[_-]", value)[0]):
            yield own_notice("jp_agency_id_no_corporate_number", agency.name, agency.line_of(row), "agency_id", value)


def _zones(feed: Feed) -> Iterator[Notice]:
    rules = feed.get("fare_rules")
    if not (
        rules.column_or_blank("origin_id").is_filled.any() or rules.column_or_blank("destination_id").is_filled.any()
    ):
        return
    stops = feed.get("stops")
    used = _values(feed, "stop_times", "stop_id")
    zone, kind = stops.column_or_blank("zone_id"), stops.column_or_blank("location_type").values
    for row, stop in enumerate(stops.column_or_blank("stop_id").values):
        if not zone.is_filled[row] and kind[row] in ("", "0") and stop in used:
            yield own_notice("jp_stop_without_zone", stops.name, stops.line_of(row), "zone_id", stop)


def is_corporate_number(text: str) -> bool:
    """Whether thirteen digits are a corporate number (法人番号): the first digit is a check over the twelve others.

    Check digit: 9 - (sum of digit x weight mod 9), weights 1 and 2 in turn from the right
    (法人番号の指定等に関する省令).
    """
    if not re.fullmatch(r"[1-9][0-9]{12}", text):
        return False
    total = sum(int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(text[1:])))
    return int(text[0]) == 9 - total % 9


_RULES: tuple[Callable[[Feed], Iterator[Notice]], ...] = (
    _files, _required, _kana, _own_tables, _settings, _zones,
)  # fmt: skip
