# pyright: basic
# (pyarrow comes without types.)
"""The schema of a data set: enforced where the job gives one, and recorded as it was found."""

from collections.abc import Iterable
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from modelwright_training.contract import ColumnSchema, ColumnType, JobConfig, Reason
from modelwright_training.errors import StageError
from modelwright_training.features import Features
from modelwright_training.tables import Family, family

_NAMES_SHOWN = 20
_SIMPLE = {
    Family.NUMBER: ColumnType.NUMBER,
    Family.TEXT: ColumnType.TEXT,
    Family.BOOLEAN: ColumnType.BOOLEAN,
    Family.DATE: ColumnType.DATE,
    Family.TIMESTAMP: ColumnType.TIMESTAMP,
    Family.ZONED: ColumnType.TIMESTAMP,
}


def enforce(table: Any, wanted: Iterable[ColumnSchema], subject: str) -> None:  # noqa: ANN401 - Arrow has no types
    """Compare a table with what the job wants; columns that the job does not name may be anything.

    Raises:
        StageError: DataInvalid, naming the table, the column, what is wanted and what was found.

    """
    for column in wanted:
        if column.name not in table.column_names:
            names = table.column_names
            some = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
            _refuse(f"{subject} lacks the column {column.name!r} that spec.schema names; it has {some}")
        _check(_plain(table.column(column.name)), column, f"{subject}: column {column.name!r}")


def found(table: Any, job: JobConfig, features: Features) -> list[dict[str, Any]]:  # noqa: ANN401 - Arrow has no types
    """Return the schema found, in the terms of `spec.schema`, with each column's role.

    Categories are those of features, which the model holds as well; a type that no feature may have is Arrow's own.
    """
    kept = {feature.column for feature in features.categorical}
    roles = {column: role.capitalize() for role, column in job.columns.roles.items()}
    roles |= {feature.column: "Feature" for feature in features.all} | {job.target: "Target"}
    columns: list[dict[str, Any]] = []
    for name in table.column_names:
        column = _plain(table.column(name))
        said: dict[str, Any] = {
            "name": name,
            "type": _type(column),
            "nullable": _missing(column) > 0,
            "role": roles.get(name, "Dropped"),
        }
        if name in kept:
            said["categories"] = sorted(
                {str(value) for value in column.unique().to_pylist() if value not in {None, ""}}
            )
        columns.append(said)
    return columns


def _type(column: Any) -> str:  # noqa: ANN401 - Arrow has no types
    if pa.types.is_integer(column.type):
        return ColumnType.INTEGER
    return _SIMPLE.get(family(column.type), str(column.type))


def _check(column: Any, wanted: ColumnSchema, subject: str) -> None:  # noqa: ANN401 - Arrow has no types
    missing = _missing(column)
    if missing and not wanted.nullable:
        _refuse(
            f"{subject} is missing in {missing} of {len(column)} rows, but spec.schema does not let it be; fill it, or"
            " set nullable to true"
        )
    if missing == len(column):
        return
    type_ = _type(column)
    whole = type_ == ColumnType.NUMBER and wanted.type is ColumnType.INTEGER and _is_whole(column)
    if type_ != wanted.type and not whole and (type_, wanted.type) != (ColumnType.INTEGER, ColumnType.NUMBER):
        example = next((str(value) for value in column.slice(0, 1000).to_pylist() if value not in (None, "")), "")
        _refuse(
            f"{subject} should be {wanted.type} by spec.schema, but is {type_} ({column.type}, such as"
            f" {example[:60]!r}); convert it, or change spec.schema"
        )
    if wanted.categories is not None:
        known = set(wanted.categories)
        odd = [value for value in map(_text, column.unique().to_pylist()) if value and value not in known]
        if odd:
            some = ", ".join(wanted.categories[:_NAMES_SHOWN])
            _refuse(f"{subject} has {odd[0][:60]!r}, which is none of the categories in spec.schema: {some}")
    if wanted.min is not None or wanted.max is not None:
        _check_bounds(column, wanted, subject)


def _check_bounds(column: Any, wanted: ColumnSchema, subject: str) -> None:  # noqa: ANN401 - Arrow has no types
    bounds = pc.call_function("min_max", [pc.cast(column, pa.float64(), safe=False)]).as_py()
    if wanted.min is not None and bounds["min"] < wanted.min:
        _refuse(f"{subject} goes down to {bounds['min']:.15g}, below the min {wanted.min:.15g} in spec.schema")
    if wanted.max is not None and bounds["max"] > wanted.max:
        _refuse(f"{subject} goes up to {bounds['max']:.15g}, above the max {wanted.max:.15g} in spec.schema")


def _plain(column: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return a column without dictionary, and with null for what is missing in numbers: NaN."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        nan = pc.call_function("is_nan", [column])
        column = pc.call_function("if_else", [nan, pa.scalar(None, column.type), column])
    return column


def _missing(column: Any) -> int:  # noqa: ANN401 - Arrow has no types
    missing = int(column.null_count)
    if family(column.type) is Family.TEXT:
        empty = pc.call_function("equal", [column, pa.scalar("", column.type)])
        missing += int(pc.call_function("sum", [empty]).as_py() or 0)
    return missing


def _is_whole(column: Any) -> bool:  # noqa: ANN401 - Arrow has no types
    rounded = pc.call_function("equal", [column, pc.call_function("round", [column])])
    return bool(pc.call_function("all", [rounded]).as_py())


def _text(value: object) -> str:
    """Return a value as spec.schema writes it: whole numbers in digits, whatever they are stored as."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _refuse(problem: str) -> NoReturn:
    raise StageError(Reason.DATA_INVALID, problem)
