"""Clients for a soak: kept and short connections, every form, good and bad requests; each answer is checked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

import grpc

from modelwright_server.grpc import open_inference_pb2 as pb
from tests.benchmarks.serving import grpc_load
from tests.benchmarks.serving.cores import BenchmarkError
from tests.benchmarks.serving.payloads import PATH, Payload, binary_payload, compare, decoded, json_payload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.benchmarks.serving.models import BenchmarkModel
    from tests.benchmarks.serving.servers import Running

_ANSWER_SECONDS = 30.0
_SHORT_LIVED = 0.05
"""The share of requests after which a client closes its connection and makes another."""
_KEPT_PROBLEMS = 20
_OK = 200


@dataclass
class Tally:
    """What the clients saw: answers by kind of request, and what was wrong."""

    answers: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    problems: list[str] = field(default_factory=list)

    def wrong(self, kind: str, problem: object) -> None:
        """Count an answer that is not the one expected."""
        self.errors += 1
        if len(self.problems) < _KEPT_PROBLEMS:
            self.problems.append(f"{kind}: {problem}")


@dataclass(frozen=True)
class Question:
    """A request and the status it must get; good ones must get onnxruntime's answer."""

    kind: str
    payload: Payload
    status: int = _OK
    path: str = PATH
    rows: int = 0


def questions(model: BenchmarkModel) -> list[Question]:
    """Return the mix: three in four are good."""
    forms = {"json": json_payload, "binary": binary_payload}
    good = [
        Question(f"{form} {rows}", make(model, rows), rows=rows) for form, make in forms.items() for rows in (1, 64)
    ]
    body, binary = json_payload(model, 1).body, binary_payload(model, 1)
    bad = [
        Question("not JSON", Payload(body[:-2]), 400),
        Question("wrong shape", Payload(body.replace(b"[1,30]", b"[1,31]")), 400),
        Question("wrong datatype", Payload(body.replace(b"FP32", b"FP64")), 400),
        Question("a text among numbers", Payload(body.replace(b'"data":[', b'"data":["x",')), 400),
        Question("binary cut short", Payload(binary.body[:-4], binary.json_bytes), 400),
        Question("another model", Payload(body), 404, "/v2/models/another/infer"),
    ]
    return [*good * 4, *bad]


class HttpClient:
    """One connection, made anew when it was closed."""

    def __init__(self, port: int, model: BenchmarkModel, tally: Tally, mix: Sequence[Question], seed: int) -> None:
        self._port, self._model, self._tally = port, model, tally
        self._random = random.Random(seed)
        self._mix = cycle(self._random.sample(mix, len(mix)))
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        """Send the next request and check the answer; now and then, leave in the middle of one."""
        question = next(self._mix)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self._random.random() < _SHORT_LIVED:
                    await self._leave(question)
                status, headers, body = await self._exchange(question)
            if status != question.status:
                self._tally.wrong(question.kind, f"{status} instead of {question.status}: {body[:200]!r}")
            elif question.rows:
                compare(self._model, question.rows, decoded(headers, body))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, BenchmarkError, KeyError, ValueError) as error:
            self._tally.wrong(question.kind, repr(error))
            await self.close()
        self._tally.answers[question.kind] += 1

    async def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _leave(self, question: Question) -> None:
        """Close the connection, half of the times with a request half sent."""
        if self._random.random() < 0.5:
            _, writer = await self._connected()
            writer.write(_head(question) + question.payload.body[: len(question.payload.body) // 2])
            await writer.drain()
        await self.close()

    async def _exchange(self, question: Question) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await self._connected()
        writer.write(_head(question) + question.payload.body)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        status_line, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return int(status_line.split()[1]), headers, body

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams


class GrpcClient:
    """One channel; messages with 1 and 64 rows, and one for another model."""

    def __init__(self, port: int, model: BenchmarkModel, tally: Tally) -> None:
        self._channel: Any = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._infer: Any = self._channel.unary_unary(grpc_load.METHOD)
        self._model, self._tally = model, tally
        bad = pb.ModelInferRequest.FromString(grpc_load.request(model, 1))
        bad.model_name = "another"
        good = {rows: grpc_load.request(model, rows) for rows in (1, 64)}
        self._mix = cycle([(1, good[1]), (64, good[64]), (1, good[1]), (64, good[64]), (0, bad.SerializeToString())])

    async def ask(self) -> None:
        """Call and check the answer."""
        rows, message = next(self._mix)
        kind = f"grpc {rows}" if rows else "grpc, another model"
        try:
            answer = await self._infer(message, timeout=_ANSWER_SECONDS)
            if rows:
                compare(self._model, rows, grpc_load.outputs(pb.ModelInferResponse.FromString(answer)))
            else:
                self._tally.wrong(kind, "answered instead of refused")
        except grpc.aio.AioRpcError as error:
            if rows or error.code() not in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}:
                self._tally.wrong(kind, f"{error.code()}: {error.details()}")
        except BenchmarkError as error:
            self._tally.wrong(kind, error)
        self._tally.answers[kind] += 1

    async def close(self) -> None:
        """End the channel."""
        await self._channel.close()


async def work(running: Running, model: BenchmarkModel, tally: Tally, rate: float, seconds: float) -> None:
    """Ask at a constant rate in all for so long, by many clients at once: each has its turn at random times."""
    mix = questions(model)
    clients: list[HttpClient | GrpcClient] = [HttpClient(running.port, model, tally, mix, seed) for seed in range(24)]
    clients += [GrpcClient(running.grpc_port, model, tally) for _ in range(8)]
    end = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*(_paced(client.ask, rate / len(clients), end, seed) for seed, client in enumerate(clients)))
    await asyncio.gather(*(client.close() for client in clients))


async def _paced(ask: Callable[[], Awaitable[None]], rate: float, end: float, seed: int) -> None:
    """Ask with exponential pauses, so that requests of several clients come together now and then.

    What a slow answer kept from being asked in time is not asked later.
    """
    pauses, clock = random.Random(seed), asyncio.get_running_loop().time
    due = clock()
    while (due := max(due, clock()) + pauses.expovariate(rate)) < end:
        if (early := due - clock()) > 0:
            await asyncio.sleep(early)
        await ask()


def _head(question: Question) -> bytes:
    lines = [f"POST {question.path} HTTP/1.1", "Host: bench", f"Content-Length: {len(question.payload.body)}"]
    lines += [f"{name}: {value}" for name, value in question.payload.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
