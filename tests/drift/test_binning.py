from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelwright_drift import binning, counts, summary
from modelwright_drift.baseline import Numeric

RNG = np.random.default_rng(1)


def rows(values: Any) -> list[int]:
    array = np.array(values, dtype=np.float32)
    return list(np.diff([0, *np.searchsorted(np.sort(array), binning.edges(array), "right"), len(array)]))


def test_continuous_values_are_parted_at_their_order_statistics() -> None:
    values = RNG.normal(size=9_999)
    assert binning.edges(values).tolist() == np.sort(values)[np.arange(1000, 9001, 1000) - 1].tolist()
    assert summary.numeric("x", "FP64", values).shares == (0.1,) * 10


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1] * 500, [500, 500]),
        (list(range(10)) * 100, [100] * 10),
        ([7] * 100, [100]),
        ([5] * 600 + list(range(100, 500)), [600, 101, 100, 100, 99]),
        ([0] * 950 + list(range(1, 51)), [950, 50]),
        ([0] * 990 + list(range(1, 11)), [1000]),  # ten rows are no bin
        (list(range(400)) + [1000] * 600, [100, 100, 100, 100, 600]),
    ],
)
def test_frequent_values_get_bins_of_their_own(values: list[int], expected: list[int]) -> None:
    assert rows(values) == expected


@given(hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_every_column_has_a_sound_baseline(values: Any) -> None:
    feature = summary.numeric("x", "FP32", values)  # which checks itself
    assert feature.rows == len(values)
    assert counts.count_numbers(feature, values).tolist() == [*feature.counts, 0, 0, 0]
    assert sum(feature.shares) == pytest.approx(1)


@given(
    hnp.arrays(np.float32, st.integers(5, 300), elements=st.floats(-9, 9, width=32)),
    hnp.arrays(np.float32, 200, elements=st.floats(width=32)),
)
def test_each_value_is_counted_in_the_bin_it_lies_in(base: Any, live: Any) -> None:
    feature = summary.numeric("x", "FP32", base)
    known = live[~np.isnan(live)]
    inside = np.searchsorted(np.array(feature.edges, dtype=np.float32), known, "left")
    bins = np.bincount(inside, minlength=len(feature.counts)).tolist()
    below, above = int(np.sum(known < np.float32(feature.low))), int(np.sum(known > np.float32(feature.high)))
    assert counts.count_numbers(feature, live).tolist() == [*bins, len(live) - len(known), below, above]


def test_other_types_are_counted_as_they_come() -> None:
    whole = summary.numeric("n", "INT64", np.array([1, 2, 3, 4] * 50))
    assert counts.count_numbers(whole, np.array([0, 1, 4, 9])).tolist() == [2, 0, 0, 2, 0, 1, 1]
    truth = summary.numeric("b", "BOOL", np.array([True, False] * 50))
    assert counts.count_numbers(truth, np.array([True, True, False])).tolist() == [1, 2, 0, 0, 0]
    number = Numeric("x", "FP32", (), (5,), 0, 3.0, 3.0, 3.0, 0.0)
    assert counts.count_numbers(number, np.array([3, np.inf, -np.inf, np.nan], dtype=np.float32)).tolist() == [
        3,
        1,
        1,
        1,
    ]
