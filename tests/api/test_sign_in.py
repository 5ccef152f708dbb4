"""People sign in at an OpenID provider of another hand; whatever does not hold is refused, each for its own reason, and
all of it looks the same from outside."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from openid import OpenIdProvider, ProviderKey, b64, provider
from serving import Movable, Serving, serving, some_settings

Claims = dict[str, Any]


@dataclass
class Signing:
    node: Serving
    clock: Movable
    staff: OpenIdProvider
    other: OpenIdProvider

    def refusals(self) -> dict[str, int]:
        return dict(self.node.node.identity.refused)

    def invited(self, client: str, role: str = "dispatcher", **more: Any) -> str:
        """Where a person goes who is to be a client of ours."""
        new = {"client": client, "name": client, "role": role, "key": False, **more}
        made = self.node.ask("administrator", "POST", "/v1/clients", json=new)
        assert (made.status_code, made.json()["key"]) == (201, None), made.text
        asked = {"client": client, "provider": "staff"}
        invitation = self.node.ask("administrator", "POST", "/v1/invitations", json=asked)
        assert invitation.status_code == 201, invitation.text
        return str(invitation.json()["address"])


class Browser:
    """Keeps cookies, and goes where it is sent, one step at a time."""

    def __init__(self, node: Serving) -> None:
        self.http = httpx.Client(base_url=node.address, timeout=30, follow_redirects=False)

    def go(self, address: str, **headers: str) -> httpx.Response:
        return self.http.get(address, headers=headers)

    def to_provider(self, where: str) -> httpx.Response:
        """As far as the provider, which sends people back at once."""
        begun = self.go(where)
        assert begun.status_code == 302, begun.text
        return self.go(begun.headers["location"])

    def sign_in(self, where: str) -> httpx.Response:
        return self.go(self.to_provider(where).headers["location"])

    def me(self) -> httpx.Response:
        return self.go("/v1/me")


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signing]:
    folder, clock = tmp_path_factory.mktemp("signing"), Movable()
    patch = pytest.MonkeyPatch()
    patch.setenv("STAFF_SECRET", "a secret")
    with provider(lambda: clock.now() // 1000) as staff, provider(lambda: clock.now() // 1000) as other:
        (folder / "providers.toml").write_text(f"""
[[providers]]
id = "staff"
issuer = "{staff.address}"
client_id = "noriai"
client_secret_env = "STAFF_SECRET"
acr = ["aal3"]

[[providers]]
id = "residents"
issuer = "{other.address}"
client_id = "noriai"
client_secret_env = "STAFF_SECRET"
tenants = ["home"]
admits_residents = true
entitlements = [{{ name = "over65", min_age = 65 }}]

[[providers]]
id = "elsewhere"
issuer = "{other.address}"
client_id = "noriai"
client_secret_env = "STAFF_SECRET"
tenants = ["away"]
""")
        settings = some_settings(folder, moves_itself=False, providers=folder / "providers.toml")
        with serving(settings, clock) as node:
            yield Signing(node, clock, staff, other)
    patch.undo()


def login(provider: str = "staff", **query: str) -> str:
    return f"/auth/home/{provider}/login?{urlencode(query)}"


# --- what goes well ---------------------------------------------------------------------------------------------


def test_an_invited_dispatcher_signs_in_works_and_signs_out(signing: Signing) -> None:
    browser, where = Browser(signing.node), signing.invited("hanako", operator="taxi")
    signing.staff.user = {"sub": "hanako@staff", "name": "Hanako Yamada", "email": "hanako@example.com"}
    back = browser.sign_in(where + "&return_to=/console")
    assert (back.status_code, back.headers["location"]) == (302, "/console")
    cookie = next(c for c in browser.http.cookies.jar if c.name == "noriai_session")
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert browser.me().json() == {"tenant": "home", "client": "hanako", "role": "dispatcher", "operator": "taxi",
                                   "vehicle": None, "rider": None, "scopes": None}  # fmt: skip
    assert browser.go("/v1/bookings").status_code == 200
    assert browser.go("/v1/clients").status_code == 403
    change = f"/v1/regions/{signing.node.region}/quotes"
    forged = browser.http.post(change, json=signing.node.wish(1))
    assert (forged.status_code, "Noriai-Request" in forged.json()["detail"]) == (403, True)
    assert browser.http.post(change, json=signing.node.wish(1), headers={"Noriai-Request": "1"}).status_code == 201
    again = Browser(signing.node)  # another device, and no invitation any more
    assert again.sign_in(login()).status_code == 302
    assert again.me().json()["client"] == "hanako"
    assert browser.http.delete("/v1/session", headers={"Noriai-Request": "1"}).status_code == 204
    browser.http.cookies.set("noriai_session", str(cookie.value))
    assert browser.me().status_code == 401
    assert again.me().status_code == 200
    assert signing.node.ask("administrator", "DELETE", "/v1/clients/hanako").status_code == 204
    assert again.me().status_code == 401
    assert again.sign_in(login()).status_code == 400


def test_sessions_end(signing: Signing) -> None:
    browser, where = Browser(signing.node), signing.invited("shift", role="planner")
    signing.staff.user = {"sub": "shift"}
    browser.sign_in(where)
    assert browser.me().status_code == 200
    signing.clock.ahead_ms += 8 * 3_600_000 + 1
    assert browser.me().status_code == 401


def test_residents_are_admitted_and_nothing_of_them_is_kept(signing: Signing) -> None:
    """Who is old enough is entitled; name, birth date and address stay with the provider."""
    browser = Browser(signing.node)
    signing.other.user = {"sub": "r-1", "name": "鈴木花子", "birthdate": "1948-03-01", "address": {"locality": "黒部"}}
    assert browser.sign_in(login("residents")).status_code == 302
    me = browser.me().json()
    assert (me["role"], me["rider"] is not None) == ("resident", True)
    rider = signing.node.ask("administrator", "GET", f"/v1/riders/{me['rider']}").json()
    assert rider["entitlements"] == {"over65": "2099-12-31"}
    again = Browser(signing.node)
    again.sign_in(login("residents"))
    assert again.me().json() == me
    signing.other.user = {"sub": "r-2", "birthdate": "2001-03-01"}
    younger = Browser(signing.node)
    younger.sign_in(login("residents"))
    assert younger.me().json()["rider"] != me["rider"]
    own = younger.go(f"/v1/riders/{younger.me().json()['rider']}").json()
    assert own["entitlements"] == {}
    assert younger.go(f"/v1/riders/{me['rider']}").status_code == 404
    text = everything(signing.node)
    assert "r-1" in text
    for personal in ("鈴木", "1948-03-01", "黒部", "Hanako Yamada", "hanako@example.com"):
        assert personal not in text


def everything(node: Serving) -> str:
    """All rows of all tables, as text."""
    from noriai_api.store.tables import metadata

    def read(connection: Any) -> str:
        rows = [dict(r) for table in metadata.sorted_tables for r in connection.execute(table.select()).mappings()]
        return json.dumps(rows, ensure_ascii=False, default=str)

    return str(node.node.database.read(read))


def test_a_provider_changes_its_keys(signing: Signing) -> None:
    """A key that is not known yet is asked for; one that was taken out counts no more."""
    browser, where = Browser(signing.node), signing.invited("rotating", role="planner")
    signing.staff.user = {"sub": "rotating"}
    assert browser.sign_in(where).status_code == 302
    old = signing.staff.keys[0]
    signing.staff.keys = [ProviderKey("k2"), old]
    signing.clock.ahead_ms += 11_000
    assert Browser(signing.node).sign_in(login()).status_code == 302
    signing.staff.keys = signing.staff.keys[:1]
    signing.clock.ahead_ms += 3_700_000
    assert Browser(signing.node).sign_in(login()).status_code == 302
    signing.staff.meddle = lambda claims: old.signed(claims)
    assert refused(signing, Browser(signing.node), login()) == "unknown_key"
    signing.staff.meddle = lambda claims: claims


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: x", ""],
)
def test_nobody_is_sent_elsewhere(signing: Signing, path: str) -> None:
    signing.staff.user = {"sub": "rotating"}
    back = Browser(signing.node).sign_in(login(return_to=path))
    assert (back.status_code, back.headers["location"]) == (302, "/docs")


# --- what does not ----------------------------------------------------------------------------------------------


def refused(signing: Signing, browser: Browser, where: str) -> str:
    """The one reason for which a sign-in was refused."""
    return reason(signing, lambda: browser.sign_in(where))


def reason(signing: Signing, act: Callable[[], httpx.Response]) -> str:
    before = signing.refusals()
    answer = act()
    assert answer.status_code == 400, answer.text
    problem = answer.json() | {"instance": ""}
    assert problem["code"] == "sign_in_failed"
    assert "detail" not in problem
    assert "noriai_session" not in answer.headers.get("set-cookie", "")
    after = signing.refusals()
    (code,) = [name for name in after if after[name] != before.get(name, 0)]
    return code


def hs256_with_the_public_key(signing: Signing) -> Callable[[Claims], str]:
    def made(claims: Claims) -> str:
        head = b64(json.dumps({"alg": "HS256", "kid": signing.staff.keys[0].kid}).encode())
        body = b64(json.dumps(claims).encode())
        secret = json.dumps(signing.staff.keys[0].jwk).encode()
        return f"{head}.{body}.{b64(hmac.new(secret, f'{head}.{body}'.encode(), hashlib.sha256).digest())}"

    return made


def unsigned(claims: Claims) -> str:
    return f"{b64(json.dumps({'alg': 'none'}).encode())}.{b64(json.dumps(claims).encode())}."


def without(name: str) -> Callable[[Claims], Claims]:
    return lambda claims: {k: v for k, v in claims.items() if k != name}


MEDDLED: dict[str, tuple[Callable[[Signing], Callable[[Claims], Claims | str]], str]] = {
    "another issuer": (lambda s: lambda c: c | {"iss": "https://evil.example"}, "wrong_issuer"),
    "another audience": (lambda s: lambda c: c | {"aud": "somebody"}, "wrong_audience"),
    "two audiences and no azp": (lambda s: lambda c: c | {"aud": ["noriai", "somebody"]}, "wrong_audience"),
    "another azp": (lambda s: lambda c: c | {"azp": "somebody"}, "wrong_audience"),
    "expired": (lambda s: lambda c: c | {"exp": c["iat"] - 100}, "expired"),
    "not yet": (lambda s: lambda c: c | {"nbf": c["iat"] + 1000}, "not_yet"),
    "of tomorrow": (lambda s: lambda c: c | {"iat": c["iat"] + 86_400, "exp": c["exp"] + 86_400}, "not_yet"),
    "expiry is a text": (lambda s: lambda c: c | {"exp": "never"}, "claims_missing"),
    "no expiry": (lambda s: without("exp"), "claims_missing"),
    "no subject": (lambda s: without("sub"), "claims_missing"),
    "no nonce": (lambda s: without("nonce"), "wrong_nonce"),
    "another nonce": (lambda s: lambda c: c | {"nonce": "of another sign-in"}, "wrong_nonce"),
    "a weaker sign-in": (lambda s: lambda c: c | {"acr": "aal1"}, "wrong_acr"),
    "no acr": (lambda s: without("acr"), "wrong_acr"),
    "of another access token": (lambda s: lambda c: c | {"at_hash": b64(bytes(16))}, "wrong_token"),
    "unsigned": (lambda s: unsigned, "wrong_algorithm"),
    "HS256 with the public key": (hs256_with_the_public_key, "wrong_algorithm"),
    "an unknown key": (lambda s: ProviderKey("k9").signed, "unknown_key"),
    "another key by the same name": (lambda s: ProviderKey(s.staff.keys[0].kid).signed, "bad_signature"),
    "touched": (lambda s: lambda c: touched(s.staff.keys[0].signed(c)), "bad_signature"),
    "critical extension": (lambda s: lambda c: s.staff.keys[0].signed(c, crit=["b64"], b64=False), "malformed"),
    "no token": (lambda s: lambda c: "not.a.token", "malformed"),
    "huge": (lambda s: lambda c: "a" * 20_000, "malformed"),
}  # fmt: skip


def touched(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return f"{head}.{b64(json.dumps(claims | {'sub': 'somebody-else'}).encode())}.{signature}"


@pytest.mark.parametrize("how", MEDDLED)
def test_tokens_that_do_not_hold(signing: Signing, how: str) -> None:
    meddle, code = MEDDLED[how]
    signing.staff.user = {"sub": "rotating"}
    signing.clock.ahead_ms += 11_000  # so that keys may be asked for again
    signing.staff.meddle = meddle(signing)
    try:
        assert refused(signing, Browser(signing.node), login()) == code
    finally:
        signing.staff.meddle = lambda claims: claims
    assert Browser(signing.node).sign_in(login()).status_code == 302


def test_ways_back_that_do_not_hold(signing: Signing) -> None:
    """State, cookie, issuer, code: each belongs to one sign-in, and counts once."""
    signing.staff.user = {"sub": "rotating"}

    def changed(how: Callable[[dict[str, str]], dict[str, str]], browser: Browser | None = None) -> str:
        browser = browser or Browser(signing.node)
        parts = urlsplit(browser.to_provider(login()).headers["location"])
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        return reason(signing, lambda: browser.go(f"{parts.path}?{urlencode(how(query))}"))

    assert changed(lambda q: q | {"state": "another"}) == "wrong_state"
    assert changed(lambda q: {k: v for k, v in q.items() if k != "state"}) == "wrong_state"
    assert changed(lambda q: q | {"iss": signing.other.address}) == "wrong_issuer"
    assert changed(lambda q: {k: v for k, v in q.items() if k != "iss"}) == "wrong_issuer"
    assert changed(lambda q: {k: v for k, v in q.items() if k != "code"}) == "no_code"
    assert changed(lambda q: q | {"code": "guessed"}) == "code_refused"
    assert changed(lambda q: {**q, "error": "access_denied"}) == "refused_there"
    victim = Browser(signing.node)
    stolen = parse_qs(urlsplit(victim.to_provider(login()).headers["location"]).query)["code"][0]
    assert changed(lambda q: q | {"code": stolen}) == "code_refused"  # PKCE: another's verifier
    no_cookie = Browser(signing.node)
    back = Browser(signing.node).to_provider(login()).headers["location"]
    assert reason(signing, lambda: no_cookie.go(back)) == "malformed"
    twice = Browser(signing.node)
    back = twice.to_provider(login()).headers["location"]
    begun = twice.http.cookies.get("noriai_sign_in")
    assert twice.go(back).status_code == 302
    header = {"Cookie": f"noriai_sign_in={begun}"}
    fresh = Browser(signing.node)
    assert reason(signing, lambda: fresh.http.get(back, headers=header)) == "replayed"
    other = Browser(signing.node)
    other.to_provider(login("residents"))
    cookie = {"Cookie": f"noriai_sign_in={other.http.cookies.get('noriai_sign_in')}"}
    mixed = Browser(signing.node).to_provider(login()).headers["location"]
    assert reason(signing, lambda: fresh.http.get(mixed, headers=cookie)) == "wrong_provider"
    late = Browser(signing.node)
    back = late.to_provider(login()).headers["location"]
    signing.clock.ahead_ms += 601_000
    assert reason(signing, lambda: late.go(back)) == "expired"


def test_invitations_count_once_and_for_one(signing: Signing) -> None:
    signing.staff.user = {"sub": "stranger"}
    assert refused(signing, Browser(signing.node), login()) == "not_invited"
    where = signing.invited("guest", role="planner")
    signing.staff.user = {"sub": "guest"}
    assert Browser(signing.node).sign_in(where).status_code == 302
    signing.staff.user = {"sub": "thief"}
    assert refused(signing, Browser(signing.node), where) == "bad_invitation"
    signing.staff.user = {"sub": "guest"}  # who somebody is cannot be changed by another invitation
    assert refused(signing, Browser(signing.node), signing.invited("boss", role="administrator")) == "bad_invitation"
    late = signing.invited("late", role="planner")
    signing.clock.ahead_ms += 8 * 86_400_000
    signing.staff.user = {"sub": "late"}
    assert refused(signing, Browser(signing.node), late) == "bad_invitation"
    assert Browser(signing.node).go("/auth/home/elsewhere/login").status_code == 404
    assert Browser(signing.node).go("/auth/nowhere/staff/login").status_code == 404
    asked = {"client": "guest", "provider": "elsewhere"}
    assert signing.node.ask("administrator", "POST", "/v1/invitations", json=asked).status_code == 404
    assert signing.node.ask("partner", "POST", "/v1/invitations", json=asked).status_code == 403


def test_a_page_for_people_who_could_not_be_signed_in(signing: Signing) -> None:
    signing.staff.user = {"sub": "stranger"}
    browser = Browser(signing.node)
    back = browser.to_provider(login()).headers["location"]
    page = browser.go(back, Accept="text/html")
    assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "ログインできませんでした" in page.text
    assert "could not be signed in" in page.text


def test_a_provider_that_is_away_or_lies(tmp_path: Path) -> None:
    """Discovery decides nothing for another issuer; where nobody answers, nobody is let in."""
    clock = Movable()
    with provider(lambda: clock.now() // 1000) as there:
        (tmp_path / "p.toml").write_text(
            f'[[providers]]\nid = "lies"\nissuer = "{there.address}/"\nclient_id = "noriai"\n'
            '[[providers]]\nid = "away"\nissuer = "http://127.0.0.1:9"\nclient_id = "noriai"\n'
        )
        with serving(some_settings(tmp_path / "n", moves_itself=False, providers=tmp_path / "p.toml"), clock) as node:
            for name, code in (("lies", "provider_lies"), ("away", "provider_away")):
                answer = Browser(node).go(f"/auth/home/{name}/login")
                assert (answer.status_code, answer.json()["code"]) == (400, "sign_in_failed")
                assert node.node.identity.refused[code] == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[[providers]]\nid = "a"\nissuer = "nowhere"\nclient_id = "x"', "provider 1: issuer"),
        ('[[providers]]\nid = "a"\nissuer = "https://x.example"', "client_id"),
        ('[[providers]]\nid = "a"\nissuer = "https://x.example"\nclient_id = "x"\ncolour = 1', "colour"),
        ('[[providers]]\nid = "a"\nissuer = "https://x.example"\nclient_id = "x"\nclient_secret_env = "UNSET_1"', "UNSET_1"),
        ('[[providers]]\nid = "a"\nissuer = "https://x.example"\nmachines = true', "audience"),
        ("providers = 3", "one [[providers]]"),
        ("[[", "is not TOML"),
    ],
)  # fmt: skip
def test_providers_that_are_not_understood(tmp_path: Path, text: str, what: str) -> None:
    from noriai_api.identity.providers import load_providers
    from noriai_engine.model.errors import InputError

    file = tmp_path / "providers.toml"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        load_providers(file)
    assert what in str(error.value)
