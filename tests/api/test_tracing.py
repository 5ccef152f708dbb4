"""Traces: one id from the caller through the region to the store, across processes; and nothing of people in them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from serving import serving, some_settings

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is not installed")

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from noriai_api import tracing

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"


def ask(url: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    """By the standard library: httpx is traced itself here."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers | {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_one_trace_from_the_caller_to_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = InMemorySpanExporter()
    set_up = tracing.set_up
    monkeypatch.setattr("noriai_api.app.set_up", lambda app, collector: set_up(app, collector, spans))
    settings = some_settings(tmp_path, moves_itself=False, otlp="http://127.0.0.1:9")
    with serving(settings) as node:
        headers = {"Authorization": f"Bearer {node.keys['partner']}", "traceparent": f"00-{CALLER}-00f067aa0ba902b7-01"}
        path = f"/v1/regions/{node.region}/quotes"
        assert ask(node.address + path, headers, node.wish(1))[0] == 201
        assert ask(f"{node.address}/v1/bookings/none", headers)[1]["trace"] == CALLER
        mine = [s for s in spans.get_finished_spans() if format(s.context.trace_id, "032x") == CALLER]
    names = [s.name for s in mine]
    assert "POST /v1/regions/{region}/quotes" in names
    asked = next(s for s in mine if s.name == "region")
    assert dict(asked.attributes or {}) == {"region": node.region, "cause": "quote"}
    assert "durable" in names
    served = next(s for s in mine if s.name == "POST /v1/regions/{region}/quotes")
    spans_by_id = {s.context.span_id: s for s in mine}
    parent = asked
    while parent.parent is not None and parent.parent.span_id in spans_by_id:
        parent = spans_by_id[parent.parent.span_id]
    assert parent is served  # through whatever the framework puts between
    text = " ".join(s.to_json() for s in mine)
    assert node.keys["partner"] not in text
    assert "137." not in text  # no place of anybody


def test_nothing_is_traced_without_a_collector(tmp_path: Path) -> None:
    with serving(some_settings(tmp_path, moves_itself=False)) as node:
        assert "trace" not in node.ask("partner", "GET", "/v1/bookings/none").json()
        assert tracing.trace_id() is None
