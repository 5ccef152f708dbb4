"""Terms of use: what each operand means, and that whatever has no meaning denies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from exchanging import limit, rule
from hypothesis import example, given, settings
from hypothesis import strategies as st

from noriai_api.exchange.terms import EPSILON, GROUP, ONWARD, PURPOSES, Use, duration_ms, micro, terms_of
from noriai_engine.model.errors import InputError

NOON = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)


def policy(*constraints: dict[str, Any]) -> dict[str, Any]:
    return {"permission": [rule(*constraints)]}


def use(**more: Any) -> Use:
    said: dict[str, Any] = {"recipient": "urn:b", "purpose": "dispatch", "now_ms": NOON, "finalized_ms": NOON - 1000,
                            "uses": 1, "area": ("jis:08220", "mesh:54400098"), "group": 50, "micro_epsilon": 500_000}  # fmt: skip
    return Use(**said | more)


TABLE: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (limit("recipient", "eq", "urn:b"), {}, {"recipient": "urn:c"}),
    (limit("recipient", "isAnyOf", ["urn:a", "urn:b"]), {}, {"recipient": "urn:c"}),
    (limit("recipient", "isNoneOf", ["urn:c"]), {}, {"recipient": "urn:c"}),
    (limit("purpose", "eq", "dispatch"), {}, {"purpose": "research"}),
    (limit("purpose", "isAnyOf", ["dispatch", "research"]), {"purpose": "research"}, {"purpose": "open-data"}),
    (limit("spatial", "eq", "jis:08220"), {}, {"area": ("jis:08203",)}),
    (limit("spatial", "isPartOf", "jis:08"), {"area": ("jis:08203",)}, {"area": ("jis:13101",)}),
    (limit("spatial", "isAnyOf", ["mesh:5440", "jis:13101"]), {}, {"area": ("mesh:5339",)}),
    (limit("dateTime", "lt", "2026-11-22T12:00:00.001Z"), {}, {"now_ms": NOON + 1}),
    (limit("dateTime", "lteq", "2026-11-22T21:00:00+09:00"), {}, {"now_ms": NOON + 1}),
    (limit("dateTime", "gteq", "2026-11-22T12:00:00Z"), {}, {"now_ms": NOON - 1}),
    (limit("dateTime", "gt", "2026-11-22T11:59:59Z"), {}, {"now_ms": NOON - 1000}),
    (limit("count", "lteq", {"@value": "3", "@type": "xsd:integer"}), {"uses": 3}, {"uses": 4}),
    (limit("count", "lt", "3"), {"uses": 2}, {"uses": 3}),
    (limit("elapsedTime", "lt", "PT1S"), {"finalized_ms": NOON - 999}, {"finalized_ms": NOON - 1000}),
    (limit("elapsedTime", "lteq", "P1D"), {}, {"finalized_ms": NOON - 86_400_001}),
    (limit(GROUP, "gteq", "50"), {}, {"group": 49}),
    (limit(EPSILON, "lteq", "0.5"), {}, {"micro_epsilon": 500_001}),
]


@pytest.mark.parametrize(("constraint", "fits", "falls"), TABLE, ids=lambda v: str(v)[:60])
def test_each_operand(constraint: dict[str, Any], fits: dict[str, Any], falls: dict[str, Any]) -> None:
    terms = terms_of(policy(constraint))
    assert terms.judge(use(**fits)).allowed
    verdict = terms.judge(use(**falls))
    assert (verdict.allowed, verdict.operand) == (False, constraint["leftOperand"])


@pytest.mark.parametrize(
    "said",
    [
        limit("mood", "eq", "good"), limit("urn:noriai:terms:other", "eq", "x"), limit("purpose", "gt", "dispatch"),
        limit("purpose", "eq", "world-domination"), limit("count", "lteq", 3), limit("count", "lteq", "-1"),
        limit("count", "lteq", "1e3"), limit("dateTime", "lt", "2026-11-22"), limit("dateTime", "lt", "2026-11-22T12:00:00"),
        limit("dateTime", "eq", "2026-11-22T12:00:00Z"), limit("elapsedTime", "lt", "P1M"), limit("elapsedTime", "lt", "P"),
        limit("spatial", "eq", "Ibaraki"), limit("spatial", "eq", "jis:0822"), limit("spatial", "eq", "mesh:544"),
        limit("spatial", "eq", []), limit(GROUP, "lteq", "5"), limit(EPSILON, "lteq", "0.0000001"),
        limit(EPSILON, "lteq", "NaN"), limit(ONWARD, "eq", "all"), limit("recipient", "eq", {"@id": "urn:b"}),
        {"xone": [limit("purpose", "eq", "dispatch")]}, {"andSequence": [limit("purpose", "eq", "dispatch")]},
        {"and": [limit("purpose", "eq", "dispatch")], "or": [limit("purpose", "eq", "research")]}, {"and": []}, {},
        {"leftOperand": "purpose", "operator": "eq"}, {**limit("purpose", "eq", "dispatch"), "unit": "x"},
        "purpose", None, ["purpose"],
    ],
    ids=lambda v: str(v)[:70],
)  # fmt: skip
def test_what_is_not_understood_is_denied_by_name(said: Any) -> None:
    with pytest.raises(InputError, match="not understood"):
        terms_of({"permission": [{"action": "use", "constraint": [said]}]})


@pytest.mark.parametrize(
    "said",
    [{}, {"permission": []}, {"permission": [{"action": "sell"}]}, {"permission": [{"action": "use", "duty": []}]},
     {**policy(), "prohibition": [rule()]}, {**policy(), "obligation": [rule()]}, {**policy(), "profile": "urn:other"},
     [], None, "use"],
    ids=str,
)  # fmt: skip
def test_policies_that_are_not_understood(said: Any) -> None:
    with pytest.raises(InputError, match="not understood"):
        terms_of(said)


def test_lists_mean_and_or_means_or_several_permissions_are_one_enough() -> None:
    dispatch, research = limit("purpose", "eq", "dispatch"), limit("purpose", "eq", "research")
    early, late = limit("dateTime", "lt", "2026-11-22T00:00:00Z"), limit("dateTime", "gteq", "2026-11-22T00:00:00Z")
    assert terms_of(policy(dispatch, late)).judge(use()).allowed
    assert not terms_of(policy(dispatch, early)).judge(use()).allowed
    assert terms_of(policy({"or": [early, late]})).judge(use()).allowed
    assert not terms_of(policy({"or": [early, {"and": [late, research]}]})).judge(use()).allowed
    assert terms_of({"permission": [rule(research), rule(dispatch)]}).judge(use()).allowed


def test_a_negotiation_judges_what_is_known_by_then() -> None:
    terms = terms_of(
        policy(limit("recipient", "eq", "urn:b"), limit("count", "lteq", "0"), limit("spatial", "eq", "jis:08220"))
    )
    assert terms.judge(Use("urn:b")).allowed
    assert terms.judge(Use("urn:c")).operand == "recipient"
    assert terms.judge(Use("urn:b", "dispatch", NOON, uses=1)).operand == "count"


def test_onward_transfer_is_nobodys_unless_named() -> None:
    assert terms_of(policy()).onward is None
    assert terms_of(policy(limit(ONWARD, "eq", "none"))).onward is None
    assert terms_of(policy(limit(ONWARD, "isAnyOf", ["urn:x", "urn:y"]))).onward == ("urn:x", "urn:y")


ATOMS = st.sampled_from([constraint for constraint, _, _ in TABLE])
NESTED = st.recursive(
    ATOMS, lambda inner: st.builds(lambda word, parts: {word: parts}, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=6,
)  # fmt: skip
USES = st.builds(
    use, recipient=st.sampled_from(["urn:b", "urn:c"]), purpose=st.sampled_from(sorted(PURPOSES)),
    now_ms=st.integers(NOON - 3, NOON + 3), uses=st.integers(1, 5), group=st.sampled_from([49, 50]),
    micro_epsilon=st.sampled_from([500_000, 500_001]), area=st.sampled_from([("jis:08220",), ("jis:13101",), ("mesh:54400098",)]),
)  # fmt: skip


def plainly(constraint: dict[str, Any], u: Use) -> bool:
    """The same, read off the table by somebody who has not seen the code."""
    for word, join in (("and", all), ("or", any)):
        if word in constraint:
            return join([plainly(part, u) for part in constraint[word]])
    operand, operator, right = constraint["leftOperand"], constraint["operator"], constraint["rightOperand"]
    right = right["@value"] if isinstance(right, dict) else right
    values = right if isinstance(right, list) else [right]
    if operand in ("recipient", "purpose"):
        mine = u.recipient if operand == "recipient" else u.purpose
        return (mine in values) != (operator == "isNoneOf")
    if operand == "spatial":
        assert u.area is not None
        return any(a == v or (a[: len(v)] == v) for a in u.area for v in values)
    compare = {
        "lt": lambda a, b: a < b,
        "lteq": lambda a, b: a <= b,
        "gt": lambda a, b: a > b,
        "gteq": lambda a, b: a >= b,
    }
    assert u.now_ms is not None
    assert u.finalized_ms is not None
    left: Any = {
        "dateTime": u.now_ms,
        "count": u.uses,
        "elapsedTime": u.now_ms - u.finalized_ms,
        GROUP: u.group,
        EPSILON: u.micro_epsilon,
    }[operand]
    if operand == "dateTime":
        limit_at: Any = round(datetime.fromisoformat(right).timestamp() * 1000)
    elif operand == "elapsedTime":
        limit_at = {"PT1S": 1000, "P1D": 86_400_000}[right]
    else:
        limit_at = round(float(right) * (1_000_000 if operand == EPSILON else 1))
    return compare[operator](left, limit_at)


@settings(max_examples=600)
@given(st.lists(NESTED, max_size=4), USES)
@example([], use())
def test_nested_terms_as_a_plain_reader_takes_them(constraints: list[dict[str, Any]], u: Use) -> None:
    assert terms_of(policy(*constraints)).judge(u).allowed == all(plainly(c, u) for c in constraints)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["use", "purpose", "eq", "dispatch", "and"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["permission", "action", "constraint", "leftOperand", "operator", "rightOperand", "and", "or", "x"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=800)
@given(JSON)
def test_no_policy_makes_it_fall(said: Any) -> None:
    """Whatever comes is understood as a whole or denied in words."""
    try:
        terms = terms_of(said)
    except InputError:
        return
    assert isinstance(terms.judge(use()).allowed, bool)


def test_units() -> None:
    assert duration_ms("P1W") == 7 * 86_400_000
    assert duration_ms("P1DT2H3M4S") == ((26 * 60 + 3) * 60 + 4) * 1000
    assert [micro(x) for x in ("1", "0.000001", "0.1")] == [1_000_000, 1, 100_000]
