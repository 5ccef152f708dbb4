"""HTTP of identity: signing in, tokens for machines, keys, invitations."""

import json
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Cookie, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field
from sqlalchemy import Connection, insert, select, update

from noriai_api.access import audit, clients
from noriai_api.access.decision import ACTIONS, Subject
from noriai_api.guard import COMMON, Caller, TheNode, allow, session_cookie, url_of
from noriai_api.holding.leases import signal
from noriai_api.identity import sign_in, store
from noriai_api.identity.jwts import TokenError, public_key
from noriai_api.identity.machines import ASSERTION, LIVES_S
from noriai_api.identity.schemas import IdentityIn, InvitationIn, InvitationOut, KeyIn, KeyOut, Keys, Me, Token
from noriai_api.identity.sign_in import Person
from noriai_api.node import Node
from noriai_api.problems import Problem, described
from noriai_api.schemas import Id, in_zone, utc_ms, words
from noriai_api.store.tables import riders
from noriai_engine.model import ServiceDay
from noriai_engine.model.units import DAY_MS, HOUR_MS

router = APIRouter(tags=["identity"])
guarded = APIRouter(tags=["identity"], responses=COMMON)

BEGUN = "noriai_sign_in"
FORM_LIMIT = 32_768
Thumbprint = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


# --- machines ---------------------------------------------------------------------------------------------------


@router.get("/.well-known/oauth-authorization-server", response_model=dict[str, Any])
async def metadata(node: TheNode) -> dict[str, Any]:
    """Where machines get tokens, and how they prove who they are (RFC 8414)."""
    us = node.public_address
    return {
        "issuer": us, "token_endpoint": f"{us}/oauth/token", "jwks_uri": f"{us}/oauth/jwks",
        "grant_types_supported": ["client_credentials"], "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA"],
        "dpop_signing_alg_values_supported": ["ES256", "EdDSA"], "scopes_supported": sorted(ACTIONS),
    }  # fmt: skip


@router.get("/oauth/jwks", response_model=dict[str, Any])
async def jwks(node: TheNode) -> dict[str, Any]:
    """The keys that access tokens are signed with."""
    return node.identity.tokens.jwks(node.identity.now_s())


@router.post(
    "/oauth/token", response_model=Token, response_model_exclude_none=True,
    responses=described("token_refused", "bad_request", "too_large", "store_down"),
    openapi_extra={"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": {
        "type": "object", "required": ["grant_type", "client_assertion_type", "client_assertion"],
        "properties": {
            "grant_type": {"const": "client_credentials"}, "client_assertion_type": {"const": ASSERTION},
            "client_assertion": {"type": "string"}, "scope": {"type": "string"},
        },
    }}}}, "parameters": [{"in": "header", "name": "DPoP", "required": True, "schema": {"type": "string"}}]},
)  # fmt: skip
async def token(request: Request, node: TheNode) -> Token:
    """An access token for ten minutes: client credentials with private_key_jwt, bound by DPoP."""
    form = await _form(request)
    if form.get("grant_type") != "client_credentials":
        raise _oauth("unsupported_grant_type", "the grant type is to be client_credentials")
    if form.get("client_assertion_type") != ASSERTION or not form.get("client_assertion"):
        raise _oauth("invalid_client", "a client assertion is wanted (private_key_jwt)")
    proofs = request.headers.getlist("DPoP")
    if len(proofs) != 1:
        raise _oauth("invalid_dpop_proof", "exactly one header DPoP is wanted")
    scopes = frozenset(form["scope"].split()) if form.get("scope") else None
    if scopes is not None and not scopes <= ACTIONS.keys():
        raise _oauth("invalid_scope", "a scope is the name of an action; GET /v1/actions lists them")
    us, url = node.public_address, url_of(request, node)
    try:
        made, holder = await node.identity.issue(
            form["client_assertion"], proofs[0], "POST", url, (us, f"{us}/oauth/token", url), us, scopes
        )
        if await node.client_named(holder.tenant, holder.client) is None:
            raise TokenError("revoked")
    except TokenError as error:
        node.identity.note(error.code, "token request")
        raise _oauth("invalid_client", "assertion or proof does not hold") from None
    return Token(access_token=made, expires_in=LIVES_S, scope=form.get("scope"))


async def _form(request: Request) -> dict[str, str]:
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded" or len(body) > FORM_LIMIT:
        raise _oauth("invalid_request", "the body is to be a form (application/x-www-form-urlencoded)")
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=20)
    except (UnicodeError, ValueError):
        raise _oauth("invalid_request", "the body is no form") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise _oauth("invalid_request", "a field is there twice")
    return dict(pairs)


def _oauth(error: str, detail: str) -> Problem:
    """A refusal with the members of RFC 6749, section 5.2."""
    return Problem("token_refused", detail, error=error, error_description=detail)


# --- people -----------------------------------------------------------------------------------------------------


@router.get(
    "/auth/{tenant}/{provider}/login", response_class=RedirectResponse, status_code=302,
    responses=described("not_found", "sign_in_failed", "invalid"),
)  # fmt: skip
async def login(
    tenant: Id, provider: Id, request: Request, node: TheNode,
    invitation: Annotated[str, Query(max_length=128, pattern=r"^[0-9a-f]*$")] = "",
    return_to: Annotated[str, Query(max_length=500)] = "/docs",
) -> Response:  # fmt: skip
    """Sign in at an OpenID provider; with an invitation, become the client it is for."""
    found = _provider(node, tenant, provider)
    begun = sign_in.begin(tenant, provider, invitation, return_to, node.identity.new_secret)
    try:
        where = await sign_in.address(found, begun, _callback(request, node, tenant, provider))
    except TokenError as error:
        return _failed(request, node, error.code)
    answer = RedirectResponse(where, 302)
    answer.set_cookie(
        BEGUN, node.identity.seal(begun), max_age=sign_in.GOES_ON_S, path=f"/auth/{tenant}/{provider}", httponly=True,
        secure=_is_safe(request, node), samesite="lax",
    )  # fmt: skip
    return answer


@router.get(
    "/auth/{tenant}/{provider}/callback", response_class=RedirectResponse, status_code=302,
    responses=described("not_found", "sign_in_failed", "store_down"),
)  # fmt: skip
async def callback(
    tenant: Id, provider: Id, request: Request, node: TheNode, begun_cookie: Annotated[str, Cookie(alias=BEGUN)] = ""
) -> Response:
    """Where the provider sends people back to."""
    found = _provider(node, tenant, provider)
    identity = node.identity
    try:
        begun = await identity.unseal(begun_cookie, tenant, provider)
        answer = dict(request.query_params)
        person = await sign_in.finish(found, begun, answer, _callback(request, node, tenant, provider), identity.new_id)
        secret, now = identity.new_secret(), node.clock.now()
        expires = now + node.settings.session_hours * HOUR_MS

        def change(connection: Connection) -> str:
            client = _client(connection, node, tenant, found.told.id, begun.invitation, person, now)
            store.begin_session(connection, tenant, client, secret, now, expires)
            audit.append(connection, time=now, tenant=tenant, actor=client, action="sign_in",
                         resource=f"client/{client}", payload={"provider": provider})  # fmt: skip
            return client

        client = await node.write(change)
        if await node.client_named(tenant, client) is None:
            raise TokenError("revoked")
    except TokenError as error:
        return _failed(request, node, error.code)
    done = RedirectResponse(begun.return_to, 302)
    done.delete_cookie(BEGUN, path=f"/auth/{tenant}/{provider}")
    safe = _is_safe(request, node)
    done.set_cookie(
        session_cookie(safe=safe), secret, max_age=node.settings.session_hours * 3600, path="/", httponly=True,
        secure=safe, samesite="lax",
    )  # fmt: skip
    return done


def _client(
    connection: Connection, node: Node, tenant: str, provider: str, invitation: str, person: Person, now: int
) -> str:
    """Who somebody is here: known, invited, or a resident where the provider admits them. Raises TokenError."""
    told = node.identity.providers[provider].told
    client = store.client_of(connection, tenant, person.issuer, person.subject)
    if invitation:
        invited = store.take_invitation(connection, tenant, invitation, provider, now)
        if invited is None or client not in (None, invited):
            raise TokenError("bad_invitation")
        if client is None:
            store.link(connection, tenant, person.issuer, person.subject, invited, now)
        return invited
    if client is None:
        if not told.admits_residents:
            raise TokenError("not_invited")
        name = node.ids.new_id()
        client, rider = f"resident-{name}", f"rider-{name}"
        connection.execute(insert(riders).values(tenant=tenant, rider=rider, client=client, body="{}"))
        subject = Subject(tenant, client, "resident", rider=rider)
        clients.add_client(connection, subject, "resident", node.new_secret(), now)
        store.link(connection, tenant, person.issuer, person.subject, client, now)
    _entitle(connection, tenant, client, person)
    return client


def _entitle(connection: Connection, tenant: str, client: str, person: Person) -> None:
    """A resident's profile gets what the provider has shown they are entitled to."""
    known = clients.named(connection, tenant, client)
    if not person.entitlements or known is None or known.subject.rider is None:
        return
    where = (riders.c.tenant == tenant, riders.c.rider == known.subject.rider)
    body = json.loads(connection.execute(select(riders.c.body).where(*where)).scalar_one())
    body["entitlements"] = {**body.get("entitlements", {}), **person.entitlements}
    connection.execute(update(riders).where(*where).values(body=json.dumps(body)))


def _provider(node: Node, tenant: str, provider: str) -> Any:
    found = node.identity.providers.get(provider)
    if found is None or not found.told.client_id or (found.told.tenants and tenant not in found.told.tenants):
        raise Problem("not_found")
    if tenant not in node.tenants:
        raise Problem("not_found")
    return found


def _callback(request: Request, node: Node, tenant: str, provider: str) -> str:
    return f"{url_of(request, node, path='')}/auth/{tenant}/{provider}/callback"


def _is_safe(request: Request, node: Node) -> bool:
    return url_of(request, node).startswith("https:")


def _failed(request: Request, node: Node, code: str) -> Response:
    """One answer for every reason: a page for people, a problem document for programs."""
    node.identity.note(code, "sign-in")
    problem = Problem("sign_in_failed")
    if "text/html" not in request.headers.get("accept", ""):
        raise problem
    said, next_step = words("problem.sign_in_failed"), words("problem.sign_in_failed_next")
    page = "".join(
        f'<section lang="{language}"><h1>{said[language]}</h1><p>{next_step[language]}</p></section>'
        for language in ("ja", "en")
    )
    style = "body{font:1.25rem/1.7 sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}h1{font-size:1.5rem}"
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>noriai</title>'
    return HTMLResponse(f'<!doctype html><html lang="ja">{head}<style>{style}</style>{page}</html>', problem.status)


# --- behind the guard -------------------------------------------------------------------------------------------


@guarded.get("/v1/me", response_model=Me)
async def me(caller: Annotated[Caller, allow("service.read")]) -> Me:
    """Who the caller is."""
    s = caller.subject
    return Me(tenant=s.tenant, client=s.client, role=s.role, operator=s.operator, vehicle=s.vehicle, rider=s.rider,
              scopes=None if s.scopes is None else sorted(s.scopes))  # fmt: skip


@guarded.delete("/v1/session", status_code=204, responses=described("store_down"))
async def sign_out(request: Request, response: Response, caller: Annotated[Caller, allow("service.read")]) -> None:
    """End the session this request came in; without one, nothing happens."""
    name = session_cookie(safe=_is_safe(request, caller.node))
    secret = request.cookies.get(name)
    if secret:
        await caller.write(lambda connection: store.end_session(connection, secret))
    response.delete_cookie(name, path="/")


@guarded.post(
    "/v1/invitations", status_code=201, response_model=InvitationOut, responses=described("not_found", "store_down")
)
async def add_invitation(new: InvitationIn, caller: Annotated[Caller, allow("client.write")]) -> InvitationOut:
    """Let a person become a client by signing in at a provider, once."""
    node, now, code = caller.node, caller.node.clock.now(), caller.node.new_secret()
    found = _provider(node, caller.tenant, new.provider)
    expires = now + new.days * DAY_MS

    def write(connection: Connection) -> None:
        _known(connection, caller, new.client)
        store.invite(connection, caller.tenant, code, new.client, found.told.id, expires)
        caller.note(connection, now, f"client/{new.client}", {"invited": new.provider})

    await caller.write(write)
    address = f"{node.public_address}/auth/{caller.tenant}/{new.provider}/login?invitation={code}"
    return InvitationOut(address=address, expires=in_zone(expires, ServiceDay.on("2000-01-01", "UTC")))


@guarded.post(
    "/v1/clients/{client}/identities", status_code=204, responses=described("not_found", "conflict", "store_down")
)
async def add_identity(client: Id, new: IdentityIn, caller: Annotated[Caller, allow("client.write")]) -> None:
    """Say who a provider's subject is here: a machine of another authorization server, or a person known beforehand."""
    node, now = caller.node, caller.node.clock.now()
    found = node.identity.providers.get(new.provider)
    if found is None or (found.told.tenants and caller.tenant not in found.told.tenants):
        raise Problem("not_found", f"no provider {new.provider}")

    def write(connection: Connection) -> None:
        _known(connection, caller, client)
        before = store.client_of(connection, caller.tenant, found.told.issuer, new.subject)
        if before not in (None, client):
            raise Problem("conflict", f"that subject is client {before} already")
        if before is None:
            store.link(connection, caller.tenant, found.told.issuer, new.subject, client, now)
            caller.note(connection, now, f"client/{client}", {"identity": new.provider})

    await caller.write(write)


@guarded.post(
    "/v1/clients/{client}/keys", status_code=201, response_model=KeyOut,
    responses=described("not_found", "conflict", "store_down"),
)  # fmt: skip
async def add_key(client: Id, new: KeyIn, caller: Annotated[Caller, allow("client.write")]) -> KeyOut:
    """A public key by which a machine proves that it is this client. Several may count at a time, to change them."""
    node, now = caller.node, caller.node.clock.now()
    thumbprint = public_key(new.jwk).thumbprint()
    expires = utc_ms(new.expires)

    def write(connection: Connection) -> None:
        _known(connection, caller, client)
        if not store.add_key(connection, caller.grant, client, thumbprint, new.jwk, now, expires):
            raise Problem("conflict", "that key is in use already; make a new one for each client")
        caller.note(connection, now, f"client/{client}", {"key": thumbprint})

    await node.write(write)  # a key counts once over all tenants, so that this looks at theirs too
    return KeyOut(thumbprint=thumbprint, jwk=new.jwk, created=now, expires=expires, revoked=None)


@guarded.get("/v1/clients/{client}/keys", response_model=Keys, responses=described("not_found"))
async def list_keys(client: Id, caller: Annotated[Caller, allow("client.write")]) -> Keys:
    """A client's public keys, those that count no longer too."""

    def read(connection: Connection) -> Keys:
        _known(connection, caller, client)
        rows = store.keys_of(connection, caller.tenant, client)
        return Keys(keys=[KeyOut(**{name: row[name] for name in KeyOut.model_fields}) for row in rows])

    return await caller.read(read)


@guarded.delete(
    "/v1/clients/{client}/keys/{thumbprint}", status_code=204, responses=described("not_found", "store_down")
)
async def revoke_key(client: Id, thumbprint: Thumbprint, caller: Annotated[Caller, allow("client.write")]) -> None:
    """No new tokens for this key. Those given go on for ten minutes at most; revoke the client to end them now."""
    now = caller.node.clock.now()

    def write(connection: Connection) -> None:
        if not store.revoke_key(connection, caller.grant, client, thumbprint, now):
            raise Problem("not_found", f"no such key of {client} counts")
        caller.note(connection, now, f"client/{client}", {"key_revoked": thumbprint})
        signal(connection, "clients", caller.tenant, now)

    await caller.write(write)


def _known(connection: Connection, caller: Caller, client: str) -> None:
    """Raises Problem (not_found)."""
    if clients.named(connection, caller.tenant, client) is None:
        raise Problem("not_found", f"no client {client}")
