"""When a verdict on a canary is to be expected: the evidence, drawn out as it comes in now, until a test decides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import sequential
from modelwright_operator.decide.sequential import Counts, Stratum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modelwright_operator.decide.sequential import LogRatios
    from modelwright_operator.decide.verdict import Rules

_FURTHEST: Final = 30 * 86400.0  # seconds; what lies beyond is not said
_NEAREST: Final = 1.0


def seconds_left(
    strata: Sequence[Stratum],
    here: Sequence[Stratum],
    rules: Rules,
    ratios: tuple[LogRatios, LogRatios],
    inflation: float,
) -> float | None:
    """Return in how many seconds the first test decides if everything goes on as before; None: not within 30 days.

    Args:
        strata: all evidence; how often answers are bad is taken from it.
        here: that of the current step; how many requests there are a second is taken from it.
        rules: what the canary is held to.
        ratios: the log ratios of all strata, above tolerated_relative_risk and below max_relative_risk.
        inflation: of the split's variance.
    """
    second = _expected(strata, here)
    if second is None:
        return None
    canary = sum((item.canary for item in strata), Counts())
    above, below = ratios
    more_above = sequential.above([second], rules.tolerated_relative_risk)
    more_below = sequential.below([second], rules.max_relative_risk)
    tolerated = rules.tolerated_bad_percent / 100

    def decided(seconds: float) -> bool:
        bad, requests = canary.bad + second.canary.bad * seconds, canary.requests + second.canary.requests * seconds
        return (
            _drawn_out(above, more_above, seconds, inflation) >= -math.log(rules.rollback_alpha)
            or _drawn_out(below, more_below, seconds, inflation) >= -math.log(rules.promote_alpha)
            or (
                bad < tolerated * requests
                and sequential.log_e_share(bad, requests, tolerated, 1.0, tolerated) >= -math.log(rules.promote_alpha)
            )
        )

    return _first(decided)


def _expected(strata: Sequence[Stratum], here: Sequence[Stratum]) -> Stratum | None:
    """Return what a second will bring; None where nothing comes in."""
    seconds = sum(item.seconds for item in here)
    if seconds <= 0 or not here:
        return None

    def arm(requests: float, ever: Counts) -> Counts:
        rate = requests / seconds
        return Counts(rate, rate * ever.bad / ever.requests if ever.requests else 0.0)

    canary = arm(sum(item.canary.requests for item in here), sum((item.canary for item in strata), Counts()))
    stable = arm(sum(item.stable.requests for item in here), sum((item.stable for item in strata), Counts()))
    return Stratum(here[-1].step, here[-1].weight, 1.0, stable, canary) if canary.requests else None


def _drawn_out(ratios: LogRatios, more: LogRatios, seconds: float, inflation: float) -> float:
    return sequential.log_e(tuple(ratio + seconds * step for ratio, step in zip(ratios, more, strict=True)), inflation)


def _first(decided: Callable[[float], bool]) -> float | None:
    """Return when it is decided, to a hundredth; along a straight path evidence that has begun to grow goes on."""
    late = _NEAREST
    while not decided(late):
        late *= 2
        if late > _FURTHEST:
            return None
    early = late / 2 if late > _NEAREST else 0.0
    while late - early > max(late / 100, 0.5):
        middle = (early + late) / 2
        if decided(middle):
            late = middle
        else:
            early = middle
    return late
