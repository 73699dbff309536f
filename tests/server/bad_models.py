"""ONNX models that mean harm, or are not what they say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
SCHEMA: dict[str, Any] = {
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, 2]}],
    "task": "Regression",
}
Maker = Callable[[], onnx.ModelProto | bytes]


def as_bytes(make: Maker) -> bytes:
    made = make()
    return made if isinstance(made, bytes) else made.SerializeToString()


def model(*nodes: onnx.NodeProto, tensors: tuple[onnx.TensorProto, ...] = (), **changes: Any) -> onnx.ModelProto:
    """A model with one input and one output of two floats a row, good unless changed."""
    inputs = changes.pop("inputs", [value("input", FLOAT, [None, 2])])
    outputs = changes.pop("outputs", [value("prediction", FLOAT, changes.pop("shape", [None, 2]))])
    made = helper.make_graph(list(nodes) or [node("Identity", "input", "prediction")], "g", inputs, outputs, tensors)
    opsets = changes.pop("opsets", {"": 17, "ai.onnx.ml": 3})
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(made, opset_imports=imports, **{"ir_version": 8, **changes})


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def value(name: str, kind: int, shape: list[int | None] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name: str, content: Any, dtype: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(content, dtype=dtype), name)


# External data


def external(**place: str) -> onnx.TensorProto:
    """Two floats that lie elsewhere."""
    tensor = TensorProto(name="bias", data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, text in ({"location": "weights.bin"} | place).items():
        tensor.external_data.add(key=key, value=text)
    return tensor


ADD = node("Add", "input bias", "prediction")


def initializer(tensor: onnx.TensorProto) -> onnx.ModelProto:
    return model(ADD, tensors=(tensor,))


def only_said() -> bytes:
    """Data said to lie elsewhere, by a number that is 1 in 32 bits, without saying where; written by hand."""
    tensor = TensorProto(name="bias", data_type=FLOAT, dims=[2]).SerializeToString() + b"\x70\x81\x80\x80\x80\x10"
    made = model(ADD)
    held = made.graph.SerializeToString()
    made.ClearField("graph")
    return made.SerializeToString() + field(7, held + field(5, tensor))


def sparse(**parts: Any) -> onnx.SparseTensorProto:
    good: dict[str, Any] = {
        "values": constant("bias", [1], np.float32),
        "indices": constant("at", [0], np.int64),
        "dims": [2],
    }
    return onnx.SparseTensorProto(**good | parts)


def sparse_initializer(tensor: onnx.SparseTensorProto) -> onnx.ModelProto:
    made = model(ADD)
    made.graph.sparse_initializer.append(tensor)
    return made


def hidden(inner: onnx.NodeProto) -> onnx.ModelProto:
    """A model with ``inner`` in a branch of a branch that is not taken."""
    outputs = [value("out", FLOAT, None)]
    taken = helper.make_graph([node("Identity", "input", "out")], "then", [], outputs)
    for _ in range(2):
        other = helper.make_graph([inner], "else", [], outputs)
        inner = node("If", "yes", "out", then_branch=taken, else_branch=other)
    yes = node("Constant", "", "yes", value=constant("yes", True, np.bool_))
    return model(yes, inner, node("Identity", "out", "prediction"))


def many_graphs() -> onnx.ModelProto:
    """External data in a list of graphs, an attribute no operator has."""
    made = hidden(node("Identity", "input", "out"))
    graphs = onnx.AttributeProto(name="graphs", type=onnx.AttributeProto.GRAPHS)
    graphs.graphs.add().initializer.append(external())
    made.graph.node[0].attribute.append(graphs)
    return made


def with_function() -> onnx.ModelProto:
    inner = [node("Constant", "", "c", value=external()), node("Add", "a c", "b")]
    function = helper.make_function("ai.onnx", "Mine", ["a"], ["b"], inner, [helper.make_opsetid("", 17)])
    return model(node("Mine", "input", "prediction", domain="ai.onnx"), functions=[function])


def with_training() -> onnx.ModelProto:
    made = model()
    made.training_info.add().algorithm.CopyFrom(made.graph)
    return made


# Bytes


def field(number: int, data: bytes) -> bytes:
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def nested(depth: int) -> bytes:
    """Graphs in graphs, written by hand: the library refuses to make so many."""
    inner = model().graph.SerializeToString()
    for _ in range(depth):
        inner = field(1, field(5, field(6, inner)))  # graph.node.attribute.g
    return field(7, inner)  # model.graph


GOOD = model().SerializeToString()

# Models that end too much memory, time, or the process


def run_time(number: int) -> tuple[onnx.NodeProto, ...]:
    """Nodes whose ``n`` is a number that only shows when the model runs."""
    zero = [node("ReduceSum", "input", "sum", keepdims=0), node("Cast", "sum", "zero", to=INT64)]
    at = node("Constant", "", "number", value=constant("number", [number], np.int64))
    return (*zero, at, node("Add", "zero number", "n"))


def summed(*nodes: onnx.NodeProto, **tensors: tuple[Any, Any]) -> onnx.ModelProto:
    """A model that answers with the sum of ``big`` added to each number."""
    end = (node("ReduceSum", "big", "total", keepdims=0), node("Add", "input total", "prediction"))
    made = tuple(constant(name, content, dtype) for name, (content, dtype) in tensors.items())
    return model(*nodes, *end, tensors=made)


def constants() -> onnx.ModelProto:
    """Constants of 64 MB, each from some bytes, all needed at once."""
    ends = [f"c{at}" for at in range(10)]
    fills = [constant("fill", [at + 1], np.float32) for at in range(10)]
    nodes = [node("ConstantOfShape", "shape", end, value=fill) for end, fill in zip(ends, fills, strict=True)]
    nodes.append(node("Concat", " ".join(ends), "big", axis=0))
    return summed(*nodes, shape=([2**24], np.int64))


def loop() -> onnx.ModelProto:
    """2**62 times the same."""
    scalars = [value("at", INT64, []), value("go_on", TensorProto.BOOL, []), value("v", FLOAT, None)]
    nodes = [node("Identity", "go_on", "still"), node("Neg", "v", "w")]
    body = helper.make_graph(nodes, "body", scalars, [value("still", TensorProto.BOOL, []), value("w", FLOAT, None)])
    tensors = (constant("count", 2**62, np.int64), constant("yes", True, np.bool_))
    return model(node("Loop", "count yes input", "prediction", body=body), tensors=tensors)


def scan() -> onnx.ModelProto:
    """A step for each of 2**40 rows that have no elements, and so take no memory."""
    state, row = value("state", FLOAT, None), value("row", FLOAT, [0])
    body = helper.make_graph([node("Neg", "state", "next")], "body", [state, row], [value("next", FLOAT, None)])
    rows = node("ConstantOfShape", "shape", "rows")
    steps = node("Scan", "input rows", "prediction", body=body, num_scan_inputs=1)
    return model(rows, steps, tensors=(constant("shape", [2**40, 0], np.int64),))


def chain(length: int) -> onnx.ModelProto:
    """Nodes in a row, over which the runtime's optimizations take quadratic time."""
    ends = ["input", *(f"x{at}" for at in range(length - 1)), "prediction"]
    return model(*(node("Neg", ends[at], ends[at + 1]) for at in range(length)))


def deep_tree(depth: int) -> onnx.ModelProto:
    """A tree with one leaf beside each node, which the runtime reads by a function that calls itself."""
    nodes, leaves = range(depth), range(depth, 2 * depth + 1)
    count = len(nodes) + len(leaves)
    zeros = [0] * count
    ensemble = node(
        "TreeEnsembleRegressor", "input", "prediction", domain="ai.onnx.ml", n_targets=2,
        nodes_treeids=zeros, nodes_nodeids=list(range(count)), nodes_featureids=zeros,
        nodes_values=[float(at) for at in range(count)], nodes_missing_value_tracks_true=zeros,
        nodes_modes=["BRANCH_LEQ"] * len(nodes) + ["LEAF"] * len(leaves),
        nodes_truenodeids=[depth + at for at in nodes] + [0] * len(leaves),
        nodes_falsenodeids=[at + 1 for at in nodes[:-1]] + [2 * depth] + [0] * len(leaves),
        target_treeids=[0] * len(leaves), target_nodeids=list(leaves), target_ids=[0] * len(leaves),
        target_weights=[1.0] * len(leaves),
    )  # fmt: skip
    return model(ensemble)


# Models that are not what the schema says, or fail


def one_row(last: onnx.NodeProto) -> onnx.ModelProto:
    """A model whose ``shape`` is that of one row of zeros, which only shows when it runs."""
    shape = (node("Constant", "", "one", value=constant("one", [1, 1], np.int64)), node("Add", "n one", "shape"))
    return model(*run_time(0), *shape, last, shape=None)


def raw(tensor: onnx.TensorProto, **changes: Any) -> onnx.ModelProto:
    for name, content in changes.items():
        tensor.ClearField(name)
        if isinstance(content, list):
            getattr(tensor, name).extend(content)
        else:
            setattr(tensor, name, content)
    return model(ADD, tensors=(tensor,))


def bias() -> onnx.TensorProto:
    return constant("bias", [1, 2], np.float32)
