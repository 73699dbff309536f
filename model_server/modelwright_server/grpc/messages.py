"""The protocol's protobuf messages ↔ what the data plane takes and gives.  Pure: knows no transport."""

import json
from functools import lru_cache
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from modelwright_server.batching import Batch
from modelwright_server.errors import BadRequestError, ServingError
from modelwright_server.grpc import open_inference_pb2 as pb
from modelwright_server.schema import Datatype, TensorSpec
from modelwright_server.tensors import (
    PREDICTION_ID,
    PREDICTION_ID_NAME,
    InferRequest,
    InputSlot,
    Packed,
    Signature,
    raw_output,
    raw_texts,
)

PLATFORM = "onnx_onnxv1"

# Combinations of rows and outputs for which the equal part of the answers is kept.
_HEADS = 256
_PREDICTION_ID_SPEC = TensorSpec(PREDICTION_ID_NAME, Datatype.BYTES, (-1,))
# The field of InferTensorContents for each datatype; FP16 has none.
FIELDS: Final[dict[Datatype, str]] = {
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.BOOL: "bool_contents",
    Datatype.BYTES: "bytes_contents",
}


M = TypeVar("M", bound=Message)


class NotServedError(ServingError):
    """The request names another model or another version."""


def parsed(message: M, data: bytes) -> M:
    """Return ``message`` with the content of ``data``.

    Raises:
        BadRequestError: that is no such message.
    """
    try:
        message.ParseFromString(data)
    except DecodeError:
        name = message.DESCRIPTOR.full_name
        raise BadRequestError(problem=f"the request is no {name} message, or has a text that is not UTF-8") from None
    return message


def check_model(name: str, version: str, served: tuple[str, str]) -> None:
    """Check which model is asked for; no version is the one that is served.

    Raises:
        NotServedError: it is not the one this server has.
    """
    if name != served[0]:
        raise NotServedError(problem=f"unknown model {name!r:.80}: this server has {served[0]!r}")
    if version and version != served[1]:
        raise NotServedError(problem=f"unknown version {version!r:.80} of {name!r}: it is {served[1]!r}")


def metadata(signature: Signature, served: tuple[str, str]) -> pb.ModelMetadataResponse:
    """Return what the model takes and gives."""
    return pb.ModelMetadataResponse(
        name=served[0],
        versions=[served[1]],
        platform=PLATFORM,
        inputs=[_described(spec) for spec in signature.schema.inputs],
        outputs=[_described(spec) for spec in signature.schema.outputs],
    )


def _described(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    tensor = pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype.value, shape=spec.shape)
    if spec.columns:
        tensor.parameters["columns"].string_param = json.dumps(spec.columns, ensure_ascii=False)
    if spec.nullable:
        tensor.parameters["nullable"].bool_param = True
    return tensor


class Codec:
    """Reads the requests of one model and writes its answers."""

    def __init__(self, signature: Signature, served: tuple[str, str]) -> None:
        self._signature = signature
        self._served = served
        self._specs = {PREDICTION_ID: _PREDICTION_ID_SPEC, **dict(enumerate(signature.schema.outputs))}
        self._raw_only = {at for at, spec in self._specs.items() if spec.datatype not in FIELDS}
        self._head = lru_cache(_HEADS)(self._make_head)

    def read(self, message: pb.ModelInferRequest) -> InferRequest:
        """Return the checked request of a message.

        Raises:
            BadRequestError: names the input or output that is wrong and what it must be.
        """
        inputs, raw = message.inputs, message.raw_input_contents
        if raw and len(raw) != len(inputs):
            problem = f"raw_input_contents has {len(raw)} tensors, inputs has {len(inputs)}"
            raise BadRequestError(problem=problem)
        signature = self._signature
        feeds: dict[str, Packed] = {}
        counts: dict[str, int] = {}
        for at, tensor in enumerate(inputs):
            name = tensor.name
            slot = signature.input(name)
            if name in feeds:
                raise BadRequestError(problem=f"input {name!r} is given twice")
            rows = counts[name] = slot.rows(tensor.datatype, tensor.shape)
            if not raw:
                feeds[name] = _typed(slot, tensor.contents, rows)
            elif tensor.HasField("contents"):
                raise BadRequestError(problem=f"input {name!r} has contents, though raw_input_contents is given")
            else:
                feeds[name] = slot.from_raw(raw[at], rows)
        wanted = [output.name for output in message.outputs] if message.outputs else ()
        return signature.request(feeds, counts, wanted)

    def write(
        self, message: pb.ModelInferRequest, request: InferRequest, batch: Batch, start: int
    ) -> tuple[bytes, bytes]:
        """Return the serialised answer to a request, and the id of its prediction if it is one row.

        Raw contents are answered by raw contents, and so are typed ones where an output has no typed form (FP16).
        """
        rows, wanted = request.rows, request.outputs
        ids = batch.prediction_ids(start, rows) if rows == 1 or PREDICTION_ID in wanted else []
        head = self._head(rows, wanted)
        if message.raw_input_contents or not self._raw_only.isdisjoint(wanted):
            raw = [self._raw(at, batch, start, rows) if at != PREDICTION_ID else raw_texts(ids) for at in wanted]
            rest = pb.ModelInferResponse(id=message.id, raw_output_contents=raw)
        else:
            head, rest = b"", pb.ModelInferResponse.FromString(head)
            rest.id = message.id
            for at, tensor in zip(wanted, rest.outputs, strict=True):
                values = ids if at == PREDICTION_ID else self._values(at, batch, start, rows)
                getattr(tensor.contents, FIELDS[self._specs[at].datatype]).extend(values)
        if message.parameters:
            rest.parameters.MergeFrom(message.parameters)
        # One serialised message behind another is the message with the fields of both.
        return head + rest.SerializeToString(), ids[0] if rows == 1 else b""

    def _make_head(self, rows: int, wanted: tuple[int, ...]) -> bytes:
        """Return an answer, serialised, without what differs between answers of so many rows with these outputs."""
        head = pb.ModelInferResponse(model_name=self._served[0], model_version=self._served[1])
        for spec in (self._specs[at] for at in wanted):
            head.outputs.add(name=spec.name, datatype=spec.datatype.value, shape=(rows, *spec.shape[1:]))
        return head.SerializeToString()

    def _raw(self, at: int, batch: Batch, start: int, rows: int) -> bytes:
        return raw_output(self._specs[at], batch.arrays[at][start : start + rows])

    def _values(self, at: int, batch: Batch, start: int, rows: int) -> list[Any]:
        values: list[Any] = batch.arrays[at][start : start + rows].ravel().tolist()
        if self._specs[at].datatype is Datatype.BYTES:
            return [value if isinstance(value, bytes) else str(value).encode() for value in values]
        return values


def _typed(slot: InputSlot, contents: pb.InferTensorContents, rows: int) -> Packed:
    """Return the values of an input that are in the field for its datatype.

    Raises:
        BadRequestError: they are in another, or are not what the input takes.
    """
    spec = slot.spec
    field = FIELDS.get(spec.datatype)
    if field is None:
        raise BadRequestError(problem=f"input {spec.name!r}: {spec.datatype} goes in raw_input_contents only")
    for other, _ in contents.ListFields():
        if other.name != field:
            problem = f"input {spec.name!r}: {spec.datatype} goes in {field}, not in {other.name}"
            raise BadRequestError(problem=problem)
    return slot.from_typed(getattr(contents, field), rows)
