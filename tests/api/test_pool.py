"""Drivers and vehicles lent between towns: hours, credentials and areas follow them, and nobody is in two towns at once."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from neighbouring import agree_on, exchange_of, manage, neighbours
from serving import Movable, Serving

from noriai_api.exchange import usage
from noriai_api.pool.borrowing import UNANSWERED_MS
from noriai_api.pool.hours import DAYS_28_MS, HOUR_MS, Limits, objection, weekly

POOL = "urn:noriai:dataset:home:pool"
BASE = {"lon": 137.57, "lat": 36.89}
HELD = {"licence": "driving", "valid_from": "2010-01-01", "valid_to": "2030-01-01"}
COURSE = {"licence": "course", "valid_from": "2024-05-01", "valid_to": "2026-05-20"}
DAY = "2026-05-20"  # a Wednesday; the tests begin at nine

# --- hours --------------------------------------------------------------------------------------------------------


def plain_objection(duties: list[tuple[int, int]], new: tuple[int, int], limits: Limits) -> str | None:
    """Hour by hour, with nothing shared."""
    if any(hour in range(*duty) for duty in duties for hour in range(*new)):
        return "busy"
    worked = sorted({hour for duty in [*duties, new] for hour in range(*duty)})
    first, last = new[0], new[1] - 1
    while True:  # the working day around the new duty: until a gap as long as a night's rest
        before = [h for h in worked if h < first]
        if before and first - (before[-1] + 1) < limits.least_rest_h:
            first = before[-1]
        else:
            break
    while True:
        after = [h for h in worked if h > last]
        if after and after[0] - (last + 1) < limits.least_rest_h:
            last = after[0]
        else:
            break
    if last + 1 - first > limits.longest_day_h:
        alone = (first, last + 1) == new
        return "day" if alone else "rest"
    for start in range(worked[0] - 28 * 24, worked[-1] + 1):
        window = range(start, start + 28 * 24)
        if any(h in window for h in range(*new)) and sum(h in window for h in worked) > limits.most_28_days_h:
            return "month"
    return None


@given(
    st.lists(st.tuples(st.integers(0, 96), st.integers(1, 14)), max_size=5), st.integers(0, 96), st.integers(1, 16),
    st.integers(4, 14), st.integers(1, 10), st.integers(8, 40),
)  # fmt: skip
def test_objections_are_those_of_a_count_by_the_hour(
    drawn: list[tuple[int, int]], begin: int, length: int, day: int, rest: int, month: int
) -> None:
    duties: list[tuple[int, int]] = []
    for start, hours in drawn:
        if all(start >= e or start + hours <= b for b, e in duties):
            duties.append((start, start + hours))
    limits, new = Limits(longest_day_h=day, least_rest_h=rest, most_28_days_h=month), (begin, begin + length)
    found = objection([(b * HOUR_MS, e * HOUR_MS) for b, e in duties], (new[0] * HOUR_MS, new[1] * HOUR_MS), limits)
    said = plain_objection(duties, new, limits)
    assert (None if found is None else found.why) == said


def test_hours_of_the_week_are_the_regions_own() -> None:
    start = int(datetime.fromisoformat(f"{DAY}T00:00:00+09:00").timestamp() * 1000)
    found = weekly({"wed": ("22:00", "26:00"), "thu": ("09:00", "10:00")}, "Asia/Tokyo", start, start + 2 * 86_400_000)
    assert found == [(start + 22 * HOUR_MS, start + 26 * HOUR_MS), (start + 33 * HOUR_MS, start + 34 * HOUR_MS)]
    assert (
        weekly({"wed": ("22:00", "26:00")}, "Asia/Tokyo", start + 86_400_000, start + 90_000_000)[0][0] == found[0][0]
    )
    assert DAYS_28_MS == 28 * 24 * HOUR_MS


# --- between two nodes ----------------------------------------------------------------------------------------------


class Pool:
    def __init__(self, a: Serving, b: Serving, clock: Movable) -> None:
        self.a, self.b, self.clock = a, b, clock
        self.own = a.ask("administrator", "GET", "/v1/vehicles").json()["vehicles"][0]

    def need(self, begin: str, end: str, kind: str = "driver", **more: Any) -> dict[str, Any]:
        return {"kind": kind, "begin": f"{begin}:00+09:00", "end": f"{end}:00+09:00", "area": "jis:08203"} | more

    def free(self, need: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.a.ask("administrator", "POST", "/v1/pool/searches", json=need)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["free"])

    def borrow(self, offer: str, need: dict[str, Any], **more: Any) -> dict[str, Any]:
        body = {"participant": "urn:noriai:node:b", "offer": offer, "need": need, "region": self.a.region,
                "operator": self.own["operator"]} | more  # fmt: skip
        answer = self.a.ask("administrator", "POST", "/v1/pool/loans", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def give_back(self, loan: str, **worked: str) -> dict[str, Any]:
        answer = self.a.ask("administrator", "POST", f"/v1/pool/loans/{loan}/return", json=worked)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Town b lends a driver on weekday evenings and a van at noon to town a."""
    clock = Movable()
    more = {"a": {"moves_itself": False}, "b": {"moves_itself": False}}
    with neighbours(tmp_path_factory.mktemp("pool"), clock, more, a=1, b=1) as (a, b):
        about = {
            "title": {"ja": "人と車", "en": "Pool"}, "description": {"ja": "貸借", "en": "Loans"}, "owner": "urn:b",
            "kind": "operations", "schema_id": "urn:noriai:schema:pool", "schema_version": "1.0",
            "area": ["jis:08220"], "coverage": "all", "formats": ["HttpData-PULL"],
        }  # fmt: skip
        manage(b, "PUT", f"datasets/{POOL}", json={"about": about, "terms": {"purposes": ["dispatch"]}})
        operator = b.ask("administrator", "GET", "/v1/vehicles").json()["vehicles"][0]["operator"]
        driver = {"operator": operator, "born": "1970-01-01", "licences": [HELD, COURSE]}
        assert b.ask("administrator", "PUT", "/v1/drivers/hanako", json=driver).status_code == 201
        van = {"region": b.region, "operator": operator, "kind": "van", "layouts": [{"seats": 8, "wheelchairs": 1}],
               "depot": BASE, "shifts": {"wed": ["07:00", "10:00"], "thu": ["07:00", "10:00"]}}  # fmt: skip
        assert b.ask("administrator", "PUT", "/v1/vehicles/van", json=van).status_code == 201
        week = ("mon", "tue", "wed", "thu", "fri")
        offers = {
            "evenings": {"kind": "driver", "name": "hanako", "hours": {d: ["08:00", "23:00"] for d in week},
                         "duties": {"wed": ["06:00", "10:00"]}, "areas": ["jis:08"], "yen_per_hour": 1800},
            "noon": {"kind": "vehicle", "name": "van", "hours": {d: ["09:00", "16:00"] for d in week},
                     "yen_per_hour": 900},
        }  # fmt: skip
        for name, offer in offers.items():
            body = {"region": b.region, "base": BASE, **offer}
            answer = b.ask("administrator", "PUT", f"/v1/pool/offers/{name}", json=body)
            assert answer.status_code == 200, answer.text
        assert a.ask("administrator", "POST", "/v1/pool/searches", json=Pool(a, b, clock).need(
            f"{DAY}T12:00", f"{DAY}T15:00")).json()["free"] == [], "without an agreement nobody lends"  # fmt: skip
        agree_on(a, b, POOL, "dispatch")
        yield Pool(a, b, clock)


def test_a_driver_is_lent_with_credentials_for_those_hours_only(pool: Pool) -> None:
    need = pool.need(f"{DAY}T12:00", f"{DAY}T16:00", licences=["driving"])
    (free,) = pool.free(need)
    assert (free["offer"], free["participant"], free["yen"]) == ("evenings", "urn:noriai:node:b", 4 * 1800)
    loan = pool.borrow("evenings", need)
    assert (loan["state"], loan["yen"]) == ("lent", 7200)
    drivers = {d["driver"]: d for d in pool.a.ask("administrator", "GET", "/v1/drivers").json()["drivers"]}
    here = drivers[loan["name"]]
    assert [one["licence"] for one in here["licences"]] == ["driving", "course"]
    assert "hanako" not in json.dumps(here)
    assert pool.free(need) == [], "nobody is in two towns at once"
    assert pool.borrow("evenings", need)["reason"] == "busy"
    lent = pool.b.ask("administrator", "GET", "/v1/pool/loans").json()["loans"]
    assert [(one["role"], one["state"], one["name"]) for one in lent] == [("lent", "lent", "hanako")]
    early = pool.a.ask(
        "desk",
        "POST",
        f"/v1/vehicles/{pool.own['vehicle']}/steps",
        json={"step": "start_shift", "driver": loan["name"]},
    )
    assert early.status_code == 409, "it is nine: the driver comes at noon"
    assert "12:00" in early.json()["detail"]
    pool.clock.ahead_ms += int(3.5 * HOUR_MS)
    on = pool.a.ask(
        "desk",
        "POST",
        f"/v1/vehicles/{pool.own['vehicle']}/steps",
        json={"step": "start_shift", "driver": loan["name"]},
    )
    assert on.status_code == 200, on.text
    back = pool.give_back(loan["loan"], begin=f"{DAY}T12:30:00+09:00", end=f"{DAY}T15:30:00+09:00")
    assert (back["state"], back["yen"]) == ("returned", 3 * 1800), "by the hours worked"
    gone = pool.a.ask("administrator", "GET", "/v1/drivers").json()["drivers"]
    assert loan["name"] not in {d["driver"] for d in gone}
    assert pool.free(need) == [], "the hours worked stay worked"
    assert pool.free(pool.need(f"{DAY}T15:30", f"{DAY}T16:00", licences=["driving"]))
    sides = []
    for node in (pool.a, pool.b):
        agreement = manage(node, "GET", "agreements")["agreements"][0]["agreement"]
        sides.append(node.ask("administrator", "GET", f"/v1/pool/agreements/{agreement}/settlement").json())
        assert usage.first_bad(node.node.database.read(lambda c: usage.entries(c, "home"))) is None
    assert sides[0]["lines"] == sides[1]["lines"]
    assert [line["what"] for line in sides[0]["lines"]] == ["loan", "return"]
    assert sides[0]["total"] == sides[1]["total"] == 3 * 1800, "the log's sum is what is owed"


def test_what_stands_against_a_loan_is_told(pool: Pool) -> None:
    """Own duty, hours not offered, a working day too long, an expired credential, another area, too few seats."""
    for begin, end, more, why in (
        ("2026-05-27T09:00", "2026-05-27T11:00", {}, "busy"),  # own duty on Wednesdays until ten
        ("2026-05-21T07:00", "2026-05-21T09:00", {}, "hours"),
        ("2026-05-23T12:00", "2026-05-23T14:00", {}, "hours"),  # a Saturday
        ("2026-05-27T18:00", "2026-05-27T20:00", {}, "rest"),  # from six in the morning on: more than 13 hours
        ("2026-05-21T08:00", "2026-05-21T22:00", {}, "day"),
        ("2026-05-21T12:00", "2026-05-21T14:00", {"licences": ["driving", "course"]}, "licence"),
        ("2026-05-21T12:00", "2026-05-21T14:00", {"area": "jis:09201"}, "area"),
        ("2026-05-21T12:00", "2026-05-21T14:00", {"kind": "vehicle"}, "another_kind"),
    ):
        need = pool.need(begin, end, **more)
        said = pool.borrow("evenings", need)
        assert (said["state"], said["reason"]) == ("refused", why), (need, said)
        assert "evenings" not in {one["offer"] for one in pool.free(need)}
    assert pool.borrow("nothing", pool.need("2026-05-21T12:00", "2026-05-21T14:00"))["reason"] == "unknown_offer"
    vans = pool.need("2026-05-21T12:00", "2026-05-21T14:00", kind="vehicle", seats=9)
    assert pool.borrow("noon", vans)["reason"] == "seats"
    on_duty = pool.need("2026-05-21T09:30", "2026-05-21T11:00", kind="vehicle")
    assert pool.borrow("noon", on_duty)["reason"] == "busy", "its own shift lasts until ten"


def test_a_vehicle_serves_here_on_the_day_of_its_loan(pool: Pool) -> None:
    """It is in the fleet of the day that is open, carries riders in those hours, and on no other day."""
    need = pool.need(f"{DAY}T13:00", f"{DAY}T15:30", kind="vehicle", seats=7)
    loan = pool.borrow("noon", need)
    assert loan["state"] == "lent"
    vehicles = {v["vehicle"]: v for v in pool.a.ask("administrator", "GET", "/v1/vehicles").json()["vehicles"]}
    here = vehicles[loan["name"]]
    assert (here["shifts"], here["dates"]) == ({}, {DAY: ["13:00", "15:30"]})
    found = set()
    for number in range(12):
        quote = pool.a.quote(number, minutes=60, party={"seats": 7})
        for offer in quote["offers"]:
            taken = pool.a.ask("partner", "POST", "/v1/bookings", key=quote["quote"], json={"quote": quote["quote"]})
            found.add(taken.json()["vehicle"])
            assert offer["vehicle_kind"] == "van"
    assert found == {loan["name"]}, "our own taxi has four seats"
    tomorrow = pool.a.quote(3, minutes=24 * 60 + 60, party={"seats": 7})
    assert tomorrow["offers"] == []
    back = pool.give_back(loan["loan"])
    assert (back["state"], back["yen"]) == ("returned", 0), "not used: nothing to pay"


def test_an_answer_that_is_lost_is_asked_for_again(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One loan, however often it is asked for; and what is returned is returned once."""
    exchange = exchange_of(pool.a)
    send = exchange.send

    async def lost(*arguments: Any) -> httpx.Response:
        await send(*arguments)
        raise httpx.ReadError("cut off")

    need = pool.need("2026-06-01T12:00", "2026-06-01T15:00")
    before = len(pool.b.ask("administrator", "GET", "/v1/pool/loans").json()["loans"])

    def stands(loan: str, state: str) -> dict[str, Any]:
        import time

        for _ in range(200):
            loans = pool.a.ask("administrator", "GET", "/v1/pool/loans").json()["loans"]
            found: dict[str, Any] = next(one for one in loans if one["loan"] == loan)
            if found["state"] == state:
                return found
            pool.clock.ahead_ms += UNANSWERED_MS // 10
            time.sleep(0.05)
        raise AssertionError(found)

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "send", lost)
        loan = pool.borrow("evenings", need)
        assert loan["state"] == "asking"
    assert stands(loan["loan"], "lent")["yen"] == 5400
    assert len(pool.b.ask("administrator", "GET", "/v1/pool/loans").json()["loans"]) == before + 1
    with monkeypatch.context() as patch:
        patch.setattr(exchange, "send", lost)
        back = pool.give_back(loan["loan"], begin="2026-06-01T12:00:00+09:00", end="2026-06-01T13:00:00+09:00")
        assert back["state"] == "returning"
    assert stands(loan["loan"], "returned")["yen"] == 1800


def test_two_towns_at_once_get_a_person_once(pool: Pool) -> None:
    """Twelve loans of overlapping hours asked for side by side: the ones that are lent do not overlap."""
    rng = random.Random(3)
    needs = []
    for _ in range(12):
        begin = datetime.fromisoformat("2026-06-05T10:00:00+09:00") + timedelta(minutes=30 * rng.randrange(12))
        end = begin + timedelta(minutes=30 * rng.randrange(2, 5))
        needs.append(pool.need(begin.isoformat()[:16], end.isoformat()[:16]))
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda need: pool.borrow("evenings", need), needs))
    lent = sorted((one["begin"], one["end"]) for one in said if one["state"] == "lent")
    assert lent
    assert all(end <= begin for (_, end), (begin, _) in pairwise(lent))
    assert {one["reason"] for one in said if one["state"] == "refused"} <= {"busy", "rest"}
    assert len(lent) + sum(one["state"] == "refused" for one in said) == len(said)


def test_a_lender_that_lies_lends_nothing(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = exchange_of(pool.a)
    need = pool.need("2026-06-08T12:00", "2026-06-08T15:00")
    before = pool.a.ask("administrator", "GET", "/v1/drivers").json()
    for text in ("[]", "{}", '{"free": 7}', json.dumps({"kind": "vehicle", "base": BASE, "yen": 1}), "x" * 10_000,
                 json.dumps({"kind": "driver", "base": BASE, "yen": -5, "licences": "all"})):  # fmt: skip

        async def lies(*arguments: Any, text: str = text) -> httpx.Response:
            return httpx.Response(200, text=text)

        with monkeypatch.context() as patch:
            patch.setattr(exchange, "send", lies)
            assert pool.free(need) == []
            said = pool.borrow("evenings", need)
        assert said["state"] in ("refused", "asking")
    assert pool.a.ask("administrator", "GET", "/v1/drivers").json() == before


def test_wrong_input_is_told(pool: Pool) -> None:
    need = pool.need("2026-06-08T15:00", "2026-06-08T12:00")
    assert pool.a.ask("administrator", "POST", "/v1/pool/searches", json=need).status_code == 422
    offer = {"kind": "driver", "name": "nobody", "region": pool.b.region, "hours": {"mon": ["08:00", "09:00"]},
             "base": BASE, "yen_per_hour": 1}  # fmt: skip
    assert pool.b.ask("administrator", "PUT", "/v1/pool/offers/x", json=offer).status_code == 404
    assert pool.b.ask("partner", "PUT", "/v1/pool/offers/x", json=offer).status_code == 403
    assert pool.a.ask("administrator", "POST", "/v1/pool/loans/none/return", json={}).status_code == 404
    assert pool.b.ask("administrator", "DELETE", "/v1/pool/offers/evenings").status_code == 204
    assert pool.free(pool.need("2026-06-09T12:00", "2026-06-09T15:00")) == []
