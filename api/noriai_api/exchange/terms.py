"""Terms of use: the part of ODRL that has a meaning here. Whatever is not in the table below is denied, by name.

| operand | meaning | operators |
|---|---|---|
| recipient | participant who uses it | eq, isAnyOf, isNoneOf |
| purpose | code of our list that the request names | eq, isAnyOf |
| spatial | area of a record: municipality (`jis:08220`), prefecture (`jis:08`) or JIS mesh (`mesh:54400098`) | eq, isAnyOf, isPartOf |
| dateTime | the provider's clock, UTC | gteq, gt, lt, lteq |
| count | uses under the agreement, this one included | lteq, lt |
| elapsedTime | ISO 8601 duration since the agreement was finalized | lteq, lt |
| urn:noriai:terms:minimumGroup | smallest group a figure may stand for | gteq |
| urn:noriai:terms:epsilon | privacy budget of the figures in a period | lteq |
| urn:noriai:terms:onwardTransfer | who may be given it by the recipient | eq (`none`), isAnyOf |

A list of constraints means all of them; `and` and `or` may nest them. Source: ODRL 2.2 with the profile PROFILE.
"""  # noqa: E501 - a table

import operator as op
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from noriai_engine.model.errors import InputError

PROFILE = "urn:noriai:terms:1"
GROUP, EPSILON, ONWARD = "urn:noriai:terms:minimumGroup", "urn:noriai:terms:epsilon", "urn:noriai:terms:onwardTransfer"

PURPOSES: Mapping[str, str] = {
    "dispatch": "serve a rider's trip",
    "service-planning": "plan services, lines and timetables",
    "subsidy-evidence": "account for public money",
    "research": "research with results in public",
    "open-data": "publish for anybody",
}
"""Purposes a request may name: code -> what it allows."""

MOST_DEEP = 8


@dataclass(frozen=True, slots=True)
class Use:
    """What is about to be done. A field of None is not known yet and does not deny: a negotiation knows no instant, a
    request knows no record. Every request for data names recipient, purpose and instant."""

    recipient: str
    purpose: str | None = None
    now_ms: int | None = None
    finalized_ms: int | None = None
    uses: int | None = None
    area: tuple[str, ...] | None = None
    group: int | None = None
    micro_epsilon: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer; `operand` is the one it fell at."""

    allowed: bool
    operand: str | None = None


Check = Callable[[Use], Verdict]
_YES = Verdict(True)


@dataclass(frozen=True)
class Terms:
    """Terms that were understood as a whole: of several permissions one is enough."""

    permissions: tuple[Check, ...]
    onward: tuple[str, ...] | None
    """Whom the recipient may give it to; None: nobody."""

    def judge(self, use: Use) -> Verdict:
        """May this be done?"""
        verdict = Verdict(False)
        for permission in self.permissions:
            verdict = permission(use)
            if verdict.allowed:
                return verdict
        return verdict

    def covers(self, use: Use, area: tuple[str, ...]) -> bool:
        """May this one record, of this area, be used so? An overlap in part is cut, record by record."""
        return self.judge(replace(use, area=area)).allowed


def terms_of(policy: Any) -> Terms:
    """The meaning of an ODRL policy (offer or agreement). Raises InputError naming what is not understood."""
    if not isinstance(policy, dict):
        raise _not_understood("policy", "an object")
    for part in ("prohibition", "obligation"):
        if policy.get(part):
            raise _not_understood(part, "permissions only")
    if policy.get("profile", PROFILE) not in (PROFILE, [PROFILE]):
        raise _not_understood("profile", PROFILE)
    permissions: list[Check] = []
    onward: list[list[str]] = []
    for rule in _list("permission", policy.get("permission")):
        if not isinstance(rule, dict) or set(rule) - {"action", "constraint", "@type", "target"}:
            raise _not_understood("permission", "an action with constraints")
        if rule.get("action") not in ("use", "odrl:use"):
            raise _not_understood(f"permission to {rule.get('action')}", "the action use")
        said = _list("constraint", rule.get("constraint", []))
        permissions.append(_all([_constraint(part, onward, 0) for part in said]))
    if not permissions:
        raise _not_understood("permission", "at least one")
    return Terms(tuple(permissions), None if not onward else tuple(sorted({p for names in onward for p in names})))


def _list(what: str, said: Any) -> list[Any]:
    if not isinstance(said, list):
        raise _not_understood(what, "a list")
    return said


def _constraint(said: Any, onward: list[list[str]], depth: int) -> Check:
    if not isinstance(said, dict) or depth > MOST_DEEP:
        raise _not_understood("constraint", f"an object, at most {MOST_DEEP} deep")
    for word, join in (("and", _all), ("or", _any)):
        if word in said:
            parts = said[word]
            if set(said) - {word, "@type"} or not isinstance(parts, list) or not parts:
                raise _not_understood(word, "a list of constraints and nothing beside it")
            return join([_constraint(part, onward, depth + 1) for part in parts])
    operand, operator = said.get("leftOperand"), said.get("operator")
    if set(said) - {"leftOperand", "operator", "rightOperand", "@type"} or "rightOperand" not in said:
        raise _not_understood(str(sorted(said)), "leftOperand, operator, rightOperand")
    make = OPERANDS.get(str(operand).removeprefix("odrl:"))
    if make is None:
        raise _not_understood(f"operand {operand}", f"one of {', '.join(OPERANDS)}")
    check = make(str(operator), said["rightOperand"], onward)
    name = str(operand).removeprefix("odrl:")
    return lambda use: _YES if check(use) else Verdict(False, name)


def _all(parts: list[Check]) -> Check:
    def check(use: Use) -> Verdict:
        return next((verdict for part in parts if not (verdict := part(use)).allowed), _YES)

    return check


def _any(parts: list[Check]) -> Check:
    def check(use: Use) -> Verdict:
        verdicts = [part(use) for part in parts]
        return _YES if any(verdict.allowed for verdict in verdicts) else verdicts[0]

    return check


Holds = Callable[[Use], bool]


def _recipient(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    names = _texts("recipient", right)
    if operator == "isNoneOf":
        return lambda use: use.recipient not in names
    _one_of("recipient", operator, "eq", "isAnyOf")
    return lambda use: use.recipient in names


def _purpose(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    _one_of("purpose", operator, "eq", "isAnyOf")
    codes = _texts("purpose", right)
    if unknown := [code for code in codes if code not in PURPOSES]:
        raise _not_understood(f"purpose {unknown[0]}", f"one of {', '.join(PURPOSES)}")
    return lambda use: use.purpose is None or use.purpose in codes


def _spatial(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    _one_of("spatial", operator, "eq", "isAnyOf", "isPartOf")
    areas = _texts("spatial", right)
    if bad := [area for area in areas if not is_area(area)]:
        raise _not_understood(f"area {bad[0]}", "jis:<digits> or mesh:<digits>")
    return lambda use: use.area is None or any(within(mine, area) for mine in use.area for area in areas)


def _date_time(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    compare, limit = _compare("dateTime", operator, "gteq", "gt", "lt", "lteq"), _instant(_typed(right))
    return lambda use: use.now_ms is None or compare(use.now_ms, limit)


def _count(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    compare, limit = _compare("count", operator, "lteq", "lt"), _whole("count", right)
    return lambda use: use.uses is None or compare(use.uses, limit)


def _elapsed(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    compare, limit = _compare("elapsedTime", operator, "lteq", "lt"), duration_ms(_typed(right))
    return lambda use: use.now_ms is None or use.finalized_ms is None or compare(use.now_ms - use.finalized_ms, limit)


def _group(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    compare, limit = _compare(GROUP, operator, "gteq"), _whole(GROUP, right)
    return lambda use: use.group is None or compare(use.group, limit)


def _epsilon(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    compare, limit = _compare(EPSILON, operator, "lteq"), micro(_typed(right))
    return lambda use: use.micro_epsilon is None or compare(use.micro_epsilon, limit)


def _onward(operator: str, right: Any, onward: list[list[str]]) -> Holds:
    names = _texts(ONWARD, right)
    if not (operator == "eq" and names == ["none"]):
        _one_of(ONWARD, operator, "isAnyOf")
        onward.append(names)
    return lambda use: True


OPERANDS: Mapping[str, Callable[[str, Any, list[list[str]]], Holds]] = {
    "recipient": _recipient, "purpose": _purpose, "spatial": _spatial, "dateTime": _date_time, "count": _count,
    "elapsedTime": _elapsed, GROUP: _group, EPSILON: _epsilon, ONWARD: _onward,
}  # fmt: skip


def rfc3339(ms: int) -> str:
    """An instant in UTC ms as terms have it."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def is_area(area: str) -> bool:
    return re.fullmatch(r"jis:\d{2}(\d{3})?|mesh:\d{4}(\d{2}(\d{2}(\d{1,3})?)?)?", area, re.ASCII) is not None


def within(area: str, whole: str) -> bool:
    """Is an area the other one or a part of it? Codes of parts begin with those of the whole."""
    return area.startswith(whole)


def duration_ms(text: str) -> int:
    """An ISO 8601 duration of weeks, days and times: months and years have no one length. Raises InputError."""
    found = re.fullmatch(r"P(?:(\d{1,4})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?", text)
    if found is None or not any(found.groups()):
        raise _not_understood(f"duration {text}", "weeks, days, hours, minutes, seconds, as in P7D or PT1H")
    w, d, h, m, s = (int(part or 0) for part in found.groups())
    return timedelta(weeks=w, days=d, hours=h, minutes=m, seconds=s) // timedelta(milliseconds=1)


def micro(text: str) -> int:
    """Millionths of a decimal number of at most six places. Raises InputError."""
    try:
        value = Decimal(text) * 1_000_000
    except InvalidOperation:
        raise _not_understood(text, "a decimal number") from None
    if not value.is_finite() or value != value.to_integral_value() or not 0 <= value <= 10**12:
        raise _not_understood(text, "a decimal number of at most six places")
    return int(value)


def _instant(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _not_understood(f"instant {text}", "RFC 3339 with an offset") from None
    if found.tzinfo is None:
        raise _not_understood(f"instant {text}", "RFC 3339 with an offset")
    return int(found.timestamp() * 1000)


def _whole(operand: str, right: Any) -> int:
    text = _typed(right)
    if not (text.isdigit() and text.isascii() and len(text) <= 12):
        raise _not_understood(f"{operand} {text}", "a whole number as text or typed value")
    return int(text)


def _typed(right: Any) -> str:
    """The text of a right operand: a string, or `{"@value": ..., "@type": ...}`."""
    if isinstance(right, dict) and "@value" in right:
        right = right["@value"]
    if not isinstance(right, str):
        raise _not_understood("rightOperand", "a string or a typed value")
    return right


def _texts(operand: str, right: Any) -> list[str]:
    found = [_typed(part) for part in (right if isinstance(right, list) else [right])]
    if not found:
        raise _not_understood(f"{operand} without values", "at least one")
    return found


def _compare(operand: str, operator: str, *allowed: str) -> Callable[[int, int], bool]:
    _one_of(operand, operator, *allowed)
    found: Callable[[int, int], bool] = {"gteq": op.ge, "gt": op.gt, "lt": op.lt, "lteq": op.le}[operator]
    return found


def _one_of(operand: str, operator: str, *allowed: str) -> None:
    if operator not in allowed:
        raise _not_understood(f"{operand} {operator}", f"the operators {', '.join(allowed)}")


def _not_understood(what: str, instead: str) -> InputError:
    return InputError(f"{what} is not understood, so it is denied", where="policy", remedy=f"use {instead}")
