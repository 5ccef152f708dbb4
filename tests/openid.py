"""An OpenID provider to test against, and machines' keys: nothing here shares code with what is tested."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int) -> str:
    return b64(value.to_bytes(size, "big"))


def sign(header: dict[str, Any], claims: dict[str, Any], signer: Callable[[bytes], bytes]) -> str:
    head, body = (b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{head}.{body}.{b64(signer(f'{head}.{body}'.encode()))}"


class MachineKey:
    """A P-256 key: signs assertions and proofs."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key().public_numbers()
        self.jwk = {"kty": "EC", "crv": "P-256", "x": number(public.x, 32), "y": number(public.y, 32)}
        required = json.dumps({k: self.jwk[k] for k in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        self.thumbprint = b64(hashlib.sha256(required.encode()).digest())

    def _sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def signed(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return sign({"alg": "ES256", **header}, claims, self._sign)

    def assertion(self, client: str, audience: str, now: int, **more: Any) -> str:
        claims = {"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 60,
                  "jti": secrets.token_hex(16)}  # fmt: skip
        return self.signed({"kid": self.thumbprint}, claims | more)

    def proof(self, method: str, url: str, now: int, token: str | None = None, *,
              header: dict[str, Any] | None = None, **more: Any) -> str:  # fmt: skip
        claims = {"jti": secrets.token_hex(16), "htm": method, "htu": url, "iat": now}
        if token is not None:
            claims["ath"] = b64(hashlib.sha256(token.encode()).digest())
        return self.signed({"typ": "dpop+jwt", "jwk": self.jwk, **(header or {})}, claims | more)


class ProviderKey:
    """An RSA key of a provider."""

    def __init__(self, kid: str) -> None:
        self._key, self.kid = rsa.generate_private_key(65537, 2048), kid
        public = self._key.public_key().public_numbers()
        self.jwk = {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": number(public.n, 256), "e": "AQAB"}

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        return sign(
            {"alg": "RS256", "kid": self.kid, **header}, claims,
            lambda data: self._key.sign(data, padding.PKCS1v15(), hashes.SHA256()),
        )  # fmt: skip


class OpenIdProvider:
    """Lets `user` in at once. `meddle` changes the claims of the next ID token, or gives another token altogether."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now, self.keys = now, [ProviderKey("k1")]
        self.client, self.secret = "noriai", "a secret"
        self.user: dict[str, Any] = {"sub": "user-1"}
        self.acr, self.address = "aal3", ""
        self.meddle: Callable[[dict[str, Any]], dict[str, Any] | str] = lambda claims: claims
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[dict[str, str]] = []
        self.used = 0
        paths = [
            Route("/.well-known/openid-configuration", self.metadata), Route("/jwks", self.jwks),
            Route("/authorize", self.authorize), Route("/token", self.token, methods=["POST"]),
        ]  # fmt: skip
        self.app = Starlette(routes=paths)

    async def metadata(self, request: Request) -> Response:
        return JSONResponse({
            "issuer": self.address, "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token", "jwks_uri": f"{self.address}/jwks",
            "authorization_response_iss_parameter_supported": True,
        })  # fmt: skip

    async def jwks(self, request: Request) -> Response:
        return JSONResponse({"keys": [key.jwk for key in self.keys]})

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.asked.append(asked)
        assert asked["code_challenge_method"] == "S256"
        assert asked["response_type"] == "code"
        code = secrets.token_hex(8)
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.address}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        user, _, secret = base64.b64decode(request.headers["authorization"].split()[1]).decode().partition(":")
        asked = self.codes.pop(form["code"], None)
        verifies = (
            asked is not None
            and b64(hashlib.sha256(form["code_verifier"].encode()).digest()) == (asked["code_challenge"])
        )
        if (user, secret) != (self.client, self.secret) or not verifies or asked is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.used += 1
        access = secrets.token_hex(16)
        claims = {
            "iss": self.address, "aud": self.client, "iat": self.now(), "exp": self.now() + 300, "acr": self.acr,
            "nonce": asked["nonce"], "at_hash": b64(hashlib.sha256(access.encode()).digest()[:16]), **self.user,
        }  # fmt: skip
        made = self.meddle(claims)
        token = made if isinstance(made, str) else self.keys[0].signed(made)
        return JSONResponse({"access_token": access, "token_type": "Bearer", "id_token": token})


@contextmanager
def provider(now: Callable[[], int]) -> Iterator[OpenIdProvider]:
    made = OpenIdProvider(now)
    server = uvicorn.Server(uvicorn.Config(made.app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < end
        time.sleep(0.01)
    made.address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield made
    server.should_exit = True
    thread.join(20)
