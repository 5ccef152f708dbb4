"""Texts for people, in one catalogue: Japanese, English, and room for やさしい日本語."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "ja")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Every key with its texts by language (`ja`, `en`, `easy`; `easy` may be empty until the console needs it)."""
    data = tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8"))
    return {f"{group}.{key}": entry for group, entries in data.items() for key, entry in entries.items()}


def text(key: str, language: str, **values: Any) -> str:
    """The text of a key with its {placeholders} filled. Raises KeyError for a key the catalogue lacks."""
    return catalogue()[key][language].format(**values)
