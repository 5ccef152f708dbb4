"""Keys of a participant, and what is signed with them.

Every request between nodes carries a proof (a JWT in the manner of RFC 9449, DPoP) that binds sender, receiver, method,
path, body and instant; it counts once. Who may sign at all is said by a membership: a statement about a participant,
its address and its keys, signed by an authority we trust.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from noriai_api.digests import digest_bytes
from noriai_engine.model.errors import InputError, NoriaiError

ALGORITHM = "Ed25519"
PROOF, MEMBERSHIP, KEYS, HEAD, ACCESS, USAGE = (
    "noriai-proof+jwt", "noriai-membership+jwt", "noriai-keys+jwt", "noriai-head+jwt", "noriai-access+jwt",
    "noriai-usage+jwt",
)  # fmt: skip
PROOF_LIVES_S = 300
_CLAIMS = {
    PROOF: ("iss", "aud", "iat", "jti", "htm", "htu", "bsh"),
    MEMBERSHIP: ("iss", "sub", "address", "keys", "iat", "exp"),
    KEYS: ("iss", "keys", "iat"), HEAD: ("iss", "sequence", "root", "iat"),
    ACCESS: ("iss", "sub", "transfer", "epoch"),
    USAGE: ("iss", "aud", "transfer", "agreement", "sequence", "hash", "digest", "length"),
}  # fmt: skip


class ProofError(NoriaiError, ValueError):
    """A signed statement that does not hold; `code` says which check it failed, for logs and tests only."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of a participant and when it counts (UTC seconds, half-open)."""

    jwk: Mapping[str, str]
    valid_from: int
    valid_to: int

    @property
    def kid(self) -> str:
        return self.jwk["kid"]

    def as_json(self) -> dict[str, Any]:
        return {"jwk": dict(self.jwk), "nbf": self.valid_from, "exp": self.valid_to}


def public_key(body: Any) -> PublicKey:
    """Raises ProofError for what is no public Ed25519 key."""
    try:
        jwk, since, until = body["jwk"], body["nbf"], body["exp"]
        fits = jwk["kty"] == "OKP" and jwk["crv"] == "Ed25519" and "d" not in jwk and isinstance(jwk["kid"], str)
    except (TypeError, KeyError):
        raise ProofError("bad_key") from None
    if not fits or not isinstance(since, int) or not isinstance(until, int):
        raise ProofError("bad_key")
    return PublicKey({name: jwk[name] for name in ("kty", "crv", "x", "kid")}, since, until)


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A private key of ours."""

    key: OKPKey
    valid_from: int
    valid_to: int

    @property
    def public(self) -> PublicKey:
        jwk = {name: str(value) for name, value in self.key.as_dict(private=False).items()}
        return PublicKey(jwk | {"kid": _kid(self.key)}, self.valid_from, self.valid_to)

    def sign(self, kind: str, claims: Mapping[str, Any]) -> str:
        header = {"alg": ALGORITHM, "typ": kind, "kid": _kid(self.key)}
        return jwt.encode(header, dict(claims), self.key, algorithms=[ALGORITHM])


def new_key(secret: bytes, valid_from: int, valid_to: int) -> OwnKey:
    """A key made from 32 random bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.from_private_bytes(secret).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )  # fmt: skip
    return OwnKey(OKPKey.import_key(pem), valid_from, valid_to)


class Keyring:
    """A participant's own keys, in a file that nobody else may read; the newest that counts signs."""

    def __init__(self, keys: list[OwnKey], path: Path | None = None) -> None:
        self.keys, self._path = keys, path

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """Raises InputError for a file that is none of ours."""
        if not path.is_file():
            return cls([], path)
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            keys = [OwnKey(OKPKey.import_key(row["jwk"]), row["nbf"], row["exp"]) for row in rows]
        except (ValueError, KeyError, TypeError, JoseError) as error:
            raise InputError(f"holds no keys: {error}", where=path, remedy="restore it from a backup") from error
        return cls(keys, path)

    def add(self, key: OwnKey, *, old_until: int | None = None) -> None:
        """A new key; those before it count until `old_until` (UTC s), so that messages under way are still taken."""
        if old_until is not None:
            self.keys = [OwnKey(k.key, k.valid_from, min(k.valid_to, old_until)) for k in self.keys]
        self.keys.append(key)
        if self._path is not None:
            rows = [{"jwk": k.key.as_dict(private=True), "nbf": k.valid_from, "exp": k.valid_to} for k in self.keys]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".new")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(rows, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)

    def signing(self, now_s: int) -> OwnKey:
        """Raises InputError where none counts now."""
        valid = [key for key in self.keys if key.valid_from <= now_s < key.valid_to]
        if not valid:
            raise InputError("has no key that counts now", where="keys of the exchange", remedy="make a new one")
        return max(valid, key=lambda key: key.valid_from)

    def oldest_secret(self) -> bytes:
        """What only we know, for as long as we keep our keys. Raises InputError where there are none."""
        if not self.keys:
            raise InputError("has no key", where="keys of the exchange", remedy="make one")
        return str(min(self.keys, key=lambda key: key.valid_from).key.as_dict(private=True)["d"]).encode()

    def public(self, now_s: int) -> list[PublicKey]:
        return [key.public for key in self.keys if now_s < key.valid_to]


def _kid(key: OKPKey) -> str:
    return str(key.thumbprint())


def opened(text: str, kind: str, keys: list[PublicKey], now_s: int) -> dict[str, Any]:
    """The claims of a signed statement. Raises ProofError: malformed, wrong_type, wrong_algorithm, unknown_key,
    rotated_out, bad_signature, claims_missing."""
    try:
        header = jws.extract_compact(text.encode()).headers()
    except (JoseError, ValueError, UnicodeError):
        raise ProofError("malformed") from None
    if header.get("alg") != ALGORITHM:
        raise ProofError("wrong_algorithm")
    if header.get("typ") != kind:
        raise ProofError("wrong_type")
    named = [key for key in keys if key.kid == header.get("kid")]
    if not named:
        raise ProofError("unknown_key")
    key = next((key for key in named if key.valid_from <= now_s < key.valid_to), None)
    if key is None:
        raise ProofError("rotated_out")
    try:
        claims = jwt.decode(text, OKPKey.import_key(dict(key.jwk)), algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError):
        raise ProofError("bad_signature") from None
    if any(name not in claims for name in _CLAIMS[kind]):
        raise ProofError("claims_missing")
    return dict(claims)


def issuer(text: str) -> str:
    """Who says they signed a statement; nothing of it is believed yet. Raises ProofError (malformed)."""
    try:
        claims = json.loads(jws.extract_compact(text.encode()).payload)
        return str(claims["iss"])
    except (JoseError, ValueError, KeyError, TypeError, UnicodeError):
        raise ProofError("malformed") from None


def proof(key: OwnKey, us: str, them: str, method: str, path: str, body: bytes, now_s: int, proof_id: str,
          message_id: str | None = None) -> str:  # fmt: skip
    """Proof that `us` sends this very request to `them` now. `message_id` stays the same when a message is sent again,
    `proof_id` does not."""
    return key.sign(PROOF, {
        "iss": us, "aud": them, "iat": now_s, "jti": proof_id, "htm": method, "htu": path, "bsh": digest_bytes(body),
        **({} if message_id is None else {"mid": message_id}),
    })  # fmt: skip


def check_proof(
    text: str, keys: list[PublicKey], us: str, method: str, path: str, body: bytes, now_s: int
) -> dict[str, Any]:
    """The claims of a proof that fits the request. Raises ProofError: those of `opened`, and wrong_audience, too_old,
    not_yet, other_method, other_path, other_body."""
    claims = opened(text, PROOF, keys, now_s)
    for fits, code in (
        (claims["aud"] == us, "wrong_audience"),
        (isinstance(claims["iat"], int) and claims["iat"] > now_s - PROOF_LIVES_S, "too_old"),
        (isinstance(claims["iat"], int) and claims["iat"] < now_s + PROOF_LIVES_S, "not_yet"),
        (claims["htm"] == method, "other_method"),
        (claims["htu"] == path, "other_path"),
        (claims["bsh"] == digest_bytes(body), "other_body"),
        (isinstance(claims["jti"], str) and 0 < len(claims["jti"]) <= 64, "claims_missing"),
    ):
        if not fits:
            raise ProofError(code)
    return claims
