"""Answers that are no: RFC 9457 problem details, each with its cause and next step in Japanese and English."""

import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from noriai_api.store import StoreError
from noriai_api.tracing import trace_id
from noriai_engine.model.errors import InputError, NoriaiError, StaleOfferError
from noriai_engine.texts import LANGUAGES, text

MEDIA_TYPE = "application/problem+json"

PROBLEMS: Mapping[str, int] = {
    "bad_request": 400,
    "key_missing": 400,
    "sign_in_failed": 400,
    "token_refused": 400,
    "not_authenticated": 401,
    "not_allowed": 403,
    "limit_reached": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "conflict": 409,
    "offer_gone": 409,
    "key_in_flight": 409,
    "paused": 409,
    "too_large": 413,
    "invalid": 422,
    "key_reused": 422,
    "too_many": 429,
    "fault": 500,
    "busy": 503,
    "store_down": 503,
    "not_ready": 503,
}
"""Problem code -> HTTP status. Texts stand in the catalogue under `problem.<code>` and `problem.<code>_next`."""


class Problem(NoriaiError):  # noqa: N818 - the word of RFC 9457
    """An answer that is no. `detail` says what exactly; `more` is merged into the document; `headers` into the
    response's."""

    def __init__(self, code: str, detail: str | None = None, *, headers: Mapping[str, str] | None = None,
                 **more: Any) -> None:  # fmt: skip
        self.code, self.detail, self.more, self.headers = code, detail, more, dict(headers or {})
        super().__init__(detail or code)

    @property
    def status(self) -> int:
        return PROBLEMS[self.code]


def document(problem: Problem, instance: str) -> dict[str, Any]:
    """The problem as RFC 9457 has it, with the members `cause` and `next_step` by language."""
    out: dict[str, Any] = {
        "type": f"/problems/{problem.code}",
        "title": text(f"problem.{problem.code}", "en"),
        "status": problem.status,
        "instance": instance,
        "code": problem.code,
        "cause": {language: text(f"problem.{problem.code}", language) for language in LANGUAGES},
        "next_step": {language: text(f"problem.{problem.code}_next", language) for language in LANGUAGES},
    }
    if problem.detail is not None:
        out["detail"] = problem.detail
    if (trace := trace_id()) is not None:
        out["trace"] = trace
    return out | problem.more


def respond(problem: Problem, request: Request) -> JSONResponse:
    return JSONResponse(
        document(problem, request.url.path), problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def as_problem(error: Exception) -> Problem:
    """What an error of the domain, the store or the framework is to a caller."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StaleOfferError):
        return Problem("offer_gone")
    if isinstance(error, InputError):
        return Problem("invalid", error.what, errors=[{"where": error.where, "what": error.what, "do": error.remedy}])
    if isinstance(error, StoreError):
        return Problem("store_down", headers={"Retry-After": "2"})
    if isinstance(error, RequestValidationError):
        if any(entry["type"] == "json_invalid" for entry in error.errors()):
            return Problem("bad_request", "the body is no JSON")
        found = [
            {"where": ".".join(map(str, entry["loc"])), "what": entry["msg"], "do": _remedy(entry)}
            for entry in error.errors()
        ]
        return Problem("invalid", found[0]["what"] if found else None, errors=found)
    if isinstance(error, HTTPException):
        code = {401: "not_authenticated", 403: "not_allowed", 404: "not_found", 405: "method_not_allowed",
                413: "too_large"}.get(error.status_code, "bad_request")  # fmt: skip
        return Problem(code, headers=error.headers)
    return Problem("fault")


def _remedy(entry: Mapping[str, Any]) -> str:
    """What to do about a value that is not as the schema has it."""
    if entry["type"] == "missing":
        return "add this field"
    if entry["type"] == "extra_forbidden":
        return "leave this field out; the OpenAPI document lists the ones there are"
    limits = {k: v for k, v in (entry.get("ctx") or {}).items() if isinstance(v, (int, float, str)) and _is_finite(v)}
    said = ", ".join(f"{name}: {value}" for name, value in limits.items())
    return f"correct this field ({said})" if said else "correct this field as the OpenAPI document says"


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def add_problems(app: FastAPI) -> None:
    """Let every error leave the app as a problem document."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        problem = as_problem(error)
        if problem.code == "method_not_allowed":
            problem.headers["Allow"] = ", ".join(_methods_at(app, request.url.path))
        return respond(problem, request)

    for kind in (NoriaiError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)


def _methods_at(app: FastAPI, path: str) -> list[str]:
    """Methods of all routes that answer at a path."""
    found = (operations for template, operations in app.openapi()["paths"].items() if _fits(template, path))
    return sorted({method.upper() for operations in found for method in operations})


def _fits(template: str, path: str) -> bool:
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(p.startswith("{") or p == g for p, g in zip(parts, given, strict=True))


def described(*codes: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route for OpenAPI: the problems it may answer with."""
    out: dict[int | str, dict[str, Any]] = {}
    for code in sorted(codes, key=lambda c: PROBLEMS[c]):
        entry = out.setdefault(PROBLEMS[code], {"description": "", "content": {MEDIA_TYPE: {"schema": _REFERENCE}}})
        entry["description"] = f"{entry['description']} {code}: {text(f'problem.{code}', 'en')}".strip()
    return out


_REFERENCE = {"$ref": "#/components/schemas/Problem"}

SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "type": "object",
    "required": ["type", "title", "status", "instance", "code", "cause", "next_step"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "instance": {"type": "string"},
        "code": {"type": "string", "enum": sorted(PROBLEMS)},
        "detail": {"type": "string"},
        "cause": {"type": "object", "additionalProperties": {"type": "string"}},
        "next_step": {"type": "object", "additionalProperties": {"type": "string"}},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "where": {"type": ["string", "null"]},
                    "what": {"type": "string"},
                    "do": {"type": ["string", "null"]},
                },
            },
        },
    },
}
