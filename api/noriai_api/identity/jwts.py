"""Signed statements from outside, opened with care (RFC 7515, 7519, 8725): the algorithm is one of ours, the key is
found by whoever knows which keys count, and each way of failing has a code of its own for logs and tests."""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey

from noriai_engine.model.errors import NoriaiError

Key = ECKey | OKPKey | RSAKey

OURS = ("ES256", "EdDSA", "Ed25519")
"""Signatures that machines may use."""
THEIRS = ("ES256", "ES384", "PS256", "RS256", "EdDSA", "Ed25519")
"""Signatures of OpenID providers, RS256 among them, which all of them have."""
LONGEST = 16_384
LEEWAY_S = 60
_LEAST_RSA = 2048


class TokenError(NoriaiError, ValueError):
    """A statement that does not hold; `code` says which check it failed."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def opened(
    text: str, typ: tuple[str, ...], algorithms: tuple[str, ...], find: Callable[[Mapping[str, Any]], Key]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a statement whose signature holds. `typ`: what it must say it is, none: anything.

    Raises TokenError: malformed, wrong_type, wrong_algorithm, bad_signature, and what `find` raises.
    """
    if len(text) > LONGEST:
        raise TokenError("malformed")
    try:
        header = jws.extract_compact(text.encode()).headers()
    except (JoseError, ValueError, UnicodeError):
        raise TokenError("malformed") from None
    if "crit" in header:
        raise TokenError("malformed")
    if header.get("alg") not in algorithms:
        raise TokenError("wrong_algorithm")
    if typ and str(header.get("typ", "")).lower().removeprefix("application/") not in typ:
        raise TokenError("wrong_type")
    key = find(header)
    try:
        claims = jwt.decode(text, key, algorithms=list(algorithms)).claims
    except (JoseError, ValueError, TypeError):
        raise TokenError("bad_signature") from None
    if not isinstance(claims, dict):
        raise TokenError("malformed")
    return dict(header), dict(claims)


def unverified(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they are said; nothing of it is believed yet. Raises TokenError (malformed)."""
    try:
        found = jws.extract_compact(text.encode())
        claims = json.loads(found.payload)
        header = dict(found.headers())
    except (JoseError, ValueError, TypeError, UnicodeError):
        raise TokenError("malformed") from None
    if not isinstance(claims, dict):
        raise TokenError("malformed")
    return header, claims


def public_key(jwk: Any) -> Key:
    """A public key that signs. Raises TokenError (bad_key) for private, symmetric, short and unknown ones."""
    private = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}
    try:
        if not isinstance(jwk, dict) or private & jwk.keys() or jwk.get("use", "sig") != "sig":
            raise TokenError("bad_key")
        key = JWKRegistry.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError):
        raise TokenError("bad_key") from None
    if isinstance(key, OctKey) or (isinstance(key, RSAKey) and len(str(jwk["n"])) * 6 < _LEAST_RSA):
        raise TokenError("bad_key")
    return key


def in_time(claims: Mapping[str, Any], now_s: int, longest_s: int | None = None) -> None:
    """Raises TokenError: claims_missing, expired, not_yet, too_long (from `iat` to `exp`, where that is limited)."""
    exp, nbf, iat = claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)
    if not all(isinstance(t, int) and not isinstance(t, bool) for t in (exp, nbf, iat)):
        raise TokenError("claims_missing")
    assert isinstance(exp, int)
    if exp <= now_s - LEEWAY_S:
        raise TokenError("expired")
    if max(nbf, iat) > now_s + LEEWAY_S:
        raise TokenError("not_yet")
    if longest_s is not None and exp > now_s + longest_s + LEEWAY_S:
        raise TokenError("too_long")


def said(claims: Mapping[str, Any], *names: str) -> list[str]:
    """Claims that must be texts. Raises TokenError (claims_missing)."""
    values = [claims.get(name) for name in names]
    if not all(isinstance(value, str) and 0 < len(value) <= 255 for value in values):
        raise TokenError("claims_missing")
    return [str(value) for value in values]


def audiences(claims: Mapping[str, Any]) -> list[str]:
    aud = claims.get("aud")
    return [aud] if isinstance(aud, str) else [str(a) for a in aud] if isinstance(aud, list) else []


def digest(text: str) -> str:
    """SHA-256 of a text in base64url, as `ath` (RFC 9449) and PKCE's S256 (RFC 7636) have it."""
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
