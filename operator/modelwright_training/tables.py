# pyright: basic
# (pyarrow comes without types.)
"""Arrow tables: what their columns are called and hold, and how tables that belong together become one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NoReturn

import pyarrow as pa

from modelwright_training.contract import Reason
from modelwright_training.errors import StageError


class Family(StrEnum):
    """Types that may stand in one column; the value says it to people."""

    EMPTY = "empty"
    NUMBER = "a number"
    TEXT = "a text"
    BOOLEAN = "true/false"
    DATE = "a date"
    TIMESTAMP = "a timestamp"
    ZONED = "a timestamp with a time zone"
    OTHER = "of another kind"


def family(kind: Any) -> Family:  # noqa: ANN401 - Arrow has no types
    """Return what an Arrow type is to people."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Family.NUMBER
    if pa.types.is_timestamp(kind):
        return Family.ZONED if kind.tz else Family.TIMESTAMP
    simple = {
        Family.EMPTY: (pa.types.is_null,),
        Family.TEXT: (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        Family.BOOLEAN: (pa.types.is_boolean,),
        Family.DATE: (pa.types.is_date,),
    }
    return next((name for name, tests in simple.items() if any(test(kind) for test in tests)), Family.OTHER)


def joined(tables: Mapping[str, Any]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Put tables under each other; whole numbers and fractions become fractions, nothing else is mixed.

    `tables` are named as people know them, such as `data set 'test'`; the first one's order of columns is kept.

    Raises:
        StageError: DataInvalid, naming the column and the two tables that differ.

    """
    name, first = next(iter(tables.items()))
    for other, table in tables.items():
        for column in sorted(set(first.column_names) ^ set(table.column_names)):
            owner, lacking = (name, other) if column in first.column_names else (other, name)
            _refuse(f"{name} and {other} differ: {owner} has the column {column!r}, {lacking} has not")
    named = {column: (name, first.schema.field(column).type) for column in first.column_names}
    for other, table in tables.items():
        for column, (owner, kind) in named.items():
            found = table.schema.field(column).type
            if family(kind) is Family.EMPTY:
                named[column] = (other, found)
            elif family(found) is not Family.EMPTY and not _alike(kind, found):
                _refuse(
                    f"{owner} and {other} differ: the column {column!r} is {_said(kind)} in {owner} but"
                    f" {_said(found)} in {other}; give it one type"
                )
    try:
        return pa.concat_tables(
            [table.select(first.column_names) for table in tables.values()], promote_options="permissive"
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        return _refuse(f"{', '.join(tables)} have columns that differ in type: {error}")


def _alike(one: Any, other: Any) -> bool:  # noqa: ANN401 - Arrow has no types
    found = family(one)
    return found is family(other) and (found is not Family.OTHER or one == other)


def _said(kind: Any) -> str:  # noqa: ANN401 - Arrow has no types
    found = family(kind)
    return f"of the type {kind}" if found is Family.OTHER else f"{found.value} ({kind})"


def _refuse(problem: str) -> NoReturn:
    raise StageError(Reason.DATA_INVALID, problem)
