"""Machines that prove a key of their own: a client assertion (private_key_jwt, RFC 7523) and a proof (DPoP, RFC 9449)
give an access token (RFC 9068) that only the holder of the proof's key can use, for ten minutes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from noriai_api.exchange.keys import Keyring
from noriai_api.identity.jwts import OURS, Key, TokenError, audiences, in_time, opened, public_key, said, unverified

LIVES_S = 600
ASSERTION_LIVES_S = 300
TYPE = "at+jwt"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a token is for, and the key it is bound to. `scopes`: the actions it is good for, None: all the role may."""

    tenant: str
    client: str
    thumbprint: str
    scopes: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Asserted:
    """A client assertion that holds: who says so, and the id that counts once."""

    tenant: str
    client: str
    id: str
    expires_s: int


def client_id(tenant: str, client: str) -> str:
    return f"{tenant}/{client}"


def named(name: str) -> tuple[str, str]:
    """Tenant and client of a client id. Raises TokenError (unknown_client)."""
    tenant, _, client = name.partition("/")
    if not tenant or not client or "/" in client:
        raise TokenError("unknown_client")
    return tenant, client


def asserted(text: str, us: tuple[str, ...], keys: Callable[[str, str], list[dict[str, Any]]], now_ms: int) -> Asserted:
    """Who signs an assertion. `us`: what its audience may call us; `keys`: a client's keys.

    Raises TokenError: those of `opened` and `in_time`, unknown_client, unknown_key, rotated_out, wrong_audience,
    claims_missing.
    """
    header, payload = unverified(text)
    issuer = str(payload.get("iss", ""))
    tenant, client = named(issuer)
    kid = header.get("kid")
    mine = keys(tenant, client)
    known = [k for k in mine if kid in (k["thumbprint"], k["jwk"].get("kid"))] if kid is not None else mine
    if not known:
        raise TokenError("unknown_key")
    valid = [k for k in known if k["revoked"] is None and now_ms < k["expires"]]
    if not valid:
        raise TokenError("rotated_out")
    if len(valid) > 1:  # it must say which
        raise TokenError("unknown_key")

    def find(header: Mapping[str, Any]) -> Key:
        return public_key(valid[0]["jwk"])

    _, claims = opened(text, (), OURS, find)
    iss, sub, jti = said(claims, "iss", "sub", "jti")
    in_time(claims, now_ms // 1000, ASSERTION_LIVES_S)
    if iss != sub or iss != issuer:
        raise TokenError("unknown_client")
    if len(audiences(claims)) != 1 or audiences(claims)[0] not in us:
        raise TokenError("wrong_audience")
    return Asserted(tenant, client, f"{iss} {jti}", int(claims["exp"]))


class AccessTokens:
    """Access tokens of this node, signed with its own keys (a file beside the store, shared by its processes)."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def issue(self, holder: Holder, issuer: str, token_id: str, now_s: int) -> str:
        name = client_id(holder.tenant, holder.client)
        claims = {
            "iss": issuer, "aud": issuer, "sub": name, "client_id": name, "iat": now_s, "exp": now_s + LIVES_S,
            "jti": token_id, "cnf": {"jkt": holder.thumbprint},
        }  # fmt: skip
        if holder.scopes is not None:
            claims["scope"] = " ".join(sorted(holder.scopes))
        return self._keyring.signing(now_s).sign(TYPE, claims)

    def holder(self, text: str, now_s: int) -> Holder:
        """Raises TokenError: those of `opened` and `in_time`, unknown_key, not_bound, claims_missing."""

        def find(header: Mapping[str, Any]) -> Key:
            for key in self._keyring.public(now_s):
                if key.kid == header.get("kid"):
                    return public_key(dict(key.jwk))
            raise TokenError("unknown_key")

        _, claims = opened(text, (TYPE,), OURS, find)
        in_time(claims, now_s)
        tenant, client = named(said(claims, "sub")[0])
        return Holder(tenant, client, bound_to(claims), scopes_of(claims))

    def jwks(self, now_s: int) -> dict[str, Any]:
        """Public keys (RFC 7517), for whoever checks our tokens."""
        keys = self._keyring.public(now_s)
        return {"keys": [dict(key.jwk) | {"use": "sig", "alg": "Ed25519"} for key in keys]}


def bound_to(claims: Mapping[str, Any]) -> str:
    """The thumbprint of the key a token is bound to. Raises TokenError (not_bound)."""
    cnf = claims.get("cnf")
    jkt = cnf.get("jkt") if isinstance(cnf, dict) else None
    if not isinstance(jkt, str) or not jkt:
        raise TokenError("not_bound")
    return jkt


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str] | None:
    scope = claims.get("scope")
    return frozenset(scope.split()) if isinstance(scope, str) and scope else None
