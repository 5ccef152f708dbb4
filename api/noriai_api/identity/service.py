"""Identity of a node: its token keys, the providers it trusts, and what has been used up."""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
import structlog
from sqlalchemy import Connection

from noriai_api.exchange.keys import Keyring, new_key
from noriai_api.identity import store
from noriai_api.identity.dpop import Proof, proven
from noriai_api.identity.jwts import (
    LEEWAY_S,
    THEIRS,
    TokenError,
    audiences,
    in_time,
    opened,
    public_key,
    said,
    unverified,
)
from noriai_api.identity.machines import TYPE, AccessTokens, Holder, asserted, bound_to, scopes_of
from noriai_api.identity.providers import Provider, ProviderFile
from noriai_api.identity.sign_in import GOES_ON_S, Begun
from noriai_engine.model import Clock

T = TypeVar("T")

KEY_DAYS = 398
COOKIE_TYPE = "noriai-sign-in+jwt"
MOST_PROOFS = 200_000
SAFE = ("GET", "HEAD", "OPTIONS")

log = structlog.get_logger("noriai.identity")


class Store(Protocol):
    """Reading what is durable, and writing through the one writer."""

    def read(self, query: Callable[[Connection], T]) -> Awaitable[T]: ...

    def write(self, change: Callable[[Connection], T]) -> Awaitable[T]: ...


class Identity:
    """`prepare` before it is asked; `close` at the end."""

    def __init__(
        self, node: Store, clock: Clock, told: dict[str, ProviderFile], new_id: Callable[[], str],
        new_secret: Callable[[], str],
    ) -> None:  # fmt: skip
        self._node, self._clock, self.new_id, self.new_secret = node, clock, new_id, new_secret
        self._http = httpx.AsyncClient(timeout=5, follow_redirects=False)
        self.providers = {name: Provider(one, self._http, self.now_s) for name, one in told.items()}
        self.refused: Counter[str] = Counter()
        """Credentials that did not hold, by the check they failed."""
        self._proofs: dict[str, int] = {}
        self.tokens = AccessTokens(Keyring([]))
        self._keyring = Keyring([])

    def now_s(self) -> int:
        return self._clock.now() // 1000

    def prepare(self, connection: Connection, file: Path) -> None:
        """Load the token keys, or make them: in a transaction, so that of several processes one makes them."""
        keyring, now = Keyring.load(file), self.now_s()
        if not any(key.valid_to > now for key in keyring.keys):
            keyring.add(new_key(bytes.fromhex(self.new_secret()), now - 3600, now + KEY_DAYS * 86_400))
        self._keyring, self.tokens = keyring, AccessTokens(keyring)

    async def close(self) -> None:
        await self._http.aclose()

    def note(self, code: str, of: str) -> None:
        """A credential did not hold: for whoever looks after the node, never for the caller."""
        self.refused[code] += 1
        log.info("a credential was refused", code=code, of=of)

    # --- machines -----------------------------------------------------------------------------------------------

    async def issue(
        self, assertion: str, proof: str, method: str, url: str, us: tuple[str, ...], issuer: str,
        scopes: frozenset[str] | None,
    ) -> tuple[str, Holder]:  # fmt: skip
        """An access token for whoever signed the assertion, bound to the key of the proof. Raises TokenError."""
        proof_said = proven(proof, method, url, self.now_s(), None)
        _, payload = unverified(assertion)
        mine = await self._node.read(partial(_keys, name=str(payload.get("iss", ""))))
        found = asserted(assertion, us, lambda tenant, client: mine, self._clock.now())
        await self._once(("assertion", found.id), ("proof", f"{proof_said.thumbprint} {proof_said.id}"))
        holder = Holder(found.tenant, found.client, proof_said.thumbprint, scopes)
        return self.tokens.issue(holder, issuer, self.new_id(), self.now_s()), holder

    async def holder(self, token: str, proof: str, method: str, url: str) -> Holder:
        """Whom a token and its proof are of. Raises TokenError."""
        _, payload = unverified(token)
        issuer = payload.get("iss")
        theirs = next((p for p in self.providers.values() if p.told.machines and p.told.issuer == issuer), None)
        holder = self.tokens.holder(token, self.now_s()) if theirs is None else await self._of_theirs(theirs, token)
        said_by = proven(proof, method, url, self.now_s(), token)
        if said_by.thumbprint != holder.thumbprint:
            raise TokenError("wrong_key")
        await self._proof_once(said_by, method)
        return holder

    async def _of_theirs(self, provider: Provider, token: str) -> Holder:
        """A machine whose access token another authorization server gave, bound to its key."""
        tenant, client, claims = await self._theirs(provider, token)
        return Holder(tenant, client, bound_to(claims), scopes_of(claims))

    async def of_bearer(self, token: str) -> tuple[str, str]:
        """(tenant, client) of another authorization server's access token that is not bound to a key: it counts only
        beside something else the client has. Raises TokenError."""
        _, payload = unverified(token)
        for provider in self.providers.values():
            if provider.told.machines and provider.told.issuer == payload.get("iss"):
                tenant, client, _ = await self._theirs(provider, token)
                return tenant, client
        raise TokenError("wrong_issuer")

    async def _theirs(self, provider: Provider, token: str) -> tuple[str, str, dict[str, Any]]:
        """(tenant, client, claims) of an access token of another authorization server (RFC 9068)."""
        find = await provider.finder(unverified(token)[0])
        _, claims = opened(token, (TYPE,), THEIRS, find)
        in_time(claims, self.now_s())
        subject = str(claims.get("client_id") or said(claims, "sub")[0])
        if said(claims, "iss")[0] != provider.told.issuer:
            raise TokenError("wrong_issuer")
        if provider.told.audience not in audiences(claims):
            raise TokenError("wrong_audience")
        tenants = provider.told.tenants
        found = await self._node.read(partial(store.tenants_of, issuer=provider.told.issuer, subject=subject))
        mine = [(tenant, client) for tenant, client in found if not tenants or tenant in tenants]
        if len(mine) != 1:
            raise TokenError("unknown_client")
        return *mine[0], claims

    async def _proof_once(self, proof: Proof, method: str) -> None:
        """A proof counts once: in this process at once, for requests that change something in the store too."""
        key, now = f"{proof.thumbprint} {proof.id}", self.now_s()
        if self._proofs.get(key, 0) > now:
            raise TokenError("replayed")
        if len(self._proofs) >= MOST_PROOFS:
            self._proofs = {k: until for k, until in self._proofs.items() if until > now}
        self._proofs[key] = now + 2 * LEEWAY_S + 1
        if method not in SAFE:
            await self._once(("proof", key))

    async def _once(self, *used: tuple[str, str]) -> None:
        """Raises TokenError (replayed) where one of these counted before; then none of them counts now."""
        expires = self._clock.now() + 600_000

        def change(connection: Connection) -> None:
            if not all(store.use(connection, kind, name, expires) for kind, name in used):
                raise TokenError("replayed")

        await self._node.write(change)

    # --- people -------------------------------------------------------------------------------------------------

    def seal(self, begun: Begun) -> str:
        """The cookie that people bring back."""
        now = self.now_s()
        return self._keyring.signing(now).sign(COOKIE_TYPE, {**begun.claims(), "exp": now + GOES_ON_S})

    async def unseal(self, cookie: str, tenant: str, provider: str) -> Begun:
        """What was begun, once. Raises TokenError."""

        def find(header: Any) -> Any:
            for key in self._keyring.public(self.now_s()):
                if key.kid == header.get("kid"):
                    return public_key(dict(key.jwk))
            raise TokenError("unknown_key")

        _, claims = opened(cookie, (COOKIE_TYPE,), ("Ed25519",), find)
        if not isinstance(claims.get("exp"), int) or claims["exp"] <= self.now_s():
            raise TokenError("expired")
        begun = Begun(**{name: str(claims[name]) for name in Begun.__slots__})
        if (begun.tenant, begun.provider) != (tenant, provider):
            raise TokenError("wrong_provider")
        await self._once(("sign-in", begun.state))
        return begun


def _keys(connection: Connection, name: str) -> list[dict[str, Any]]:
    tenant, _, client = name.partition("/")
    return store.keys_of(connection, tenant, client)
