"""The ONNX model: the only module that imports onnxruntime.

A loaded model has been checked against its schema and has answered one row and several, so a model
that cannot serve never becomes ready.
"""

import importlib
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from modelwright_server import artifact, schema
from modelwright_server.contract import Cause
from modelwright_server.rejection import ModelRejectedError, cause_of
from modelwright_server.schema import Datatype, Schema, TensorSpec
from modelwright_server.tensors import DTYPES, Array

# Telemetry looks names up on the network and its own switch does not stop that, only this before
# the import does.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
onnxruntime: Any = importlib.import_module("onnxruntime")

_DATATYPES = {
    "tensor(float16)": Datatype.FP16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    "tensor(int8)": Datatype.INT8,
    "tensor(int16)": Datatype.INT16,
    "tensor(int32)": Datatype.INT32,
    "tensor(int64)": Datatype.INT64,
    "tensor(uint8)": Datatype.UINT8,
    "tensor(uint16)": Datatype.UINT16,
    "tensor(uint32)": Datatype.UINT32,
    "tensor(uint64)": Datatype.UINT64,
    "tensor(bool)": Datatype.BOOL,
    "tensor(string)": Datatype.BYTES,
}

# Rows for which a call is timed while warming up, and what that may take in all.
_WARM_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_WARM_SECONDS = 0.1
_WARM_RUNS = 3
_MAX_TEXT = 300


class InferenceError(Exception):
    """The model failed on a request that its schema allows."""


class OutputShapeError(InferenceError):
    """The model answered in another shape than its schema states."""


class _Argument(Protocol):
    """One input or output as onnxruntime describes it."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class _Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` used here."""

    def get_inputs(self) -> list[_Argument]: ...

    def get_outputs(self) -> list[_Argument]: ...

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]: ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call of the model takes, measured while warming up.

    Attributes:
        rows: numbers of rows that were measured, ascending, from 1 on.
        seconds: what a call with that many rows took at least.
    """

    rows: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def call(self) -> float:
        """Seconds of a call with one row."""
        return self.seconds[0]

    def of(self, rows: int) -> float:
        """Return the expected seconds of a call: between measurements, and beyond the last, on a straight line."""
        if len(self.rows) == 1:
            return self.seconds[0] * rows
        at = min(max(bisect_left(self.rows, rows), 1), len(self.rows) - 1)
        before, seconds = self.rows[at - 1], self.seconds[at - 1]
        slope = (self.seconds[at] - seconds) / (self.rows[at] - before)
        return seconds + max(slope, 0.0) * (rows - before)


class Model:
    """A loaded model that has answered."""

    def __init__(self, signature: Schema, session: _Session) -> None:
        self.schema = signature
        self._run = _bare_run(session)
        self._outputs = [spec.name for spec in signature.outputs]
        self._shapes = [spec.shape[1:] for spec in signature.outputs]
        self.cost = _warm_up(self)

    def run(self, feeds: Mapping[str, Array], rows: int) -> list[Array]:
        """Return all outputs, in the schema's order, for inputs with ``rows`` rows each.

        Raises:
            InferenceError: the runtime failed.
            OutputShapeError: an output has not the shape that the schema states.
        """
        try:
            arrays = self._run(self._outputs, feeds)
        except Exception as error:  # the runtime's own errors have no common base
            raise InferenceError(_first_line(error)) from error
        for array, shape, name in zip(arrays, self._shapes, self._outputs, strict=True):
            if type(array) is not np.ndarray or array.shape[1:] != shape or len(array) != rows:
                found = getattr(array, "shape", "none")
                problem = f"output {name!r} has shape {found} for {rows} rows, not {(rows, *shape)}"
                raise OutputShapeError(problem)
        return arrays


def load(folder: Path, *, threads: int) -> Model:
    """Load ``model.onnx`` and ``schema.json`` from ``folder``, check one against the other, warm up.

    Raises:
        ModelRejectedError: the model does not load, does not fit its schema, or cannot answer.
        artifact.ArtifactInvalidError: ``schema.json`` is wrong.
    """
    try:
        signature = schema.parse((folder / artifact.SCHEMA).read_bytes())
    except OSError as error:
        raise ModelRejectedError(Cause.LOAD_FAILED, problem=f"{artifact.SCHEMA}: {error}") from error
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # failures come back as exceptions
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(folder / artifact.MODEL), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime's own errors have no common base
        problem = f"onnxruntime cannot load the model: {_first_line(error)}"
        raise ModelRejectedError(cause_of(error, Cause.LOAD_FAILED), problem=problem) from error
    _check(signature.inputs, session.get_inputs(), "input")
    _check(signature.outputs, session.get_outputs(), "output")
    return Model(signature, cast("_Session", session))


def _bare_run(session: _Session) -> Callable[[Sequence[str], Mapping[str, Array]], list[Array]]:
    """Return the session's run without checks for kinds of calls not made here, which cost a tenth of a small model's.

    Where a release has no such thing, its public form.
    """
    bare = getattr(getattr(session, "_sess", None), "run", None)
    return session.run if bare is None else lambda outputs, feeds: bare(outputs, feeds, None)


def _first_line(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= _MAX_TEXT else "…" + text[-_MAX_TEXT:]  # it begins with places in the runtime's source


def _mismatch(*, problem: str) -> ModelRejectedError:
    return ModelRejectedError(Cause.SCHEMA_MISMATCH, problem=problem)


def _check(specs: Sequence[TensorSpec], arguments: Sequence[_Argument], kind: str) -> None:
    """Check the schema's tensors against the graph's; outputs the schema leaves out are not served."""
    found = {argument.name: argument for argument in arguments}
    stated = {spec.name for spec in specs}
    if missing := stated - set(found):
        raise _mismatch(problem=f"schema.json names the {kind} {min(missing)!r}, the model has {sorted(found)}")
    if kind == "input" and (unstated := set(found) - stated):
        raise _mismatch(problem=f"the model needs the input {min(unstated)!r}, schema.json does not name it")
    for spec in specs:
        argument = found[spec.name]
        model, stated_as = f"{argument.type} {list(argument.shape)}", f"{spec.datatype} {list(spec.shape)}"
        if _DATATYPES.get(argument.type) is not spec.datatype or not _fits(spec.shape, argument.shape):
            raise _mismatch(problem=f"{kind} {spec.name!r} is {model} in the model but {stated_as} in schema.json")


def _fits(shape: tuple[int, ...], found: Sequence[int | str | None]) -> bool:
    """Tell whether a graph's shape, with names or None for open sizes, allows the schema's."""
    if not found:
        return True  # the graph does not say: warming up tells
    if len(found) != len(shape) or isinstance(found[0], int):
        return False
    return all(size == stated for size, stated in zip(found[1:], shape[1:], strict=True) if isinstance(size, int))


def _synthetic(spec: TensorSpec, rows: int) -> Array:
    """Return zeros, falses or empty texts in the shape of an input."""
    shape = (rows, *spec.shape[1:])
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, "", dtype=np.object_)
    return np.zeros(shape, dtype=DTYPES[spec.datatype])


def _warm_up(model: Model) -> Cost:
    """Let the model answer one row, two, and more as long as that is quick; return what it took.

    Raises:
        ModelRejectedError: it failed, or its answers do not have the shape the schema states.
    """
    start = time.perf_counter()
    measured: list[tuple[int, float]] = []
    for rows in _WARM_ROWS:
        measured.append((rows, _timed(model, rows)))
        if time.perf_counter() - start > _WARM_SECONDS and rows > 1:
            break
    return Cost(tuple(rows for rows, _ in measured), tuple(seconds for _, seconds in measured))


def _timed(model: Model, rows: int) -> float:
    """Return the least seconds a call with ``rows`` rows takes, after one that does not count."""
    feeds = {spec.name: _synthetic(spec, rows) for spec in model.schema.inputs}
    seconds: list[float] = []
    for _ in range(_WARM_RUNS + 1):
        start = time.perf_counter()
        try:
            model.run(feeds, rows)
        except OutputShapeError as error:
            raise _mismatch(problem=str(error)) from error
        except InferenceError as error:
            problem = f"the model cannot answer {rows} rows of zeros: {error}"
            raise ModelRejectedError(cause_of(error, Cause.RUN_FAILED), problem=problem) from error
        seconds.append(time.perf_counter() - start)
        if seconds[-1] > _WARM_SECONDS:
            break
    return min(seconds[1:] or seconds)
