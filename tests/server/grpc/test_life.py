"""Readiness, health, reflection, failures, clients that go away, and the end."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from modelwright_server.contract import ServerSettings
from modelwright_server.errors import ModelFailedError, OverloadedError
from modelwright_server.grpc import open_inference_pb2 as pb
from modelwright_server.grpc import service
from modelwright_server.journal import Journal
from modelwright_server.record import Record
from modelwright_server.telemetry import GRPC_CODES, Telemetry
from tests.server import process
from tests.server.grpc.client import SERVICE, connected, request, values
from tests.server.grpc.serving import HeldDataPlane, Serving, serving, until
from tests.server.models import Built
from tests.server.process import DEADLINE, NAME, VERSION, Server

Builder = Callable[[str], Built]
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
ROW = {"name": "input", "datatype": "FP32", "shape": [1, 30], "data": [0.5] * 30}
SERVING, NOT_SERVING, UNKNOWN = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
)


def row() -> pb.ModelInferRequest:
    return request([ROW], raw=True)


def counted(telemetry: Telemetry) -> dict[str, int]:
    return {GRPC_CODES[code]: count for code, count in enumerate(telemetry.grpc.codes) if count}


async def check(running: Serving, name: str) -> int:
    method: Any = running.channel.unary_unary(
        f"/{HEALTH}/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    status: int = (await method(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE)).status
    return status


def watch(running: Serving, name: str) -> Any:
    method = running.channel.unary_stream(
        f"/{HEALTH}/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return method(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE)


async def asked(running: Serving, method: str, message: Any, kind: Any) -> Any:
    call: Any = running.channel.unary_unary(f"/{SERVICE}/{method}", response_deserializer=kind.FromString)
    return await call(message.SerializeToString(), timeout=DEADLINE)


async def test_nothing_is_ready_before_the_model_is_loaded(built: Builder) -> None:
    async with serving() as running:
        for ready in (False, True):
            if ready:
                running.plane.load(built("logistic").folder)
                running.server.readiness_changed()
            assert (await asked(running, "ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse)).live
            answer = await asked(running, "ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse)
            assert answer.ready is ready
            answer = await asked(running, "ModelReady", pb.ModelReadyRequest(name=NAME), pb.ModelReadyResponse)
            assert answer.ready is ready
            if not ready:
                error = await running.refusal(row())
                said = f"model '{NAME}' is still being loaded: try again"
                assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, said)
                assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        await running.infer(row())
        assert counted(running.telemetry) == {"UNAVAILABLE": 1, "OK": 1}


async def test_health_follows_the_data_plane(built: Builder) -> None:
    async with serving() as running:
        watched = [watch(running, name) for name in ("", SERVICE, "other")]
        told = [[(await call.read()).status] for call in watched]
        assert [await check(running, name) for name in ("", SERVICE, HEALTH)] == [NOT_SERVING] * 3
        running.plane.load(built("logistic").folder)
        running.server.readiness_changed()
        watched[0].cancel()  # one who leaves takes nobody along
        told[1].append((await watched[1].read()).status)
        assert [await check(running, name) for name in ("", SERVICE, HEALTH)] == [SERVING] * 3
        running.plane.drain()
        running.server.readiness_changed()
        told[1].append((await watched[1].read()).status)
        assert [await check(running, name) for name in ("", SERVICE)] == [NOT_SERVING] * 2
        assert told == [[NOT_SERVING], [NOT_SERVING, SERVING, NOT_SERVING], [UNKNOWN]]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(running, "other")
        assert (refused.value.code(), refused.value.details()) == (
            grpc.StatusCode.NOT_FOUND,
            "unknown service 'other'",
        )
        await running.infer(row())  # whoever comes all the same is answered


async def test_reflection_lists_and_describes_the_services() -> None:
    async with serving() as running:
        method = running.channel.stream_stream(
            f"/{REFLECTION}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        questions = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        ]
        listed, described = [answer async for answer in method(iter(questions), timeout=DEADLINE)]
        assert {item.name for item in listed.list_services_response.service} == {SERVICE, HEALTH, REFLECTION}
        file = descriptor_pb2.FileDescriptorProto.FromString(
            described.file_descriptor_response.file_descriptor_proto[0]
        )
        assert [method.name for method in file.service[0].method] == [
            "ServerLive",
            "ServerReady",
            "ModelReady",
            "ServerMetadata",
            "ModelMetadata",
            "ModelInfer",
        ]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OverloadedError(problem="1024 requests wait: try again later"), "RESOURCE_EXHAUSTED", "1024 requests wait"),
        (ModelFailedError(problem="the model failed: é\n"), "INTERNAL", "the model failed: é\n"),
        (ModelFailedError(problem="é" * 100_000), "INTERNAL", "é" * 600),
        (KeyError("secret"), "INTERNAL", "the server failed: its log says why"),
    ],
)
async def test_failures_have_their_status(
    built: Builder, error: Exception, code: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        running.plane.error = error
        found = await running.refusal(row())
        assert (found.code().name, (found.details() or "")[: len(said)]) == (code, said)
        pushback = dict(found.trailing_metadata() or ()).get("grpc-retry-pushback-ms")
        assert pushback == ("1000" if isinstance(error, OverloadedError) else None)
        logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert bool(logged) is isinstance(error, KeyError)
        running.plane.error = None
        await running.infer(row())
        assert counted(running.telemetry) == {code: 1, "OK": 1}


async def test_a_request_whose_client_went_away_is_marked(built: Builder) -> None:
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        running.plane.hold()
        assert running.plane.held is not None
        kept, dropped, late = (running.infer(row()) for _ in range(3))
        waiting = [await asyncio.wait_for(running.plane.held.get(), DEADLINE) for _ in range(3)]
        dropped.cancel()
        await until(lambda: any(waiter.gone for waiter in waiting))
        assert sum(waiter.gone for waiter in waiting) == 1
        late.cancel()
        for waiter in waiting:
            running.plane.release(waiter)
        assert list(values(await kept)) == ["label", "probabilities"]
        await until(lambda: sum(running.telemetry.grpc.codes) == 3)
        counts = counted(running.telemetry)
        assert counts["OK"] + counts["CANCELLED"] == 3
        assert counts["CANCELLED"] >= 1


async def test_a_passed_deadline_frees_the_call(built: Builder) -> None:
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        await running.infer(row())  # connected: the deadline is to pass while the model works
        running.plane.hold()
        assert running.plane.held is not None
        method: Any = running.channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(row().SerializeToString(), timeout=2)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        waiter = await asyncio.wait_for(running.plane.held.get(), DEADLINE)
        await until(lambda: waiter.gone)
        running.plane.release(waiter)
        await until(lambda: running.telemetry.in_flight == running.telemetry.queued == 0)
        assert counted(running.telemetry) == {"OK": 1, "CANCELLED": 1}


async def test_the_journal_notes_each_call(built: Builder) -> None:
    noted: list[Record] = []
    async with serving(Noting(noted)) as running:
        running.plane.load(built("logistic").folder)
        method: Any = running.channel.unary_unary(f"/{SERVICE}/ModelInfer")
        sent = (("traceparent", "00-a-b-01"), ("tracestate", "a=1"), ("tracestate", "b=2"))
        call = method(row().SerializeToString(), metadata=sent, timeout=DEADLINE)
        answer = await call
        prediction_id = dict(await call.trailing_metadata())["x-prediction-id"]
        await running.refusal(request([ROW], raw=True, model_name="other"))
        first, second = noted
        assert (first.protocol, first.method, first.path) == ("grpc", "POST", f"/{SERVICE}/ModelInfer")
        assert (first.status, first.rows, first.prediction_id) == (0, 1, prediction_id.encode())
        assert (first.bytes_in, first.bytes_out) == (row().ByteSize(), len(answer))
        assert (first.traceparent, first.tracestate) == ("00-a-b-01", "a=1,b=2")
        assert str(first.user_agent).startswith("grpc-python-asyncio/")
        assert first.client.startswith("ipv4:127.0.0.1:")
        assert (second.status, second.rows, second.bytes_out) == (5, 0, 0)
        assert first.seconds > 0


class Noting(Journal):
    """A journal that keeps what it is told."""

    def __init__(self, noted: list[Record]) -> None:
        super().__init__(())
        self._noted = noted

    def write(self, record: Record) -> None:
        self._noted.append(record)


async def test_more_calls_than_allowed_are_refused(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_CALLS", 4)
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        running.plane.hold()
        assert running.plane.held is not None
        calls = [running.infer(row()) for _ in range(4)]
        waiting = [await asyncio.wait_for(running.plane.held.get(), DEADLINE) for _ in calls]
        assert (await running.refusal(row())).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for waiter in waiting:
            running.plane.release(waiter)
        for call in calls:
            await call
        running.plane.held = None
        await running.infer(row())


async def test_the_end_waits_for_calls_under_way(built: Builder) -> None:
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        running.plane.hold()
        assert running.plane.held is not None
        watched = watch(running, "")
        assert (await watched.read()).status == SERVING
        call = running.infer(row())
        waiter = await asyncio.wait_for(running.plane.held.get(), DEADLINE)
        running.plane.drain()
        running.server.readiness_changed()
        ending = asyncio.create_task(running.server.stop(DEADLINE))
        assert (await watched.read()).status == NOT_SERVING
        assert await watched.read() is grpc.aio.EOF  # who watches holds nothing up
        assert not ending.done()
        running.plane.release(waiter)
        assert list(values(await call)) == ["label", "probabilities"]
        assert await asyncio.wait_for(ending, DEADLINE) is True


async def test_the_end_cancels_what_does_not_end(built: Builder) -> None:
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        running.plane.hold()
        assert running.plane.held is not None
        call = running.infer(row())
        waiter = await asyncio.wait_for(running.plane.held.get(), DEADLINE)
        assert await running.server.stop(0.2) is False
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        assert waiter.gone


class Relay:
    """What a Service is to a client: an address whose connections go to one server, later to another."""

    def __init__(self) -> None:
        self.target = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def stop(self) -> None:
        self._server.close()


async def test_no_call_fails_when_a_server_is_replaced(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight clients, each with a connection it keeps and calls under way without a pause."""
    monkeypatch.setattr(service, "CONNECTION_SECONDS", 1.0)
    relay = Relay()
    address = f"127.0.0.1:{await relay.start()}"
    async with serving() as old, serving() as new:
        for running in (old, new):
            running.plane.load(built("logistic").folder)
        relay.target = old.server.port
        stopped = False

        async def client() -> None:
            async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                method: Any = channel.unary_unary(f"/{SERVICE}/ModelInfer")
                while not stopped:
                    await method(row().SerializeToString(), timeout=DEADLINE)

        clients = [asyncio.create_task(client()) for _ in range(8)]
        await until(lambda: old.telemetry.grpc.codes[0] > 200)
        old.plane.drain()
        old.server.readiness_changed()
        relay.target = new.server.port
        assert await old.server.stop(DEADLINE) is True
        await until(lambda: new.telemetry.grpc.codes[0] > 200)
        stopped = True
        await asyncio.gather(*clients)
        assert set(counted(old.telemetry)) == set(counted(new.telemetry)) == {"OK"}
    await relay.stop()


async def test_a_port_that_is_taken_is_said() -> None:
    telemetry = Telemetry(NAME, VERSION, "", "")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = ServerSettings(model_name=NAME, model_version=VERSION, host="127.0.0.1", grpc_port=port)
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}, the gRPC address"):
            await service.start(HeldDataPlane(telemetry), telemetry, settings)


async def test_processes_share_a_port() -> None:
    async with serving(processes=2) as one, serving(processes=2, grpc_port=one.server.port) as two:
        assert one.server.port == two.server.port


def test_a_draining_process_is_not_serving_and_answers(built: Builder, tmp_path: Path) -> None:
    """The real server, on uvloop."""
    with Server(process.settings(built("logistic").folder, tmp_path, drain_seconds=600)) as server:
        with connected(server.wait_until_ready().grpc_port) as stub:
            method: Any = stub.channel.unary_unary(
                f"/{HEALTH}/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString
            )
            assert method(b"", timeout=DEADLINE).status == SERVING
            server.terminate()
            server.wait_for("draining")
            assert method(b"", timeout=DEADLINE).status == NOT_SERVING
            assert list(values(stub.infer(row()))) == ["label", "probabilities"]
        server.terminate()  # a second signal: in a hurry
        assert server.process.wait(DEADLINE) == 0
        assert server.wait_for("stopped")["allAnswered"] is True
