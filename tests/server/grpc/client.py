"""A plain client of the gRPC service, and requests in both forms."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from modelwright_server.grpc import open_inference_pb2 as pb
from tests.server.process import DEADLINE, NAME

SERVICE = "inference.GRPCInferenceService"
FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
Tensors = Sequence[Mapping[str, Any]]


def texts(values: Sequence[str]) -> bytes:
    """The raw form of a BYTES tensor."""
    parts = [value.encode() for value in values]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def request(tensors: Tensors, *, raw: bool, **members: Any) -> pb.ModelInferRequest:
    """The request with these tensors, given as in JSON."""
    message = pb.ModelInferRequest(**{"model_name": NAME} | members)
    for tensor in tensors:
        datatype, values = tensor["datatype"], tensor["data"]
        added = message.inputs.add(name=tensor["name"], datatype=datatype, shape=tensor["shape"])
        values = [float("nan") if value is None else value for value in values]
        if raw:
            data = texts(values) if datatype == "BYTES" else np.array(values, DTYPES[datatype]).tobytes()
            message.raw_input_contents.append(data)
        else:
            coded = [value.encode() for value in values] if datatype == "BYTES" else values
            getattr(added.contents, FIELDS[datatype]).extend(coded)
    return message


def values(answer: pb.ModelInferResponse) -> dict[str, list[Any]]:
    """The flat values of each output, whatever their form; they must have one form, and the length their shape says."""
    raw = list(answer.raw_output_contents)
    assert len(raw) in {0, len(answer.outputs)}
    found: dict[str, list[Any]] = {}
    for at, output in enumerate(answer.outputs):
        if raw:
            assert not output.HasField("contents")
            found[output.name] = _unpacked(output.datatype, raw[at])
        else:
            fields = [field.name for field, _ in output.contents.ListFields()]
            assert fields == [FIELDS[output.datatype]]
            found[output.name] = list(getattr(output.contents, fields[0]))
            if output.datatype == "BYTES":
                found[output.name] = [value.decode() for value in found[output.name]]
        assert len(found[output.name]) == np.prod(output.shape)
    return found


def _unpacked(datatype: str, data: bytes) -> list[Any]:
    if datatype != "BYTES":
        return list(np.frombuffer(data, DTYPES[datatype]).tolist())
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


class Stub:
    """The methods of the service, over one channel."""

    def __init__(self, channel: grpc.Channel, port: int) -> None:
        self.channel = channel
        self.port = port

    def method(self, name: str, answer: Any = None) -> Callable[..., Any]:
        """A method that takes messages, or bytes; it fails rather than hang."""

        def call(message: Any, **options: Any) -> Any:
            kind = answer or getattr(pb, f"{name}Response")
            method: Any = self.channel.unary_unary(f"/{SERVICE}/{name}", response_deserializer=kind.FromString)
            data = message if isinstance(message, bytes) else message.SerializeToString()
            return method.with_call(data, **{"timeout": DEADLINE} | options)

        return call

    def infer(self, message: Any, **options: Any) -> pb.ModelInferResponse:
        answer: pb.ModelInferResponse = self.method("ModelInfer")(message, **options)[0]
        return answer

    def infer_with_id(self, message: Any) -> tuple[pb.ModelInferResponse, str | None]:
        """The answer and the prediction id beside it."""
        answer, call = self.method("ModelInfer")(message)
        return answer, dict(call.trailing_metadata()).get("x-prediction-id")

    def refusal(self, message: Any, method: str = "ModelInfer", **options: Any) -> tuple[grpc.StatusCode, str]:
        """The status of a call that must fail."""
        try:
            answer = self.method(method)(message, **options)
        except grpc.RpcError as error:
            return error.code(), error.details() or ""
        problem = f"answered: {answer}"
        raise AssertionError(problem)


@contextmanager
def connected(port: int) -> Iterator[Stub]:
    """A stub over a connection of its own."""
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield Stub(channel, port)
