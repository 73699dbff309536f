"""Requests and connections free what they took by themselves, without the garbage collector.

What waits for the collector is memory meanwhile, and a pause when it comes; and what it finds in use once, it looks at
rarely from then on, so that connections which were open just then, and closed later, would stay for hours.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
import uvloop

from modelwright_server import model
from modelwright_server.dataplane import DataPlane
from modelwright_server.errors import ModelFailedError, OverloadedError
from modelwright_server.grpc import open_inference_pb2 as pb
from modelwright_server.http.inference import RestExchange
from modelwright_server.http.listener import Listener
from modelwright_server.http.messages import Limits
from modelwright_server.http.rest import RestApplication
from modelwright_server.prediction import Issuer
from modelwright_server.telemetry import Telemetry
from tests.server.grpc.client import request
from tests.server.grpc.serving import Serving, serving, until
from tests.server.hostile.wire import infer_body, post, sized
from tests.server.models import Built
from tests.server.process import NAME, VERSION

HTTP = {"Connection", "Exchange", "RestExchange", "RepeatedExchange", "HttpRequestParser"}
GRPC = {"_Call", "_ServicerContext", "Batch"}
ROW = {"name": "input", "datatype": "FP32", "shape": [1, 30], "data": [0.5] * 30}


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Let nothing be collected during a test, and count nothing that other tests hold."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


async def freed(kinds: set[str]) -> None:
    """Wait until no object of these classes is left."""
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            await until(lambda: not left(kinds))
    assert left(kinds) == set()


def left(kinds: set[str]) -> set[str]:
    """Return which of these classes have objects made in this test."""
    return {type(found).__name__ for found in gc.get_objects()} & kinds


GOOD = sized(infer_body())


@pytest.mark.parametrize(
    ("data", "answers"),
    [
        (b"", 0),
        (b"P", 0),
        (GOOD[: len(GOOD) // 2], 0),
        (post(f"Content-Length: {len(infer_body())}", body=infer_body()[:-9]), 0),
        (GOOD * 5, 5),
        (GOOD * 5 + GOOD[:-1], 5),
        (sized(infer_body(), "Connection: close"), 1),
        (sized(infer_body()[:-1]), 1),
        (sized(infer_body().replace(b"FP32", b"FP64")), 1),
        (GOOD.replace(NAME.encode(), b"another"), 1),
        (b"nonsense\r\n\r\n", 1),
    ],
)
@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
@pytest.mark.usefixtures("no_collector")
def test_a_connection_is_freed_when_it_ends(
    built: Callable[[str], Built], data: bytes, answers: int, *, leaves: bool
) -> None:
    loaded = model.load(built("logistic").folder, threads=1)

    async def connect_and_go() -> None:
        telemetry = Telemetry(NAME, VERSION, "", "")
        plane = DataPlane(NAME, VERSION, 100, telemetry, batch_rows=64)
        plane.attach(loaded, Issuer(loaded.schema, version_key="0123456789"))
        rest = RestApplication(plane, telemetry, 1 << 20)
        listener = Listener(rest, Limits(body=1 << 20), telemetry, exchange=RestExchange, shortcut=rest)
        port = await listener.start("127.0.0.1", 0)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await until(lambda: telemetry.connections == 1)
            writer.write(data)
            for _ in range(0 if leaves else answers):
                await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await until(lambda: telemetry.connections == 0)
            await freed(HTTP)
        finally:
            await listener.stop(1)
            plane.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(connect_and_go())


@pytest.mark.parametrize(
    "message",
    [
        request([ROW], raw=True),
        request([ROW], raw=False),
        request([ROW], raw=True, model_name="other"),
        request([ROW | {"shape": [1, 31]}], raw=True),
    ],
)
@pytest.mark.usefixtures("no_collector")
async def test_a_call_is_freed_when_it_ends(built: Callable[[str], Built], message: pb.ModelInferRequest) -> None:
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        await ask(running, message)
        await freed(GRPC)


@pytest.mark.parametrize("error", [OverloadedError(problem="many wait"), ModelFailedError(problem="it failed")])
@pytest.mark.parametrize("later", [False, True], ids=["at-once", "later"])
@pytest.mark.usefixtures("no_collector")
async def test_a_call_that_fails_is_freed(
    built: Callable[[str], Built], error: OverloadedError | ModelFailedError, *, later: bool
) -> None:
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        if later:
            running.plane.hold()
            assert running.plane.held is not None
            asking = asyncio.create_task(ask(running, request([ROW], raw=True)))
            (await running.plane.held.get()).failed(type(error)(problem="it failed"))
            await asking
        else:
            running.plane.error = error
            await ask(running, request([ROW], raw=True))
        await freed(GRPC)


@pytest.mark.usefixtures("no_collector")
async def test_a_call_whose_client_leaves_is_freed(built: Callable[[str], Built]) -> None:
    async with serving() as running:
        running.plane.load(built("logistic").folder)
        running.plane.hold()
        assert running.plane.held is not None
        call = running.infer(request([ROW], raw=True))
        await running.plane.held.get()
        call.cancel()
        await until(lambda: running.telemetry.grpc.codes[1] == 1)  # CANCELLED
        await freed(GRPC)


@pytest.mark.usefixtures("no_collector")
async def test_a_question_about_an_unknown_service_is_freed() -> None:
    async with serving() as running:
        channel: Any = running.channel
        with suppress(grpc.aio.AioRpcError):
            await channel.unary_unary("/grpc.health.v1.Health/Check")(b"\n\5other")
        await freed(GRPC)


async def ask(running: Serving, message: pb.ModelInferRequest) -> None:
    with suppress(grpc.aio.AioRpcError):
        await running.infer(message)
