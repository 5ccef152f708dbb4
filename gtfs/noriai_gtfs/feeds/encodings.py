"""Bytes that are not UTF-8 become UTF-8: UTF-16, Shift-JIS (cp932), EUC-JP, and lines of several in one file.

An encoding is told by trial: bytes that decode without error and look like what people write in it. Guessing from
byte frequencies alone takes short Japanese tables for Turkish or Greek.
"""

import re
import unicodedata

import numpy as np

from noriai_gtfs.feeds.archive import FeedError
from noriai_gtfs.feeds.repairs import RepairLog

_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\u3005\u3000-\u3003\uff01-\uff60]")
_HALF_KANA = re.compile(r"[\uff61-\uff9f]")
_ALONE = re.compile(r"(?<=[A-Za-z])[^\x00-\x7f]{1,2}(?=[A-Za-z ,])|(?<![^\x00-\x7f])[^\x00-\x7f]{1,2}(?=[a-z])")


def to_utf8(data: bytes, file: str, repairs: RepairLog) -> bytes:
    """The same text in UTF-8, what was done noted. Raises FeedError where no encoding fits."""
    wide = _wide_encoding(data)
    if wide:
        try:
            text = data.decode(wide)
        except UnicodeDecodeError as error:
            raise FeedError(f"is damaged {wide}: {error}", where=file, remedy="save it as UTF-8") from error
        repairs.add("encoding", file, detail=wide)
        return text.lstrip("\ufeff").encode()
    return _by_line(data, file, repairs)


def _wide_encoding(data: bytes) -> str:
    """UTF-16 or UTF-32 by its mark, or by the zero bytes that ASCII leaves in it."""
    for mark, name in (
        (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):  # fmt: skip
        if data.startswith(mark):
            return name
    head = np.frombuffer(data[: min(len(data), 4096) // 2 * 2], np.uint8)
    if head.size >= 8:
        even, odd = (head[0::2] == 0).mean(), (head[1::2] == 0).mean()
        if odd > 0.4 and even < 0.05:
            return "utf-16-le"
        if even > 0.4 and odd < 0.05:
            return "utf-16-be"
    return ""


def _by_line(data: bytes, file: str, repairs: RepairLog) -> bytes:
    """Lines that are UTF-8 stay; the others are read in the encoding that fits them all best."""
    lines = data.split(b"\n")
    foreign = []
    unicode_lines = False
    for number, line in enumerate(lines):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            unicode_lines = True
        except UnicodeDecodeError:
            foreign.append(number)
    encoding = fitting_encoding(b"\n".join(lines[number] for number in foreign))
    for number in foreign:
        lines[number] = lines[number].decode(encoding, errors="replace").encode()
    if unicode_lines:
        rows = np.array(foreign, np.int32) + 1
        repairs.add_rows("mixed_encoding", file, rows, detail=f"{encoding} among lines of utf-8")
    else:
        repairs.add("encoding", file, detail=encoding)
    return b"\n".join(lines)


def fitting_encoding(data: bytes) -> str:
    """cp932, euc_jp or cp1252 (which takes almost everything): the one whose text looks most like writing."""
    best, best_score = "cp1252", 0.25
    for encoding in ("cp932", "euc_jp"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            text = data.decode(encoding, errors="replace")
            if text.count("\ufffd") > 0.02 * len(text):
                continue
        score = _looks_japanese(text)
        if score > best_score:
            best, best_score = encoding, score
    return best


def _looks_japanese(text: str) -> float:
    """Share of the letters beyond ASCII that Japanese tables use, less those that stand alone inside Latin words."""
    foreign = sum(1 for letter in text if letter > "\x7f")
    if not foreign:
        return 0.0
    usual = len(_JAPANESE.findall(text))
    half = len(_HALF_KANA.findall(text))
    alone = sum(len(found) for found in _ALONE.findall(text))
    return (usual - 0.5 * half - 2.0 * alone - 4.0 * text.count("\ufffd")) / foreign


def plain_width(text: str) -> str:
    """Full-width digits, signs and letters as ASCII (NFKC), blanks off: how numbers and codes are meant."""
    return unicodedata.normalize("NFKC", text).strip()
