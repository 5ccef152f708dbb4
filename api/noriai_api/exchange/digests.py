"""Hashes of what is written down: SHA-256 over canonical JSON (sorted keys, no spaces)."""

import hashlib
import json
from typing import Any

ALGORITHM = "sha256"


def canonical(payload: Any) -> bytes:
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(payload: Any) -> str:
    """Of a JSON value, hexadecimal."""
    return hashlib.sha256(canonical(payload)).hexdigest()


def digest_bytes(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
