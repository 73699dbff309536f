from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from modelwright_drift import counts, divergence, summary, verdict
from modelwright_drift.verdict import Settings, Share

if TYPE_CHECKING:
    from modelwright_drift.baseline import Numeric

RNG = np.random.default_rng(11)
BASE = RNG.normal(size=(10_000, 20)).astype(np.float32)
BASE[RNG.random(BASE.shape) < 0.05] = np.nan
FEATURES = [summary.numeric(f"x{index}", "FP32", BASE[:, index]) for index in range(20)]


def window(rows: int, **shifts: float) -> np.ndarray:
    found = RNG.normal(size=(rows, 20)).astype(np.float32)
    found[RNG.random(found.shape) < 0.05] = np.nan
    for name, shift in shifts.items():
        found[:, int(name[1:])] += np.float32(shift)
    return found


def judge(rows: np.ndarray, settings: Settings | None = None) -> verdict.Verdict:
    return verdict.judge(FEATURES, counts.count_matrix(FEATURES, rows), settings or Settings())


def test_no_drift_is_no_alarm() -> None:
    assert sum(bool(judge(window(1000)).drifted) for _ in range(100)) <= 1
    assert sum(bool(judge(window(1000), Settings(tolerated_psi=0)).drifted) for _ in range(100)) <= 3


def test_what_drifted_is_named_most_likely_first() -> None:
    found = judge(window(2000, x3=0.5, x7=1.0, x9=0.05))
    assert found.drifted == ("x7", "x3")
    drifted = found.findings[3]
    assert 0.1 < drifted.psi_lower < drifted.psi_debiased < drifted.psi
    assert found.findings[9].psi_lower == 0


def test_too_few_rows_say_nothing() -> None:
    found = judge(window(499, x3=2.0))
    assert (found.enough, found.drifted) == (False, ())
    assert not any(quality.flagged for finding in found.findings for quality in finding.quality)
    assert judge(window(500, x3=2.0)).drifted == ("x3",)


def test_quality_is_apart_from_drift() -> None:
    rows = window(2000)
    rows[:600, 4] = np.nan
    rows[::20, 5] = 99
    found = {finding.name: {q.share: q.flagged for q in finding.quality} for finding in judge(rows).findings}
    assert found["x4"] == {Share.MISSING: True, Share.OUT_OF_RANGE: False}
    assert found["x5"] == {Share.MISSING: False, Share.OUT_OF_RANGE: True}
    assert not any(flag for name, flags in found.items() if name not in {"x4", "x5"} for flag in flags.values())


def test_unseen_categories_are_flagged_and_whole_numbers_have_no_missing() -> None:
    plans = summary.categorical("plan", "BYTES", ["a"] * 5000 + ["b"] * 5000)
    ages = summary.numeric("age", "INT64", RNG.integers(18, 90, 10_000))
    live = [
        counts.count_categories(plans, ["a"] * 480 + ["b"] * 480 + ["new"] * 40),
        counts.count_numbers(ages, RNG.integers(18, 90, 1000)),
    ]
    plan, age = verdict.judge([plans, ages], live).findings
    assert [(quality.share, quality.flagged) for quality in plan.quality] == [(Share.UNSEEN, True)]
    assert [(quality.share, quality.flagged) for quality in age.quality] == [(Share.OUT_OF_RANGE, False)]


def test_a_constant_column_is_judged_by_its_range_only() -> None:
    feature = summary.numeric("x", "FP32", np.full(5000, 3, dtype=np.float32))
    (found,) = verdict.judge([feature], [counts.count_numbers(feature, np.full(900, 4, dtype=np.float32))]).findings
    assert (found.p, found.drifted) == (1.0, False)
    assert found.quality[1].flagged


def test_a_tolerance_tolerates() -> None:
    rows = window(20_000, x3=0.1)
    assert judge(rows, Settings(tolerated_psi=0)).drifted == ("x3",)
    assert judge(rows, replace(Settings(), tolerated_psi=0.02)).drifted == ()


def test_all_at_once_is_the_same_as_one_by_one() -> None:
    """Bins, rows, inflations and missing values of each their own, so that no two share a distribution, or many do."""
    features: list[Numeric] = []
    window: list[counts.Counts] = []
    for number in range(12):
        rows, bins = (4000, 3 + number % 4) if number % 2 else (900 + 100 * number, 10)
        values = RNG.integers(0, bins, rows).astype(np.float32) if number % 3 else RNG.normal(size=rows)
        features.append(summary.numeric(f"x{number}", "FP64", values.astype(np.float64), ordered=number == 7))
        live = RNG.permutation(values)[:800].astype(np.float64) + (0.5 if number == 4 else 0)
        live[: 10 * number] = np.nan
        window.append(counts.count_numbers(features[-1], live))
    whole = verdict.judge(features, window)
    for feature, drawn, found in zip(features, window, whole.findings, strict=True):
        alone = divergence.compare(drawn[: len(feature.counts)], feature.shares, feature.values)
        assert found.p == pytest.approx(alone.p_value(0.02, feature.inflation), rel=1e-9)
        assert (found.psi, found.psi_debiased) == pytest.approx((alone.psi, alone.psi_debiased), rel=1e-12)
        oracle = stats.ncx2.sf(alone.statistic, alone.freedom, 0.02 * alone.effective_rows)
        assert feature.inflation.chunks or found.p == pytest.approx(oracle, rel=1e-8, abs=1e-12)
