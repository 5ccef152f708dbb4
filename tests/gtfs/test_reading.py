"""Feeds of every dialect are read whole, each repair with its place; attacks end in a sentence, not in memory."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gtfs.feeds_made import DIALECTS, TOWN, plain, zipped
from hypothesis import given, settings
from hypothesis import strategies as st
from naive.csv_rows import rows_of

from noriai_engine.model.errors import InputError, RowError
from noriai_gtfs import FeedError, read_feed
from noriai_gtfs.feeds import ReadLimits
from noriai_gtfs.feeds.archive import CHUNK_BYTES, Member
from noriai_gtfs.feeds.parse import read_table
from noriai_gtfs.feeds.repairs import RepairLog
from noriai_gtfs.feeds.table import Table


def a_table(data: bytes, limits: ReadLimits | None = None) -> tuple[Table, RepairLog]:
    repairs = RepairLog()
    member = Member("t.txt", "t.txt", len(data), len(data), lambda: io.BytesIO(data))
    return read_table(member, limits or ReadLimits(), repairs), repairs


def cells_of(table: Table) -> list[list[str]]:
    return [list(row.values()) for row in table.records()]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_clean_cells(tmp_path: Path, dialect: str) -> None:
    """22 ways x 7 tables: every row and every cell is there, and the names of files and columns are GTFS's."""
    feed = read_feed(zipped(tmp_path / "f.zip", DIALECTS[dialect](TOWN)))
    for name, text in TOWN.items():
        header, rows = rows_of(text)
        table = feed[name.removesuffix(".txt")]
        assert list(table.columns) == header
        assert cells_of(table) == rows
    repairs = feed.repairs.totals()
    assert (not repairs) == (dialect in {"clean", "quoted_crlf", "no_last_line_break", "empty_optional_files"})


def test_repairs_name_their_cells() -> None:
    data = b'a, b ,c\n1, 2,3\n4,5\n\n6,7,8,9\n"x"y,2,3\n'
    table, repairs = a_table(data)
    assert cells_of(table) == [["1", "2", "3"], ["4", "5", ""], ["6", "7", "8"], ["xy", "2", "3"]]
    found = {(r.code, r.row, r.column) for r in repairs}
    assert found == {
        ("header_name", 1, "b"), ("padded_cell", 2, "b"), ("short_row", 3, ""), ("blank_line", 4, ""),
        ("long_row", 5, ""), ("text_after_quote", 6, "a"),
    }  # fmt: skip
    assert [table.line_of(row) for row in range(4)] == [2, 3, 5, 6]


def test_a_quote_that_never_ends_costs_one_row_only() -> None:
    body = b"".join(b"%d,plain\n" % number for number in range(1000))
    table, repairs = a_table(b"id,name\n" + body + b'x,"open\n' + body)
    assert len(table) == 2001
    assert table["name"].values[1000] == '"open'
    assert [(r.code, r.row) for r in repairs] == [("stray_quote", 1002)]


def test_too_many_open_quotes_are_refused() -> None:
    lines = b"".join(b'"%d,' % number + b"x" * 2000 + b"\n" + b"y\n" * 1500 for number in range(5))
    limits = ReadLimits(row_bytes=1500, stray_quotes=3)
    with pytest.raises(RowError, match=r"row 4505.*more than 3 rows"):
        a_table(b"a,b\n" + lines.replace(b"x" * 2000, b"x" * 200), limits)


def test_line_breaks_inside_quotes_keep_the_count_of_lines() -> None:
    table, _ = a_table(b'id,name\n1,"two\nlines"\n2,x\n')
    assert table["name"].values == ["two\nlines", "x"]
    assert [table.line_of(row) for row in range(2)] == [2, 4]


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.text(st.sampled_from('ab,"\n\r ;é駅'), max_size=6), min_size=3, max_size=3), min_size=1, max_size=20
    ),
    delimiter=st.sampled_from([",", ";"]),
)
def test_written_cells_come_back(rows: list[list[str]], delimiter: str) -> None:
    """Whatever Python's csv module writes is read back as it reads it."""
    import csv

    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows([["one", "two", "three"], *rows])
    table, _ = a_table(out.getvalue().encode())
    assert cells_of(table) == rows_of(out.getvalue(), delimiter)[1]


@pytest.mark.compiled
@pytest.mark.parametrize("quoted", [False, True])
def test_rows_across_pieces(quoted: bool) -> None:
    """More bytes than are read at once, with doubled quotes where a piece may end."""
    import csv

    rng = np.random.default_rng(1)
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator="\n")
    names = ['say "hi"', "a,b", "駅前", "x" * 300, ""]
    picks = rng.integers(len(names), size=70_000).tolist()
    writer.writerow(["id", "name", "more"])
    writer.writerows([number, names[pick], "tail"] for number, pick in enumerate(picks))
    data = out.getvalue().encode()
    assert len(data) > CHUNK_BYTES
    table, _ = a_table(data)
    assert table["name"].values == [names[pick] for pick in picks]
    assert table["id"].integers(-1).tolist() == list(range(len(picks)))


def test_times_dates_and_numbers() -> None:
    table, repairs = a_table(
        't,d,n\n8:05:00,20260401,1.5\n25:10:30,2026-04-01,"1,5"\n,,0\n08:05,2026/4/1,１２\n'.encode()
    )
    assert table["t"].times_ms().tolist() == [29_100_000, 90_630_000, -1, 29_100_000]
    assert table["d"].days().tolist() == [20544, 20544, -1, 20544]
    np.testing.assert_array_equal(table["n"].floats(), [1.5, 1.5, 0.0, 12.0])
    assert {(r.code, r.row) for r in repairs} == {
        ("time_format", 5), ("date_format", 3), ("date_format", 5), ("number_format", 3), ("number_format", 5),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("t", "noon", "row 2, column t"),
        ("t", "08:61:00", "no time"),
        ("d", "20260431", "no date"),
        ("n", "x", "number"),
    ],
)
def test_cells_that_mean_nothing_are_named(column: str, text: str, message: str) -> None:
    table, _ = a_table(f"{column}\n{text}\n".encode())
    read = {"t": table[column].times_ms, "d": table[column].days, "n": table[column].floats}[column]
    with pytest.raises(RowError, match=message):
        read()


def test_a_zip_in_a_zip(tmp_path: Path) -> None:
    zipped(tmp_path / "in.zip", plain(TOWN))
    inner = (tmp_path / "in.zip").read_bytes()
    one = zipped(tmp_path / "one.zip", {"bus/in.zip": inner})
    assert len(read_feed(one)["stop_times"]) == 8
    two = zipped(tmp_path / "two.zip", {"a.zip": inner, "b.zip": inner})
    with pytest.raises(FeedError, match="holds 2 feeds"):
        read_feed(two)
    assert len(read_feed(Path(f"{two}!b.zip"))["stops"]) == 4
    with pytest.raises(FeedError, match=r"a\.zip"):
        read_feed(Path(f"{two}!c.zip"))


def test_folders_and_litter(tmp_path: Path) -> None:
    for name, data in (plain(TOWN) | {".DS_Store": b"x", "readme.md": b"hello"}).items():
        (tmp_path / name).write_bytes(data)
    feed = read_feed(tmp_path)
    assert len(feed["stops"]) == 4
    assert "readme" not in feed
    (tmp_path.parent / "secret.txt").write_text("a\n1\n")
    (tmp_path / "shapes.txt").symlink_to(tmp_path.parent / "secret.txt")
    with pytest.raises(FeedError, match="leads out"):
        read_feed(tmp_path)


def _zip_of(path: Path, name: str, size: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w", force_zip64=True) as file:
        for _ in range(size >> 20):
            file.write(b"a,b\n" * (1 << 18))
    return path


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../stops.txt": b"stop_id\nA\n"}, "leads out"),
        ({"/etc/stops.txt": b"stop_id\nA\n"}, "leads out"),
        ({"C:\\stops.txt": b"stop_id\nA\n"}, "leads out"),
        ({"stops.txt": b"," * 100_000 + b"\n"}, "columns"),
        ({"stops.txt": b"x" * (3 << 20)}, "begins with a line"),
        ({"stops.txt": b"stop_id\n" + b"x" * (3 << 20)}, "longer than"),
        ({"stops.txt": b"stop_id\n" + b'"' + b"x" * (3 << 20)}, "longer than"),
        ({"readme.md": b"no feed"}, "holds no table"),
        ({f"t{number}.txt": b"a\n" for number in range(2001)}, "files"),
    ],
)
def test_attacks_are_refused_in_bounded_memory(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    path = zipped(tmp_path / "f.zip", files)
    tracemalloc.start()
    with pytest.raises(InputError, match=message):
        read_feed(path).read_all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120 << 20


def test_zip_bombs_are_refused_unopened(tmp_path: Path) -> None:
    bomb = _zip_of(tmp_path / "bomb.zip", "stop_times.txt", 300 << 20)
    assert bomb.stat().st_size < 2 << 20
    with pytest.raises(FeedError, match="zip bombs"):
        read_feed(bomb)
    with pytest.raises(FeedError, match="more than 1,000 bytes"):
        read_feed(zipped(tmp_path / "f.zip", plain(TOWN)), ReadLimits(feed_bytes=1000))


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path) -> None:
    """The size in the directory says 10 bytes; what comes out is counted."""
    data = bytearray(zipped(tmp_path / "f.zip", {"stops.txt": b"stop_id\n" + b"A\n" * 100_000}).read_bytes())
    real = (200_008).to_bytes(4, "little")
    assert data.count(real) == 2
    (tmp_path / "f.zip").write_bytes(bytes(data).replace(real, (10).to_bytes(4, "little")))
    with pytest.raises(FeedError, match="unpacked"):
        read_feed(tmp_path / "f.zip").read_all()


def test_conformance_feeds_keep_their_rows(shared: Path) -> None:
    """Rows that a lenient reader must recover, as counted by hand for the dialect feeds."""
    folder = shared / "gtfs-conformance"
    expected = json.loads((folder / "expected.json").read_text())
    dialects = {name: entry["lenient_rows"] for name, entry in expected.items() if "lenient_rows" in entry}
    assert len(dialects) >= 4
    for name, rows in dialects.items():
        feed = read_feed(folder / name)
        assert {file: len(feed[file.removesuffix(".txt")]) for file in rows} == rows


def test_every_published_feed_is_read_or_refused_by_name(shared: Path) -> None:
    """All 59 zips of the folder; the counts of stop_times are those of its README."""
    counted = {}
    for line in (shared / "gtfs" / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 5 and cells[1].endswith(".zip"):
            counted[cells[1]] = cells[4].split("/")[-1]
    seen = 0
    for path in sorted((shared / "gtfs").glob("*/*.zip")):
        name = path.relative_to(shared / "gtfs").as_posix()
        if name == "errors/unknown_format.zip":
            with pytest.raises(FeedError, match="not a readable zip"):
                read_feed(path)
            continue
        feed = read_feed(path)
        feed.read_all()
        if counted[name].isdigit():
            assert len(feed["stop_times"]) == int(counted[name]), name
            seen += 1
    assert seen > 45


def test_polars_reads_the_same_cells(shared: Path) -> None:
    """A second reader: every cell of stop_times, stops and shapes of a real feed."""
    import polars

    path = shared / "gtfs" / "world" / "portoalegre-eptc.zip"
    feed = read_feed(path)
    with zipfile.ZipFile(path) as archive:
        for name in ("stop_times", "stops", "shapes"):
            other = polars.read_csv(archive.read(f"{name}.txt"), infer_schema=False)
            for column in other.columns:
                values = other[column].fill_null("").str.strip_chars().to_list()
                assert feed[name][column.strip()].values == values, (name, column)
