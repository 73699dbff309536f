"""Clients of the shared servers' gRPC ports, and models that give back what they get."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import pytest
from onnx import TensorProto, helper

from tests.server.grpc.client import Stub, connected
from tests.server.models import write_artifact
from tests.server.process import Server, settings

_ELEMENTS: dict[str, int] = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


@pytest.fixture(scope="session")
def stubs(serving: Callable[[str], Server]) -> Iterator[Callable[[str], Stub]]:
    """Return the stub for a model's shared server."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(connected(serving(name).grpc_port)))


@pytest.fixture
def logistic_stub(stubs: Callable[[str], Stub]) -> Stub:
    return stubs("logistic")


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    """A model with an input ``in_TYPE`` and an output ``out_TYPE`` [rows, 2] of each datatype.

    The input of FP16 is missing, since it has no typed form; its output is that of FP32.
    """
    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in _ELEMENTS]
    nodes.append(helper.make_node("Cast", ["in_FP32"], ["out_FP16"], to=TensorProto.FLOAT16))
    with _serving(tmp_path_factory, nodes, _ELEMENTS, {**_ELEMENTS, "FP16": TensorProto.FLOAT16}) as stub:
        yield stub


@pytest.fixture(scope="session")
def half(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    """A model that takes and gives FP16."""
    node = helper.make_node("Identity", ["in_FP16"], ["out_FP16"])
    with _serving(tmp_path_factory, [node], {"FP16": TensorProto.FLOAT16}, {"FP16": TensorProto.FLOAT16}) as stub:
        yield stub


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """A process of its own for what `triton` has."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@contextmanager
def _serving(
    tmp_path_factory: pytest.TempPathFactory, nodes: list[Any], inputs: dict[str, int], outputs: dict[str, int]
) -> Iterator[Stub]:
    ends: list[Any] = [
        [helper.make_tensor_value_info(f"{end}_{name}", element, [None, 2]) for name, element in elements.items()]
        for end, elements in (("in", inputs), ("out", outputs))
    ]
    graph = helper.make_graph(nodes, "echo", *ends)
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    schema = {
        f"{end}puts": [{"name": f"{end}_{name}", "datatype": name, "shape": [-1, 2]} for name in elements]
        for end, elements in (("in", inputs), ("out", outputs))
    }
    folder = tmp_path_factory.mktemp("echo") / "artifact"
    write_artifact(folder, onnx.SerializeToString(), {**schema, "task": "Regression"})
    with (
        Server(settings(folder, tmp_path_factory.mktemp("log"))) as server,
        connected(server.wait_until_ready().grpc_port) as stub,
    ):
        yield stub
