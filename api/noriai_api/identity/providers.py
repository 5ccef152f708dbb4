"""OpenID providers that people may sign in at, and whose machines may call: what a node is told of each, and what each
publishes of itself (OpenID Connect Discovery 1.0)."""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from noriai_api.identity.jwts import Key, TokenError, public_key
from noriai_engine.model.errors import InputError, MissingDataError

AGAIN_S = 3600
KEYS_AGAIN_S = 10
"""A key that is not known may be new: the provider is asked, but not more often."""


class Entitlement(BaseModel):
    """A fare entitlement of residents by age, as their provider says it; the birth date itself is not kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]
    min_age: Annotated[int, Field(ge=0, le=130)]


class ProviderFile(BaseModel):
    """One [[providers]] of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    issuer: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    client_id: Annotated[str, Field(min_length=1, max_length=200)] = ""
    client_secret_env: str = ""
    """Environment variable with our secret there; empty: a private key file, or a public client."""
    client_key: Path | None = None
    """Our private key there, as a JWK in a file (private_key_jwt)."""
    scopes: tuple[str, ...] = ("openid",)
    acr: tuple[str, ...] = ()
    """How well people must have proven themselves: one of these; none: any."""
    tenants: tuple[str, ...] = ()
    """Whose people it may speak for; none: every tenant's."""
    admits_residents: bool = False
    """Whoever signs in without an invitation becomes a resident."""
    entitlements: tuple[Entitlement, ...] = ()
    machines: bool = False
    """Access tokens it gives to machines count here, if `audience` is theirs and they are bound to a key."""
    audience: str = ""


def load_providers(file: Path | None) -> dict[str, ProviderFile]:
    """Raises InputError naming the provider and the field, MissingDataError where the file is not there."""
    if file is None:
        return {}
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingDataError("is not there", where=file, remedy="name a file that exists, or leave it out") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not TOML: {error}", where=file, remedy="correct the line it names") from error
    rows = said.pop("providers", [])
    if said or not isinstance(rows, list):
        raise InputError(f"has {', '.join(said) or 'no list'}", where=file, remedy="write one [[providers]] for each")
    found: dict[str, ProviderFile] = {}
    for number, row in enumerate(rows, start=1):
        try:
            one = ProviderFile.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            where = f"{file}: provider {number}: {'.'.join(map(str, first['loc']))}"
            raise InputError(first["msg"], where=where, remedy="see docs/identity.md") from error
        for broken, what in (
            (one.id in found, f"the id {one.id} is there twice"),
            (one.machines and not one.audience, "machines need an audience: what their tokens are for"),
            (not one.machines and not one.client_id, "people sign in with a client_id: ours at the provider"),
            (bool(one.client_secret_env) and one.client_secret_env not in os.environ,
             f"the environment variable {one.client_secret_env} is not set"),
        ):  # fmt: skip
            if broken:
                raise InputError(what, where=f"{file}: provider {number}", remedy="see docs/identity.md")
        found[one.id] = one
    return found


@dataclass
class Provider:
    """A provider and what was last heard of it. `now_s`: the clock, in seconds."""

    told: ProviderFile
    http: httpx.AsyncClient
    now_s: Callable[[], int]
    _metadata: dict[str, Any] = field(default_factory=dict)
    _keys: dict[str, Key] = field(default_factory=dict)
    _heard: int = -AGAIN_S
    _keys_heard: int = -AGAIN_S

    async def metadata(self) -> dict[str, Any]:
        """What it publishes of itself. Raises TokenError (provider_away, provider_lies)."""
        if self.now_s() >= self._heard + AGAIN_S:
            found = await self._get(self.told.issuer.rstrip("/") + "/.well-known/openid-configuration")
            wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if found.get("issuer") != self.told.issuer or not all(isinstance(found.get(k), str) for k in wanted):
                raise TokenError("provider_lies")
            self._metadata, self._heard = found, self.now_s()
        return self._metadata

    async def finder(self, header: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Key]:
        """The key that a statement names, asked for anew where it is not known. Raises TokenError (unknown_key)."""
        kid = header.get("kid")
        if (
            kid not in self._keys and self.now_s() >= self._keys_heard + KEYS_AGAIN_S
        ) or self.now_s() >= self._keys_heard + AGAIN_S:
            await self._hear_keys()
        key = self._keys.get(str(kid)) if kid is not None else self._only()
        if key is None:
            raise TokenError("unknown_key")
        return lambda _: key

    def _only(self) -> Key | None:
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    async def _hear_keys(self) -> None:
        said = (await self._get((await self.metadata())["jwks_uri"])).get("keys")
        keys: dict[str, Key] = {}
        for number, jwk in enumerate(said if isinstance(said, list) else []):
            try:
                keys[str(jwk.get("kid", number)) if isinstance(jwk, dict) else ""] = public_key(jwk)
            except TokenError:
                continue  # keys for other uses, and kinds we do not know
        self._keys, self._keys_heard = keys, self.now_s()

    async def _get(self, url: str) -> dict[str, Any]:
        try:
            answer = await self.http.get(url, headers={"Accept": "application/json"})
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, ValueError):
            raise TokenError("provider_away") from None
        if not isinstance(found, dict):
            raise TokenError("provider_lies")
        return found
