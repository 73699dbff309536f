"""The tests on counts, against what can be worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from modelwright_operator.decide.sequential import (
    FACTORS,
    above,
    below,
    combined,
    log_e,
    log_e_share,
    log_mean,
    log_sum,
    relative_risk,
)
from tests.verdicts.looks import stratum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modelwright_operator.decide.sequential import LogRatios, Stratum


def _binomial(hits: int, trials: int, share: float) -> float:
    return math.comb(trials, hits) * share**hits * (1 - share) ** (trials - hits)


def test_the_alternatives_are_forty_from_1_05_to_20_evenly_spaced_in_their_logarithm() -> None:
    steps = {round(math.log(two / one), 12) for one, two in pairwise(FACTORS)}
    assert len(FACTORS) == 40
    assert [FACTORS[0], FACTORS[-1]] == pytest.approx([1.05, 20])
    assert len(steps) == 1


def test_one_bad_answer_of_the_canary_at_an_even_split() -> None:
    ratios = above([stratum((100, 0), (100, 1))], 1.0)
    assert math.exp(log_e(ratios)) == pytest.approx(sum(2 * k / (1 + k) for k in FACTORS) / 40)


def test_one_bad_answer_of_stable_at_a_tenth() -> None:
    ratios = above([stratum((90, 1), (10, 0))], 1.0)
    assert math.exp(log_e(ratios)) == pytest.approx(sum(1 / (0.9 + 0.1 * k) for k in FACTORS) / 40)


@pytest.mark.parametrize("bound", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("test", [above, below])
@pytest.mark.parametrize("inflation", [1.0, 4.0])
def test_at_its_bound_neither_test_is_expected_to_grow(
    test: Callable[[Sequence[Stratum], float], LogRatios], bound: float, inflation: float
) -> None:
    odds, both = 10 / 90, 30
    share = bound * odds / (1 + bound * odds)
    expected = math.fsum(
        _binomial(bad, both, share) * math.exp(log_e(test([stratum((90, both - bad), (10, bad))], bound), inflation))
        for bad in range(both + 1)
    )
    assert expected == pytest.approx(1.0) if inflation == 1 else expected < 1


@pytest.mark.parametrize(("risk", "stable_bad"), [(1.5, 0.02), (1.5, 0.6), (1.0, 0.3), (0.5, 0.9)])
def test_frequent_failures_are_counted_as_carefully(risk: float, stable_bad: float) -> None:
    requests, ours = 30, 8
    expected = math.fsum(
        _binomial(bad, ours, risk * stable_bad)
        * _binomial(others, requests, stable_bad)
        * math.exp(log_e(above([stratum((requests, others), (ours, bad))], 1.5)))
        for bad in range(ours + 1)
        for others in range(requests + 1)
    )
    assert expected <= 1 + 1e-12


def test_strata_of_one_split_are_as_good_as_their_sum() -> None:
    parts = [stratum((900, 3), (100, 1)), stratum((9, 0), (1, 1)), stratum((450, 4), (50, 0))]
    whole = stratum((1359, 7), (151, 2))
    assert above(parts, 1.0) == pytest.approx(above([whole], 1.0))
    assert combined(*(below([part], 1.5) for part in parts)) == pytest.approx(below([whole], 1.5))


@pytest.mark.parametrize(
    "silent",
    [stratum((100, 5), (0, 0)), stratum((0, 0), (100, 5)), stratum((100, 0), (100, 0)), stratum((0, 0), (0, 0))],
    ids=["no canary", "no stable", "nothing bad", "nothing"],
)
def test_a_stratum_without_a_comparison_says_nothing(silent: Stratum) -> None:
    informative = stratum((90, 1), (10, 2))
    assert above([silent, informative], 1.0) == above([informative], 1.0)


def test_without_evidence_every_relative_risk_is_possible() -> None:
    interval = relative_risk([], 0.01, 0.05, 1.0)
    assert (interval.low, interval.high) == (0.0, math.inf)


def test_bad_answers_of_one_arm_only_bound_one_side() -> None:
    only_canary = relative_risk([stratum((900, 0), (100, 20))], 0.01, 0.05, 1.0)
    only_stable = relative_risk([stratum((900, 200), (100, 0))], 0.01, 0.05, 1.0)
    assert only_canary.low > 5
    assert math.isinf(only_canary.high)
    assert only_stable.low == 0
    assert only_stable.high < 0.3


def test_the_interval_closes_in_on_the_truth() -> None:
    interval = relative_risk([stratum((9_000_000, 90_000), (1_000_000, 20_000))], 0.01, 0.05, 1.0)
    assert 1.9 < interval.low < 2.0 < interval.high < 2.1


def test_a_share_within_its_bounds_is_never_expected_to_be_doubted() -> None:
    for share in (0.08, 0.1, 0.12):
        expected = math.fsum(
            _binomial(hits, 80, share) * math.exp(log_e_share(hits, 80, 0.08, 0.12, 0.1)) for hits in range(81)
        )
        assert expected <= 1 + 1e-12


@pytest.mark.parametrize(
    ("hits", "low", "high"), [(1, 0.0, 0.0), (0, 1.0, 1.0)], ids=["where none may be", "where all must be"]
)
def test_an_impossible_share_is_ruled_out_at_once(hits: int, low: float, high: float) -> None:
    assert log_e_share(hits, 1, low, high, 0.5) == math.inf


def test_no_trials_say_nothing_about_a_share() -> None:
    assert log_e_share(0, 0, 0.1, 0.2, 0.1) == 0


def test_sums_of_numbers_too_large_and_too_small_to_be_written() -> None:
    assert log_sum([2000.0, 2000.0]) == pytest.approx(2000 + math.log(2))
    assert log_mean([-5000.0, -5000.0]) == pytest.approx(-5000)
    assert log_sum([]) == -math.inf
    assert log_sum([-math.inf]) == -math.inf
