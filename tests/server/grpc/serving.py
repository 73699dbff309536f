"""The gRPC server in this process, over a data plane that a test has in its hands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from modelwright_server import model
from modelwright_server.contract import ServerSettings
from modelwright_server.dataplane import DataPlane, Waiter
from modelwright_server.grpc import open_inference_pb2 as pb
from modelwright_server.grpc import service
from modelwright_server.journal import Journal
from modelwright_server.prediction import Issuer
from modelwright_server.telemetry import Telemetry
from tests.server.process import DEADLINE, NAME, VERSION


class HeldDataPlane(DataPlane):
    """A data plane that lets requests wait until `release`, or fails them with `error`."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(NAME, VERSION, 1000, telemetry)
        self.held: asyncio.Queue[Waiter] | None = None
        self.error: Exception | None = None

    def load(self, folder: Path) -> None:
        loaded = model.load(folder, threads=1)
        self.attach(loaded, Issuer(loaded.schema, version_key="0123456789"))
        self.release, self.submit = self.submit, self._hold

    def _hold(self, waiter: Waiter) -> None:
        if self.error is not None:
            raise self.error
        if self.held is not None:
            self.held.put_nowait(waiter)
        else:
            self.release(waiter)

    def hold(self) -> None:
        self.held = asyncio.Queue()


class Serving:
    """A running server and a channel to it."""

    def __init__(self, plane: HeldDataPlane, telemetry: Telemetry, server: service.GrpcServer) -> None:
        self.plane = plane
        self.telemetry = telemetry
        self.server = server
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", [("grpc.use_local_subchannel_pool", 1)])

    def infer(self, message: pb.ModelInferRequest) -> Any:
        method = self.channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        return method(message, timeout=DEADLINE)

    async def refusal(self, message: pb.ModelInferRequest) -> grpc.aio.AioRpcError:
        try:
            answer = await self.infer(message)
        except grpc.aio.AioRpcError as error:
            return error
        problem = f"answered: {answer}"
        raise AssertionError(problem)


@asynccontextmanager
async def serving(journal: Journal | None = None, **settings: Any) -> AsyncIterator[Serving]:
    """Serve on a free port; nothing is loaded yet."""
    telemetry = Telemetry(NAME, VERSION, "", "")
    plane = HeldDataPlane(telemetry)
    values: dict[str, Any] = {"model_name": NAME, "model_version": VERSION, "host": "127.0.0.1", "grpc_port": 0}
    server = await service.start(plane, telemetry, ServerSettings(**values | settings), journal)
    running = Serving(plane, telemetry, server)
    try:
        yield running
    finally:
        await running.channel.close()
        await server.stop(0)
        plane.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that nothing announces."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.001)
