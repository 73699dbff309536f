"""The model's signature as ``schema.json`` states it: names, datatypes, shapes, columns, task.

Standard library only.  The datatypes are those of the Open Inference Protocol; every tensor's first
dimension is the row, written -1.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from modelwright_server.artifact import SCHEMA, ArtifactInvalidError, as_document

MAX_TENSORS = 4096
_MAX_NAME = 256
_MAX_RANK = 2
_MAX_WIDTH = 1 << 20


class Datatype(StrEnum):
    """Element types, named as in the Open Inference Protocol."""

    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    BOOL = "BOOL"
    BYTES = "BYTES"


FLOATS = frozenset({Datatype.FP16, Datatype.FP32, Datatype.FP64})


class Task(StrEnum):
    """What the model answers: a class label (with probabilities) or a number."""

    CLASSIFICATION = "Classification"
    REGRESSION = "Regression"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: its name in the ONNX graph and in requests.
        datatype: type of its elements.
        shape: ``(-1,)`` or ``(-1, width)``; -1 is the number of rows.
        columns: name of each column (features, or class labels of probabilities), or empty.
        nullable: whether values may be missing, which the graph sees as NaN; only inputs of floating point can be.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    nullable: bool = False

    @property
    def width(self) -> int:
        """Values in one row."""
        return self.shape[1] if len(self.shape) > 1 else 1

    def to_document(self) -> dict[str, object]:
        """Return it as in ``schema.json``."""
        document: dict[str, object] = {
            "name": self.name,
            "datatype": self.datatype.value,
            "shape": list(self.shape),
        }
        if self.columns:
            document["columns"] = list(self.columns)
        if self.nullable:
            document["nullable"] = True
        return document


@dataclass(frozen=True, slots=True)
class Schema:
    """The whole signature."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    task: Task

    def to_document(self) -> dict[str, object]:
        """Return it as in ``schema.json``."""
        return {
            "inputs": [spec.to_document() for spec in self.inputs],
            "outputs": [spec.to_document() for spec in self.outputs],
            "task": self.task.value,
        }


def parse(data: bytes) -> Schema:
    """Read ``schema.json``.

    Raises:
        ArtifactInvalidError: names the field that is wrong.
    """
    document = as_document(data, SCHEMA)
    inputs, outputs = _tensors(document, "inputs"), _tensors(document, "outputs")
    for at, spec in enumerate(outputs):
        if spec.nullable:
            raise _invalid(field=f"outputs[{at}].nullable", problem="only inputs can be nullable")
    try:
        task = Task(cast("str", document.get("task")))
    except ValueError as error:
        raise _invalid(field="task", problem=f"must be one of {', '.join(Task)}") from error
    return Schema(inputs, outputs, task)


def _invalid(*, field: str, problem: str) -> ArtifactInvalidError:
    return ArtifactInvalidError(SCHEMA, f"field {field}: {problem}")


def _tensors(document: dict[str, object], field: str) -> tuple[TensorSpec, ...]:
    items = document.get(field)
    if not isinstance(items, list) or not 1 <= len(cast("list[object]", items)) <= MAX_TENSORS:
        raise _invalid(field=field, problem=f"must be a list of 1 to {MAX_TENSORS} tensors")
    specs = tuple(_tensor(item, f"{field}[{at}]") for at, item in enumerate(cast("list[object]", items)))
    if len({spec.name for spec in specs}) != len(specs):
        raise _invalid(field=field, problem="two tensors have the same name")
    return specs


def _tensor(item: object, field: str) -> TensorSpec:
    if not isinstance(item, dict):
        raise _invalid(field=field, problem="must be an object")
    values = cast("dict[str, Any]", item)
    name = values.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= _MAX_NAME or not name.isprintable():
        raise _invalid(field=f"{field}.name", problem=f"must be a text of 1 to {_MAX_NAME} printable characters")
    try:
        datatype = Datatype(values.get("datatype", ""))
    except ValueError as error:
        raise _invalid(field=f"{field}.datatype", problem=f"must be one of {', '.join(Datatype)}") from error
    shape = _shape(values.get("shape"), field)
    nullable = _nullable(values.get("nullable", False), datatype, field)
    spec = TensorSpec(name, datatype, shape, _columns(values.get("columns", []), field), nullable)
    if spec.columns and len(spec.columns) != spec.width:
        problem = f"must name {spec.width} columns, as many as the shape says"
        raise _invalid(field=f"{field}.columns", problem=problem)
    return spec


def _shape(value: object, field: str) -> tuple[int, ...]:
    sizes = cast("list[int]", value) if isinstance(value, list) else []
    whole = all(type(size) is int for size in sizes)
    ranked = 1 <= len(sizes) <= _MAX_RANK
    if not (ranked and whole and sizes[0] == -1 and all(1 <= size <= _MAX_WIDTH for size in sizes[1:])):
        raise _invalid(field=f"{field}.shape", problem="must be [-1] or [-1, width]")
    return tuple(sizes)


def _columns(value: object, field: str) -> tuple[str, ...]:
    columns = tuple(cast("list[str]", value)) if isinstance(value, list) else None
    if columns is None or any(type(column) is not str for column in columns):
        raise _invalid(field=f"{field}.columns", problem="must be a list of texts")
    return columns


def _nullable(value: object, datatype: Datatype, field: str) -> bool:
    if type(value) is not bool:
        raise _invalid(field=f"{field}.nullable", problem="must be true or false")
    if value and datatype not in FLOATS:
        raise _invalid(
            field=f"{field}.nullable", problem=f"{datatype} has no missing values; only FP16, FP32 and FP64 have"
        )
    return value
