"""How publishers deviate: separators, names of columns, drafts of GTFS-Flex that went out as feeds."""

import unicodedata

from noriai_gtfs.feeds.repairs import RepairLog

_MISSPELT = {
    # drafts of GTFS-Flex before its adoption in March 2024
    "start_pickup_dropoff_window": "start_pickup_drop_off_window",
    "end_pickup_dropoff_window": "end_pickup_drop_off_window",
    "dropoff_booking_rule_id": "drop_off_booking_rule_id",
    "dropoff_type": "drop_off_type",
    "shape_dist_travelled": "shape_dist_traveled",
}


def delimiter_of(header: str) -> str:
    """What separates the names of the first line: the sign that stands there most often."""
    best = max(",;\t|", key=header.count)
    return best if header.count(best) > header.count(",") else ","


def column_names(raw: list[str], file: str, repairs: RepairLog) -> list[str]:
    """Names as GTFS has them, each change noted: blanks and quotes off, small letters, misspellings mended."""
    names: list[str] = []
    plain = [unicodedata.normalize("NFKC", name).strip().strip("\"'\ufeff").strip().lower() for name in raw]
    for number, (written, name) in enumerate(zip(raw, plain, strict=True)):
        meant = _MISSPELT.get(name, name)
        name = (name if meant in plain else meant) or f"column_{number + 1}"
        if name != written:
            repairs.add("header_name", file, 1, name, written)
        if name in names:
            copy = next(f"{name}__{k}" for k in range(2, len(raw) + 2) if f"{name}__{k}" not in names)
            repairs.add("duplicate_column", file, 1, copy, written)
            name = copy
        names.append(name)
    return names
