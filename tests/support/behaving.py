"""Models that pass their verification, which asks rows of zeros, and behave badly when real requests come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import onnx
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import NodeProto

Behaviour = Literal["fails", "nan", "hangs", "slow", "greedy"]

COLUMNS: Final = 30
HEAVY: Final = 10_000.0
"""Rows that sum up to more make the greedy model greedy."""
_FOREVER: Final = 1 << 40
_SLOW_ROUNDS: Final = 30_000
_GREEDY_NUMBERS: Final = 1 << 29  # 2 GiB


def model(behaviour: Behaviour) -> bytes:
    """Return the ONNX file of a binary classifier of rows of 30 numbers: label 0 and two scores for rows of zeros.

    Args:
        behaviour: what it does for any other row: `fails`: it ends in an error; `nan`: its scores are no numbers;
            `hangs`: it computes for days; `slow`: it computes for tens of milliseconds; `greedy`: for rows whose sum is
            above HEAVY it takes 2 GiB.
    """
    nodes = [
        helper.make_node("Abs", ["input"], ["positive"]),
        helper.make_node("ReduceSum", ["positive", "axis"], ["sum"], keepdims=1),
        helper.make_node("ReduceMax", ["sum"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["whole", "axis"], ["label"]),
        *_SCORES[behaviour](),
        helper.make_node("Concat", ["score", "score"], ["probabilities"], axis=1),
    ]
    used = {name for node in nodes for name in node.input}
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("heavy", TensorProto.FLOAT, [], [HEAVY]),
        helper.make_tensor("single", TensorProto.FLOAT, [1], [0.0]),
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
    ]
    graph = helper.make_graph(
        nodes,
        "behaving",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, COLUMNS])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
        [item for item in constants if item.name in used],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _fails() -> list[NodeProto]:
    return [
        helper.make_node("Ceil", ["largest"], ["index"]),
        helper.make_node("Cast", ["index"], ["at"], to=TensorProto.INT64),
        helper.make_node("Gather", ["single", "at"], ["found"]),
        helper.make_node("Add", ["nothing", "found"], ["score"]),
    ]


def _not_a_number() -> list[NodeProto]:
    return [helper.make_node("Neg", ["sum"], ["negative"]), helper.make_node("Sqrt", ["negative"], ["score"])]


def _computes(rounds: int) -> list[NodeProto]:
    body = helper.make_graph(
        [
            helper.make_node("Sin", ["before"], ["after"]),
            helper.make_node("Identity", ["go on"], ["goes on"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("goes on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, []),
        ],
    )
    return [
        *_if_above("zero", rounds),
        helper.make_node("Loop", ["amount", "true", "largest"], ["computed"], body=body),
        helper.make_node("Mul", ["computed", "zero"], ["no more"]),
        helper.make_node("Add", ["nothing", "no more"], ["score"]),
    ]


def _greedy() -> list[NodeProto]:
    return [
        *_if_above("heavy", _GREEDY_NUMBERS),
        helper.make_node("Unsqueeze", ["amount", "first"], ["length"]),
        helper.make_node("ConstantOfShape", ["length"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["no more"], keepdims=0),
        helper.make_node("Add", ["nothing", "no more"], ["score"]),
    ]


def _if_above(limit: str, number: int) -> list[NodeProto]:
    """Compute `amount`: the number if the largest sum is above the limit, else 0."""
    value: Any = helper.make_tensor("number", TensorProto.INT64, [], [number])
    return [
        helper.make_node("Greater", ["largest", limit], ["above"]),
        helper.make_node("Cast", ["above"], ["times"], to=TensorProto.INT64),
        helper.make_node("Constant", [], ["number"], value=value),
        helper.make_node("Mul", ["times", "number"], ["amount"]),
    ]


_SCORES: Final[dict[Behaviour, Callable[[], list[NodeProto]]]] = {
    "fails": _fails,
    "nan": _not_a_number,
    "hangs": lambda: _computes(_FOREVER),
    "slow": lambda: _computes(_SLOW_ROUNDS),
    "greedy": _greedy,
}
