# pyright: basic
# (pyarrow comes without types.)
"""Groups of the holdout's rows by a column, which need not be a feature: how a model does on each of them.

A column of texts, truth values or few whole numbers has a group for each value; one of numbers is cut at the quartiles
of the training rows, so that groups do not depend on the holdout. Missing values are a group of their own.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelwright_training.contract import Reason
from modelwright_training.errors import StageError

MAX_GROUPS: Final = 50  # of one column; the rarest values beyond share one group
MISSING: Final = "(missing)"
OTHER: Final = "(other)"
_FEW: Final = 10  # distinct whole numbers that are values of their own
_MAX_NAME: Final = 60  # characters

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slice:
    """The holdout's rows by one column: the groups' names, and the index [n] of each row's."""

    column: str
    names: tuple[str, ...]
    group: npt.NDArray[np.int64]


def read(table: Any, columns: Sequence[str], train: Rows, holdout: Rows) -> tuple[Slice, ...]:  # noqa: ANN401 - Arrow has no types
    """Group the holdout's rows of the data by each of the columns.

    Raises:
        StageError: DataInvalid, naming a column that does not exist or that no groups can be made of.

    """
    return tuple(_slice(table, column, train, holdout) for column in columns)


def _slice(table: Any, name: str, train: Rows, holdout: Rows) -> Slice:  # noqa: ANN401
    if name not in table.column_names:
        near = difflib.get_close_matches(name, table.column_names) or table.column_names
        _refuse(f"{name!r} is not a column of the data; did you mean {', '.join(near[:10])}?")
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    held = column.take(pa.array(holdout))
    if pa.types.is_integer(kind) and len(column.take(pa.array(train)).drop_null().unique()) <= _FEW:
        return _by_value(name, held)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _by_quartile(name, _numbers(column.take(pa.array(train))), _numbers(held))
    if pa.types.is_boolean(kind) or _is_text(kind):
        return _by_value(name, held)
    return _refuse(f"{name!r} has the type {kind}; groups are made of texts, true/false or numbers")


def _by_value(name: str, held: Any) -> Slice:  # noqa: ANN401
    texts = [_name(value) for value in held.to_pylist()]
    values, counts = np.unique(np.array(texts, dtype=object), return_counts=True)
    if len(values) > MAX_GROUPS:
        common = values[np.lexsort((values, -counts))[: MAX_GROUPS - 1]]
        kept = set(common)
        texts = [text if text in kept else OTHER for text in texts]
        values = np.append(np.sort(common), OTHER)
    places = {value: index for index, value in enumerate(values)}
    return Slice(name, tuple(values), np.array([places[text] for text in texts], dtype=np.int64))


def _name(value: Any) -> str:  # noqa: ANN401 - a text, a truth value or a whole number
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return text if len(text) <= _MAX_NAME else text[: _MAX_NAME - 1] + "…"


def _by_quartile(name: str, train: npt.NDArray[np.float64], held: npt.NDArray[np.float64]) -> Slice:
    known = train[np.isfinite(train)]
    if not len(known):
        _refuse(f"{name!r} has no values among the training rows")
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
    shown = [f"{edge:.6g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(shown)]
    names = [f"at most {shown[0]}", *between, f"above {shown[-1]}"]
    group = np.searchsorted(edges, held)  # a value equal to an edge is below it
    missing = np.isnan(held)
    if missing.any():
        names.append(MISSING)
        group[missing] = len(names) - 1
    return Slice(name, tuple(names), group)


def _numbers(column: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
    numbers: npt.NDArray[np.float64] = pc.cast(column, pa.float64(), safe=False).to_numpy().astype(np.float64)
    return numbers


def _is_text(kind: Any) -> bool:  # noqa: ANN401
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _refuse(problem: str) -> NoReturn:
    message = f"evaluation.slices: {problem}"
    raise StageError(Reason.DATA_INVALID, message)
