# pyright: basic
# (pyarrow comes without types.)
"""Columns that are no features: the time that orders rows, the group they belong to, the weight they count with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelwright_training.contract import Columns, Reason
from modelwright_training.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable

Array = npt.NDArray[Any]
_ISO = 'ISO 8601, such as "2026-03-01" or "2026-03-01T12:00:00Z"'


@dataclass(frozen=True, slots=True)
class Roles:
    """What rows are besides features and target, each [n]; None where the job names no such column.

    `time` is datetime64 (UTC where the data have time zones), int64 or float64: comparable, never missing. `group` are
    int64 numbers of groups, from 0 in the order of their first rows. `weight` are float64, finite and not negative.
    """

    time: Array | None = None
    group: npt.NDArray[np.int64] | None = None
    weight: npt.NDArray[np.float64] | None = None

    def take(self, rows: npt.NDArray[np.int64]) -> "Roles":
        """Return some of the rows."""
        parts: list[Any] = [self.time, self.group, self.weight]
        return Roles(*(part if part is None else part[rows] for part in parts))


def read(table: Any, columns: Columns) -> Roles:  # noqa: ANN401 - Arrow has no types
    """Read the columns that have a role.

    Raises:
        StageError: DataInvalid, naming the role, the column and the value that does not fit.

    """
    readers: dict[str, Callable[[str, Any], Array]] = {"time": _time, "group": _group, "weight": _weight}
    found: dict[str, Array] = {}
    for role, name in columns.roles.items():
        field = f"columns.{role}"
        if name not in table.column_names:
            some = ", ".join(table.column_names[:20]) + (", …" if len(table.column_names) > 20 else "")  # noqa: PLR2004
            _refuse(f"{field} names {name!r}; there are {some}")
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        subject = f"column {name!r} ({field})"
        if missing := _missing(column):
            _refuse(f"{subject} is missing in {missing} of {len(column)} rows; fill it, or remove these rows")
        found[role] = readers[role](subject, column)
    return Roles(**found)


def check_trainable(weight: Array | None, columns: Columns) -> None:
    """Refuse training rows none of which counts.

    Raises:
        StageError: DataInvalid.

    """
    if weight is not None and not weight.any():
        _refuse(f"column {columns.weight!r} (columns.weight) is 0 in every training row; none would count")


def _missing(column: Any) -> int:  # noqa: ANN401 - Arrow has no types
    missing = int(column.null_count)
    if pa.types.is_floating(column.type):
        missing += int(np.isnan(column.to_numpy()).sum()) - missing
    if _is_text(column.type):
        missing += column.to_pylist().count("")
    return missing


def _time(subject: str, column: Any) -> Array:  # noqa: ANN401 - Arrow has no types
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _values(column)
    if pa.types.is_decimal(kind):
        return _values(pc.cast(column, pa.float64(), safe=False))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _values(column)
    if not _is_text(kind):
        return _refuse(f"{subject} has the type {kind}; give timestamps, dates, numbers or texts in {_ISO}")
    errors: list[str] = []
    for wanted in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):  # all without a time zone, or all with one
        try:
            return _values(pc.cast(column, wanted))
        except pa.ArrowInvalid as error:
            errors.append(str(error))
    return _refuse(f"{subject} holds texts that are no times ({errors[0][:120]}); write them in {_ISO}")


def _group(subject: str, column: Any) -> Array:  # noqa: ANN401 - Arrow has no types
    if pa.types.is_nested(column.type):
        _refuse(f"{subject} has the type {column.type}; a group is named by a text or a number")
    encoded = column.dictionary_encode()
    chunks = encoded.unify_dictionaries().chunks
    return np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in chunks]).astype(np.int64)


def _weight(subject: str, column: Any) -> Array:  # noqa: ANN401 - Arrow has no types
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        _refuse(f"{subject} has the type {kind}; weights are numbers, 0 or more")
    weights = _values(pc.cast(column, pa.float64(), safe=False))
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        _refuse(f"{subject} has {float(weights[row])!r} in row {row}; weights are finite numbers, 0 or more")
    return weights


def _values(column: Any) -> Array:  # noqa: ANN401 - Arrow has no types
    values: Array = column.to_numpy()
    return values


def _is_text(kind: Any) -> bool:  # noqa: ANN401 - Arrow has no types
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _refuse(problem: str) -> NoReturn:
    raise StageError(Reason.DATA_INVALID, problem)
