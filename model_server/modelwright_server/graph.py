"""Check an ONNX file without running it: only standard operators, nothing outside the file.

The serving image has no ``onnx`` package.  The few fields needed here are declared below for
protobuf's own parser, by the field numbers of ``onnx.proto``; all other fields are skipped as unknown.
Anything that would make the runtime open another file (external data) or run code that the file
does not name openly (model-local functions, other operator domains) is refused.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

DOMAINS = frozenset({b"", b"ai.onnx", b"ai.onnx.ml"})
_EXTERNAL = 1
_PACKAGE = "modelwright.onnx"
_Field = descriptor_pb2.FieldDescriptorProto

# message: {field: (number, type)}; a type is a message's name, or a scalar's; all but scalars of
# TensorProto may repeat, which also reads fields that occur once.
_SHAPES: dict[str, dict[str, tuple[int, str | int]]] = {
    "Model": {
        "graph": (7, "Graph"),
        "opset_import": (8, "OperatorSet"),
        "training_info": (20, "Anything"),
        "functions": (25, "Anything"),
    },
    "OperatorSet": {"domain": (1, _Field.TYPE_BYTES)},
    "Anything": {},
    "Graph": {
        "node": (1, "Node"),
        "initializer": (5, "Tensor"),
        "sparse_initializer": (15, "SparseTensor"),
    },
    "Node": {
        "op_type": (4, _Field.TYPE_BYTES),
        "attribute": (5, "Attribute"),
        "domain": (7, _Field.TYPE_BYTES),
    },
    "Attribute": {
        "t": (5, "Tensor"),
        "g": (6, "Graph"),
        "tensors": (10, "Tensor"),
        "graphs": (11, "Graph"),
        "sparse_tensor": (22, "SparseTensor"),
        "sparse_tensors": (23, "SparseTensor"),
    },
    "SparseTensor": {"values": (1, "Tensor"), "indices": (2, "Tensor")},
    "Tensor": {
        "external_data": (13, "Anything"),
        "data_location": (14, _Field.TYPE_INT32),
    },
}


class GraphError(Exception):
    """The file is no ONNX model, or one that is not accepted; the text says why."""

    def __init__(self, *, problem: str) -> None:
        super().__init__(problem)


def check(data: bytes) -> None:
    """Check the bytes of an ONNX file.

    Raises:
        GraphError: names the operator, domain or tensor kind that is refused.
    """
    model: Any = _model_class()()
    try:
        model.ParseFromString(data)
    except (message.DecodeError, ValueError) as error:
        raise GraphError(problem="model.onnx is not an ONNX model, or nested too deeply") from error
    if len(model.graph) != 1 or not model.graph[0].node:
        raise GraphError(problem="model.onnx is not an ONNX model: it has no graph")
    for imported in model.opset_import:
        _check_domain(imported.domain, "the model imports")
    if model.functions or model.training_info:
        raise GraphError(problem="model.onnx defines functions or training steps of its own: convert it without")
    for graph in _graphs(model.graph[0]):
        _check_graph(graph)


def _shown(name: bytes) -> str:
    return repr(name[:80].decode("utf-8", "replace"))


def _check_domain(domains: Any, subject: str) -> None:  # noqa: ANN401 - repeated field
    for domain in domains:
        if domain not in DOMAINS:
            raise GraphError(
                problem=f"{subject} the operator domain {_shown(domain)}: only ONNX's own ('', 'ai.onnx.ml') are run"
            )


def _graphs(graph: Any) -> Iterator[Any]:  # noqa: ANN401 - a protobuf message made at run time
    """Yield a graph and all graphs in its attributes."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield current
        for node in current.node:
            for attribute in node.attribute:
                waiting += attribute.g
                waiting += attribute.graphs


def _check_graph(graph: Any) -> None:  # noqa: ANN401
    _check_tensors(graph.initializer, graph.sparse_initializer)
    for node in graph.node:
        _check_domain(node.domain, f"operator {_shown(b''.join(node.op_type))} is of")
        for attribute in node.attribute:
            _check_tensors([*attribute.t, *attribute.tensors], [*attribute.sparse_tensor, *attribute.sparse_tensors])


def _check_tensors(tensors: Any, sparse: Any) -> None:  # noqa: ANN401
    parts = [part for tensor in sparse for part in (*tensor.values, *tensor.indices)]
    for tensor in (*tensors, *parts):
        if tensor.external_data or _EXTERNAL in tensor.data_location:
            raise GraphError(problem="model.onnx keeps tensors in other files (external data): save it as one file")


def _model_class() -> type[message.Message]:
    """Return a message class that knows the fields of `_SHAPES` only."""
    file = descriptor_pb2.FileDescriptorProto(name="modelwright_onnx.proto", package=_PACKAGE, syntax="proto2")
    for name, shape in _SHAPES.items():
        kind = file.message_type.add(name=name)
        for field, (number, of) in shape.items():
            added = kind.field.add(name=field, number=number, label=_Field.LABEL_REPEATED)
            if isinstance(of, str):
                added.type, added.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{of}"
            else:
                added.type = of  # pyright: ignore[reportAttributeAccessIssue] - an enum value
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made: type[message.Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Model"))
    return made
