"""Stable's predictions beside the canary's: do they agree, and how far apart are their scores.

Both are read the way prediction ids are made: the label of a classification is its output that is no floating-point
number, the score its probability (of the second class of two, of more the largest) or the predicted number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from modelwright_server.contract.evidence import AGREEING_NUMBERS, SCORE_BOUNDS
from modelwright_server.prediction import label_position, score_position
from modelwright_server.routing.answers import BrokenAnswerError, Output, flat
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec
from modelwright_server.tensors import DTYPES, Array

_BINS = np.asarray(SCORE_BOUNDS)
_LENGTH_BYTES = 4
_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found.

    Attributes:
        rows: compared.
        agreed: of these, those that agree.
        scores: counts of rows on `SCORE_BOUNDS`, empty where a score is missing.
    """

    rows: int
    agreed: int
    scores: Sequence[int]


class Comparison:
    """Compares answers to the requests of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._specs = schema.outputs
        self._classifies = schema.task is Task.CLASSIFICATION
        self._label = label_position(schema)
        self._score = score_position(schema)

    def compare(self, arrays: Sequence[Array], outputs: Sequence[Output]) -> Compared | None:
        """Compare stable's outputs, all in the schema's order, with those the canary answered; None if it did not.

        Raises:
            BrokenAnswerError: an output is not what it says, or has another number of rows.
        """
        rows = len(arrays[0])
        theirs = {output.name: output for output in outputs}
        differences = None
        if self._score is not None and (score := theirs.get(self._specs[self._score].name)) is not None:
            one, other = _scores(arrays[self._score].astype(np.float64), rows), _scores(_numbers(score), rows)
            differences = np.abs(one - other) if self._classifies else _relative(one, other)
        agreed: int | None = None
        if self._label is not None:
            spec = self._specs[self._label]
            if (label := theirs.get(spec.name)) is not None:
                agreed = _equal(_own_labels(arrays[self._label]), _labels(label, spec), rows)
        elif differences is not None and not self._classifies:
            agreed = int((differences <= AGREEING_NUMBERS).sum())
        if agreed is None:
            return None
        return Compared(rows, agreed, () if differences is None else _binned(differences))


def _relative(one: _Numbers, other: _Numbers) -> _Numbers:
    larger = np.maximum(np.abs(one), np.abs(other))
    return np.divide(np.abs(one - other), larger, out=np.zeros_like(larger), where=larger > 0)


def _binned(differences: _Numbers) -> list[int]:
    bins: list[int] = np.bincount(np.searchsorted(_BINS, differences), minlength=len(_BINS) + 1).tolist()
    return bins


def _equal(one: list[Any], other: list[Any], rows: int) -> int:
    if len(other) != rows:
        raise BrokenAnswerError(problem="the answer has another number of rows")
    return sum(mine == theirs for mine, theirs in zip(one, other, strict=True))


def _own_labels(array: Array) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in array.ravel().tolist()]


def _scores(values: _Numbers, rows: int) -> _Numbers:
    """Return the score of each row."""
    if rows == 0 or values.size % rows or not values.size:
        raise BrokenAnswerError(problem="the answer has another number of rows")
    table = values.reshape(rows, -1)
    return table.max(axis=1) if table.shape[1] > 2 else table[:, -1]  # noqa: PLR2004 - a class and its opposite


def _numbers(output: Output) -> _Numbers:
    try:
        if isinstance(output.values, memoryview):
            return np.frombuffer(output.values, DTYPES[Datatype(output.datatype)]).astype(np.float64)
        return np.asarray(flat(output.values), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise BrokenAnswerError(problem=f"output {output.name!r:.80} has no numbers") from error


def _labels(output: Output, spec: TensorSpec) -> list[Any]:
    values = output.values
    if not isinstance(values, memoryview):
        return flat(values)
    if output.datatype != Datatype.BYTES:
        try:
            return cast("list[Any]", np.frombuffer(values, DTYPES[Datatype(output.datatype)]).tolist())
        except ValueError as error:
            raise BrokenAnswerError(problem=f"output {spec.name!r:.80} has no labels") from error
    return texts(values)


def texts(raw: memoryview) -> list[str]:
    """Return the texts of a raw BYTES tensor.

    Raises:
        BrokenAnswerError: it is none.
    """
    found: list[str] = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + _LENGTH_BYTES], "little")
        at += _LENGTH_BYTES
        if at + size > len(raw):
            raise BrokenAnswerError(problem="a text of the answer is longer than the answer")
        found.append(bytes(raw[at : at + size]).decode("utf-8", "replace"))
        at += size
    return found
