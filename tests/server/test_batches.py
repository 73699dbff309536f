"""Requests that share calls of the model get their own rows, and what these would have got alone."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc
import numpy as np
import pytest
import tritonclient.http.aio as triton_http  # type: ignore[import-untyped]

from modelwright_server.contract import METRIC_BATCH_REQUESTS
from modelwright_server.grpc import open_inference_pb2 as pb
from tests.server.clients.expected import Arrays, Case, case
from tests.server.grpc.client import SERVICE, request, values
from tests.server.models import Built
from tests.server.process import INFER, NAME, Server

CLIENTS = 24
EACH = 12
MOST_ROWS = 70
EXACT = {"trees", "boosted", "slow"}  # sums of trees do not depend on what else is in the call
Send = Callable[[Case], Awaitable[Arrays]]


@dataclass(frozen=True)
class Alone:
    """What each row of a model's data gets in a call of its own."""

    rows: list[Case]

    def of(self, start: int, count: int) -> Arrays:
        rows = self.rows[start : start + count]
        return {name: np.concatenate([row.outputs[name] for row in rows]) for name in rows[0].outputs}


def texts(array: Any) -> list[Any]:
    return [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]


def compare(found: Arrays, wanted: Arrays, tolerance: float) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[name].astype(array.dtype), array, rtol=tolerance, atol=tolerance)
        else:
            assert texts(found[name]) == texts(array)


def triton_inputs(wanted: Case) -> list[Any]:
    tensors = []
    for spec in wanted.document["inputs"]:
        tensor = triton_http.InferInput(spec["name"], spec["shape"], spec["datatype"])
        tensor.set_data_from_numpy(wanted.inputs[spec["name"]])
        tensors.append(tensor)
    return tensors


@asynccontextmanager
async def senders(server: Server) -> AsyncIterator[list[Send]]:
    """JSON, binary tensor data and gRPC, each over connections of its own."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{server.port}"))
        http = await stack.enter_async_context(triton_http.InferenceServerClient(f"127.0.0.1:{server.port}"))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}"))
        call = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )

        async def as_json(wanted: Case) -> Arrays:
            async with session.post(INFER, json=wanted.document) as answer:
                assert answer.status == 200
                outputs = (await answer.json())["outputs"]
                return {item["name"]: np.array(item["data"]).reshape(item["shape"]) for item in outputs}

        async def as_binary(wanted: Case) -> Arrays:
            result = await http.infer(NAME, triton_inputs(wanted))
            return {name: result.as_numpy(name) for name in wanted.outputs}

        async def by_grpc(wanted: Case) -> Arrays:
            answer = await call(
                request(wanted.document["inputs"], raw=len(next(iter(wanted.inputs.values()))) % 2 == 0)
            )
            flat = values(answer)
            return {output.name: np.array(flat[output.name]).reshape(output.shape) for output in answer.outputs}

        yield [as_json, as_json, as_binary, by_grpc]


@pytest.mark.parametrize("name", ["logistic", "trees", "slow", "dense", "mixed", "regressor"])
def test_answers_are_those_of_the_rows_alone(
    name: str, built: Callable[[str], Built], serving: Callable[[str], Server]
) -> None:
    model, chance = built(name), random.Random(name)
    total = 150
    alone = Alone([case(model, at, 1) for at in range(total)])
    plans = []
    for _ in range(CLIENTS):
        counts = [chance.choice((1, 1, 1, 2, 3, 7, 33, MOST_ROWS)) for _ in range(EACH)]
        plans.append([(chance.randrange(total - count), count) for count in counts])

    async def client(send: Send, plan: list[tuple[int, int]]) -> None:
        for start, count in plan:
            found = await send(case(model, start, count))
            compare(found, alone.of(start, count), 0 if name in EXACT else 1e-6)

    async def run() -> None:
        async with senders(serving(name)) as sends, asyncio.TaskGroup() as group:
            for at, plan in enumerate(plans):
                group.create_task(client(sends[at % len(sends)], plan))

    asyncio.run(run())


def test_pipelined_requests_share_calls_and_keep_their_rows(
    built: Callable[[str], Built], serving: Callable[[str], Server]
) -> None:
    """Every request says which rows it has: its id comes back with their answer."""
    model, server = built("trees"), serving("trees")
    cases = [case(model, at, 1 + at % 5) for at in range(60)]
    bodies = [{**wanted.document, "id": str(at)} for at, wanted in enumerate(cases)]
    before = calls(server)

    async def run() -> list[Any]:
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{server.port}", connector=aiohttp.TCPConnector(limit=0)
        ) as session:

            async def one(body: Any) -> Any:
                async with session.post(INFER, json=body) as answer:
                    return await answer.json()

            return await asyncio.gather(*map(one, bodies * 5))

    for at, answer in enumerate(asyncio.run(run())):
        assert answer["id"] == str(at % len(cases))
        cases[at % len(cases)].check_json(answer)
    assert calls(server) - before < len(bodies) * 5  # some did share one


def calls(server: Server) -> float:
    """Calls of the model so far."""
    (line,) = (line for line in server.metrics().splitlines() if line.startswith(METRIC_BATCH_REQUESTS + "_count"))
    return float(line.rsplit(" ", 1)[1])
