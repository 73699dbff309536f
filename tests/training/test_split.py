"""Which rows are held out: by time, by group, by both, or drawn."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelwright_training import dataset, split
from modelwright_training.contract import Columns, DataSource, Evaluation, JobConfig, Reason, Task
from modelwright_training.errors import StageError
from tests.training.builders import job

ROWS = 60
DAYS = [dt.date(2026, 1, 1) + dt.timedelta(days=day) for day in range(ROWS)]


def shuffled(seed: int = 0, **columns: Any) -> Any:
    base = pa.table({"x": np.linspace(0, 1, ROWS), "target": [0, 1] * (ROWS // 2), **columns})
    return base.take(np.random.default_rng(seed).permutation(ROWS))


def prepared(rows: Any, task: Task = Task.CLASSIFICATION, **changes: Any) -> Any:
    return dataset.prepare(job(**changes), task, {"train": rows})


def refusal(rows: Any, task: Task = Task.CLASSIFICATION, **changes: Any) -> StageError:
    with pytest.raises(StageError) as error:
        prepared(rows, task, **changes)
    return error.value


@pytest.mark.parametrize("percent", [1, 25, 50, 90])
def test_drawn_rows_are_stratified_and_leave_both_parts_each_class(percent: int) -> None:
    target = np.array(["a"] * 100 + ["b"] * 40 + ["c"] * 2, dtype=object)
    held = split.holdout_rows(target, Task.CLASSIFICATION, percent, 3)
    assert np.array_equal(held, np.unique(held))
    for label, count in (("a", 100), ("b", 40), ("c", 2)):
        share = int(np.sum(target[held] == label))
        assert share == min(max(round(count * percent / 100 + 1e-9), 1), count - 1)


def test_drawn_rows_depend_on_the_seed_alone() -> None:
    target = np.arange(1000.0)
    first = split.holdout_rows(target, Task.REGRESSION, 25, 7)
    assert len(first) == 250
    assert np.array_equal(first, split.holdout_rows(-target, Task.REGRESSION, 25, 7))
    assert not np.array_equal(first, split.holdout_rows(target, Task.REGRESSION, 25, 8))


@pytest.mark.parametrize(
    "when",
    [
        pa.array(DAYS),
        pa.array([dt.datetime.combine(day, dt.time(1)) for day in DAYS], pa.timestamp("ns")),
        pa.array([dt.datetime.combine(day, dt.time(1), dt.UTC) for day in DAYS], pa.timestamp("s", tz="Asia/Tokyo")),
        pa.array([day.isoformat() for day in DAYS]),
        pa.array([f"{day.isoformat()} 10:00:00.25" for day in DAYS]).dictionary_encode(),
        # The same instant an hour later each day, told from changing places: 23:00+00:00 is after 23:30+01:00.
        pa.array([f"2026-01-01T12:{minute:02}:00{'+00:00' if minute % 2 else 'Z'}" for minute in range(ROWS)]),
        pa.array(range(1_700_000_000, 1_700_000_000 + ROWS)),
        pa.array(np.linspace(2000.5, 2026.25, ROWS)),
        pa.array(range(ROWS)).cast(pa.decimal128(21, 2)),
    ],
    ids=["date", "timestamp", "zone", "iso date", "iso time", "iso zones", "epoch", "fraction", "decimal"],
)
def test_the_newest_rows_are_held_out(when: Any) -> None:
    data = prepared(shuffled(when=when), columns=Columns((), (), time="when"))
    assert [feature.column for feature in data.features.all] == ["x"]
    assert (len(data.train), len(data.holdout)) == (45, 15)
    assert data.train.roles.time.max() < data.holdout.roles.time.min()
    assert data.train.values.numbers.max() < data.holdout.values.numbers.min()


def test_times_are_compared_across_zones() -> None:
    texts = ["2026-01-01T12:00:00+02:00", "2026-01-01T11:30:00Z"] * 30
    data = prepared(shuffled(when=pa.array(texts), target=["a", "b", "b", "a"] * 15), columns=Columns((), (), "when"))
    assert len(data.train) == 30
    assert {str(when) for when in data.train.roles.time} == {"2026-01-01T10:00:00.000000"}


@pytest.mark.parametrize(
    ("times", "percent", "held"),
    [
        ([0] * 40 + [1] * 20, 25, 20),  # 20 is closer to 15 than 0 is possible
        ([0] * 54 + [1] * 6, 25, 6),  # 6, not all 60
        ([0] * 30 + [1] * 26 + [2] * 4, 25, 4),  # 4 is closer to 15 than 30
        ([0] * 30 + [1] * 18 + [2] * 12, 25, 12),
        ([0] * 42 + [1] * 8 + [2] * 10, 25, 18),  # 18 is closer to 15 than 10
        ([0] * 2 + [1] * 58, 1, 58),  # the only border
    ],
)
def test_rows_of_one_time_stay_together(times: list[int], percent: int, held: int) -> None:
    config = {"columns": Columns((), (), time="t"), "evaluation": Evaluation(None, percent)}
    data = prepared(shuffled(t=times, target=np.linspace(0, 1, ROWS)), Task.REGRESSION, **config)
    assert len(data.holdout) == held
    assert not set(data.train.roles.time) & set(data.holdout.roles.time)


def test_no_group_is_on_both_sides_and_classes_are_alike() -> None:
    group = [f"customer {row // 3}" for row in range(ROWS)]
    # Half of the customers never churn, the others always: a careless draw is lopsided.
    target = [int(row // 3 >= 10) for row in range(ROWS)]
    shares = set()
    for seed in range(5):
        data = prepared(shuffled(seed, group=group, target=target), columns=Columns((), (), group="group"), seed=seed)
        assert not set(data.train.roles.group) & set(data.holdout.roles.group)
        assert len(data.holdout) == 15
        assert {feature.column for feature in data.features.all} == {"x"}
        shares.add(float(np.mean(data.holdout.target)))
    assert shares <= {0.4, 0.6}  # five of twenty groups: two or three of either kind


def test_the_draw_of_groups_depends_on_the_seed_alone() -> None:
    group, strata = np.repeat(np.arange(100), 3), np.zeros(300, dtype=np.int64)
    first = split.group_rows(group, strata, 20, 5)
    assert np.array_equal(first, split.group_rows(group, strata, 20, 5))
    assert not np.array_equal(first, split.group_rows(group, strata, 20, 6))


def test_a_giant_group_leaves_the_other_side_something() -> None:
    group = np.array([0] * 90 + [1] * 10)
    assert {len(split.group_rows(group, np.zeros(100, dtype=np.int64), 25, seed)) for seed in range(8)} <= {10, 90}


def test_with_time_and_group_both_promises_hold() -> None:
    # Customer 11 came first and is still there; customers 9 and 10 are new.
    group = [11 if row in {0, 1, 50} else row // 5 for row in range(ROWS)]
    data = prepared(shuffled(day=DAYS, group=group), columns=Columns((), (), time="day", group="group"))
    assert (len(data.train), len(data.holdout), data.purged) == (43, 15, 2)
    assert data.train.roles.time.max() < data.holdout.roles.time.min()
    assert not set(data.train.roles.group) & set(data.holdout.roles.group)


@pytest.mark.parametrize(
    ("columns", "settings", "reason", "named"),
    [
        ({}, {"time": "when"}, Reason.DATA_INVALID, "columns.time names 'when'; there are x, target"),
        ({"t": [1] * ROWS}, {"time": "t"}, Reason.DATA_INVALID, "'t' (columns.time) is 1 in every row"),
        ({"t": ["soon"] * ROWS}, {"time": "t"}, Reason.DATA_INVALID, "ISO 8601"),
        ({"t": ["2026-01-01T10:00:00Z", "2026-01-01"] * 30}, {"time": "t"}, Reason.DATA_INVALID, "ISO 8601"),
        ({"t": [True, False] * 30}, {"time": "t"}, Reason.DATA_INVALID, "has the type bool"),
        ({"t": pa.array([None, *range(59)])}, {"time": "t"}, Reason.DATA_INVALID, "missing in 1 of 60 rows"),
        ({"t": [np.nan, *range(59)]}, {"time": "t"}, Reason.DATA_INVALID, "missing in 1 of 60 rows"),
        ({"t": ["", *["2026-01-01"] * 59]}, {"time": "t"}, Reason.DATA_INVALID, "missing in 1 of 60 rows"),
        ({"g": ["a"] * ROWS}, {"group": "g"}, Reason.DATA_INVALID, "'g' (columns.group) is the same in every row"),
        ({"g": [[1]] * ROWS}, {"group": "g"}, Reason.DATA_INVALID, "has the type list"),
        ({"g": pa.array([None, *["a"] * 59])}, {"group": "g"}, Reason.DATA_INVALID, "missing in 1"),
        ({"t": DAYS, "g": [1, 2] * 30}, {"time": "t", "group": "g"}, Reason.DATA_INVALID, "remove columns.group"),
        ({"t": range(ROWS), "target": [0] * 45 + [1] * 15}, {"time": "t"}, Reason.TARGET_INVALID, "has the one value"),
        ({"t": range(ROWS), "target": ["a", "b"] * 29 + ["c"] * 2}, {"time": "t"}, Reason.TARGET_INVALID, "class 'c'"),
    ],
)
def test_what_cannot_be_split_is_refused(
    columns: dict[str, Any], settings: dict[str, str], reason: Reason, named: str
) -> None:
    error = refusal(shuffled(**columns), columns=Columns((), (), **settings))
    assert error.reason is reason
    assert named in str(error)


def test_a_class_with_a_single_row_can_be_trained_on_where_no_class_is_drawn() -> None:
    target = ["rare", *["a", "b"] * 29, "a"]
    assert "single row (rare)" in str(refusal(shuffled(target=target)))
    data = prepared(shuffled(day=DAYS, target=target), columns=Columns((), (), time="day"))
    assert set(data.train.target) == {"a", "b", "rare"}


def test_a_named_holdout_is_taken_as_it_is() -> None:
    sources = (DataSource("a", "pvc://lake/a.csv", None), DataSource("b", "pvc://lake/b.csv", None))
    config: JobConfig = job(data=sources, evaluation=Evaluation("a", 25), columns=Columns((), (), "day", "g"))
    rows = shuffled(day=DAYS, g=[1, 2, 3] * 20)
    data = dataset.prepare(config, Task.CLASSIFICATION, {"a": rows, "b": rows})
    assert (len(data.train), len(data.holdout), data.purged) == (ROWS, ROWS, 0)


def test_the_newest_training_rows_are_given_oldest_first() -> None:
    data = prepared(shuffled(day=DAYS), columns=Columns((), (), time="day"))
    assert data.train.newest(25, 0).values.numbers[:, 0].tolist() == sorted(data.train.values.numbers[:, 0])[-11:]
    assert len(data.train.newest(25, 30)) == 30
    assert len(data.train.newest(25, 2000)) == 45
    unordered = prepared(shuffled())
    assert unordered.train.newest(25, 10) is unordered.train
