"""Tables in and out: dialects of CSV, spreadsheets, Parquet, and folders that appear whole."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from noriai_engine.model import InputError
from noriai_engine.tables import Column, read_table, replace_folder, write_csv, write_parquet
from noriai_engine.tables.read import read_parquet_columns

COLUMNS = [
    Column("n", "int64", [1, None, 3]), Column("x", "float64", [0.5, 2.0, None]),
    Column("s", "string", ["あさひ", "", None]), Column("b", "bool", [True, None, False]),
]  # fmt: skip


def test_parquet_is_read_alike_by_pyarrow_and_by_us(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", COLUMNS)
    theirs = pq.read_table(tmp_path / "t.parquet").to_pydict()
    assert theirs == {c.name: list(c.values) for c in COLUMNS} == read_parquet_columns(tmp_path / "t.parquet")


def test_equal_content_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_parquet(tmp_path / name, COLUMNS)
        write_csv(tmp_path / f"{name}.csv", COLUMNS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.csv").read_text() == "n,x,s,b\n1,0.5,あさひ,1\n,2.0,,\n3,,,0\n"


@pytest.mark.parametrize(
    "raw",
    [
        "id,name\n1,朝日町\n".encode(), "\ufeffid,name\r\n1,朝日町\r\n".encode(), "id,name\n1,朝日町\n".encode("cp932"),
        "id;name\n1;朝日町\n".encode(), "id\tname\n\n1\t朝日町\n\n".encode(), ' id , name \n1,"朝日町"\n'.encode(),
    ],
)  # fmt: skip
def test_dialects_of_csv(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(raw)
    table = read_table(tmp_path / "t.csv")
    assert [(row.integer("id"), row.text("name")) for row in table] == [(1, "朝日町")]


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("t.csv", b"", "is empty"), ("t.csv", b"\xff\xfe\x81\x00", "neither UTF-8"), ("t.doc", b"x", "is of kind"),
        ("t.parquet", b"PAR1....PAR1", "Parquet"), ("t.parquet", b"no", "Parquet"), ("t.xlsx", b"no", "spreadsheet"),
    ],
)  # fmt: skip
def test_files_that_are_no_tables(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / name)


def test_row_errors_name_file_row_and_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n,x\n1.5,nan\n")
    row = read_table(tmp_path / "t.csv").rows[0]
    for read, message in [
        (lambda: row.integer("n"), "row 2, column n"), (lambda: row.number("x"), "finite"),
        (lambda: row.text("gone"), "is empty"), (lambda: row.integer("n", 3, least=2), "whole number"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            read()  # type: ignore[no-untyped-call]


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def interrupted() -> None:
        with replace_folder(target, marker="done") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert not list(tmp_path.iterdir())
    for text in ("first", "second"):
        with replace_folder(target, marker="done") as folder:
            (folder / "done").write_text(text)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (target / "done").read_text() == "second"


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="remedy"), replace_folder(tmp_path / "file" / "out", marker="done"):
        pass
    with pytest.raises(InputError, match="not an earlier result"), replace_folder(tmp_path / "file", marker="done"):
        pass
