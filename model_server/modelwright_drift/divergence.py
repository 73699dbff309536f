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
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Case:
    """Live counts, the shares of the same bins in a baseline, and the baseline's rows."""

    counts: npt.NDArray[np.int64]
    shares: tuple[float, ...]
    baseline_rows: int


def compare(counts: npt.NDArray[np.int64], shares: tuple[float, ...], baseline_rows: int) -> Divergence:
    """Compare live counts with the shares of the same bins in a baseline of so many rows."""
    return compare_all([Case(counts, shares, baseline_rows)])[0]


def compare_all(cases: Sequence[Case]) -> list[Divergence]:
    """Compare several: the bins of all of them in one array, since a call of NumPy costs more than ten bins."""
    found = [Divergence(0.0, 0, 0.0, 0.0, 0.0)] * len(cases)
    shaped = [at for at, case in enumerate(cases) if len(case.shares) > 1 and case.counts.any()]  # one bin has no shape
    if not shaped:
        return found
    live, sizes, starts = _laid_out([cases[at].counts for at in shaped])
    expected = np.array([share for at in shaped for share in cases[at].shares])
    baselines = np.array([cases[at].baseline_rows for at in shaped], dtype=np.float64)
    rows = np.add.reduceat(live, starts)
    effective = rows * baselines / (rows + baselines)
    few = np.minimum.reduceat(expected, starts) * effective < LEAST_EXPECTED
    if few.any():
        parts = [
            pooled(part, shares, ne) if is_few else (part, shares)
            for part, shares, ne, is_few in zip(
                np.split(live, starts[1:]),
                np.split(expected, starts[1:]),
                effective.tolist(),
                few.tolist(),
                strict=True,
            )
        ]
        live, sizes, starts = _laid_out([part for part, _ in parts])
        expected = np.concatenate([shares for _, shares in parts])
    wanted = np.repeat(rows, sizes) * expected
    statistics = np.add.reduceat((live - wanted) ** 2 / wanted, starts) / (1 + rows / baselines)
    smoothed = (live + 0.5) / np.repeat(rows + 0.5 * sizes, sizes)
    psi = np.add.reduceat((smoothed - expected) * np.log(smoothed / expected), starts)
    debiased = psi - (sizes - 1) * (1 / rows + 1 / baselines)
    columns = (statistics, sizes - 1, effective, psi, debiased)
    for at, values in zip(shaped, zip(*(column.tolist() for column in columns), strict=True), strict=True):
        found[at] = Divergence(*values)
    return found


def p_values(found: Sequence[Divergence], margin: float, inflations: Sequence[Inflation]) -> list[float]:
    """Return p of each for a tolerated divergence m, the margin; see `Divergence.p_value`.

    Tails of one distribution are computed together: those of features of independent rows, all as often there.
    """
    values = [1.0] * len(found)
    alike: defaultdict[tuple[int, float], list[int]] = defaultdict(list)
    for at, (each, inflation) in enumerate(zip(found, inflations, strict=True)):
        if inflation.chunks:
            values[at] = each.p_value(margin, inflation)
        elif each.freedom:
            alike[each.freedom, each.effective_rows].append(at)
    for (freedom, effective), places in alike.items():
        statistics = np.array([found[at].statistic for at in places])
        tail = tails.chi_squares(statistics, freedom, effective * margin)
        for at, p in zip(places, tail.tolist(), strict=True):
            values[at] = p
    return values


def _laid_out(parts: Sequence[npt.NDArray[Any]]) -> tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return vectors one behind the other, how long each is, and where it begins."""
    sizes = np.array([*map(len, parts)], dtype=np.int64)
    return np.concatenate(parts).astype(np.float64), sizes, np.cumsum(sizes) - sizes


def pooled(counts: npt.NDArray[Any], shares: Array, effective: float) -> tuple[Array, Array]:
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
