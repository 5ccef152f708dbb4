"""Traces, where the extra `telemetry` is installed and the setting `otlp` names a collector: a span for each request,
its time in a region, and each message to another node or process, with one trace id through all of them (W3C Trace
Context).

Spans carry routes as written and causes, never ids of people.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI

from noriai_engine.model.errors import InputError

_tracer: Any = None


@contextmanager
def span(name: str, **attributes: str) -> Iterator[None]:
    """A part of whatever is being done; nothing where nobody traces."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, attributes=attributes):
        yield


def trace_id() -> str | None:
    """Id of the trace that goes on, None where there is none."""
    if _tracer is None:
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def set_up(app: FastAPI, collector: str, exporter: Any = None) -> None:
    """Trace an application. `collector`: where spans go by OTLP over HTTP; `exporter` instead, for tests.

    Raises InputError where the extra is not installed.
    """
    global _tracer
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ImportError:
        raise InputError("needs OpenTelemetry", where="otlp", remedy="pip install 'noriai[telemetry]'") from None
    provider = TracerProvider(resource=Resource.create({"service.name": "noriai"}))
    if exporter is None:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{collector.rstrip('/')}/v1/traces")))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    _tracer = provider.get_tracer("noriai")
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider, excluded_urls="health,metrics")
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)


def tear_down(app: FastAPI) -> None:
    """Trace no longer."""
    global _tracer
    if _tracer is None:
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    FastAPIInstrumentor.uninstrument_app(app)
    HTTPXClientInstrumentor().uninstrument()
    _tracer = None
