# pyright: basic
# (pyarrow comes without types.)
"""What the model takes: one feature a column, and its values as scikit-learn and as the server get them.

**Every number is rounded to float32 before anything else, in training too.** The graph computes in float32 (the runtime
refuses tree ensembles in float64), so a model trained on unrounded values splits where float32 cannot tell rows apart,
and answers differently once served. Rounded first, training and serving see the same numbers; the estimator still
computes on them in float64. A column whose values rounding would blur is refused.

A missing text is the empty text, since a tensor of texts has no null.
"""

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelwright_training.contract import Columns, Reason
from modelwright_training.errors import StageError

MAX_CATEGORIES = 1000  # of one column: each becomes a column of the matrix
MAX_INPUTS = 1000
MAX_NAME = 120  # characters; a ModelVersion has room for 128, and some are numbered
MAX_LOSS = 1e-3  # what rounding to float32 may cost, in standard deviations of the column
MATRIX_INPUT = "input"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_RESERVED = frozenset({MATRIX_INPUT, "label", "probabilities", "prediction"})

Array = npt.NDArray[Any]


class Kind(StrEnum):
    """A feature's type; the value is its datatype in the Open Inference Protocol."""

    FLOAT = "FP32"
    INTEGER = "INT64"
    BOOLEAN = "BOOL"
    TEXT = "BYTES"


@dataclass(frozen=True, slots=True)
class Feature:
    """A column of the data, and the name its own input would have."""

    column: str
    input: str
    kind: Kind
    categorical: bool


@dataclass(frozen=True, slots=True)
class Features:
    """All features in the order of the data's columns."""

    all: tuple[Feature, ...]

    @property
    def is_matrix(self) -> bool:
        """Whether one float32 matrix carries them all."""
        return not self.categorical

    @property
    def numeric(self) -> tuple[Feature, ...]:
        """Features the estimator takes as numbers."""
        return tuple(feature for feature in self.all if not feature.categorical)

    @property
    def categorical(self) -> tuple[Feature, ...]:
        """Features that are one-hot encoded."""
        return tuple(feature for feature in self.all if feature.categorical)


@dataclass(frozen=True, slots=True)
class Values:
    """Rows of feature values: unrounded float64 [n, numeric], NaN for missing, and str [n, categorical]."""

    features: Features
    numbers: npt.NDArray[np.float64]
    texts: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: npt.NDArray[np.int64]) -> "Values":
        """Return some of the rows."""
        return Values(self.features, self.numbers[rows], self.texts[rows])

    def native(self, *, rounded: bool = True) -> Any:  # noqa: ANN401 - a matrix or a pandas frame, as scikit-learn wants
        """Return what the pipeline takes: a float64 matrix, or a frame with the numbers first and then the texts."""
        with np.errstate(over="ignore"):
            numbers = self.numbers.astype(np.float32).astype(np.float64) if rounded else self.numbers
        if self.features.is_matrix:
            return numbers
        import pandas as pd  # noqa: PLC0415 - half a second, which all-numeric data need not pay

        columns: dict[str, Array] = {
            feature.column: numbers[:, index] for index, feature in enumerate(self.features.numeric)
        }
        columns |= {feature.column: self.texts[:, index] for index, feature in enumerate(self.features.categorical)}
        return pd.DataFrame(columns, dtype=None).astype(dict.fromkeys(map(_column, self.features.categorical), object))

    def feed(self) -> dict[str, Array]:
        """Return what the server feeds the graph: a tensor for each input."""
        if self.features.is_matrix:
            return {MATRIX_INPUT: self.numbers.astype(np.float32)}
        found: dict[str, Array] = {}
        for index, feature in enumerate(self.features.numeric):
            found[feature.input] = self.numbers[:, [index]].astype(_NUMPY[feature.kind])
        for index, feature in enumerate(self.features.categorical):
            texts = self.texts[:, [index]]
            found[feature.input] = texts.astype(np.int64) if feature.kind is Kind.INTEGER else texts.astype(object)
        return found


_NUMPY = {Kind.FLOAT: np.float32, Kind.INTEGER: np.int64, Kind.BOOLEAN: np.bool_}


def infer(table: Any, columns: Columns, target: str) -> Features:  # noqa: ANN401 - Arrow has no types
    """Decide each feature's type from all rows, holdout included, so that both have the same.

    Raises:
        StageError: DataInvalid, naming the column that cannot be a feature.

    """
    listed = {"drop": columns.drop, "categorical": columns.categorical}
    for field, given in listed.items():
        if unknown := [name for name in given if name not in table.column_names]:
            _refuse(f"columns.{field} names {unknown[0]!r}; there are {_some(table.column_names)}")
    if target in columns.categorical:
        _refuse(f"columns.categorical names the target {target!r}; only features belong there")
    roles = {column: role for role, column in columns.roles.items()}
    if odd := [name for name in columns.categorical if name in roles]:
        _refuse(f"columns.categorical names {odd[0]!r}, which is columns.{roles[odd[0]]}; only features belong there")
    names = [name for name in map(str, table.column_names) if name not in {*columns.drop, *roles, target}]
    if not names:
        _refuse("no feature is left: every column is dropped, the target, or one of time, group and weight")
    for name in names:
        _check_name(name)
    kinds = {name: _kind(name, table.column(name), categorical=name in columns.categorical) for name in names}
    inputs = _input_names(names)
    found = Features(
        tuple(
            Feature(name, inputs[name], kind, categorical=kind is Kind.TEXT or name in columns.categorical)
            for name, kind in kinds.items()
        )
    )
    if len(names) > MAX_INPUTS and not found.is_matrix:
        _refuse(
            f"{len(names)} columns of several types would be {len(names)} inputs, more than {MAX_INPUTS}; drop some, or"
            f" make all numeric (column {found.categorical[0].column!r} is a category)"
        )
    return found


def extract(table: Any, features: Features, rows: npt.NDArray[np.int64]) -> Values:  # noqa: ANN401 - Arrow has no types
    """Read the features' values in some of the rows, column by column, so that no second copy is ever whole.

    Raises:
        StageError: DataInvalid, for infinite numbers, and for numbers and categories the model could not take.

    """
    numbers = np.empty((len(rows), len(features.numeric)), dtype=np.float64)
    for index, feature in enumerate(features.numeric):
        numbers[:, index] = _numbers(feature.column, table.column(feature.column))[rows]
    texts = np.empty((len(rows), len(features.categorical)), dtype=object)
    for index, feature in enumerate(features.categorical):
        texts[:, index] = _texts(table.column(feature.column).take(rows))
    return Values(features, numbers, texts)


def check_trainable(values: Values) -> None:
    """Refuse training rows that have nothing to learn in a column, or too much.

    Raises:
        StageError: DataInvalid, naming the column.

    """
    empty = np.isnan(values.numbers).all(axis=0)
    if empty.any():
        column = values.features.numeric[int(np.argmax(empty))].column
        _refuse(f"column {column!r} has no value in any training row; add it to columns.drop")
    _check_precision(values)
    for index, feature in enumerate(values.features.categorical):
        categories = set(values.texts[:, index])
        if len(categories) > MAX_CATEGORIES:
            _refuse(
                f"column {feature.column!r} has {len(categories)} distinct texts, more than {MAX_CATEGORIES}"
                f"{_odd_numbers(categories)}; drop it with columns.drop, or group its values"
            )


def _check_precision(values: Values) -> None:
    """Refuse columns such as timestamps of one day: large numbers whose differences float32 cannot hold."""
    lost = np.abs(values.numbers - values.numbers.astype(np.float32).astype(np.float64))
    deviation = np.nanstd(values.numbers, axis=0)
    share = np.nanmax(lost, axis=0) / np.where(deviation > 0, deviation, np.inf)
    if share.size and share.max() > MAX_LOSS:
        column = values.features.numeric[int(np.argmax(share))].column
        _refuse(
            f"column {column!r} has numbers too large for their differences: models compute in float32, which is off"
            f" by {share.max():.1%} of the column's standard deviation; subtract an offset (such as the first date) or"
            " drop it with columns.drop"
        )


def _column(feature: Feature) -> str:
    return feature.column


def _check_name(name: str) -> None:
    if not name or name.startswith("Unnamed: "):
        _refuse(f"column {name!r} has no name in the file (a saved index?); name it, or add it to columns.drop")
    if len(name) > MAX_NAME or not name.isprintable():
        _refuse(f"column {name[:MAX_NAME]!r} has a name with control characters or over {MAX_NAME} letters; rename it")


def _kind(name: str, column: Any, *, categorical: bool) -> Kind:  # noqa: ANN401 - Arrow; a table of types
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return Kind.TEXT
    if pa.types.is_null(kind) or column.null_count == len(column):
        _refuse(f"column {name!r} has no values; add it to columns.drop")
    if pa.types.is_boolean(kind):
        # A tensor of booleans has no null, so with missing values they are numbers: 0, 1, NaN.
        return Kind.FLOAT if column.null_count else Kind.BOOLEAN
    whole = pa.types.is_integer(kind)
    if categorical and (not whole or column.null_count):
        _refuse(
            f"column {name!r} is in columns.categorical but has {'missing values' if whole else f'the type {kind}'};"
            " categories are texts, or whole numbers without missing values"
        )
    if whole:
        beyond = pa.types.is_uint64(kind) and not categorical
        return Kind.FLOAT if column.null_count or beyond else Kind.INTEGER
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Kind.FLOAT
    hint = "convert it to a number, such as days before a date," if pa.types.is_temporal(kind) else "convert it"
    return _refuse(f"column {name!r} has the type {kind}, which no model takes; {hint} or add it to columns.drop")


def _numbers(name: str, column: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401 - Arrow has no types
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    numbers: npt.NDArray[np.float64] = pc.cast(column, pa.float64(), safe=False).to_numpy().astype(np.float64)
    with np.errstate(over="ignore"):
        infinite = np.isinf(numbers.astype(np.float32))
    if infinite.any():
        row = int(np.argmax(infinite))
        _refuse(
            f"column {name!r} has {float(numbers[row])!r} in row {row}, which float32 cannot hold"
            f" ({int(infinite.sum())} rows); replace it by an empty value or a number below 3e38"
        )
    return numbers


def _texts(column: Any) -> list[str]:  # noqa: ANN401 - Arrow has no types
    """Return a column's values as texts; whole numbers in decimal digits, as the graph's Cast writes them."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _input_names(columns: list[str]) -> dict[str, str]:
    """Give each column a name fit for an input: letters, digits, `_`, `.`, `-`; numbered where two become the same."""
    wanted = {column: _NOT_IN_NAMES.sub("_", column) or "_" for column in columns}
    counts = Counter(wanted.values())
    taken = {name for name, count in counts.items() if count == 1 and name not in _RESERVED}
    found: dict[str, str] = {}
    for column, name in wanted.items():
        number = 1
        unique = name
        while (unique in taken and (counts[name] > 1 or name in _RESERVED)) or unique in _RESERVED:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique)
        found[column] = unique
    return found


def _odd_numbers(texts: set[str]) -> str:
    """Say which text keeps a column of numbers from being one."""
    odd = sorted(text for text in texts if not _is_number(text))
    return f" (nearly all are numbers, but {odd[0]!r} is not)" if odd and len(odd) <= len(texts) // 10 else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _some(names: list[str]) -> str:
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")  # noqa: PLR2004 - enough to recognise the data


def _refuse(problem: str) -> NoReturn:
    raise StageError(Reason.DATA_INVALID, problem)
