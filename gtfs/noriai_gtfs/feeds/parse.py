"""From the bytes of a file to a Table: header, encoding, rows piece by piece in bounded memory."""

import codecs
import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from noriai_engine.model.errors import RowError
from noriai_gtfs.feeds import dialects
from noriai_gtfs.feeds.archive import CHUNK_BYTES, FeedError, Member, ReadLimits
from noriai_gtfs.feeds.encodings import to_utf8
from noriai_gtfs.feeds.kernels import cells as k
from noriai_gtfs.feeds.repairs import RepairLog
from noriai_gtfs.feeds.table import Column, Table, Vocabulary

ROWS_AT_ONCE = 1 << 15
NOTES_AT_ONCE = 1 << 13
_NOTES = {
    k.PADDED: "padded_cell", k.SHORT_ROW: "short_row", k.LONG_ROW: "long_row",
    k.TEXT_AFTER_QUOTE: "text_after_quote", k.BLANK_LINE: "blank_line", k.BARE_CR: "bare_carriage_return",
}  # fmt: skip


class _NotUtf8(Exception):  # noqa: N818 (a turn of the path, caught in this file)
    pass


def read_table(member: Member, limits: ReadLimits, repairs: RepairLog) -> Table:
    """A file as a Table. Raises FeedError or RowError where it cannot be one, whatever stands in it."""
    try:
        return _Reader(member, limits, repairs).read(_checked_utf8(_unpacked_ahead(member, limits)))
    except _NotUtf8:
        repairs.forget(member.name)
    data = to_utf8(b"".join(member.chunks(limits)), member.name, repairs)
    return _Reader(member, limits, repairs).read(
        data[at : at + CHUNK_BYTES] for at in range(0, max(1, len(data)), CHUNK_BYTES)
    )


def _unpacked_ahead(member: Member, limits: ReadLimits) -> Iterator[bytes]:
    """The chunks of a file; of a large one the next is unpacked while the last is read."""
    chunks = member.chunks(limits)
    if member.size <= 2 * CHUNK_BYTES:
        yield from chunks
        return
    with ThreadPoolExecutor(1) as unpacker:
        coming = unpacker.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = unpacker.submit(next, chunks, None)
            yield chunk


def _checked_utf8(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks; raises _NotUtf8 at the first that is not UTF-8, or is UTF-16 in disguise."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    first = True
    for chunk in chunks:
        try:
            if not chunk.isascii():
                decoder.decode(chunk)
            else:
                decoder.decode(b"")
                if decoder.getstate()[0]:
                    raise _NotUtf8
        except UnicodeDecodeError as error:
            raise _NotUtf8 from error
        if first and chunk[:4096].count(0) > 64:
            raise _NotUtf8
        first = False
        yield chunk
    if decoder.getstate()[0]:
        raise _NotUtf8


def _writable(source: bytes) -> npt.NDArray[np.uint8]:
    """The bytes with the room behind them that kernels want."""
    data = np.zeros(len(source) + k.SPARE_BYTES, np.uint8)
    data[: len(source)] = np.frombuffer(source, np.uint8)
    return data


class _Words:
    """A vocabulary that grows."""

    def __init__(self) -> None:
        self._arrays = k.VocabularyArrays(
            slot=np.full(64, -1, np.int32), slot_key=np.zeros(64, np.uint64), offset=np.zeros(65, np.int64),
            bytes=np.empty(1024, np.uint8), used=np.ones(1, np.int64), key=np.zeros(64, np.uint64),
            clock=np.zeros(172_800, np.int32), after=np.zeros(64, np.int32),
        )  # fmt: skip

    def number(self, data: npt.NDArray[np.uint8], cells: k.Cells, column: int, rows: int) -> npt.NDArray[np.int32]:
        out = np.empty(rows, np.int32)
        done = 0
        while (done := k.number_cells(data, cells, column, done, rows, self._arrays, out)) < rows:
            self._grow(int(cells.end[done, column] - cells.begin[done, column]))
        return out

    def _grow(self, wanted: int) -> None:
        slot, slot_key, offset, bytes_, used, key, clock, after = self._arrays
        count = int(used[0])
        if count >= min(offset.size - 1, 3 * slot.size // 4):
            slot, slot_key = np.full(4 * slot.size, -1, np.int32), np.zeros(4 * slot.size, np.uint64)
            offset = np.concatenate([offset[: count + 1], np.zeros(slot.size - count, np.int64)])
            key = np.concatenate([key[:count], np.zeros(slot.size - count, np.uint64)])
            after = np.concatenate([after[:count], np.zeros(slot.size - count, np.int32)])
        if offset[count] + wanted > bytes_.size:
            bytes_ = np.concatenate([bytes_, np.empty(max(bytes_.size, wanted), np.uint8)])
        again = slot is not self._arrays.slot
        self._arrays = k.VocabularyArrays(slot, slot_key, offset, bytes_, used, key, clock, after)
        if again:
            k.place_again(self._arrays)

    def finished(self) -> Vocabulary:
        used = int(self._arrays.used[0])
        offset = self._arrays.offset[: used + 1].copy()
        return Vocabulary(offset, self._arrays.bytes[: offset[-1]].copy())


class _Reader:
    def __init__(self, member: Member, limits: ReadLimits, repairs: RepairLog) -> None:
        self.member, self.limits, self.repairs, self.file = member, limits, repairs, member.name
        self.names: list[str] = []
        self.delimiter = ","
        self.rows = 0
        self.numbers: list[list[npt.NDArray[np.generic]]] = []
        self.lines: list[npt.NDArray[np.int32]] = []
        self.stray_quotes = 0

    def read(self, chunks: Iterator[bytes]) -> Table:
        rest, first, line = b"", True, 1
        pieces = iter(chunks)
        piece = next(pieces, b"")
        while True:
            following = next(pieces, None)
            is_last = following is None
            data = rest + piece if rest else piece
            if b"\0" in data:
                self._note_nul_bytes(data, line)
                data = data.replace(b"\0", b"")
            start = 0
            if first:
                start, line = self._header(data, is_last)
                first = False
            at, line = self._rows(data, start, line, is_last)
            rest = data[at:]
            if following is None:
                break
            piece = following
        return self._table()

    def _note_nul_bytes(self, data: bytes, line: int) -> None:
        array = np.frombuffer(data, np.uint8)
        rows = line + np.searchsorted(np.flatnonzero(array == k.LF), np.flatnonzero(array == 0))
        self.repairs.add_rows("nul_byte", self.file, np.unique(rows).astype(np.int32))

    def _header(self, data: bytes, is_last: bool) -> tuple[int, int]:
        start = 0
        if data.startswith(b"\xef\xbb\xbf"):
            self.repairs.add("byte_order_mark", self.file)
            start = 3
        line = 1
        while data[start : start + 1] in (b"\r", b"\n", b" "):
            line += data[start : start + 1] == b"\n"
            start += 1
        ends = [at for at in (data.find(b"\n", start), data.find(b"\r", start)) if at >= 0]
        end = min(ends, default=len(data))
        if end - start > self.limits.row_bytes or (not ends and not is_last):
            raise FeedError(
                f"begins with a line of more than {min(end - start, self.limits.row_bytes):,} bytes",
                where=self.member.where, remedy="the first line must name the columns",
            )  # fmt: skip
        text = data[start:end].decode()
        if not text.strip():
            return len(data), line
        self.delimiter = dialects.delimiter_of(text)
        if self.delimiter != ",":
            self.repairs.add("delimiter", self.file, 1, detail=repr(self.delimiter))
        raw = next(csv.reader([text], delimiter=self.delimiter))
        if len(raw) > self.limits.columns:
            raise FeedError(
                f"has {len(raw):,} columns", where=self.member.where,
                remedy=f"a table of a feed has at most {self.limits.columns:,}",
            )  # fmt: skip
        while raw and not raw[-1].strip():
            raw.pop()
        self.names = dialects.column_names(raw, self.file, self.repairs)
        columns = len(self.names)
        self.numbers = [[] for _ in self.names]
        self.words = [_Words() for _ in self.names]
        at_once = max(256, min(ROWS_AT_ONCE, (1 << 20) // max(1, columns)))
        notes = NOTES_AT_ONCE + 2 * columns
        self.cells = k.Cells(
            np.empty((at_once, columns), np.int32), np.empty((at_once, columns), np.int32),
            np.empty(at_once, np.int32), np.empty(notes, np.uint8), np.empty(notes, np.int32),
            np.empty(notes, np.int32),
        )  # fmt: skip
        after = end + (2 if data[end : end + 2] == b"\r\n" else 1)
        return min(after, len(data)), line + 1

    def _rows(self, source: bytes, at: int, line: int, is_last: bool) -> tuple[int, int]:
        """Take in the whole rows of `source[at:]`; returns where the rest begins, and its line."""
        if not self.names:
            return len(source), line
        data = _writable(source)
        state = np.zeros(4, np.int64)
        while True:
            status = k.split_rows(
                data, at, len(source), line, is_last, ord(self.delimiter), True, self.limits.row_bytes, self.cells,
                state,
            )  # fmt: skip
            at, line = self._take(data, state)
            if status == k.ENOUGH:
                return at, line
            if status == k.TOO_LONG:
                raise self._too_long(line)
            if status == k.UNCLOSED:
                at, line = self._row_without_quotes(source, at, line)

    def _too_long(self, line: int) -> RowError:
        return RowError(
            f"is longer than {self.limits.row_bytes:,} bytes", file=self.member.where, row=line, column="(row)",
            remedy="end each row with a line break",
        )  # fmt: skip

    def _row_without_quotes(self, source: bytes, at: int, line: int) -> tuple[int, int]:
        """Read one line with quotes as characters: the one in which a quote opens and never ends."""
        self.stray_quotes += 1
        if self.stray_quotes > self.limits.stray_quotes:
            raise RowError(
                f"is one of more than {self.limits.stray_quotes} rows with a quote that never ends",
                file=self.member.where, row=line, column="(row)", remedy="double the quotes inside cells",
            )  # fmt: skip
        end = source.find(b"\n", at)
        end = len(source) if end < 0 else end + 1
        row = _writable(source[at:end])
        state = np.zeros(4, np.int64)
        status = k.split_rows(
            row, 0, end - at, line, True, ord(self.delimiter), False, self.limits.row_bytes, self.cells, state
        )
        if status != k.ENOUGH:
            raise self._too_long(line)
        self.repairs.add("stray_quote", self.file, line)
        self._take(row, state)
        return end, line + 1

    def _take(self, data: npt.NDArray[np.uint8], state: npt.NDArray[np.int64]) -> tuple[int, int]:
        rows, at, line, notes = (int(number) for number in state)
        for column, words in enumerate(self.words):
            number = words.number(data, self.cells, column, rows)
            self.numbers[column].append(number.astype(np.min_scalar_type(int(number.max(initial=0)))))
        self.lines.append(self.cells.line[:rows].copy())
        self.rows += rows
        if self.rows > self.limits.rows:
            raise FeedError(
                f"has more than {self.limits.rows:,} rows", where=self.member.where, remedy="this is no timetable"
            )
        if notes:
            self._note(notes)
        return at, line

    def _note(self, notes: int) -> None:
        kind, line, column = self.cells.note_kind[:notes], self.cells.note_line[:notes], self.cells.note_column[:notes]
        for code, name in _NOTES.items():
            if not (mine := kind == code).any():
                continue
            for number in np.unique(column[mine]).tolist():
                where = "" if number < 0 else self.names[number]
                self.repairs.add_rows(name, self.file, line[mine & (column == number)], where)

    def _table(self) -> Table:
        line: npt.NDArray[np.int32] | None = np.concatenate([np.zeros(0, np.int32), *self.lines])
        assert line is not None
        first = int(line[0]) if line.size else 2
        if np.array_equal(line, np.arange(first, first + line.size, dtype=np.int32)):
            line = None
        self.lines.clear()
        columns = {}
        for column, name in enumerate(self.names):
            parts = self.numbers[column]
            number = np.concatenate(parts) if parts else np.zeros(0, np.uint8)
            parts.clear()
            columns[name] = Column(name, self.file, number, self.words[column].finished(), first, line, self.repairs)
        return Table(self.file, columns, self.rows, self.repairs)
