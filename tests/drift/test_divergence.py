"""The tests are what they claim: alpha without drift, power with it; seeded, bounded simulations."""

import numpy as np
import pytest
from scipy import stats

from modelwright_drift import counts, divergence, summary
from modelwright_drift.baseline import Inflation

EVEN = (0.1,) * 10
LEVEL = 1e-3


def p_values(*, shift: float, live: int, base: int, margin: float, runs: int, seed: int) -> np.ndarray:
    """Simulate: equal shares of the baseline are gaps of uniform order statistics; a shift moves them by Φ."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        masses = rng.dirichlet([(base + 1) / 10] * 10)
        if shift:
            edges = stats.norm.ppf(np.cumsum(masses)[:-1])
            masses = np.diff([0, *stats.norm.cdf(edges - shift), 1])
        window = rng.multinomial(live, masses)
        found.append(divergence.compare(window, EVEN, base).p_value(margin, Inflation()))
    return np.array(found)


@pytest.mark.parametrize(("live", "base"), [(200, 2000), (500, 500), (20_000, 2000), (1000, 10_000)])
def test_alpha_is_kept_without_drift(live: int, base: int) -> None:
    found = p_values(shift=0, live=live, base=base, margin=0, runs=4000, seed=live)
    assert np.mean(found < 0.05) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4000))
    assert np.mean(found < 0.01) <= 0.01 + 4 * np.sqrt(0.01 / 4000)
    # 1.4e-3 at most (facts measured on 10^6 draws): of 4000, more than 16 would be a chance of 5e-5.
    assert np.sum(found < LEVEL) <= 16


@pytest.mark.parametrize(
    ("margin", "shift", "live", "expected"),
    [
        (0.02, 0.1, 5000, 0.0),
        (0.02, 0.3, 500, 0.52),
        (0.02, 0.3, 1000, 0.91),
        (0.02, 0.2, 5000, 0.51),
        (0.02, 0.5, 500, 1.0),
        (0.05, 0.3, 1000, 0.18),
    ],
)
def test_power_is_that_of_the_table(margin: float, shift: float, live: int, expected: float) -> None:
    found = p_values(shift=shift, live=live, base=10_000, margin=margin, runs=300, seed=5)
    assert np.mean(found < LEVEL) == pytest.approx(expected, abs=0.1)


def test_psi_of_a_gaussian_shift() -> None:
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    for shift, psi in ((0.1, 0.010), (0.2, 0.038), (0.3, 0.086), (0.5, 0.238)):
        masses = np.diff([0, *stats.norm.cdf(edges - shift), 1])
        found = divergence.compare(np.round(masses * 10**7).astype(np.int64), EVEN, 10**7)
        assert found.psi == pytest.approx(psi, abs=0.001)


def test_debiased_psi_is_zero_on_average_without_drift() -> None:
    rng = np.random.default_rng(6)
    found = [divergence.compare(rng.multinomial(500, rng.dirichlet([200] * 10)), EVEN, 2000) for _ in range(2000)]
    assert np.mean([item.psi for item in found]) > 0.015
    assert abs(np.mean([item.psi_debiased for item in found])) < 0.002


def test_the_lower_bound_is_where_rejection_ends() -> None:
    window = np.array([700, 600, 550, 500, 500, 450, 450, 430, 420, 400])
    found = divergence.compare(window, EVEN, 10_000)
    lower = found.lower_bound(LEVEL, Inflation())
    assert 0 < lower < found.psi
    assert found.p_value(lower * 0.999, Inflation()) < LEVEL < found.p_value(lower * 1.001, Inflation())
    assert divergence.compare(np.full(10, 500), EVEN, 10_000).lower_bound(LEVEL, Inflation()) == 0


def test_bins_in_which_little_is_expected_are_put_together() -> None:
    shares = (0.9, 0.097, 0.001, 0.001, 0.001)
    assert divergence.compare(np.array([900, 97, 3, 0, 0]), shares, 1000).freedom == 1
    assert divergence.compare(np.array([90_000, 9_700, 100, 100, 100]), shares, 100_000).freedom == 4


def autoregressive(rng: np.random.Generator, rows: int, phi: float) -> np.ndarray:
    noise = rng.normal(size=rows + 500)
    values = np.zeros(rows + 500)
    for index in range(1, rows + 500):
        values[index] = phi * values[index - 1] + np.sqrt(1 - phi**2) * noise[index]
    return values[500:]


def test_rows_that_depend_on_their_neighbours_do_not_drown_the_user_in_alarms() -> None:
    rng = np.random.default_rng(7)
    runs, naive, corrected = 60, 0, 0
    for _ in range(runs):
        feature = summary.numeric("x", "FP64", autoregressive(rng, 20_000, 0.9), ordered=True)
        assert feature.inflation.chunks == 40
        window = counts.count_numbers(feature, autoregressive(rng, 2000, 0.9))[:-3]
        found = divergence.compare(window, feature.shares, feature.values)
        naive += found.p_value(0, Inflation()) < LEVEL
        corrected += found.p_value(0, feature.inflation) < LEVEL
    assert naive > runs // 4
    assert corrected <= 3


def test_independent_rows_have_no_inflation() -> None:
    rng = np.random.default_rng(8)
    found = [summary.numeric("x", "FP64", rng.normal(size=4000), ordered=True).inflation for _ in range(20)]
    assert np.mean([item.vif for item in found]) < 1.06
    assert summary.numeric("x", "FP64", rng.normal(size=700), ordered=True).inflation == Inflation()
    assert summary.numeric("x", "FP64", rng.normal(size=4000)).inflation.source == "none"


def test_values_beyond_the_baselines_are_as_rare_as_they_must_be() -> None:
    """Rows beyond N independent ones: exactly beta-binomial, so p is nearly uniform whatever the distribution."""
    rng = np.random.default_rng(9)
    runs, base, live = 4000, 1000, 1000
    found = []
    for _ in range(runs):
        low = rng.beta(1, base)
        high = (1 - low) * rng.beta(1, base - 1)
        found.append(divergence.share_p_value(int(rng.binomial(live, low + high)), live, 2.0, base))
    for level in (0.05, 0.01, 1e-3):
        assert np.mean(np.array(found) < level) <= level + 4 * np.sqrt(level / runs)
    assert np.mean(np.array(found) < 0.05) > 0.01


def test_shares_are_compared_both_ways_where_there_are_rows_enough() -> None:
    assert divergence.share_p_value(200, 2000, 1000.5, 10_000) == pytest.approx(1, abs=0.99)
    assert divergence.share_p_value(100, 2000, 1000.5, 10_000) < 1e-6
    assert divergence.share_p_value(320, 2000, 1000.5, 10_000) < 1e-6
    assert divergence.share_p_value(210, 2000, 1000.5, 10_000, margin=0.02) > 0.5
    assert divergence.share_p_value(0, 0, 1, 10) == 1


def test_one_new_category_in_a_window_is_no_alarm_but_a_flood_is() -> None:
    assert divergence.share_p_value(1, 2000, 0.5, 10_000) > 0.05
    assert divergence.share_p_value(60, 2000, 0.5, 10_000, margin=0.02) < 1e-4
