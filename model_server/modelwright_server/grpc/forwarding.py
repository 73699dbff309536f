"""gRPC's part of routing: calls to the canary and its answers, in serialised form, and copies for comparison."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from modelwright_server.contract import CANARY, FORWARDED_HEADER, TRACK_HEADER, VERSION_HEADER
from modelwright_server.errors import BadRequestError
from modelwright_server.grpc import open_inference_pb2 as pb
from modelwright_server.grpc.messages import FIELDS
from modelwright_server.routing.answers import BrokenAnswerError, Outcome, Output, finite
from modelwright_server.routing.choice import Choice
from modelwright_server.routing.route import Route, rows_finite
from modelwright_server.routing.shadow import MOST_UNDER_WAY, Copy, Reply, Shadow
from modelwright_server.routing.traffic import COPIES, FORWARDS, Traffic
from modelwright_server.schema import FLOATS, Datatype
from modelwright_server.tensors import DTYPES, Array

PROTOCOL = "grpc"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
MOST_FORWARDS = 256  # under way at the same time
CHANNELS = 4  # each is a connection, so that a canary of several pods gets its share on most of them
_BODIES = 4  # of the largest size, of all that are under way
_TRACING = frozenset({"traceparent", "tracestate"})
_OWN = frozenset({TRACK_HEADER.lower(), VERSION_HEADER.lower()})
_LOG = logging.getLogger("modelwright.routing")
_Metadata = Iterable[tuple[str, str | bytes]]
_Channels = list[grpc.aio.Channel]
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # else all were one connection
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5000),
)


class Relayed(NamedTuple):
    """A canary's answer to a call: its message, and the trailing metadata that go with it."""

    message: bytes
    metadata: tuple[tuple[str, str], ...]


class Own(NamedTuple):
    """A call is to be answered here, and counted for this route, if for any; perhaps it is copied."""

    route: Route | None = None
    copied: bool = False


class GrpcForwarding:
    """Routes the inference calls of one process."""

    def __init__(self, traffic: Traffic, shadow: Shadow, max_body: int) -> None:
        """Follow the traffic table from now on; ``max_body`` is bytes of the largest call."""
        self._traffic = traffic
        self._shadow = shadow
        self._most_bytes = _BODIES * max_body
        self._options = (*_OPTIONS, ("grpc.max_receive_message_length", self._most_bytes))
        self._under_way = self._bytes = self._copying = self._turn = 0
        self._target = ""
        self._channels: _Channels = []
        self._tasks = set[asyncio.Task[None]]()
        traffic.follow(self._changed)
        self._changed()

    async def close(self) -> None:
        """End what is under way; its clients were answered or are gone."""
        for task in self._tasks:
            task.cancel()
        await self._retired(self._channels, 0)

    async def elsewhere(self, data: bytes, metadata: _Metadata) -> Relayed | Own:
        """Have a call answered by the canary if it is its turn.

        Raises:
            BadRequestError: the canary refused it, and the client is to blame.
        """
        route = self._traffic.route
        if route is None or not route.active:
            return Own(route)
        choice = route.choose(_watched(metadata, route))
        if choice is Choice.STABLE:
            return Own(route, copied=route.shadows and route.copies())
        if choice is Choice.APART:
            return Own()
        if not route.forwards:  # a gateway sent it here for its header
            route.matched()
            return Own()
        matched = choice is Choice.MATCHED
        breaker = self._traffic.breaker(PROTOCOL, FORWARDS)
        room = self._under_way < MOST_FORWARDS and self._bytes + len(data) <= self._most_bytes
        if not (room and breaker.allows()):
            route.skipped(PROTOCOL, matched=matched)
            return Own()
        self._under_way += 1
        self._bytes += len(data)
        started = perf_counter()
        answer: Relayed | BadRequestError | None = None
        outcome = Outcome.UNREACHABLE
        try:
            answer, outcome = await self._answered(data, metadata, route)
        except asyncio.CancelledError:  # the client went away: that says nothing of the canary
            outcome = Outcome.ANSWERED
            raise
        finally:
            self._under_way -= 1
            self._bytes -= len(data)
            (breaker.succeeded if outcome is Outcome.ANSWERED else breaker.failed)()
            route.forwarded(PROTOCOL, outcome, perf_counter() - started, matched=matched)
        if isinstance(answer, BadRequestError):
            raise answer
        return Own() if answer is None else answer

    def own(self, own: Own, seconds: float, *, error: bool, arrays: Sequence[Array] | None, data: bytes) -> None:
        """Count a call that was answered here, and have it copied if its turn had come."""
        route = own.route
        if route is None:
            return
        route.own(seconds, error=error, invalid=arrays is not None and not rows_finite(arrays))
        if not own.copied or arrays is None or route is not self._traffic.route:
            return
        send = partial(self._copy, data, route)
        breaker = self._traffic.breaker(PROTOCOL, COPIES)
        self._shadow.offer(
            Copy(size=len(data), send=send, arrays=arrays, seconds=seconds, counts=route.step.shadow, breaker=breaker)
        )

    def _changed(self) -> None:
        """Follow the table."""
        route = self._traffic.route
        target = f"{route.canary.host}:{route.canary.grpc_port}" if route is not None and route.forwards else ""
        if target == self._target:
            return
        self._target = target
        before = self._channels
        made = range(CHANNELS if target else 0)
        self._channels = [grpc.aio.insecure_channel(target, options=self._options) for _ in made]
        if before:
            self._run(self._retired(before, grace=60))

    async def _retired(self, channels: _Channels, grace: float) -> None:
        """Close channels, once what is under way on them has ended."""
        await asyncio.gather(*(channel.close(grace) for channel in channels))

    def _run(self, job: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)  # the loop itself does not keep it
        task.add_done_callback(self._tasks.discard)

    async def _answered(
        self, data: bytes, metadata: _Metadata, route: Route
    ) -> tuple[Relayed | BadRequestError | None, Outcome]:
        """Return the canary's answer, if it can be relayed, and how the call ended."""
        if not self._channels:
            return None, Outcome.UNREACHABLE
        self._turn = (self._turn + 1) % len(self._channels)
        call = _called(self._channels[self._turn], data, metadata, route)
        try:
            message: bytes = await call
        except grpc.aio.AioRpcError as error:
            return _refused(error)
        try:
            if not all(map(finite, outputs(message))):
                return None, Outcome.INVALID
        except BrokenAnswerError:
            return None, Outcome.BROKEN
        return Relayed(message, _labelled(await call.trailing_metadata(), route)), Outcome.ANSWERED

    def _copy(self, data: bytes, route: Route, reply: Reply) -> bool:
        """Send a copy."""
        if self._copying >= MOST_UNDER_WAY or not self._channels:
            return False
        self._copying += 1
        self._run(self._copied(data, route, reply))
        return True

    async def _copied(self, data: bytes, route: Route, reply: Reply) -> None:
        found: Sequence[Output] | Outcome = Outcome.UNREACHABLE
        try:
            if self._channels:
                found = outputs(await _called(self._channels[0], data, (), route))
        except grpc.aio.AioRpcError as error:
            found = _refused(error)[1]
            found = Outcome.REFUSED if found is Outcome.ANSWERED else found
        except BrokenAnswerError:
            found = Outcome.BROKEN
        finally:
            self._copying -= 1
            reply(found)


def _called(
    channel: grpc.aio.Channel, data: bytes, metadata: _Metadata, route: Route
) -> "grpc.aio.UnaryUnaryCall[bytes, bytes]":
    """Call the canary with a serialised request."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    return method(data, timeout=route.seconds, metadata=_sent(metadata, route))


def outputs(message: bytes) -> list[Output]:
    """Return the outputs of an answer, serialised.

    Raises:
        BrokenAnswerError: it is none, or its outputs are not as they say.
    """
    answer = pb.ModelInferResponse()
    try:
        answer.ParseFromString(message)
    except DecodeError as error:
        raise BrokenAnswerError(problem="the answer is no ModelInferResponse message") from error
    raw = answer.raw_output_contents
    if not answer.outputs or (raw and len(raw) != len(answer.outputs)):
        raise BrokenAnswerError(problem="the answer has no outputs, or not as much data as outputs")
    found: list[Output] = []
    for at, output in enumerate(answer.outputs):
        values = _raw(output, raw[at]) if raw else _typed(output)
        found.append(Output(output.name, output.datatype, output.shape[0] if output.shape else 0, values))
    return found


def _raw(output: pb.ModelInferResponse.InferOutputTensor, data: bytes) -> memoryview:
    """Return the values of an output that came raw."""
    if output.datatype in FLOATS and len(data) % DTYPES[Datatype(output.datatype)].itemsize:
        raise BrokenAnswerError(problem="an output has part of a number")
    return memoryview(data)


def _typed(output: pb.ModelInferResponse.InferOutputTensor) -> list[Any]:
    """Return the values of an output that are in the field for its datatype; of a float that is none: None."""
    try:
        datatype = Datatype(output.datatype)
        values = list(getattr(output.contents, FIELDS[datatype]))
    except (ValueError, KeyError) as error:
        raise BrokenAnswerError(problem="an output of the answer has no data") from error
    if datatype is Datatype.BYTES:
        return [value.decode("utf-8", "replace") for value in values]
    if datatype in {Datatype.FP32, Datatype.FP64}:
        return [value if value - value == 0 else None for value in values]
    return values


def _refused(error: grpc.aio.AioRpcError) -> tuple[BadRequestError | None, Outcome]:
    code = error.code()
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return CanaryRefusedError(problem=error.details() or ""), Outcome.ANSWERED
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return None, Outcome.TIMEOUT
    return None, Outcome.UNREACHABLE if code is grpc.StatusCode.UNAVAILABLE else Outcome.REFUSED


class CanaryRefusedError(BadRequestError):
    """The canary says that the request is not one it can answer."""


def _watched(metadata: _Metadata, route: Route) -> Mapping[bytes, bytes]:
    """Return the metadata that choose a track."""
    found: dict[bytes, bytes] = {}
    for key, value in metadata:
        name = key.encode()
        if name in route.watched:
            found[name] = value.encode() if isinstance(value, str) else value
    return found


def _sent(metadata: _Metadata, route: Route) -> tuple[tuple[str, str], ...]:
    kept = ((key, value) for key, value in metadata if key in _TRACING and isinstance(value, str))
    return ((FORWARDED_HEADER.lower(), route.stable), *kept)


def _labelled(metadata: Any, route: Route) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - grpcio's own
    """Return the trailing metadata of a relayed answer."""
    sent = {key: value for key, value in metadata or () if isinstance(value, str) and not key.startswith("grpc-")}
    version = sent.get(VERSION_HEADER.lower(), route.canary.version)
    others = tuple((key, value) for key, value in sent.items() if key not in _OWN)
    return ((VERSION_HEADER.lower(), version), (TRACK_HEADER.lower(), CANARY), *others)
