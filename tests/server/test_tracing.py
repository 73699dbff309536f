"""Trace context, and spans as a real collector gets them."""

import asyncio
import gzip
import http.server
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from modelwright_server import trace_context
from modelwright_server.contract import ServerSettings, SettingsError
from modelwright_server.journal import open_journal
from modelwright_server.record import Record
from modelwright_server.telemetry import Telemetry
from modelwright_server.trace_context import TraceContext, parse
from tests.server.models import Built
from tests.server.process import DEADLINE, Server, settings

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01", f"00-{TRACE_ID}-{PARENT_ID}-00"

# Trace context

HEX = "0123456789abcdef"
ids = st.tuples(st.text(HEX, min_size=32, max_size=32), st.text(HEX, min_size=16, max_size=16)).filter(
    lambda pair: pair[0].strip("0") and pair[1].strip("0")
)
keys = st.from_regex(r"[a-z][_0-9a-z\-*/]{0,255}|[a-z0-9][_0-9a-z\-*/]{0,20}@[a-z][_0-9a-z\-*/]{0,13}", fullmatch=True)
values = st.from_regex(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,30}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", fullmatch=True).map(
    str.lstrip  # as part of a list, a blank in front belongs to the list
)
contexts = st.builds(
    lambda pair, flags, state: TraceContext(pair[0], pair[1], flags, tuple(state.items())),
    ids,
    st.integers(0, 255),
    st.dictionaries(keys, values, max_size=32),
)


@given(contexts)
def test_what_is_written_is_read_again(context: TraceContext) -> None:
    assert parse(context.traceparent(), context.tracestate()) == context
    assert parse(context.traceparent().encode(), context.tracestate().encode()) == context
    assert context.sampled == bool(context.flags % 2)


@given(st.text() | st.binary(), st.text() | st.binary())
def test_nothing_that_is_sent_fails(traceparent: str | bytes, tracestate: str | bytes) -> None:
    assert parse(traceparent, tracestate) is None
    found = parse(SAMPLED, tracestate)
    assert found is not None
    assert (found.trace_id, found.parent_id, found.flags) == (TRACE_ID, PARENT_ID, 1)


@given(contexts, st.integers(0, 54), st.characters(exclude_characters=HEX + "-", max_codepoint=0xFF))
def test_one_wrong_character_makes_it_invalid(context: TraceContext, at: int, wrong: str) -> None:
    header = context.traceparent()
    assert parse(header[:at] + wrong + header[at + 1 :]) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",
        f"00-{TRACE_ID}-{PARENT_ID}-01-",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"00-{TRACE_ID[:-1]}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-1",
        f"00-{TRACE_ID}-{PARENT_ID}",
        f"cc-{TRACE_ID}-{PARENT_ID}-01.more",
        f"{SAMPLED},{SAMPLED}",
        f"{SAMPLED}\n",
    ],
)
def test_an_invalid_parent_is_ignored(header: str) -> None:
    assert parse(header, "a=b") is None


@pytest.mark.parametrize("more", ["", "-", "-what-the-future-will-be-like"])
def test_a_later_version_is_read_as_far_as_it_is_known(more: str) -> None:
    assert parse(f"cc-{TRACE_ID}-{PARENT_ID}-ff{more}") == TraceContext(TRACE_ID, PARENT_ID, 1)


@pytest.mark.parametrize(
    ("state", "members"),
    [
        ("a=1,b=2", (("a", "1"), ("b", "2"))),
        (" a=1 ,\t,b=2, ", (("a", "1"), ("b", "2"))),
        ("tenant@system=x y", (("tenant@system", "x y"),)),
        ("a=1,a=2", ()),
        ("A=1", ()),
        ("a=1=2", ()),
        ("a", ()),
        ("a=", ()),
        ("a=é", ()),
        (",".join(f"k{n}=v" for n in range(33)), ()),
        ("a=" + "v" * 257, ()),
    ],
)
def test_states(state: str, members: tuple[tuple[str, str], ...]) -> None:
    found = parse(SAMPLED, state)
    assert found is not None
    assert found.state == members


# Spans


class Collector:
    """An OTLP collector: takes spans over HTTP, as OpenTelemetry's protocol has it."""

    def __init__(self, status: int) -> None:
        self.spans: list[tuple[dict[str, str], Span]] = []
        self.requests = 0
        self._status = status
        self._came = threading.Condition()

    def take(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        assert (handler.path, handler.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
        with self._came:
            self.requests += 1
            if self._status == 200:
                for resource in request.resource_spans:
                    about = {item.key: item.value.string_value for item in resource.resource.attributes}
                    self.spans += [(about, span) for scope in resource.scope_spans for span in scope.spans]
            self._came.notify_all()
        handler.send_response(self._status)
        answer = ExportTraceServiceResponse().SerializeToString()
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def wait(self, spans: int) -> list[tuple[dict[str, str], Span]]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.spans) >= spans, DEADLINE)
            return list(self.spans)


@contextmanager
def collecting(status: int = 200) -> Iterator[tuple[Collector, str]]:
    collector = Collector(status)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(DEADLINE)


def attributes(span: Span) -> dict[str, str | int]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "") for item in span.attributes}


async def record(endpoint: str, folder: Path, *records: Record) -> Telemetry:
    telemetry = Telemetry("churn", "churn-1", "front", "shop")
    journal = open_journal(settings(folder, folder, tracing_endpoint=endpoint), telemetry)
    assert journal is not None
    for record in records:
        journal.write(record)
    await journal.close()
    await asyncio.sleep(0)  # what the thread has told the loop
    return telemetry


REST = Record(
    "rest",
    b"POST",
    b"/v2/models/churn/infer",
    200,
    seconds=0.25,
    rows=3,
    bytes_in=310,
    bytes_out=120,
    client="10.0.0.7:40112",
    user_agent=b"curl/8.5.0",
    prediction_id=b"p-1",
    traceparent=SAMPLED.encode(),
    tracestate=b"vendor=1",
)
GRPC = Record("grpc", "POST", "/inference.GRPCInferenceService/ModelInfer", 0, 0.001, traceparent=SAMPLED)


async def test_a_request_is_a_span_below_its_callers(tmp_path: Path) -> None:
    with collecting() as (collector, endpoint):
        await record(endpoint, tmp_path, REST)
        ((about, span),) = collector.wait(1)
    assert {key: value for key, value in about.items() if key.startswith("service.")}.items() >= {
        "service.name": "front",
        "service.namespace": "shop",
        "service.version": "churn-1",
    }.items()
    assert span.trace_id.hex() == TRACE_ID
    assert span.parent_span_id.hex() == PARENT_ID
    assert len(span.span_id.strip(b"\0")) > 0
    assert span.trace_state == "vendor=1"
    assert span.name == "POST /v2/models/{model}/infer"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "http.request.body.size": 310,
        "http.response.body.size": 120,
        "url.path": "/v2/models/churn/infer",
        "url.scheme": "http",
        "client.address": "10.0.0.7",
        "client.port": 40112,
        "user_agent.original": "curl/8.5.0",
        "modelwright.model": "churn",
        "modelwright.rows": 3,
        "modelwright.prediction_id": "p-1",
    }


async def test_a_grpc_call_is_a_span(tmp_path: Path) -> None:
    with collecting() as (collector, endpoint):
        await record(endpoint, tmp_path, GRPC, GRPC._replace(status=13), GRPC._replace(status=3))
        spans = [span for _, span in collector.wait(3)]
    assert {span.name for span in spans} == {"inference.GRPCInferenceService/ModelInfer"}
    assert {span.parent_span_id.hex() for span in spans} == {PARENT_ID}
    codes = [attributes(span)["rpc.response.status_code"] for span in spans]
    assert codes == ["OK", "INTERNAL", "INVALID_ARGUMENT"]
    assert [span.status.code == Status.STATUS_CODE_ERROR for span in spans] == [False, True, False]


async def test_the_sampled_flag_is_respected_and_no_flag_begins_a_trace(tmp_path: Path) -> None:
    with collecting() as (collector, endpoint):
        records = [REST._replace(traceparent=header) for header in (UNSAMPLED, "", "rubbish", SAMPLED)]
        telemetry = await record(endpoint, tmp_path, *records)
        spans = [span for _, span in collector.wait(3)]
    assert len(spans) == 3
    assert [span.parent_span_id.hex() for span in spans] == ["", "", PARENT_ID]
    assert len({span.trace_id for span in spans}) == 3
    assert telemetry.dropped == {"traces": 0}


async def test_server_errors_are_errors_and_clients_are_not(tmp_path: Path) -> None:
    path = b"/v2/models/churn/versions/churn-1/infer"
    with collecting() as (collector, endpoint):
        await record(endpoint, tmp_path, *(REST._replace(status=status, path=path) for status in (400, 503)))
        bad, failed = (span for _, span in collector.wait(2))
    assert bad.name == failed.name == "POST /v2/models/{model}/versions/{version}/infer"
    assert (bad.status.code, failed.status.code) == (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR)
    assert (attributes(bad).get("error.type"), attributes(failed)["error.type"]) == (None, "503")


async def test_many_spans_go_in_batches(tmp_path: Path) -> None:
    with collecting() as (collector, endpoint):
        await record(endpoint + "/v1/traces", tmp_path, *[REST] * 2000)
        collector.wait(2000)
        assert collector.requests == 4


async def test_spans_that_a_collector_does_not_take_are_counted(tmp_path: Path) -> None:
    with collecting(status=400) as (collector, endpoint):
        telemetry = await record(endpoint, tmp_path, REST, REST)
        async with asyncio.timeout(DEADLINE):  # an export that takes longer than the end waits for is counted after it
            while telemetry.dropped != {"traces": 2}:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
    assert collector.requests == 1


def test_a_servers_requests_are_spans(built: Callable[[str], Built], tmp_path: Path) -> None:
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:2])}
    with (
        collecting() as (collector, endpoint),
        Server(settings(model.folder, tmp_path, tracing_endpoint=endpoint)) as server,
    ):
        server.wait_until_ready()
        assert server.infer(body, traceparent=SAMPLED, tracestate="vendor=1").status == 200
        assert server.infer(body, traceparent=UNSAMPLED).status == 200
        assert server.infer({}, traceparent=SAMPLED).status == 400
        ((about, good), (_, bad)) = collector.wait(2)
        server.terminate()
        assert server.process.wait(DEADLINE) == 0
    assert len(collector.spans) == 2
    assert about["service.name"] == "churn"
    assert (good.trace_id.hex(), good.parent_span_id.hex(), good.trace_state) == (TRACE_ID, PARENT_ID, "vendor=1")
    assert 0 < good.end_time_unix_nano - good.start_time_unix_nano < DEADLINE * 1e9
    assert [attributes(span)["http.response.status_code"] for span in (good, bad)] == [200, 400]
    assert attributes(good)["modelwright.rows"] == 2


def test_a_servers_grpc_calls_are_spans(built: Callable[[str], Built], tmp_path: Path) -> None:
    with (
        collecting() as (collector, endpoint),
        Server(settings(built("logistic").folder, tmp_path, tracing_endpoint=endpoint, access_log=True)) as server,
    ):
        server.wait_until_ready()
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            infer: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            with pytest.raises(grpc.RpcError):
                infer(b"", timeout=DEADLINE, metadata=(("traceparent", SAMPLED), ("tracestate", "vendor=1")))
        ((_, span),) = collector.wait(1)
        server.terminate()
        assert server.process.wait(DEADLINE) == 0
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE_ID, PARENT_ID, "vendor=1")
    assert span.name == "inference.GRPCInferenceService/ModelInfer"
    assert attributes(span)["rpc.response.status_code"] == "NOT_FOUND"
    assert attributes(span)["client.address"] == "127.0.0.1"


def test_a_server_does_without_its_collector(built: Callable[[str], Built], tmp_path: Path) -> None:
    """Nobody is there to take spans: requests are answered all the same, and the end is not held up for long."""
    model = built("logistic")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = settings(model.folder, tmp_path, tracing_endpoint=f"http://127.0.0.1:{port}")
    with Server(told) as server:
        server.wait_until_ready()
        for _ in range(100):
            assert server.infer({"inputs": model.inputs(model.rows.iloc[:2])}).status == 200
        server.terminate()
        assert server.process.wait(DEADLINE) == 0


def test_opentelemetry_is_imported_only_where_spans_are_wanted(tmp_path: Path) -> None:
    code = "import sys, modelwright_server.journal; print([name for name in sys.modules if 'opentelemetry' in name])"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert result.stdout == "[]\n"


async def test_tracing_without_its_packages_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "modelwright_server.tracing", None)
    with pytest.raises(SettingsError, match=re.escape("MODELWRIGHT_TRACING_ENDPOINT is set")) as error:
        open_journal(settings(tmp_path, tmp_path, tracing_endpoint="http://a:1"), Telemetry("m", "v", "d", "n"))
    assert "install modelwright[tracing]" in str(error.value)


@pytest.mark.parametrize("address", ["collector:4318", "grpc://collector", "http://a b"])
def test_the_endpoint_is_an_http_address(address: str) -> None:
    env = {"MODELWRIGHT_MODEL_NAME": "m", "MODELWRIGHT_MODEL_VERSION": "v", "MODELWRIGHT_TRACING_ENDPOINT": address}
    with pytest.raises(SettingsError, match="must be an http:// or https:// address, or empty"):
        ServerSettings.from_env(env)


def test_headers_are_ascii() -> None:
    assert trace_context.parse(SAMPLED.replace("4", "٤")) is None
