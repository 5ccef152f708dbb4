"""Demonstrating proof of possession (RFC 9449): each request is signed with the key that its token is bound to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from noriai_api.identity.jwts import LEEWAY_S, OURS, Key, TokenError, digest, opened, public_key, said


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that fits its request: the key's thumbprint (RFC 7638), and the id that counts once."""

    thumbprint: str
    id: str


def proven(text: str, method: str, url: str, now_s: int, token: str | None) -> Proof:
    """A proof for this very request, and for the token it comes with.

    Raises TokenError: those of `opened`, bad_key, claims_missing, wrong_method, wrong_url, too_old, not_yet,
    wrong_token.
    """
    keys: list[Key] = []

    def find(header: Mapping[str, Any]) -> Key:
        keys.append(public_key(header.get("jwk")))
        return keys[0]

    _, claims = opened(text, ("dpop+jwt",), OURS, find)
    proof_id, htm, htu = said(claims, "jti", "htm", "htu")
    iat = claims.get("iat")
    if not isinstance(iat, int) or isinstance(iat, bool):
        raise TokenError("claims_missing")
    if htm != method:
        raise TokenError("wrong_method")
    if _plain(htu) != _plain(url):
        raise TokenError("wrong_url")
    if iat < now_s - LEEWAY_S:
        raise TokenError("too_old")
    if iat > now_s + LEEWAY_S:
        raise TokenError("not_yet")
    if token is not None and claims.get("ath") != digest(token):
        raise TokenError("wrong_token")
    return Proof(keys[0].thumbprint(), proof_id)


def _plain(url: str) -> str:
    """Without query and fragment, the host in small letters, no default port (RFC 9449, section 4.3)."""
    try:
        parts = urlsplit(url)
        port = (
            f":{parts.port}" if parts.port not in (None, {"https": 443, "http": 80}.get(parts.scheme.lower())) else ""
        )
    except ValueError:
        raise TokenError("wrong_url") from None
    return urlunsplit((parts.scheme.lower(), (parts.hostname or "") + port, parts.path or "/", "", ""))
