"""How far counts are from their baseline, and whether that is more than chance and a tolerated margin explain.

With n live and N baseline rows, live counts c and the baseline's shares q of B bins (facts: Dirichlet-multinomial
counts have the covariance of a multinomial's times 1 + n/N):

    T  = Σ (c - n q)² / (n q) / (1 + n/N)            about χ²(B-1) if nothing drifted
    ne = n N / (n + N)
    p  = P[χ'²(B-1, ne m / VIF) > T / VIF]           the null hypothesis: Σ (p-q)²/q of the live shares p is m at most

Σ (p-q)²/q is the PSI for small shifts, so m reads as "a PSI nobody needs to hear of": the Population Resemblance
Statistic (Potgieter et al., arXiv 2307.11878) with a correction for the size of the baseline.  Where VIF was estimated
from K chunks of time, T / VIF / (B-1) is referred to F'(B-1, K-1, ne m / VIF) instead.  A baseline of N rows bounds ne,
so that with N = 500 a PSI of 0.1 is never found beyond a margin of 0.02.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modelwright_drift import tails
from modelwright_drift.baseline import Inflation

Array = npt.NDArray[np.float64]

LEAST_EXPECTED = 5  # effective rows of a bin, for the chi-square approximation (Cochran's rule)
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Divergence:
    """Counts compared with shares.

    Attributes:
        statistic: T.
        freedom: bins that were compared, less one.
        effective_rows: ne.
        psi: Σ (p̃-q) ln(p̃/q), with p̃ = (c+½) / (n+½B).
        psi_debiased: psi less its mean where nothing drifted, (B-1)(1/n + 1/N) (Yurdakul, Naranjo 2020).
    """

    statistic: float
    freedom: int
    effective_rows: float
    psi: float
    psi_debiased: float

    def p_value(self, margin: float, inflation: Inflation) -> float:
        """Return p for a tolerated divergence m, the margin."""
        if not self.freedom:
            return 1.0
        statistic = self.statistic / inflation.vif
        noncentrality = self.effective_rows * margin / inflation.vif
        if inflation.chunks:
            ratio = statistic / self.freedom
            return tails.variance_ratio(ratio, self.freedom, inflation.chunks - 1, noncentrality)
        return tails.chi_square(statistic, self.freedom, noncentrality)

    def lower_bound(self, alpha: float, inflation: Inflation) -> float:
        """Return the largest margin that is still rejected at alpha: a lower confidence bound of the divergence."""
        if not self.freedom or self.p_value(0, inflation) >= alpha:
            return 0.0
        low, high = 0.0, self.statistic / self.effective_rows  # where the mean of the tail reaches T: p > alpha
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p_value(middle, inflation) < alpha else (low, middle)
        return low


def compare(counts: npt.NDArray[np.int64], shares: tuple[float, ...], baseline_rows: int) -> Divergence:
    """Compare live counts with the shares of the same bins in a baseline of so many rows."""
    rows = int(counts.sum())
    if rows == 0 or len(shares) < 2:  # noqa: PLR2004 - one bin has no shape
        return Divergence(0.0, 0, 0.0, 0.0, 0.0)
    effective = rows * baseline_rows / (rows + baseline_rows)
    live, expected = pooled(counts, np.array(shares), effective)
    bins = len(expected)
    wanted = rows * expected
    excess = live - wanted
    statistic = float(excess @ (excess / wanted)) / (1 + rows / baseline_rows)
    smoothed = (live + 0.5) / (rows + 0.5 * bins)
    psi = float((smoothed - expected) @ np.log(smoothed / expected))
    return Divergence(statistic, bins - 1, effective, psi, psi - (bins - 1) * (1 / rows + 1 / baseline_rows))


def pooled(counts: npt.NDArray[np.int64], shares: Array, effective: float) -> tuple[Array, Array]:
    """Put bins together in which too few rows are expected for the approximation; which ones, live counts don't say."""
    live = counts.astype(np.float64)
    if float(shares.min()) * effective >= LEAST_EXPECTED:
        return live, shares
    order = np.argsort(shares, kind="stable")
    live, shares = live[order], shares[order]
    count = int(np.searchsorted(shares * effective, LEAST_EXPECTED))
    if not count:
        return live, shares
    if shares[:count].sum() * effective < LEAST_EXPECTED:
        count = min(count + 1, len(shares))
    joined = np.concatenate([[live[:count].sum()], live[count:]])
    return joined, np.concatenate([[shares[:count].sum()], shares[count:]])


def share_p_value(hits: int, rows: int, seen: float, baseline_rows: int, margin: float = 0.0) -> float:
    """Return p for one live share (missing, out of range, unseen) against that of a baseline, beyond a margin.

    Where enough rows are expected it is `Divergence.p_value` of two bins.  Else it is the exact tail of more hits than
    the baseline explains, with what the baseline leaves open: hits ~ Beta-binomial(rows, a, b) with a = `seen` and
    mean a / (a + b) the baseline's share.  (A plain binomial tail at the estimated share is far too sure of it: two
    rows out of N lie beyond the next N rows' extremes on average, but ten or more in 0.6 % of all cases, not in 5e-5.)
    The margin moves the mean to q + √(m q (1-q)), where Σ (p-q)²/q of the two bins is m.

    Args:
        hits: live rows concerned.
        rows: live rows.
        seen: pseudo-count: rows of the baseline concerned, and what its prior adds.
        baseline_rows: rows of the baseline; its share is seen / (baseline_rows + 1).
        margin: tolerated divergence m.
    """
    if rows == 0:
        return 1.0
    share = seen / (baseline_rows + 1)
    effective = rows * baseline_rows / (rows + baseline_rows)
    if effective * min(share, 1 - share) >= LEAST_EXPECTED:
        counts = np.array([hits, rows - hits], dtype=np.int64)
        return compare(counts, (share, 1 - share), baseline_rows).p_value(margin, Inflation())
    tolerated = min(share + math.sqrt(margin * share * (1 - share)), 1 - 1e-9)
    return tails.beta_binomial(hits, rows, seen, seen * (1 - tolerated) / tolerated)
