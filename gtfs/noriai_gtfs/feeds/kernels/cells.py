"""From the bytes of a table to cells, and from cells to numbers of a vocabulary.

Comma-separated values after RFC 4180, read kindly: blanks around a cell are taken off, rows may be short, a quote in
the middle of a cell is a character. Whatever was not as the standard has it is noted with row and column.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from noriai_engine.kernels import inlined_kernel, lean_kernel

ByteArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

COLONS, COLONS_ALONE = np.uint64(0x0000FF0000FF0000), np.uint64(0x00003A00003A0000)
LONG = np.uint64(0xFF00000000000000)
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads keys over the table (Knuth, TAOCP 3, 6.4)
ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
SPARE_BYTES = 8  # behind the last byte, so that eight can be taken anywhere
COMMA, QUOTE, SPACE, TAB, CR, LF = 44, 34, 32, 9, 13, 10
PADDED, SHORT_ROW, LONG_ROW, TEXT_AFTER_QUOTE, BLANK_LINE, BARE_CR = 1, 2, 3, 4, 5, 6
ENOUGH, FULL, TOO_LONG, UNCLOSED = 0, 1, 2, 3


class Cells(NamedTuple):
    """Where the cells of some rows stand in the bytes, and what was odd about them."""

    begin: IntArray  # (capacity, columns) first byte
    end: IntArray  # (capacity, columns) one past the last byte
    line: IntArray  # (capacity,) line of the file on which the row begins, from 1
    note_kind: ByteArray  # (notes,) PADDED ... BARE_CR
    note_line: IntArray  # (notes,) line of the file
    note_column: IntArray  # (notes,) column, from 0; -1: the whole row


class VocabularyArrays(NamedTuple):
    """Distinct texts of a column: their bytes end to end, and a hash table with open addressing."""

    slot: IntArray  # (power of two,) number of a text, -1 where free
    slot_key: npt.NDArray[np.uint64]  # (power of two,) key of that text
    offset: LongArray  # (capacity + 1,) where a text begins in `bytes`
    bytes: ByteArray  # (capacity,)
    used: LongArray  # (1,) number of texts
    key: npt.NDArray[np.uint64]  # (capacity,) of a text: its bytes, or their hash
    clock: IntArray  # (172800,) the text of a second of two days, written HH:MM:SS; 0: none yet
    after: IntArray  # (capacity,) the text that came next when this one was last seen; 0: none yet


@lean_kernel
def split_rows(
    data: ByteArray, at: int, end: int, line: int, is_last: bool, delimiter: int, quoting: bool, row_limit: int,
    cells: Cells, state: LongArray,
) -> int:  # fmt: skip
    """Cells of the whole rows in data[at:end]; a row that ends there without a line break counts if `is_last`.

    `state` takes (rows, next byte, next line, notes). Doubled quotes are halved in place. Returns ENOUGH when no whole
    row is left, FULL when rows or notes are, TOO_LONG or UNCLOSED (a quote never ends) for the row at the next byte;
    bytes from there on may be changed, read them again from the source.
    """
    capacity, columns = cells.begin.shape
    room = cells.note_kind.size - 2 * columns - 4  # a row cannot bring more
    rows, notes = 0, 0
    status = ENOUGH
    while at < end:
        if rows == capacity or notes > room:
            status = FULL
            break
        row_begin, row_line, row_notes = at, line, notes
        column, is_blank, complete, is_open = 0, True, False, False
        while True:
            # one cell: [begin, stop) of its text; `at` moves behind it
            begin = at
            while at < end and (data[at] == SPACE or (data[at] == TAB and delimiter != TAB)):
                at += 1
            quoted = quoting and at < end and data[at] == QUOTE
            if quoted:
                padded = at > begin
                at += 1
                begin = at
                stop = at
                closed = False
                while at < end:
                    byte = data[at]
                    if byte == QUOTE:
                        if at + 1 < end and data[at + 1] == QUOTE:
                            at += 1
                        elif at + 1 == end and not is_last:
                            break  # a second quote may follow in the next chunk
                        else:
                            closed = True
                            at += 1
                            break
                    elif byte == LF or (byte == CR and at + 1 < end and data[at + 1] != LF):
                        line += 1
                    if stop != at:
                        data[stop] = data[at]
                    stop += 1
                    at += 1
                    if at - row_begin > row_limit:
                        break
                if not closed:
                    is_open = True
                    break
                trailing = at
                while at < end and (data[at] == SPACE or (data[at] == TAB and delimiter != TAB)):
                    at += 1
                if at > trailing:
                    padded = True
                if at < end and data[at] != delimiter and data[at] != CR and data[at] != LF:
                    cells.note_kind[notes] = TEXT_AFTER_QUOTE
                    cells.note_line[notes] = line
                    cells.note_column[notes] = min(column, columns - 1)
                    notes += 1
                    while at < end and data[at] != delimiter and data[at] != CR and data[at] != LF:
                        data[stop] = data[at]
                        stop += 1
                        at += 1
                inner, tail = begin, stop
                while inner < tail and (data[inner] == SPACE or data[inner] == TAB):
                    inner += 1
                while tail > inner and (data[tail - 1] == SPACE or data[tail - 1] == TAB):
                    tail -= 1
                if inner > begin or tail < stop:
                    padded = True
                begin, stop = inner, tail
                is_blank = False
            else:
                inner = at
                while at < end:
                    byte = data[at]
                    if byte in (delimiter, LF, CR):
                        break
                    at += 1
                stop = at
                while stop > inner and (data[stop - 1] == SPACE or (data[stop - 1] == TAB and delimiter != TAB)):
                    stop -= 1
                padded = inner > begin or stop < at
                begin = inner
                if stop > begin:
                    is_blank = False
            if at - row_begin > row_limit:
                break
            if column < columns:
                cells.begin[rows, column] = begin
                cells.end[rows, column] = stop
                if padded:
                    cells.note_kind[notes] = PADDED
                    cells.note_line[notes] = line
                    cells.note_column[notes] = column
                    notes += 1
            elif stop > begin:
                if notes == row_notes or cells.note_kind[notes - 1] != LONG_ROW:
                    cells.note_kind[notes] = LONG_ROW
                    cells.note_line[notes] = line
                    cells.note_column[notes] = -1
                    notes += 1
                is_blank = False
            column += 1
            if at >= end:
                complete = is_last
                break
            byte = data[at]
            at += 1
            if byte == delimiter:
                if at >= end and is_last:
                    if column < columns:
                        cells.begin[rows, column] = at
                        cells.end[rows, column] = at
                    column += 1
                    complete = True
                    break
                continue
            if byte == CR:
                if at >= end and not is_last:
                    break
                if at < end and data[at] == LF:
                    at += 1
                else:
                    cells.note_kind[notes] = BARE_CR
                    cells.note_line[notes] = line
                    cells.note_column[notes] = -1
                    notes += 1
            complete = True
            break
        if not complete:
            too_long = end - row_begin > row_limit or at - row_begin > row_limit
            if is_open and (too_long or is_last):
                status = UNCLOSED
            elif too_long:
                status = TOO_LONG
            at, line, notes = row_begin, row_line, row_notes
            break
        if is_blank:
            notes = row_notes
            cells.note_kind[notes] = BLANK_LINE
            cells.note_line[notes] = line
            cells.note_column[notes] = -1
            notes += 1
            line += 1
            continue
        if column < columns:
            cells.note_kind[notes] = SHORT_ROW
            cells.note_line[notes] = line
            cells.note_column[notes] = -1
            notes += 1
            for missing in range(column, columns):
                cells.begin[rows, missing] = row_begin
                cells.end[rows, missing] = row_begin
        cells.line[rows] = row_line
        rows += 1
        line += 1
    state[0], state[1], state[2], state[3] = rows, at, line, notes
    return status


@inlined_kernel
def _block(data: ByteArray, at: int, length: int) -> np.uint64:
    """Up to eight bytes as one number: a single load, the bytes behind masked off."""
    eight = (
        np.uint64(data[at])
        | (np.uint64(data[at + 1]) << np.uint64(8))
        | (np.uint64(data[at + 2]) << np.uint64(16))
        | (np.uint64(data[at + 3]) << np.uint64(24))
        | (np.uint64(data[at + 4]) << np.uint64(32))
        | (np.uint64(data[at + 5]) << np.uint64(40))
        | (np.uint64(data[at + 6]) << np.uint64(48))
        | (np.uint64(data[at + 7]) << np.uint64(56))
    )
    return eight & (ALL_BITS >> np.uint64(64 - 8 * length))


@inlined_kernel
def _key(data: ByteArray, begin: int, length: int) -> np.uint64:
    """The bytes themselves up to eight of them; beyond, a hash whose top byte is 255, which no UTF-8 text has."""
    if length <= 8:
        return _block(data, begin, length)
    key = np.uint64(0)
    at = 0
    while at < length:
        key = (key ^ _block(data, begin + at, min(8, length - at))) * MIX
        key ^= key >> np.uint64(29)
        at += 8
    return key | LONG


@inlined_kernel
def _same(data: ByteArray, begin: int, length: int, key: np.uint64, words: VocabularyArrays, number: int) -> bool:
    if words.key[number] != key:
        return False
    if length > 8:
        start = words.offset[number]
        if words.offset[number + 1] - start != length:
            return False
        for k in range(length):
            if data[begin + k] != words.bytes[start + k]:
                return False
    return True


@inlined_kernel
def _place(key: np.uint64, mask: int) -> int:
    """Where to look first; every byte of the key counts."""
    key = (key ^ (key >> np.uint64(33))) * MIX
    key = (key ^ (key >> np.uint64(29))) * MIX
    return int(key >> np.uint64(32)) & mask


@inlined_kernel
def _second(key: np.uint64) -> int:
    """Seconds of a text HH:MM:SS below 48:00:00, -1 where it is none: a table of them beats hashing."""
    if (key & COLONS) != COLONS_ALONE:
        return -1
    value = 0
    for place, weight in ((0, 36000), (8, 3600), (24, 600), (32, 60), (48, 10), (56, 1)):
        digit = int((key >> np.uint64(place)) & np.uint64(255)) - 48
        if digit < 0 or digit > 9 or (digit > 5 and (place == 24 or place == 48)):
            return -1
        value += weight * digit
    return value if value < 172_800 else -1


@lean_kernel
def number_cells(
    data: ByteArray, cells: Cells, column: int, row: int, rows: int, words: VocabularyArrays, number: IntArray
) -> int:
    """Numbers of the texts in a column, rows `row` to `rows`; new texts join the vocabulary.

    Tried first: the text of the row before, then the one that followed it last time (trips of a line repeat their
    stops). `data` has SPARE_BYTES behind the last cell. Returns the first row not done: `rows`, or earlier where the
    vocabulary is full and has to grow first.
    """
    mask = words.slot.size - 1
    limit = min(words.offset.size - 1, (words.slot.size * 3) // 4)
    last, luck = 0, 1000  # no more guessing where guesses fail: clock times
    while row < rows:
        begin = cells.begin[row, column]
        length = cells.end[row, column] - begin
        if length == 0:
            number[row] = 0
            last = 0
            row += 1
            continue
        key = _key(data, begin, length)
        if last > 0 and _same(data, begin, length, key, words, last):
            number[row] = last
            row += 1
            continue
        second = _second(key) if length == 8 else -1
        if second >= 0 and words.clock[second] > 0:
            last = words.clock[second]
            number[row] = last
            row += 1
            continue
        found = words.after[last] if luck > 0 else 0
        if found > 0 and _same(data, begin, length, key, words, found):
            luck = min(luck + 1, 1000)
        else:
            luck -= 1
            place = _place(key, mask)
            found = -1
            while words.slot[place] >= 0:
                if words.slot_key[place] == key and (
                    length <= 8 or _same(data, begin, length, key, words, words.slot[place])
                ):
                    found = words.slot[place]
                    break
                place = (place + 1) & mask
            if found < 0:
                found = words.used[0]
                start = words.offset[found]
                if found >= limit or start + length > words.bytes.size:
                    return row
                for k in range(length):
                    words.bytes[start + k] = data[begin + k]
                words.offset[found + 1] = start + length
                words.key[found] = key
                words.after[found] = 0
                words.used[0] = found + 1
                words.slot[place] = found
                words.slot_key[place] = key
            if luck > 0:
                words.after[last] = found
            if second >= 0:
                words.clock[second] = found
        number[row] = found
        last = found
        row += 1
    return row


@lean_kernel
def place_again(words: VocabularyArrays) -> None:
    """Fill an empty hash table with the texts there are (after it has grown)."""
    mask = words.slot.size - 1
    for number in range(1, words.used[0]):
        place = _place(words.key[number], mask)
        while words.slot[place] >= 0:
            place = (place + 1) & mask
        words.slot[place] = number
        words.slot_key[place] = words.key[number]


@lean_kernel
def read_times(offset: LongArray, data: ByteArray, count: int, milliseconds: IntArray, bad: ByteArray) -> None:
    """H:MM:SS of each text, hours beyond 24 allowed, as milliseconds; -1 where empty. `bad`: 1 where it is no time."""
    for number in range(count):
        at, end = offset[number], offset[number + 1]
        milliseconds[number] = -1
        bad[number] = 0
        if at == end:
            continue
        field, value, digits, seconds = 0, 0, 0, 0
        ok = True
        while at < end:
            byte = data[at]
            if 48 <= byte <= 57:
                value = 10 * value + int(byte) - 48
                digits += 1
                if digits > 3:
                    ok = False
                    break
            elif byte == 58 and digits > 0 and field < 2:
                if field == 1 and (digits != 2 or value > 59):
                    ok = False
                    break
                seconds = 60 * seconds + value
                field, value, digits = field + 1, 0, 0
            else:
                ok = False
                break
            at += 1
        if ok and field == 2 and digits == 2 and value <= 59:
            seconds = 60 * seconds + value
            if seconds < 500 * 3600:
                milliseconds[number] = 1000 * seconds
                continue
        bad[number] = 1
