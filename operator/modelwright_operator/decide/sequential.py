"""Always-valid tests on counts: look as often as you like, the chance of ever being wrong stays below alpha.

An **e-process** is a number that starts at 1 and, as long as a hypothesis is true, is never expected to grow. Ville's
inequality: the chance that it *ever* reaches 1/alpha is at most alpha, however often somebody looks and whenever they
stop (Ramdas, Grünwald, Vovk, Shafer: Game-theoretic statistics and safe anytime-valid inference, 2023).

Two arms share the traffic; a stratum is a stretch of it with one split, `o` canary requests for each of stable's.
If a canary request is `r` times as likely to be bad, a bad request is the canary's with probability

    theta(r) = r o / (1 + r o)

however often requests are bad, and however that changes with time: only the split is modelled. Against `r <= bound`:

    E = mean over k of  product over strata of
            (theta(k bound) / theta(bound))^x  ((1 - theta(k bound)) / (1 - theta(bound)))^y

with x bad answers of the canary, y of stable, and k 40 values from 1.05 to 20, evenly spaced in their logarithm (a
mixture SPRT: Robbins 1970; Johari, Koomen, Pekelis, Walsh 2017). Against `r >= bound`, the same with 1/k. For a split
that does not depend on which requests go wrong, E is one at most on average for binomial counts as for Poisson's:
E[a^x b^y] <= exp(n p r (a - 1) + N p (b - 1)), which is exp(0) at the bound and less within the hypothesis.

Failures that come in clusters (one client, one pause of a pod) are fewer than they look. `inflation` is how many times
more a split varies than it would for single failures; each likelihood ratio is raised to 1/inflation, which
keeps its expectation below one (Jensen) and discounts clusters.

Everything is computed in logarithms and holds for counts of 1e9 and more. Counts may be fractions, for what is
expected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SMALLEST: Final = 1.05
_LARGEST: Final = 20.0
_HOW_MANY: Final = 40
FACTORS: Final = tuple(
    math.exp(math.log(_SMALLEST) + index * (math.log(_LARGEST) - math.log(_SMALLEST)) / (_HOW_MANY - 1))
    for index in range(_HOW_MANY)
)
"""How many times the bound the alternatives are."""

_EXTREME: Final = math.log(1e6)  # no relative risk beyond is told apart
_PRECISION: Final = 1e-3  # of the logarithm of a relative risk


@dataclass(frozen=True)
class Counts:
    """Answers of one arm; bad ones are among the requests."""

    requests: float = 0
    bad: float = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.requests + other.requests, self.bad + other.bad)


@dataclass(frozen=True)
class Stratum:
    """What was answered in a stretch of time with one split of the traffic.

    Attributes:
        step: number of the rollout's step.
        weight: percent of the requests that were to go to the canary.
        seconds: how long it lasted.
        stable, canary: what they answered.
        skipped: requests that the canary's share would have had, which stable answered without asking the canary.
    """

    step: int
    weight: float
    seconds: float
    stable: Counts
    canary: Counts
    skipped: float = 0

    @property
    def decides(self) -> bool:
        """Whether it tells anything about the relative risk: both arms had requests, and one was bad."""
        return self.stable.requests > 0 and self.canary.requests > 0 and self.stable.bad + self.canary.bad > 0

    def joined(self, other: Stratum) -> Stratum:
        """Return both as one, under this one's step and weight."""
        return Stratum(
            self.step,
            self.weight,
            self.seconds + other.seconds,
            self.stable + other.stable,
            self.canary + other.canary,
            self.skipped + other.skipped,
        )


LogRatios = tuple[float, ...]
"""For each alternative the logarithm of its likelihood over that of the bound."""

NOTHING: Final[LogRatios] = (0.0,) * _HOW_MANY


def above(strata: Iterable[Stratum], bound: float) -> LogRatios:
    """Return the log ratios of relative risks above `bound` over the bound itself: evidence that it is higher."""
    return _ratios(strata, bound, 1.0)


def below(strata: Iterable[Stratum], bound: float) -> LogRatios:
    """Return the log ratios of relative risks below `bound` over the bound itself: evidence that it is lower."""
    return _ratios(strata, bound, -1.0)


def _ratios(strata: Iterable[Stratum], bound: float, sign: float) -> LogRatios:
    known = [item for item in strata if item.decides]
    bad = math.fsum(item.canary.bad for item in known)
    parts = [
        (item.canary.bad + item.stable.bad, _canarys(bound * item.canary.requests / item.stable.requests))
        for item in known
    ]
    ratios: list[float] = []
    for factor in FACTORS:
        log_factor = sign * math.log(factor)
        more = math.expm1(log_factor)
        # both · log((1 + k bound o) / (1 + bound o)), exact for any odds o
        growth = math.fsum([both * math.log1p(more * share) for both, share in parts])
        ratios.append(bad * log_factor - growth)
    return tuple(ratios)


def _canarys(odds: float) -> float:
    return odds / (1 + odds) if odds < 1 else 1 / (1 + 1 / odds)


def combined(*parts: LogRatios) -> LogRatios:
    """Return the log ratios of several sets of strata together."""
    return tuple(math.fsum(values) for values in zip(*parts, strict=True)) if parts else NOTHING


def log_e(ratios: LogRatios, inflation: float = 1.0) -> float:
    """Return the logarithm of the e-value of these log ratios.

    Args:
        ratios: from `above` or `below`.
        inflation: of the split's variance, one or more.
    """
    return log_mean([ratio / inflation for ratio in ratios])


def log_mean(logarithms: Sequence[float]) -> float:
    """Return the logarithm of the mean of numbers given by their logarithms, whatever their size."""
    return log_sum(logarithms) - math.log(len(logarithms))


def log_sum(logarithms: Sequence[float]) -> float:
    """Return the logarithm of the sum of numbers given by their logarithms; minus infinity for none."""
    highest = max(logarithms, default=-math.inf)
    if math.isinf(highest):
        return highest
    return highest + math.log(math.fsum(math.exp(value - highest) for value in logarithms))


@dataclass(frozen=True)
class Interval:
    """What the relative risk may be; 0 and infinity where nothing is known on that side."""

    low: float
    high: float


def relative_risk(strata: Sequence[Stratum], low_alpha: float, high_alpha: float, inflation: float) -> Interval:
    """Return the relative risks that the strata do not rule out: at any time, the true one is among them.

    That is the tests turned around: `low` is the highest bound that is exceeded for certain (at `low_alpha`), `high`
    the lowest that is not reached (at `high_alpha`). Both are unique, since a likelihood is log-concave in the
    logarithm of the relative risk, and so evidence for more than a bound only shrinks as the bound rises.
    """
    known = [item for item in strata if item.decides]
    low_limit, high_limit = -math.log(low_alpha), -math.log(high_alpha)
    low = _crossing(lambda log_bound: low_limit - log_e(above(known, math.exp(log_bound)), inflation))
    high = _crossing(lambda log_bound: log_e(below(known, math.exp(log_bound)), inflation) - high_limit)
    return Interval(0.0 if low <= -_EXTREME else math.exp(low), math.inf if high >= _EXTREME else math.exp(high))


def _crossing(rising: Callable[[float], float]) -> float:
    """Return where a rising function becomes positive, by false position (Illinois); an end if not in between."""
    low, high = -_EXTREME, _EXTREME
    low_value, high_value = rising(low), rising(high)
    if low_value >= 0:
        return low
    if high_value < 0:
        return high
    while high - low > _PRECISION:
        # Between a tenth and nine tenths of the way, so that either end moves.
        middle = low + (high - low) * min(max(low_value / (low_value - high_value), 0.1), 0.9)
        value = rising(middle)
        if value >= 0:
            high, high_value, low_value = middle, value, low_value / 2
        else:
            low, low_value, high_value = middle, value, high_value / 2
    return (low + high) / 2


def log_e_share(hits: float, trials: float, low: float, high: float, mean: float) -> float:
    """Return the log e-value against a share between `low` and `high`: a beta mixture over the likeliest such share.

    Args:
        hits: of the trials.
        trials: how many there were.
        low: of the shares that are tested.
        high: of them.
        mean: of the mixture; it finds out soonest about shares around it. Between 0 and 1.
    """
    if trials <= 0:
        return 0.0
    concentration = 1 / min(mean, 1 - mean)
    a, b = concentration * mean, concentration * (1 - mean)
    mixture = _log_beta(a + hits, b + trials - hits) - _log_beta(a, b)
    likeliest = min(max(hits / trials, low), high)
    return mixture - _log_power(likeliest, hits) - _log_power(1 - likeliest, trials - hits)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_power(base: float, exponent: float) -> float:
    if exponent == 0:
        return 0.0
    return exponent * math.log(base) if base > 0 else -math.inf
