"""What the reader put right: each repair with file, row and cell, kept in arrays so that a million of them fit."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

CODES = {
    "byte_order_mark": {"en": "a byte order mark was taken off", "ja": "バイト順マークを取り除きました"},
    "encoding": {"en": "was not UTF-8", "ja": "UTF-8ではない文字コードでした"},
    "mixed_encoding": {"en": "a line in another encoding than the rest", "ja": "ほかの行と文字コードが違う行です"},
    "nul_byte": {"en": "NUL bytes were taken out", "ja": "NULバイトを取り除きました"},
    "bare_carriage_return": {"en": "a carriage return alone ended the row", "ja": "改行がCRだけの行です"},
    "delimiter": {"en": "cells were not separated by commas", "ja": "カンマ以外の区切り文字でした"},
    "file_name": {"en": "was found under another name", "ja": "別の名前のファイルでした"},
    "sub_folder": {"en": "was found in a sub-folder", "ja": "サブフォルダの中にありました"},
    "nested_zip": {"en": "was found in a zip inside the zip", "ja": "ZIPの中のZIPにありました"},
    "duplicate_file": {"en": "came twice; the first was read", "ja": "同じファイルが二つあり、最初のものを読みました"},
    "header_name": {"en": "the name of a column was read as another", "ja": "列名を読み替えました"},
    "duplicate_column": {
        "en": "the name of a column came twice; the second got a number",
        "ja": "同じ列名が二度あり、後のものに番号を付けました",
    },
    "padded_cell": {"en": "blanks around a cell were taken off", "ja": "値の前後の空白を取り除きました"},
    "short_row": {
        "en": "cells were missing at the end of the row; read as empty",
        "ja": "行の終わりの列が足りず、空として読みました",
    },
    "long_row": {
        "en": "the row has more cells than the header; those beyond it were not read",
        "ja": "見出しより列が多く、余りを読みませんでした",
    },
    "text_after_quote": {
        "en": "text stood behind a closing quote; it was joined to the cell",
        "ja": "閉じ引用符の後ろの文字を値につなげました",
    },
    "stray_quote": {
        "en": "a quote never ended; quotes of that row were read as characters",
        "ja": "閉じていない引用符を文字として読みました",
    },
    "blank_line": {"en": "a line without cells was passed over", "ja": "空の行を読み飛ばしました"},
    "time_format": {"en": "a time was not written H:MM:SS", "ja": "H:MM:SS 以外の形の時刻を読み替えました"},
    "date_format": {"en": "a date was not written YYYYMMDD", "ja": "YYYYMMDD 以外の形の日付を読み替えました"},
    "number_format": {"en": "a number was not written as one", "ja": "数値を読み替えました"},
    "blank_time": {
        "en": "a time between two given ones was estimated along the trip",
        "ja": "前後の停留所から時刻を補いました",
    },
}
"""Every repair there is, with what it says about a cell, a row or a file."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing put right. `row` counts lines of the file from 1 (0: the whole file), `column` is its name or ""."""

    code: str
    file: str
    row: int
    column: str
    detail: str


@dataclass
class _Group:
    rows: list[npt.NDArray[np.int32]] = field(default_factory=list)
    detail: str = ""

    @property
    def count(self) -> int:
        return sum(rows.size for rows in self.rows)


class RepairLog:
    """All repairs of a feed, in the order in which files were read."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str, str], _Group] = {}

    def add(self, code: str, file: str, row: int = 0, column: str = "", detail: str = "") -> None:
        """Note one repair."""
        self.add_rows(code, file, np.array([row], np.int32), column, detail)

    def add_rows(self, code: str, file: str, rows: npt.NDArray[np.int32], column: str = "", detail: str = "") -> None:
        """Note the same repair in many rows."""
        if code not in CODES:
            raise KeyError(f"{code} is no repair of noriai_gtfs.feeds.repairs.CODES")
        if rows.size:
            self._groups.setdefault((code, file, column, detail), _Group()).rows.append(rows.astype(np.int32))

    def __iter__(self) -> Iterator[Repair]:
        for (code, file, column, detail), group in self._groups.items():
            for rows in group.rows:
                for row in rows.tolist():
                    yield Repair(code, file, row, column, detail)

    def __len__(self) -> int:
        return sum(group.count for group in self._groups.values())

    def totals(self) -> dict[str, int]:
        """Repairs by code."""
        out: dict[str, int] = {}
        for (code, *_), group in self._groups.items():
            out[code] = out.get(code, 0) + group.count
        return out

    def forget(self, file: str) -> None:
        """Take back what was noted of a file that is read again from its start."""
        self._groups = {key: group for key, group in self._groups.items() if key[1] != file}
