"""From the server's tensors to the columns of the baseline.

Without texts all rows of all records are read, and all columns of a tensor counted, at once: a call of NumPy for each
record or column would cost far more than the counting.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_drift import counts
from modelwright_drift.baseline import Baseline, Categorical, Feature, Numeric
from modelwright_drift.counts import Bins, Counts
from modelwright_monitor.tally import Tally
from modelwright_server.ring import Batch, RingError
from modelwright_server.ring.record import DTYPES
from modelwright_server.schema import Datatype, Schema, TensorSpec

Array = npt.NDArray[Any]


class MismatchError(Exception):
    """The baseline is not of this model; the text names what differs."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a column of the baseline is: in which tensor, and there in which column."""

    tensor: str
    column: int


class Columns:
    """The columns of one baseline in the tensors of one model."""

    def __init__(self, schema: Schema, baseline: Baseline) -> None:
        """Find each feature and prediction.

        Raises:
            MismatchError: one is not there, or of another type.
        """
        self._baseline = baseline
        inputs, outputs = _places(schema.inputs), _places(schema.outputs)
        self._features = _Group(baseline.features, inputs, "input")
        self._prediction = _Group(baseline.prediction, outputs, "output")
        self._fixed = all(spec.datatype is not Datatype.BYTES for spec in (*schema.inputs, *schema.outputs))

    def count(self, records: Batch) -> Tally:
        """Count the rows of some records; what cannot be read is lost."""
        tensors, lost = (records.tensors(), 0) if self._fixed else _read(records)
        rows = records.rows - lost
        if not rows:
            return Tally.empty(self._baseline).losing(lost)
        return Tally(rows, lost, self._features.count(tensors), self._prediction.count(tensors))


class _Group:
    """Features of a baseline, or its predictions: numbers are counted tensor by tensor, categories one by one."""

    def __init__(self, features: Sequence[Feature], places: Mapping[str, tuple[TensorSpec, int]], kind: str) -> None:
        self._size = len(features)
        self._categories: list[tuple[int, Categorical, _Place]] = []
        numbers: dict[str, list[tuple[int, Numeric, int]]] = {}
        for at, feature in enumerate(features):
            place = _place(feature, places, kind)
            if isinstance(feature, Numeric):
                numbers.setdefault(place.tensor, []).append((at, feature, place.column))
            else:
                self._categories.append((at, feature, place))
        self._numbers = [
            (tensor, [at for at, _, _ in found], _columns(found, places), _bins(found, places))
            for tensor, found in numbers.items()
        ]

    def count(self, tensors: Mapping[str, Array]) -> tuple[Counts, ...]:
        """Count all rows."""
        found: dict[int, Counts] = {}
        for tensor, numbers, columns, bins in self._numbers:
            values = tensors[tensor]
            matrix = values.reshape(len(values), -1).T
            found.update(zip(numbers, bins.count(matrix[columns]), strict=True))
        for at, feature, place in self._categories:
            found[at] = _count_categories(feature, place, tensors)
        return tuple(found[at] for at in range(self._size))


def _places(specs: Iterable[TensorSpec]) -> dict[str, tuple[TensorSpec, int]]:
    """Return each column's tensor by the names that baselines give columns."""
    found: dict[str, tuple[TensorSpec, int]] = {}
    for spec in specs:
        if spec.width == 1 or not spec.columns:
            found.setdefault(spec.name, (spec, 0))
        names = spec.columns or tuple(map(str, range(spec.width)))
        for column, name in enumerate(names):
            found.setdefault(f"{spec.name}[{name}]", (spec, column))
            found.setdefault(name, (spec, column))
    return found


def _place(feature: Feature, places: Mapping[str, tuple[TensorSpec, int]], kind: str) -> _Place:
    if feature.name not in places:
        message = f"the baseline's {feature.name!r} is no {kind} of the model"
        raise MismatchError(message)
    spec, column = places[feature.name]
    if spec.datatype.value != feature.datatype:
        message = f"the baseline's {feature.name!r} is {feature.datatype}, the model's {kind} is {spec.datatype}"
        raise MismatchError(message)
    if (spec.datatype is Datatype.BYTES) > isinstance(feature, Categorical):
        message = f"the baseline's {feature.name!r} has numbers, the model's {kind} has texts"
        raise MismatchError(message)
    return _Place(spec.name, column)


def _read(records: Batch) -> tuple[dict[str, Array], int]:
    """Return the tensors of all rows, texts among them, and the number of rows that cannot be read."""
    parts: list[dict[str, Array]] = []
    lost = 0
    for record in records:
        try:
            parts.append({**record.features, **record.outputs})
        except (RingError, ValueError):
            lost += record.rows
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}, lost


def _columns(
    found: Sequence[tuple[int, Numeric, int]], places: Mapping[str, tuple[TensorSpec, int]]
) -> slice | list[int]:
    """Return which columns of the tensor these are: all of them as a slice, which copies nothing."""
    spec, _ = places[found[0][1].name]
    columns = [column for _, _, column in found]
    return slice(None) if columns == list(range(spec.width)) else columns


def _bins(found: Sequence[tuple[int, Numeric, int]], places: Mapping[str, tuple[TensorSpec, int]]) -> Bins:
    spec, _ = places[found[0][1].name]
    return Bins([feature for _, feature, _ in found], np.dtype(DTYPES[spec.datatype]))


def _count_categories(feature: Categorical, place: _Place, tensors: Mapping[str, Array]) -> Counts:
    tensor = tensors[place.tensor]
    values = tensor if tensor.ndim == 1 else tensor[:, place.column]
    return _COUNT_CATEGORIES.get(values.dtype.kind, _count_others)(feature, values)


def _count_texts(feature: Categorical, values: Array) -> Counts:
    return counts.count_categories(feature, values.tolist())


def _count_others(feature: Categorical, values: Array) -> Counts:
    return counts.count_categories(feature, map(str, values.tolist()))


_COUNT_CATEGORIES: dict[str, Callable[[Categorical, Array], Counts]] = {
    "O": _count_texts,
    "i": counts.count_whole_numbers,
    "u": counts.count_whole_numbers,
}
