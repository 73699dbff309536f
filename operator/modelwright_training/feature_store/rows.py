# pyright: basic, reportAttributeAccessIssue=false
# (pyarrow comes without types.)
"""The tables' side of a point-in-time join: each row's time and join keys, and the way back from features to rows.

Features are looked up for distinct pairs of keys and time, and joined back to the rows: so every row stays, in its
place, and a row for which nothing is found has missing values. Feast's own file store would leave such rows out, and
one of two rows with the same keys and time.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from modelwright_training.contract import Reason
from modelwright_training.errors import StageError

TIME = pa.timestamp("ns", tz="UTC")
TIME_COLUMN = "event_timestamp"  # as Feast calls it
_ISO = 'ISO 8601, such as "2026-03-01" or "2026-03-01T12:00:00Z"'
_NAMES_SHOWN = 20


def times(subject: str, table: Any, column: str) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return the rows' times [n], `TIME`; those without a time zone are taken as UTC, dates as their midnight.

    Raises:
        StageError: FeaturesInvalid, when there is no such column, or its values are no times or missing.

    """
    if column not in table.column_names:
        refuse(f"features.feast.timestamp: {subject} has no column {column!r}; {_there(table)}")
    found = _plain(table.column(column))
    kind = found.type
    named = f"features.feast.timestamp: column {column!r} of {subject}"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        found = _parsed(named, found)
    elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        refuse(f"{named} has the type {kind}; give timestamps, dates, or texts in {_ISO}")
    if found.null_count:
        refuse(f"{named} is missing in {found.null_count} of {len(found)} rows; fill it, or remove these rows")
    return in_utc(named, found)


def in_utc(subject: str, column: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return timestamps or dates as `TIME`.

    Raises:
        StageError: FeaturesInvalid, when one is before 1678 or after 2261.

    """
    try:
        if pa.types.is_timestamp(column.type) and column.type.tz is not None:
            return column.cast(TIME)
        return pc.assume_timezone(column.cast(pa.timestamp("ns")), "UTC")
    except pa.ArrowInvalid as error:
        refuse(f"{subject} has a time that cannot be used ({str(error)[:120]}); times lie between 1678 and 2261")


def keys(subject: str, table: Any, names: Sequence[str], kinds: Mapping[str, Any], view: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the join keys' columns in the types that the view's file has, missing where they are.

    Raises:
        StageError: FeaturesInvalid, when a column is not there or of another kind.

    """
    found: dict[str, Any] = {}
    for name in names:
        if name not in table.column_names:
            refuse(
                f"{subject} has no column {name!r}, a join key of the feature view {view!r}; {_there(table)}; add it to"
                " the data, or rename it in the data"
            )
        column, wanted = _plain(table.column(name)), kinds[name]
        if pa.types.is_floating(column.type):  # whole numbers with gaps
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        try:
            if _is_text(column.type) and not _is_text(wanted):
                refuse(
                    f"column {name!r} of {subject} has texts, but the feature view {view!r} has {wanted}; convert it"
                )
            found[name] = column.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            message = (
                f"column {name!r} of {subject} is {column.type}, which cannot be compared with the {wanted} of the"
                f" feature view {view!r}: {str(error)[:120]}"
            )
            raise StageError(Reason.FEATURES_INVALID, message) from error
    return found


def distinct(tables: Sequence[Any]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return the distinct rows of tables of keys and times, without those that miss a key, sorted."""
    stacked = pa.concat_tables(tables)
    complete = stacked.drop_null()
    names = complete.column_names
    return complete.group_by(names).aggregate([]).sort_by([(name, "ascending") for name in names])


def aligned(looked_up: Any, features: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return the features of each row of `looked_up` (keys and time), in its order; missing where there are none.

    Args:
        looked_up: keys and times, one row for each of the data's.
        features: keys, times and features; a pair of keys and time is there once at most.

    """
    names = looked_up.column_names
    # Short names of their own, so that no feature can be taken for a key.
    left = pa.table(
        [*looked_up.columns, pa.array(range(len(looked_up)), pa.int64())], [*map(_key, range(len(names))), "row"]
    )
    rest = [name for name in features.column_names if name not in names]
    right = pa.table(
        [features.column(name) for name in (*names, *rest)],
        [*map(_key, range(len(names))), *(f"feature{index}" for index in range(len(rest)))],
    )
    joined = left.join(right, keys=list(map(_key, range(len(names)))), join_type="left outer").sort_by("row")
    return pa.table([joined.column(f"feature{index}") for index in range(len(rest))], rest)


def joined(subject: str, table: Any, features: Any, *, full_names: bool) -> Any:  # noqa: ANN401 - Arrow has no types
    """Put features beside the table's own columns.

    Raises:
        StageError: FeaturesInvalid, when there is a column of that name.

    """
    if taken := [name for name in features.column_names if name in table.column_names]:
        hint = "leave one out" if full_names else "set features.feast.fullFeatureNames, or leave one out"
        refuse(f"the feature {taken[0]!r} has the name of a column of {subject}; {hint}")
    for name in features.column_names:
        table = table.append_column(name, features.column(name))
    return table


def refuse(problem: str) -> NoReturn:
    """Raise what a user can mend."""
    raise StageError(Reason.FEATURES_INVALID, problem)


def _key(index: int) -> str:
    return f"key{index}"


def _plain(column: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_text(kind: Any) -> bool:  # noqa: ANN401 - Arrow has no types
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _parsed(subject: str, column: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    texts = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    errors: list[str] = []
    for wanted in (pa.timestamp("ns"), TIME):  # all without a time zone, or all with one
        try:
            return texts.cast(wanted)
        except pa.ArrowInvalid as error:
            errors.append(str(error))
    refuse(f"{subject} holds texts that are no times ({errors[0][:120]}); write them in {_ISO}")


def _there(table: Any) -> str:  # noqa: ANN401 - Arrow has no types
    names = table.column_names
    return f"there are {', '.join(names[:_NAMES_SHOWN])}{', …' if len(names) > _NAMES_SHOWN else ''}"
