"""The tables' side of the join: times, keys, and the way back from features to rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from modelwright_training.contract import Reason
from modelwright_training.errors import StageError
from modelwright_training.feature_store import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

NOON = datetime(2025, 1, 2, 12, tzinfo=UTC)
MIDNIGHT = datetime(2025, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["2025-01-02T12:00:00Z"], NOON),
        (["2025-01-02T14:00:00+02:00"], NOON),
        (["2025-01-02 12:00:00"], NOON),
        (["2025-01-02"], MIDNIGHT),
        ([date(2025, 1, 2)], MIDNIGHT),
        (pa.array([NOON], pa.timestamp("us", tz="America/New_York")), NOON),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("s")), NOON),
        (pa.array(["2025-01-02T12:00:00Z"]).dictionary_encode(), NOON),
    ],
)
def test_times_are_in_utc(column: object, expected: datetime) -> None:
    found = rows.times("data set 'all'", pa.table({"at": column}), "at")
    assert found.type == rows.TIME
    assert found.to_pylist() == [expected]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (["2025-01-02", "soon"], "holds texts that are no times"),
        (["2025-01-02", "2025-01-02T12:00:00Z"], "holds texts that are no times"),  # with and without a time zone
        (["2025-01-02", ""], "is missing in 1 of 2 rows"),
        ([NOON, None], "is missing in 1 of 2 rows"),
        ([1735819200, 1735819201], "has the type int64"),
        ([True, False], "has the type bool"),
        (pa.array([datetime(1500, 1, 1), datetime(2025, 1, 1)]), "times lie between 1678 and 2261"),  # noqa: DTZ001
    ],
)
def test_times_that_cannot_be_used_are_refused(column: object, says: str) -> None:
    with pytest.raises(StageError, match=says) as raised:
        rows.times("data set 'all'", pa.table({"at": column}), "at")
    assert raised.value.reason is Reason.FEATURES_INVALID
    assert "features.feast.timestamp: column 'at' of data set 'all'" in str(raised.value)


KEY = some.one_of(some.none(), some.integers(0, 3))
LOOKED_UP = some.lists(some.tuples(KEY, KEY, some.integers(0, 2)), max_size=12)


@settings(deadline=None)
@given(LOOKED_UP, some.dictionaries(some.tuples(some.integers(0, 3), some.integers(0, 3), some.integers(0, 2)), KEY))
def test_each_row_gets_its_own_features_in_its_place(
    wanted: list[tuple[int | None, int | None, int]], known: dict[tuple[int, int, int], int | None]
) -> None:
    names, kinds = ("buyer", "seller", rows.TIME_COLUMN), (pa.int64(), pa.int64(), rows.TIME)

    def table(given: list[tuple[int | None, ...]], names: tuple[str, ...], kinds: tuple[pa.DataType, ...]) -> pa.Table:
        columns = zip(*given, strict=True) if given else [()] * len(names)
        return pa.table(
            {name: pa.array(column, kind) for name, kind, column in zip(names, kinds, columns, strict=True)}
        )

    looked_up = table(list(wanted), names, kinds)
    features = table([(*key, value) for key, value in known.items()], (*names, "buyer's"), (*kinds, pa.int64()))
    found = rows.aligned(looked_up, features)
    assert found.column_names == ["buyer's"]
    by_key: Mapping[Any, int | None] = known
    assert found.column(0).to_pylist() == [by_key.get(key) for key in wanted]
    complete = {key for key in wanted if None not in key}
    assert rows.distinct([looked_up, looked_up]).num_rows == len(complete)


def test_columns_keep_their_place_and_a_name_is_there_once() -> None:
    table = pa.table({"a": [1, 2]})
    found = rows.joined("data set 'all'", table, pa.table({"b": [3, None]}), full_names=False)
    assert found.to_pydict() == {"a": [1, 2], "b": [3, None]}
    with pytest.raises(StageError, match="the feature 'a' has the name of a column of data set 'all'; set features"):
        rows.joined("data set 'all'", table, pa.table({"a": [3, 4]}), full_names=False)
