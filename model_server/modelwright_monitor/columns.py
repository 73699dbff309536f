"""From the server's tensors to the columns of the baseline.

Records of equally many rows without texts are read as one array, since a call of NumPy for each record would cost far
more than the counting.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_drift import counts
from modelwright_drift.baseline import Baseline, Categorical, Feature, Numeric
from modelwright_drift.counts import Counts
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
        self._schema = schema
        self._baseline = baseline
        inputs, outputs = _places(schema.inputs), _places(schema.outputs)
        self._features = [(feature, _place(feature, inputs, "input")) for feature in baseline.features]
        self._prediction = [(feature, _place(feature, outputs, "output")) for feature in baseline.prediction]
        specs = (*schema.inputs, *schema.outputs)
        self._specs = specs
        self._fixed = all(spec.datatype is not Datatype.BYTES for spec in specs)

    def count(self, records: Batch) -> Tally:
        """Count the rows of some records; what cannot be read is lost."""
        tally = Tally.empty(self._baseline)
        for group in self._groups(records):
            tally += group
        return tally

    def _groups(self, records: Batch) -> Iterable[Tally]:
        if self._fixed:
            for rows, values in records.alike():
                if rows:
                    yield self._counted(rows * len(values), self._stacked(rows, values))
            return
        for record in records:
            try:
                tensors = {**record.features, **record.outputs}
            except (RingError, ValueError):
                yield Tally.empty(self._baseline).losing(record.rows)
            else:
                yield self._counted(record.rows, tensors)

    def _stacked(self, rows: int, values: Array) -> dict[str, Array]:
        """Return the tensors of records that have equally many rows, put one behind the other."""
        fields = [(str(at), DTYPES[spec.datatype], (rows, spec.width)) for at, spec in enumerate(self._specs)]
        found = np.ndarray((len(values),), np.dtype(fields), values.data, strides=values.strides[:1])
        return {spec.name: found[str(at)].reshape(-1, spec.width) for at, spec in enumerate(self._specs)}

    def _counted(self, rows: int, tensors: Mapping[str, Array]) -> Tally:
        features = tuple(_count(feature, place, tensors) for feature, place in self._features)
        prediction = tuple(_count(feature, place, tensors) for feature, place in self._prediction)
        return Tally(rows, 0, features, prediction)


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


def _count(feature: Feature, place: _Place, tensors: Mapping[str, Array]) -> Counts:
    tensor = tensors[place.tensor]
    values = tensor if tensor.ndim == 1 else tensor[:, place.column]
    if isinstance(feature, Numeric):
        return counts.count_numbers(feature, np.ascontiguousarray(values))
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
