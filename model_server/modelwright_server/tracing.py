"""Spans of inference requests, by OpenTelemetry's SDK, to a collector (OTLP over HTTP).

Imported only where settings ask for it; needs the extra ``tracing``.  A span is made after the fact,
in the thread that exports it: a request pays for one tuple.  The SDK's sampler decides: by default
what a caller did not sample is not recorded, and everything else is (``OTEL_TRACES_SAMPLER``).

Attributes are those of OpenTelemetry's semantic conventions for HTTP and RPC servers, and ours under
``modelwright.``.
"""

import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from modelwright_server import trace_context
from modelwright_server.record import Record, address, text
from modelwright_server.telemetry import GRPC_CODES

MAX_SPANS = 512  # in one export
EXPORT_SECONDS = 5.0  # with what is tried again
TRACES_PATH = "/v1/traces"
_SERVER_ERROR = 500
# What the conventions call an error of the server: the client is to blame for the others.
_GRPC_ERRORS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


class Tracer:
    """Makes and exports spans; the end of a backlog."""

    def __init__(self, endpoint: str, info: Mapping[str, str], exporter: SpanExporter | None = None) -> None:
        """Prepare; nothing is connected to yet.

        Args:
            endpoint: address of the collector; without a path, OTLP's own is added.
            info: labels ``model``, ``version``, ``deployment`` and ``namespace`` of the server.
            exporter: takes the spans, instead of one for the endpoint.
        """
        self._model = info["model"]
        self._ended = _Ended()
        provider = TracerProvider(resource=Resource.create(_resource(info)), shutdown_on_exit=False)
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer("modelwright_server")
        self._exporter = exporter or OTLPSpanExporter(endpoint=_traces_url(endpoint), timeout=EXPORT_SECONDS)

    def consume(self, batch: Sequence[tuple[int, Record]]) -> int:
        """Export a span for each; return how many the collector did not take."""
        for ended_ns, record in batch:
            self._span(ended_ns, record)
        spans = self._ended.take()
        lost = 0
        for at in range(0, len(spans), MAX_SPANS):
            part = spans[at : at + MAX_SPANS]
            if self._exporter.export(part) is not SpanExportResult.SUCCESS:
                lost += len(part)
        return lost

    def _span(self, ended_ns: int, record: Record) -> None:
        name, attributes, failed = (_rpc if record.protocol == "grpc" else _http)(record, self._model)
        client, _, port = address(record.client).rpartition(":")
        if port.isdecimal():
            attributes |= {"client.address": client.strip("[]"), "client.port": int(port)}
        if record.user_agent:
            attributes["user_agent.original"] = text(record.user_agent, 256)
        if record.prediction_id:
            attributes["modelwright.prediction_id"] = text(record.prediction_id, 256)
        attributes["modelwright.rows"] = record.rows
        if record.track:
            attributes["modelwright.track"] = record.track
        span = self._tracer.start_span(
            name,
            context=_parent(record),
            kind=trace.SpanKind.SERVER,
            attributes=attributes,
            start_time=ended_ns - round(record.seconds * 1e9),
        )
        if failed:
            span.set_status(trace.StatusCode.ERROR)
        span.end(end_time=ended_ns)


class _Ended(SpanProcessor):
    """Keeps ended spans until they are taken."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span; those not sampled never come here."""
        self._spans.append(span)

    def take(self) -> list[ReadableSpan]:
        """Return and forget what was kept."""
        spans, self._spans = self._spans, []
        return spans


def _resource(info: Mapping[str, str]) -> dict[str, str]:
    """Return what OpenTelemetry calls the server; ``OTEL_RESOURCE_ATTRIBUTES`` may add to it."""
    named = {
        "service.name": info["deployment"] or info["model"],
        "service.namespace": info["namespace"],
        "service.version": info["version"],
        "service.instance.id": socket.gethostname(),
    }
    return {key: value for key, value in named.items() if value}


def _traces_url(endpoint: str) -> str:
    return endpoint.rstrip("/") + TRACES_PATH if urlsplit(endpoint).path in {"", "/"} else endpoint


def _parent(record: Record) -> Context:
    """Return the caller's span, or nothing: then the span is a trace's first."""
    found = trace_context.parse(record.traceparent, record.tracestate) if record.traceparent else None
    if found is None:
        return Context()
    parent = trace.SpanContext(
        trace_id=int(found.trace_id, 16),
        span_id=int(found.parent_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(found.flags),
        trace_state=trace.TraceState(list(found.state)),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())


def _http(record: Record, model: str) -> tuple[str, dict[str, str | int], bool]:
    """Return name and attributes of a REST request's span, and whether it failed."""
    method, path = text(record.method, 16), text(record.path, 256)
    versioned = "/versions/{version}" if "/versions/" in path else ""
    route = f"/v2/models/{{model}}{versioned}/infer"
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": record.status,
        "http.request.body.size": record.bytes_in,
        "http.response.body.size": record.bytes_out,
        "url.path": path,
        "url.scheme": "http",
        "modelwright.model": model,
    }
    failed = record.status >= _SERVER_ERROR
    if failed:
        attributes["error.type"] = str(record.status)
    return f"{method} {route}", attributes, failed


def _rpc(record: Record, model: str) -> tuple[str, dict[str, str | int], bool]:
    """Return name and attributes of a gRPC request's span, and whether it failed."""
    name, code = text(record.path, 256).strip("/"), GRPC_CODES[record.status]
    attributes: dict[str, str | int] = {
        "rpc.system.name": "grpc",
        "rpc.method": name,
        "rpc.response.status_code": code,
        "modelwright.model": model,
    }
    failed = code in _GRPC_ERRORS
    if failed:
        attributes["error.type"] = code
    return name, attributes, failed
