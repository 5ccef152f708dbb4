"""Documents of identity."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from noriai_api.identity.jwts import TokenError, public_key
from noriai_api.schemas import Id, Instant, Said, Strict


class KeyIn(Strict):
    """A machine's public key (JWK: EC P-256 or Ed25519), and until when it counts."""

    jwk: Annotated[
        dict[str, Any],
        Field(
            examples=[{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}],
            json_schema_extra={"required": ["kty", "crv", "x"]},
        ),
    ]
    expires: Instant

    @field_validator("jwk")
    @classmethod
    def _signs(cls, jwk: dict[str, Any]) -> dict[str, Any]:
        try:
            public_key(jwk)
        except TokenError:
            raise ValueError(
                "a public key of kind EC (P-256) or OKP (Ed25519) is wanted, and nothing private"
            ) from None
        if jwk.get("crv") not in ("P-256", "Ed25519"):
            raise ValueError("the curve is to be P-256 or Ed25519")
        return {name: jwk[name] for name in ("kty", "crv", "x", "y", "kid") if name in jwk}


class KeyOut(Said):
    """A key by its thumbprint (RFC 7638)."""

    thumbprint: str
    jwk: dict[str, Any]
    created: int
    expires: int
    revoked: int | None


class Keys(Said):
    keys: list[KeyOut]


class InvitationIn(Strict):
    """For which client (made without a key), at which provider, for how many days."""

    client: Id
    provider: Id
    days: Annotated[int, Field(ge=1, le=30)] = 7


class InvitationOut(Said):
    """Where the person goes, once. Whoever has this address becomes the client: send it to nobody else."""

    address: str
    expires: str


class IdentityIn(Strict):
    """A provider's subject that is this client: a person's `sub`, or a machine's client id there."""

    provider: Id
    subject: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


class Me(Said):
    """Who calls."""

    tenant: str
    client: str
    role: str
    operator: str | None
    vehicle: str | None
    rider: str | None
    scopes: list[str] | None


class Token(Said):
    """An access token (RFC 6749, section 5.1), bound to the key of the proof it was asked with."""

    access_token: str
    token_type: Literal["DPoP"] = "DPoP"
    expires_in: int
    scope: str | None = None
