"""The methods of the protocol's gRPC service, over the data plane.

Messages go through grpcio as bytes, so that one that cannot be parsed gets an answer like any other bad request, and
no stack trace in the log.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from time import perf_counter
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import StatusCode

from modelwright_server.batching import Batch
from modelwright_server.contract import CANARY, STABLE, TRACK_HEADER, VERSION_HEADER
from modelwright_server.dataplane import DataPlane
from modelwright_server.errors import (
    BadRequestError,
    ModelFailedError,
    NotReadyError,
    OverloadedError,
    ServingError,
)
from modelwright_server.grpc import messages
from modelwright_server.grpc import open_inference_pb2 as pb
from modelwright_server.grpc.forwarding import CanaryRefusedError, GrpcForwarding, Own, Relayed
from modelwright_server.grpc.messages import Codec, NotServedError, parsed
from modelwright_server.grpc.refusal import refuse
from modelwright_server.journal import Journal
from modelwright_server.record import Record
from modelwright_server.routing.traffic import Traffic
from modelwright_server.telemetry import Telemetry
from modelwright_server.tensors import Array

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
PREDICTION_ID_KEY = "x-prediction-id"
_PATH = f"/{SERVICE}/ModelInfer"

# A longer text, percent-encoded, would not fit the metadata that clients take (8 KiB).
_MAX_DETAILS = 600
_RETRY = (("grpc-retry-pushback-ms", "1000"),)  # https://github.com/grpc/proposal/blob/master/A6-client-retries.md

_CODES: Mapping[type[Exception], StatusCode] = {
    BadRequestError: StatusCode.INVALID_ARGUMENT,
    NotServedError: StatusCode.NOT_FOUND,
    NotReadyError: StatusCode.UNAVAILABLE,
    OverloadedError: StatusCode.RESOURCE_EXHAUSTED,
    ModelFailedError: StatusCode.INTERNAL,
    CanaryRefusedError: StatusCode.INVALID_ARGUMENT,
}
_FAULTS = frozenset({StatusCode.INTERNAL, StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED})
_PASSING = frozenset({StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED})
_LOG = logging.getLogger("modelwright.grpc")

_Context = grpc.aio.ServicerContext[Any, Any]
_Q = TypeVar("_Q", bound=Message)


# A status is a pair of number and name.
_NUMBERS: Mapping[StatusCode, int] = {code: code.value[0] for code in StatusCode}


class _Call:
    """An inference call that waits for its answer."""

    __slots__ = ("_codec", "_message", "answer", "arrays", "request", "started", "wants_arrays")

    def __init__(self, codec: Codec, message: pb.ModelInferRequest, started: float) -> None:
        self._codec = codec
        self._message = message
        self.request = codec.read(message)
        self.started = started
        self.wants_arrays = False
        self.arrays: list[Array] | None = None
        self.answer: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()

    @property
    def gone(self) -> bool:
        """Whether the client went away."""
        return self.answer.cancelled()

    def answered(self, batch: Batch, start: int) -> None:
        """Take the answer."""
        if not self.answer.done():
            if self.wants_arrays:
                self.arrays = batch.rows(start, self.request.rows)
            self.answer.set_result(self._codec.write(self._message, self.request, batch, start))

    def failed(self, error: ServingError) -> None:
        """Take the error."""
        if not self.answer.done():
            self.answer.set_exception(error)


class InferenceService:
    """The methods of GRPCInferenceService.

    Attributes:
        called: when the last inference call came, by `time.perf_counter`.
    """

    def __init__(self, dataplane: DataPlane, telemetry: Telemetry, journal: Journal | None) -> None:
        self._dataplane = dataplane
        self._count = telemetry.grpc.answered
        self._journal = journal
        self._served = dataplane.name, dataplane.version
        self._codec: Codec | None = None
        self._forwarding: GrpcForwarding | None = None
        self._labels = self._labelled(STABLE)
        self.called = 0.0

    @property
    def codec(self) -> Codec:
        """The messages of the model.

        Raises:
            NotReadyError: no model is loaded yet.
        """
        if self._codec is None:
            self._codec = Codec(self._dataplane.signature, self._served)
        return self._codec

    def route(self, forwarding: GrpcForwarding, traffic: Traffic) -> None:
        """Have calls answered by whose turn it is, and answers name the track."""

        def changed() -> None:
            self._labels = self._labelled(traffic.track)
            self._forwarding = forwarding if traffic.route is not None else None

        traffic.follow(changed)
        changed()

    def _labelled(self, track: str) -> tuple[tuple[str, str], ...]:
        return (VERSION_HEADER.lower(), self._served[1]), (TRACK_HEADER.lower(), track)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service as grpcio takes it."""
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "ServerLive": _unary(pb.ServerLiveRequest, lambda _: pb.ServerLiveResponse(live=True)),
            "ServerReady": _unary(pb.ServerReadyRequest, self._server_ready),
            "ModelReady": _unary(pb.ModelReadyRequest, self._model_ready),
            "ServerMetadata": _unary(pb.ServerMetadataRequest, _server_metadata),
            "ModelMetadata": _unary(pb.ModelMetadataRequest, self._model_metadata),
            "ModelInfer": grpc.unary_unary_rpc_method_handler(self._infer),
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def _server_ready(self, _: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._dataplane.ready)

    def _model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        messages.check_model(request.name, request.version, self._served)
        return pb.ModelReadyResponse(ready=self._dataplane.ready)

    def _model_metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        messages.check_model(request.name, request.version, self._served)
        return messages.metadata(self._dataplane.signature, self._served)

    async def _infer(self, data: bytes, context: _Context) -> bytes:
        """Answer an inference call; count it and what it took."""
        self.called = started = perf_counter()
        call: _Call | None = None
        own: Own | None = None
        code = StatusCode.INTERNAL
        answer = prediction_id = b""
        track = ""
        try:
            message = parsed(pb.ModelInferRequest(), data)
            messages.check_model(message.model_name, message.model_version, self._served)
            if self._forwarding is not None and not message.model_version:
                found = await self._forwarding.elsewhere(data, context.invocation_metadata() or ())
                if isinstance(found, Relayed):
                    code, track, answer = StatusCode.OK, CANARY, found.message
                    context.set_trailing_metadata(found.metadata)
                    return answer
                own = found
            call = _Call(self._codec or self.codec, message, perf_counter())
            call.wants_arrays = own is not None
            self._dataplane.submit(call)
            answer, prediction_id = await call.answer
            labels = self._labels
            if prediction_id:
                labels = (*labels, (PREDICTION_ID_KEY, prediction_id.decode()))
            context.set_trailing_metadata(labels)
            code = StatusCode.OK
        except asyncio.CancelledError:  # by the client, by its deadline or by the end of the server
            code = StatusCode.CANCELLED
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            code = _CODES.get(type(error), StatusCode.INTERNAL)
            track = CANARY if isinstance(error, CanaryRefusedError) else ""
            return await _refuse(context, error)
        finally:
            seconds = perf_counter() - started
            if not track:
                self._count(_NUMBERS[code], seconds)
                if own is not None and code is not StatusCode.CANCELLED:
                    self._counted(own, code, seconds, None if call is None else call.arrays, data)
            if self._journal is not None:
                rows = call.request.rows if call is not None and answer else 0
                record = _record(context, _NUMBERS[code], seconds)._replace(track=track)
                self._journal.write(
                    record._replace(rows=rows, bytes_in=len(data), bytes_out=len(answer), prediction_id=prediction_id)
                )
        return answer

    def _counted(self, own: Own, code: StatusCode, seconds: float, arrays: Sequence[Array] | None, data: bytes) -> None:
        """Tell routing of a call that was answered here."""
        if self._forwarding is not None:
            self._forwarding.own(own, seconds, error=code in _FAULTS, arrays=arrays, data=data)


def _record(context: _Context, status: int, seconds: float) -> Record:
    """Return what the journal notes of any call."""
    sent = [(key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str)]
    fields = dict(sent)
    return Record(
        protocol="grpc",
        method="POST",
        path=_PATH,
        status=status,
        seconds=seconds,
        client=context.peer(),
        user_agent=fields.get("user-agent", ""),
        traceparent=fields.get("traceparent", ""),
        tracestate=",".join(value for key, value in sent if key == "tracestate"),
    )


def _server_metadata(_: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
    return pb.ServerMetadataResponse(name="modelwright", version=version("modelwright"))


def _unary(kind: type[_Q], answer: Callable[[_Q], Message]) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """Return the handler of a method that is answered at once."""

    async def handle(data: bytes, context: _Context) -> bytes:
        try:
            return answer(parsed(kind(), data)).SerializeToString()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return await _refuse(context, error)

    return grpc.unary_unary_rpc_method_handler(handle)


async def _refuse(context: _Context, error: Exception) -> bytes:
    """End a call with the status for an error; one that is no `ServingError` goes into the log."""
    code = _CODES.get(type(error))
    if code is None:
        _LOG.error("answering a call failed", exc_info=error)
        code, details = StatusCode.INTERNAL, "the server failed: its log says why"
    else:
        details = str(error)[:_MAX_DETAILS]
    error.__traceback__ = None  # the way it came leads to the call, which may be who keeps it
    await refuse(context, code, details, _RETRY if code in _PASSING else ())
    return b""
