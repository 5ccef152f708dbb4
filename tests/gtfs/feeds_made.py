"""Small feeds for tests, and the dialects that publishers write them in."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

Tables = dict[str, str]

TOWN: Tables = {
    "agency.txt": "agency_id,agency_name,agency_url,agency_timezone,agency_lang\nM,みどり町,https://example.com,Asia/Tokyo,ja\n",
    "stops.txt": "stop_id,stop_name,stop_lat,stop_lon\n"
    "A,みどり駅,36.90,137.50\nB,町立病院,36.91,137.51\nC,\"商店街, 東口\",36.92,137.52\nD,能登屋前,36.93,137.53\n",
    "routes.txt": "route_id,agency_id,route_short_name,route_long_name,route_type\nR1,M,泊,泊線 表町経由,3\nR2,M,山,山手線,3\n",
    "trips.txt": "route_id,service_id,trip_id,trip_headsign\n"
    "R1,W,T1,町立病院\nR1,W,T2,町立病院\nR2,W,T3,能登屋前\n",
    "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
    "T1,08:00:00,08:00:00,A,1\nT1,08:10:00,08:11:00,C,2\nT1,08:20:00,08:20:00,B,3\n"
    "T2,09:00:00,09:00:00,A,1\nT2,09:10:00,09:11:00,C,2\nT2,09:20:00,09:20:00,B,3\n"
    "T3,08:30:00,08:30:00,B,1\nT3,25:05:00,25:05:00,D,2\n",
    "calendar.txt": "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
    "W,1,1,1,1,1,0,0,20260401,20270331\n",
    "translations.txt": "table_name,field_name,language,translation,record_id\n"
    "stops,stop_name,ja-Hrkt,みどりえき,A\nstops,stop_name,ja-Hrkt,ちょうりつびょういん,B\n"
    "stops,stop_name,ja-Hrkt,しょうてんがい ひがしぐち,C\nstops,stop_name,ja-Hrkt,のとやまえ,D\n",
}  # fmt: skip


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    """A zip with these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def plain(tables: Tables) -> dict[str, bytes]:
    return {name: text.encode() for name, text in tables.items()}


def _encoded(encoding: str) -> Callable[[Tables], dict[str, bytes]]:
    return lambda tables: {name: text.encode(encoding) for name, text in tables.items()}


def _each(change: Callable[[str], str]) -> Callable[[Tables], dict[str, bytes]]:
    return lambda tables: {name: change(text).encode() for name, text in tables.items()}


def _semicolons(text: str) -> str:
    import csv

    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\n").writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


def _padded(text: str) -> str:
    import csv

    rows = list(csv.reader(io.StringIO(text)))
    return "\n".join(", ".join(f'"{cell}" ' if "," in cell else f" {cell} " for cell in row) for row in rows) + "\n"


def _quoted(text: str) -> str:
    import csv

    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


def _mixed(tables: Tables) -> dict[str, bytes]:
    """Every third line in Shift-JIS, as after pasting from a spreadsheet."""
    return {
        name: b"\n".join(
            line.encode("cp932" if number % 3 == 2 else "utf-8") for number, line in enumerate(text.split("\n"))
        )
        for name, text in tables.items()
    }


DIALECTS: dict[str, Callable[[Tables], dict[str, bytes]]] = {
    "clean": plain,
    "byte_order_mark": _encoded("utf-8-sig"),
    "utf_16": _encoded("utf-16"),
    "utf_16_without_mark": _encoded("utf-16-le"),
    "cp932": _encoded("cp932"),
    "euc_jp": _encoded("euc_jp"),
    "mixed_encodings": _mixed,
    "semicolons": _each(_semicolons),
    "tabs": _each(lambda text: _semicolons(text).replace(";", "\t")),
    "padded": _each(_padded),
    "quoted_crlf": _each(_quoted),
    "carriage_returns": _each(lambda text: text.replace("\n", "\r")),
    "upper_case_headers": _each(lambda text: text.partition("\n")[0].upper() + "\n" + text.partition("\n")[2]),
    "upper_case_files": lambda tables: {name.upper(): text.encode() for name, text in tables.items()},
    "csv_files": lambda tables: {name.replace(".txt", ".csv"): text.encode() for name, text in tables.items()},
    "sub_folder": lambda tables: {f"gtfs/data/{name}": text.encode() for name, text in tables.items()},
    "windows_paths": lambda tables: {f"gtfs\\{name}": text.encode() for name, text in tables.items()},
    "blank_lines": _each(lambda text: text.replace("\n", "\n\n")),
    "no_last_line_break": _each(lambda text: text.rstrip("\n")),
    "empty_optional_files": lambda tables: plain(tables) | {"transfers.txt": b"", "shapes.txt": b"shape_id\n"},
    "nul_bytes": _each(lambda text: text.replace("\n", "\n\0")),
    "cp932_semicolons_padded": lambda tables: {
        name: _semicolons(text).replace(";", " ; ").encode("cp932") for name, text in tables.items()
    },
}
"""Ways in which the same tables are published; none loses a row or a cell."""
