"""What a rule says about a feed, and the words for it."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Severity = Literal["ERROR", "WARNING", "INFO"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One finding. `row` is the line of the file (1 = header; 0: the whole file), `value` what stands there."""

    code: str
    severity: Severity
    file: str = ""
    row: int = 0
    field: str = ""
    value: str = ""


@cache
def canonical_codes() -> dict[str, dict[str, str]]:
    """The canonical validator's codes: severity, en, ja."""
    return _toml("canonical_notices.toml")


@cache
def own_codes() -> dict[str, dict[str, str]]:
    """Codes of our own rules: severity, en, ja, source."""
    return _toml("own_notices.toml")


def sentence(code: str, language: str) -> str:
    """What a code means, in Japanese or English; the code itself where it is unknown."""
    entry = canonical_codes().get(code) or own_codes().get(code)
    return code if entry is None else entry["ja" if language == "ja" else "en"]


def own_notice(code: str, file: str, row: int = 0, field: str = "", value: str = "") -> Notice:
    """A finding of one of our rules, with the severity its code has."""
    return Notice(code, own_codes()[code]["severity"], file, row, field, value)  # type: ignore[arg-type]


def _toml(name: str) -> dict[str, dict[str, str]]:
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
