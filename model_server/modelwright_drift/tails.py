"""Upper tails of the distributions that the tests need, without SciPy.

All are sums of positive terms, so that small tails keep their digits; absolute errors are below 1e-12 (the tests
compare with SciPy).  Terms are made in few NumPy calls, by a formula or outward from the largest by their ratios.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_SIGMAS = 40  # further out, a term is below 1e-300
_TINY = 1e-300
_BLOCK = 8192  # terms at once
_ROWS = 1 << 16  # terms at once of several tails
_MAX_FRACTIONS = 10_000
_SERIES_FROM = 16


def chi_square(x: float, freedom: int, noncentrality: float = 0.0) -> float:
    """Return P[χ'²(freedom, noncentrality) > x]; see `chi_squares`."""
    return float(chi_squares(np.array([x]), freedom, noncentrality)[0])


def chi_squares(x: Array, freedom: int, noncentrality: float = 0.0) -> Array:
    """Return P[χ'²(freedom, noncentrality) > x] for several x.

    A Poisson mixture of central tails (Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions 2, 29.2):
    Σ_j Poisson(j; λ/2) Q(f/2 + j, x/2), and Q(a+1, y) = Q(a, y) + y^a e^-y / Γ(a+1) (DLMF 8.8.6), which starts at
    Q(1/2, y) = erfc(√y) or Q(1, y) = e^-y.

    Args:
        x: where the tail begins; at or below 0 it is everything.
        freedom: degrees of freedom, 1 or more.
        noncentrality: 0 or more.
    """
    found = np.ones(len(x))
    start = 0.5 if freedom % 2 else 1.0
    offset = (freedom - 1) // 2  # f/2 = start + offset
    low, high = _around(noncentrality / 2)
    weights = _weights(noncentrality / 2, low, high)
    positive = np.flatnonzero(x > 0)
    step = max(1, _ROWS // (offset + high + 1))
    for at in range(0, len(positive), step):
        block = positive[at : at + step]
        y = x[block] / 2
        first, last = min(_around(float(y.min()))[0], offset + low), offset + high
        tails = np.zeros((len(y), last - first + 1))  # Q(start + i, y), i from first on
        np.cumsum(_poisson_like(start, y, first, last), axis=1, out=tails[:, 1:])
        if first == 0:
            head = map(math.erfc, np.sqrt(y).tolist()) if freedom % 2 else map(math.exp, (-y).tolist())
            tails += np.array([*head])[:, None]
        found[block] = tails[:, offset + low - first :] @ weights
    return np.minimum(found, 1.0)


def variance_ratio(x: float, numerator: int, denominator: int, noncentrality: float = 0.0) -> float:
    """Return P[F'(numerator, denominator, noncentrality) > x].

    A Poisson mixture as well (the same book, 30.3): Σ_j Poisson(j; λ/2) I_z(f₂/2, f₁/2 + j), z = f₂ / (f₂ + f₁ x), and
    I_z(b, a+1) = I_z(b, a) + z^b (1-z)^a Γ(a+b) / (Γ(b) Γ(a+1)) (DLMF 8.17.21).

    Args:
        x: where the tail begins; at or below 0 it is everything.
        numerator: degrees of freedom, 1 or more.
        denominator: degrees of freedom, 1 or more.
        noncentrality: 0 or more.
    """
    if x <= 0:
        return 1.0
    b, z = denominator / 2, denominator / (denominator + numerator * x)
    rest = numerator * x / (denominator + numerator * x)
    start = 0.5 if numerator % 2 else 1.0
    offset = (numerator - 1) // 2
    low, high = _around(noncentrality / 2)
    last = offset + high
    a = start + np.arange(last)
    steps = np.zeros(0)
    if last:
        peak = min(max(round((b - 1) * rest / z - start), 0), last - 1)
        log_ratios = np.log(rest) + np.log((b + a[:-1]) / a[1:])
        at = a[peak]
        log_peak = b * math.log(z) + at * math.log(rest) + _log_gamma_ratio(float(at), b)
        steps = _outward(log_peak, peak, log_ratios)
    head = z**b if start == 1.0 else beta(z, b, 0.5)
    tails = head + np.concatenate([[0.0], np.cumsum(steps)])
    weights = _weights(noncentrality / 2, low, high)
    return min(1.0, float(weights @ tails[offset + low :]))


def beta_binomial(least: int, trials: int, a: float, b: float) -> float:
    """Return P[X >= least] of X ~ Binomial(trials, θ), θ ~ Beta(a, b).

    The sum of its probabilities from `least` on, by their ratio (x+1 to x)
    (n-x)(a+x) / ((x+1)(b+n-x-1)) (Johnson, Kemp, Kotz, Univariate Discrete Distributions, 6.2.2).

    Args:
        least: successes; 0 or fewer is everything.
        trials: how often it was tried.
        a: positive; as many successes seen before.
        b: positive; as many failures seen before.
    """
    if least <= 0:
        return 1.0
    if least > trials:
        return 0.0
    log_term = (
        _log_choose(trials, least)
        + math.lgamma(least + a)
        + math.lgamma(trials - least + b)
        - math.lgamma(trials + a + b)
        - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    )
    total = 0.0
    at = least
    while True:
        x = np.arange(at, min(at + _BLOCK, trials), dtype=np.float64)
        logs = log_term + np.cumsum(np.log((trials - x) * (a + x)) - np.log((x + 1) * (b + trials - x - 1)))
        total += math.exp(log_term) + float(np.exp(logs[:-1]).sum())
        if at + _BLOCK >= trials:
            return min(1.0, total + (math.exp(float(logs[-1])) if len(logs) else 0.0))
        growing = len(logs) > 1 and logs[-1] >= logs[-2]
        log_term = float(logs[-1])
        if not growing and math.exp(log_term) * trials < total * 1e-17 + _TINY:
            return min(1.0, total)
        at += _BLOCK


def beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    return math.exp(log_front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction of the incomplete beta function by Lentz's algorithm."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MAX_FRACTIONS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / _nonzero(1 + even * d), _nonzero(1 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _nonzero(1 + odd * d), _nonzero(1 + odd / c)
        value *= d * c
        if abs(d * c - 1) < 1e-16:  # noqa: PLR2004 - a double's last bit
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _around(mean: float) -> tuple[int, int]:
    """Return the first and last index at which a Poisson distribution's terms are worth adding."""
    reach = _SIGMAS * math.sqrt(mean) + (_SIGMAS if mean else 0)
    return max(0, math.floor(mean - reach)), math.ceil(mean + reach)


@lru_cache(maxsize=16)  # features of a window have one mean, most of them
def _weights(mean: float, low: int, high: int) -> Array:
    """Return Poisson probabilities of low … high, which is all that counts, so they add up to 1."""
    if mean == 0:
        return np.ones(1)
    terms = _poisson_like(0.0, np.array([mean]), low, high + 1)[0]
    found: Array = terms / terms.sum()
    return found


def _poisson_like(start: float, means: Array, first: int, last: int) -> Array:
    """Return mean^a e^-mean / Γ(a+1), [means, a], at a = start + first … start + last - 1.

    Its logarithm is that at mean = a less the deviance a (e - log(1+e)), e = (mean-a) / a: no cancellation where a is
    near a large mean (Loader 2000).
    """
    a, peaks = _peaks(start, first, last)
    excess = (means[:, None] - a) / a
    found: Array = np.log1p(excess)
    found -= excess
    found *= a
    found += peaks
    np.exp(found, out=found)
    if start + first == 0:
        found[:, :1] = np.exp(-means)[:, None]
    return found


@lru_cache(maxsize=16)
def _peaks(start: float, first: int, last: int) -> tuple[Array, Array]:
    """Return each a, and log(a^a e^-a / Γ(a+1)), by Stirling's series where that has 16 digits (DLMF 5.11.1)."""
    a = start + np.arange(first, last, dtype=np.float64)
    a[a == 0] = 1.0  # that term is made apart
    s = a * a
    error = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / s) / s) / s) / s) / a
    peaks = -error - 0.5 * np.log(2 * math.pi * a)
    for at in np.flatnonzero(a < _SERIES_FROM).tolist():
        each = float(a[at])
        peaks[at] = each * math.log(each) - each - math.lgamma(each + 1)
    return a, peaks


def _outward(log_peak: float, peak: int, log_ratios: Array) -> Array:
    """Return terms whose neighbours' ratios are given, from the one at `peak` on in both directions."""
    logs = np.empty(len(log_ratios) + 1)
    logs[peak] = log_peak
    logs[peak + 1 :] = log_peak + log_ratios[peak:].cumsum()
    logs[:peak] = log_peak - log_ratios[:peak][::-1].cumsum()[::-1]
    return np.exp(logs, out=logs)


def _log_gamma_ratio(a: float, b: float) -> float:
    """Return log(Γ(a+b) / (Γ(b) Γ(a+1)))."""
    return math.lgamma(a + b) - math.lgamma(b) - math.lgamma(a + 1)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
