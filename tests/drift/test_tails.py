"""SciPy is the oracle, and exact fractions where SciPy itself is not exact enough."""

from fractions import Fraction
from math import comb, prod

import numpy as np
import pytest
from scipy import stats

from modelwright_drift import tails

FREEDOMS = [1, 2, 3, 9, 10, 19, 49]
NONCENTRALITIES = [0.0, 0.1, 3.0, 20.0, 100.0, 1000.0, 50_000.0]


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("noncentrality", NONCENTRALITIES)
def test_chi_square_is_scipys(freedom: int, noncentrality: float) -> None:
    deviation = np.sqrt(2 * (freedom + 2 * noncentrality))
    for x in freedom + noncentrality + deviation * np.array([-3, -1, 0, 1, 3, 6, 12, 30]):
        oracle = stats.ncx2.sf(x, freedom, noncentrality) if noncentrality else stats.chi2.sf(x, freedom)
        found = tails.chi_square(float(x), freedom, noncentrality)
        assert abs(found - oracle) <= 1e-10
        if oracle > 1e-13:
            assert found == pytest.approx(oracle, rel=1e-10, abs=0)


@pytest.mark.parametrize("numerator", FREEDOMS)
@pytest.mark.parametrize("denominator", [1, 7, 8, 39])
@pytest.mark.parametrize("noncentrality", [0.0, 3.0, 20.0, 500.0])
def test_variance_ratio_is_scipys(numerator: int, denominator: int, noncentrality: float) -> None:
    for x in (0.1, 1.0, 2.0, 5.0, 10.0, 80.0):
        if noncentrality:
            oracle = stats.ncf.sf(x, numerator, denominator, noncentrality)
        else:
            oracle = stats.f.sf(x, numerator, denominator)
        found = tails.variance_ratio(x, numerator, denominator, noncentrality)
        assert abs(found - oracle) <= 1e-10
        if oracle > 1e-12:
            assert found == pytest.approx(oracle, rel=1e-8, abs=0)


@pytest.mark.parametrize(("a", "b"), [(0.5, 1000.5), (2.0, 1999.0), (20.0, 3000.0), (5.0, 20.0)])
@pytest.mark.parametrize("trials", [1, 10, 200])
def test_beta_binomial_is_exact(a: float, b: float, trials: int) -> None:
    alpha, beta = Fraction(a), Fraction(b)

    def rising(start: Fraction, count: int) -> Fraction:
        return prod((start + index for index in range(count)), start=Fraction(1))

    whole = rising(alpha + beta, trials)
    terms = [comb(trials, x) * rising(alpha, x) * rising(beta, trials - x) / whole for x in range(trials + 1)]
    for least in (0, 1, 2, 5, trials, trials + 1):
        assert tails.beta_binomial(least, trials, a, b) == pytest.approx(float(sum(terms[least:])), rel=1e-10)


def test_beta_binomial_of_many_trials_goes_on_until_its_end() -> None:
    for least, trials, a, b in ((300, 1_000_000, 2.0, 1999.0), (30_000, 1_000_000, 2.0, 99.0), (1, 500_000, 0.5, 9.5)):
        oracle = stats.betabinom.sf(least - 1, trials, a, b)
        assert tails.beta_binomial(least, trials, a, b) == pytest.approx(oracle, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "a", "b"), [(0.1, 2.0, 3.0), (0.9, 0.5, 8.0), (0.999, 20.0, 0.5), (0.0, 1, 1), (1, 1, 1)]
)
def test_incomplete_beta_is_scipys(x: float, a: float, b: float) -> None:
    assert tails.beta(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-12)


def test_nothing_is_beyond_everything() -> None:
    assert tails.chi_square(0, 9) == tails.variance_ratio(-1, 9, 39) == tails.beta_binomial(0, 5, 1, 1) == 1
    assert tails.chi_square(1e6, 9, 20) == 0
