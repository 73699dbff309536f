"""The look through an ONNX file, against the library that defines the format."""

from typing import Any

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright_server import graph
from modelwright_server.contract import Cause
from modelwright_server.rejection import ModelRejectedError
from tests.server import bad_models as bad

KINDS: dict[str, tuple[dict[int, str], Any]] = {
    "Model": (graph.MODEL, onnx.ModelProto),
    "Graph": (graph.GRAPH, onnx.GraphProto),
    "Node": (graph.NODE, onnx.NodeProto),
    "Attribute": (graph.ATTRIBUTE, onnx.AttributeProto),
    "Tensor": (graph.TENSOR, onnx.TensorProto),
    "SparseTensor": (graph.SPARSE_TENSOR, onnx.SparseTensorProto),
    "OperatorSet": (graph.OPERATOR_SET, onnx.OperatorSetIdProto),
}
# Messages that hold what is checked: none of them may be in a place that is not looked at.
CHECKED = {
    "GraphProto", "NodeProto", "TensorProto", "SparseTensorProto", "FunctionProto", "AttributeProto",
    "TrainingInfoProto", "OperatorSetIdProto",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_tags_are_those_of_onnx(name: str) -> None:
    tags, kind = KINDS[name]
    fields = kind.DESCRIPTOR.fields_by_name
    for tag, field in tags.items():
        enum = fields[field].enum_type is not None
        assert tag == fields[field].number << 3 | (0 if enum else 2), field
    for field in kind.DESCRIPTOR.fields:
        held = field.message_type is not None and field.message_type.name in CHECKED
        assert not held or field.name in tags.values(), field.name


def test_runs_are_of_fields_without_interest() -> None:
    for tag in graph._RUN_TAGS:
        for tags, _ in KINDS.values():
            assert tag not in tags


def _verdict(data: bytes) -> Cause | None:
    try:
        graph.check_bytes(data)
    except ModelRejectedError as error:
        return error.cause
    return None


def _tensors(found: onnx.GraphProto) -> list[onnx.TensorProto]:
    """All tensors of a graph, as the library sees them."""
    tensors, sparse, graphs = list(found.initializer), list(found.sparse_initializer), []
    for node in found.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
            graphs += [attribute.g, *attribute.graphs]
    tensors += [part for tensor in sparse for part in (tensor.values, tensor.indices)]
    return tensors + [tensor for inner in graphs for tensor in _tensors(inner)]


def _domains(found: onnx.GraphProto) -> set[str]:
    inner = [held for node in found.node for attribute in node.attribute for held in (attribute.g, *attribute.graphs)]
    return {node.domain for node in found.node} | {domain for held in inner for domain in _domains(held)}


SEEDS: dict[str, tuple[bad.Maker, str | None]] = {
    "good": (bad.model, None),
    "loop": (bad.loop, None),
    "tree": (lambda: bad.deep_tree(3), None),
    "initializer": (lambda: bad.initializer(bad.external()), "ExternalData"),
    "inside": (lambda: bad.hidden(bad.node("Constant", "", "out", value=bad.external())), "ExternalData"),
    "graphs": (bad.many_graphs, "ExternalData"),
    "sparse": (lambda: bad.sparse_initializer(bad.sparse(values=bad.external())), "ExternalData"),
    "domain": (lambda: bad.hidden(bad.node("Run", "input", "out", domain="other")), "UnsupportedOperator"),
    "function": (bad.with_function, "LocalFunctions"),
}  # fmt: skip
BYTES = [bad.as_bytes(make) for make, _ in SEEDS.values()]


@pytest.mark.parametrize("name", SEEDS)
def test_what_the_library_writes_is_read(name: str) -> None:
    make, cause = SEEDS[name]
    assert _verdict(bad.as_bytes(make)) == cause


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A model with some bytes changed, left out, doubled, or put in."""
    data = bytearray(draw(st.sampled_from(BYTES)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 40)))
        middle = draw(st.sampled_from([b"", bytes(data[at:to]) * 2, b"\xff", b"\x80\x00"]) | st.binary(max_size=8))
        data[at:to] = middle
    return bytes(data)


INSIDE = {
    "graph": "Graph", "node": "Node", "attribute": "Attribute", "opset_import": "OperatorSet", "initializer": "Tensor",
    "sparse_initializer": "SparseTensor", "t": "Tensor", "g": "Graph", "tensors": "Tensor", "graphs": "Graph",
    "sparse_tensor": "SparseTensor", "sparse_tensors": "SparseTensor", "values": "Tensor", "indices": "Tensor",
}  # fmt: skip
LEAVES = {"domain": [b"", b"ai.onnx", b"ai.onnx.ml"], "op_type": [b"Add", b""]}
BAD = {
    "domain": [b"ai.onnx.preview"], "external_data": [b"", b"\x0a\x01a"], "training_info": [b""], "functions": [b""],
}  # fmt: skip
LOCATIONS = [0, 1, 2**31, 2**32, 2**32 + 1, 2**64 - 1]
# Fields that nobody knows, one of each encoding that may be passed over.
STRANGE = [b"\xf8\x7f\x01", b"\xf9\x7f12345678", b"\xfd\x7f1234", b"\xfa\x7f\x02ab", b"\x4a\x01a\x4a\x00"]


def _varint(number: int, padding: int = 0) -> bytes:
    groups = [number >> shift & 127 for shift in range(0, max(7, number.bit_length()), 7)] + [0] * padding
    return bytes([group | 128 for group in groups[:-1]] + groups[-1:])


@st.composite
def message(draw: st.DrawFn, kind: str = "Model", depth: int = 9) -> bytes:
    """A message of onnx as any writer might put it: any order, repeated, with fields nobody knows, lengths padded."""
    tags = {name: tag for tag, name in KINDS[kind][0].items()}
    least = 1 if kind in {"Model", "Graph"} else 0
    names = draw(st.lists(st.sampled_from([*tags, "strange"]), min_size=least, max_size=4))
    must = {"Model": ["graph"], "Graph": ["node"]}.get(kind, [])
    parts = []
    for name in [*must, *(name for name in names if name != "graph")]:
        bad = draw(st.integers(0, 9)) == 0
        if name == "strange":
            parts.append(draw(st.sampled_from(STRANGE)))
        elif name == "data_location":
            parts.append(_varint(tags[name]) + _varint(draw(st.sampled_from(LOCATIONS)) if bad else 0))
        elif name in INSIDE or name in LEAVES or bad:
            if name in INSIDE:
                body = draw(message(INSIDE[name], depth - 1)) if depth else b""
            else:
                body = draw(st.sampled_from(BAD.get(name, [b""]) if bad else LEAVES[name]))
            parts.append(_varint(tags[name]) + _varint(len(body), draw(st.integers(0, 1))) + body)
    return b"".join(draw(st.permutations(parts)))


@settings(max_examples=300, deadline=None)
@given(message() | mutated() | st.binary(max_size=300))
def test_what_passes_hides_nothing_from_the_library(data: bytes) -> None:
    """Any bytes: refused for a cause, or what onnx reads in them is what was checked."""
    if _verdict(data) is not None:
        return
    try:
        read = onnx.ModelProto.FromString(data)
    except DecodeError:
        return  # then nobody runs it
    assert not read.functions
    assert not read.training_info
    assert {item.domain for item in read.opset_import} | _domains(read.graph) <= {"", "ai.onnx", "ai.onnx.ml"}
    for tensor in _tensors(read.graph):
        assert tensor.data_location == onnx.TensorProto.DEFAULT
        assert not tensor.external_data


def test_long_runs_of_numbers_and_texts_are_skipped() -> None:
    """What tree models are made of takes no steps, so that they may be large."""
    values = bad.field(5, b"\x3d1234" * 3_000_000 + b"\x40\xff\x01" * 3_000_000 + b"\x4a\x04LEAF" * 3_000_000)
    assert _verdict(bad.field(7, bad.field(1, values))) is None
