"""The official TOMP-API 2.0 schemas, where the developers' standards are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FOLDER = Path(__file__).parent.parent.parent / "shared" / "standards" / "tomp"


def problems(file: str, pointer: str, document: Any) -> list[str]:
    """What the schema at a pointer of a file says against a document."""
    pages = {path.name: yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader) for path in FOLDER.glob("*.yaml")}
    pages = {name: typed(page) for name, page in pages.items()}
    registry: Registry[Any] = Registry().with_resources(
        [(name, Resource.from_contents(page, DRAFT202012)) for name, page in pages.items()]
    )
    schema = {"$ref": f"{file}#{pointer}"}
    found = Draft202012Validator(schema, registry=registry).iter_errors(document)
    return sorted(f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found)


def typed(value: Any) -> Any:
    """YAML's own reading of dates in examples gets in the way: numbers and truth values only."""
    if isinstance(value, dict):
        return {key: typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [typed(part) for part in value]
    if value in ("true", "false"):
        return value == "true"
    try:
        return int(value)
    except (TypeError, ValueError):
        try:
            return float(value)
        except (TypeError, ValueError):
            return value
