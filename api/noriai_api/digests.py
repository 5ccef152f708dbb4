"""Hashes of what is written down: SHA-256 over canonical JSON (sorted keys, no spaces)."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

ALGORITHM = "sha256"


def canonical(payload: Any, otherwise: Callable[[Any], Any] | None = None) -> bytes:
    """A JSON value as bytes; `otherwise` makes values of what is none (TypeError without it)."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=otherwise)
    return text.encode()


def digest(payload: Any, otherwise: Callable[[Any], Any] | None = None) -> str:
    """Of a JSON value, hexadecimal."""
    return hashlib.sha256(canonical(payload, otherwise)).hexdigest()


def digest_bytes(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
