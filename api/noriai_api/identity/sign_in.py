"""Signing in at an OpenID provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 7636,
RFC 9207, RFC 9700).

What must be known when people come back stands in a cookie that we sign; nothing is stored until they do. Of what the
provider says, only who it was is kept, and what follows from it (a fare entitlement until a day).
"""

import hashlib
import json
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, OctKey

from noriai_api.identity.jwts import THEIRS, TokenError, audiences, digest, in_time, opened, said, unverified
from noriai_api.identity.providers import Provider
from noriai_engine.model.errors import InputError

GOES_ON_S = 600
"""How long people may take at the provider."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in under way: what the cookie holds."""

    tenant: str
    provider: str
    state: str
    nonce: str
    verifier: str
    invitation: str
    return_to: str

    def claims(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider has let in: who it is there, and entitlements by name until a day."""

    issuer: str
    subject: str
    entitlements: dict[str, str]


def safe_return(path: str) -> str:
    """Where to go afterwards: a page of this node, or its documentation."""
    fits = path.startswith("/") and not path.startswith(("//", "/\\")) and all(32 < ord(c) < 127 for c in path)
    return path if fits and "\\" not in path else "/docs"


def begin(tenant: str, provider: str, invitation: str, return_to: str, new_secret: Callable[[], str]) -> Begun:
    return Begun(tenant, provider, new_secret(), new_secret(), new_secret(), invitation, safe_return(return_to))


async def address(provider: Provider, begun: Begun, redirect_uri: str) -> str:
    """Where to send people. Raises TokenError (provider_away, provider_lies)."""
    metadata = await provider.metadata()
    query = {
        "response_type": "code", "client_id": provider.told.client_id, "redirect_uri": redirect_uri,
        "scope": " ".join(provider.told.scopes), "state": begun.state, "nonce": begun.nonce,
        "code_challenge": digest(begun.verifier), "code_challenge_method": "S256",
    }  # fmt: skip
    if provider.told.acr:
        query["acr_values"] = " ".join(provider.told.acr)
    joint = "&" if "?" in metadata["authorization_endpoint"] else "?"
    return f"{metadata['authorization_endpoint']}{joint}{urlencode(query)}"


async def finish(
    provider: Provider, begun: Begun, answer: dict[str, str], redirect_uri: str, new_id: Callable[[], str]
) -> Person:
    """Who came back. `answer`: the query they came with.

    Raises TokenError: wrong_state, wrong_issuer, refused_there, no_code, provider_away, provider_lies, code_refused,
    and those of `identified`.
    """
    if not secrets.compare_digest(answer.get("state", "").encode(), begun.state.encode()):
        raise TokenError("wrong_state")
    metadata = await provider.metadata()
    says_who = metadata.get("authorization_response_iss_parameter_supported") is True
    if (says_who or "iss" in answer) and answer.get("iss") != provider.told.issuer:
        raise TokenError("wrong_issuer")
    if "error" in answer:
        raise TokenError("refused_there")
    if not answer.get("code"):
        raise TokenError("no_code")
    tokens = await _redeem(provider, metadata, answer["code"], begun, redirect_uri, new_id)
    return await identified(provider, tokens, begun.nonce)


async def _redeem(
    provider: Provider, metadata: dict[str, Any], code: str, begun: Begun, redirect_uri: str, new_id: Callable[[], str]
) -> dict[str, Any]:
    """The provider's tokens for a code, as the client we are there."""
    told = provider.told
    auth: httpx.Auth | None = None
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "code_verifier": begun.verifier, "client_id": told.client_id}  # fmt: skip
    if told.client_secret_env:
        auth = httpx.BasicAuth(told.client_id, _environment(told.client_secret_env))
    elif told.client_key is not None:
        form |= {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": _assertion(provider, new_id),
        }
    try:
        request = provider.http.build_request("POST", metadata["token_endpoint"], data=form)
        answer = await provider.http.send(request, auth=auth)
        tokens = answer.json()
    except (httpx.HTTPError, ValueError):
        raise TokenError("provider_away") from None
    if answer.status_code != 200 or not isinstance(tokens, dict):
        raise TokenError("code_refused")
    return tokens


def _environment(name: str) -> str:
    return os.environ.get(name, "")


def _assertion(provider: Provider, new_id: Callable[[], str]) -> str:
    """private_key_jwt (RFC 7523): we sign who we are."""
    told = provider.told
    assert told.client_key is not None
    try:
        key = JWKRegistry.import_key(json.loads(told.client_key.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, JoseError) as error:
        raise InputError("holds no private key", where=told.client_key, remedy="put a JWK with `d` there") from error
    if isinstance(key, OctKey):
        raise InputError("is a shared secret", where=told.client_key, remedy="put a private key there")
    algorithm = {"EC": "ES256", "RSA": "PS256"}.get(key.key_type, "EdDSA")
    now = provider.now_s()
    header = {"alg": algorithm, "kid": str(key.as_dict(private=False).get("kid", key.thumbprint()))}
    claims = {"iss": told.client_id, "sub": told.client_id, "aud": told.issuer, "iat": now, "exp": now + 60,
              "jti": new_id()}  # fmt: skip
    return jwt.encode(header, claims, key, algorithms=[algorithm])


async def identified(provider: Provider, tokens: dict[str, Any], nonce: str) -> Person:
    """Whom an ID token is about (OpenID Connect Core 1.0, section 3.1.3.7).

    Raises TokenError: those of `opened` and `in_time`, unknown_key, wrong_issuer, wrong_audience, wrong_nonce,
    wrong_acr, wrong_token, claims_missing.
    """
    text = tokens.get("id_token")
    if not isinstance(text, str):
        raise TokenError("claims_missing")
    header, _ = unverified(text)
    find = await provider.finder(header)
    _, claims = opened(text, (), THEIRS, find)
    told, (issuer, subject) = provider.told, said(claims, "iss", "sub")
    parties = audiences(claims)
    at_hash, access = claims.get("at_hash"), tokens.get("access_token")
    in_time(claims, provider.now_s())
    for fits, code in (
        (issuer == told.issuer, "wrong_issuer"),
        (told.client_id in parties and claims.get("azp", told.client_id) == told.client_id, "wrong_audience"),
        (len(parties) == 1 or "azp" in claims, "wrong_audience"),
        (claims.get("nonce") == nonce, "wrong_nonce"),
        (not told.acr or claims.get("acr") in told.acr, "wrong_acr"),
        (at_hash is None or _hashes_to(at_hash, access, str(header.get("alg"))), "wrong_token"),
    ):
        if not fits:
            raise TokenError(code)
    return Person(issuer, subject, _entitled(provider, claims))


def _hashes_to(at_hash: Any, access: Any, algorithm: str) -> bool:
    """The left half of the access token's hash (section 3.1.3.6)."""
    if not isinstance(access, str):
        return False
    kind = {"ES384": "sha384", "EdDSA": "sha512", "Ed25519": "sha512"}.get(algorithm, "sha256")
    whole = hashlib.new(kind, access.encode()).digest()
    return bool(urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode() == at_hash)


def _entitled(provider: Provider, claims: dict[str, Any]) -> dict[str, str]:
    """Entitlements that a birth date gives; an age that is reached stays, so that they hold for a long time."""
    if not provider.told.entitlements:
        return {}
    try:
        born = date.fromisoformat(str(claims.get("birthdate", "")))
    except ValueError:
        return {}
    today = date.fromordinal(719_163 + provider.now_s() // 86_400)
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return {e.name: "2099-12-31" for e in provider.told.entitlements if age >= e.min_age}
