"""Whether what was promoted is worse than what answered before: there is nothing beside it any more to compare it with.

How often answers were bad before is known up to a bound U that holds with certainty alpha/2 (an always-valid one,
by beta mixtures). The promoted version is taken back if its answers are bad more often than max_relative_risk times U,
for certain alpha/2. Both together are wrong with a chance of at most alpha if it is not riskier than that; but whatever
makes every version fail after the promotion counts against the new one: hence the tolerance of max_relative_risk.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import clustering, figures, sequential
from modelwright_operator.decide.breakdown import breakdown
from modelwright_operator.decide.sequential import Counts
from modelwright_operator.decide.verdict import Kind, Verdict
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.decide.sequential import Stratum
    from modelwright_operator.decide.verdict import Rules

_HALVINGS: Final = 40
_WINDOW_POWER: Final = 4.0  # as in verdict.py: without its worst half minute, alpha to the power of 1/4
_LEAST: Final = 1e-6  # share of bad answers that is assumed to happen to any version


def watched(before: Sequence[Stratum], after: Sequence[Stratum], rules: Rules) -> Verdict:
    """Return the verdict on a version that was promoted: Rollback, Undecided, or Inconclusive without requests.

    Args:
        before: the evidence of the rollout; `stable` is what answered before.
        after: what was answered since the promotion; `canary` is what was promoted.
        rules: those of the rollout; rollback_alpha and max_relative_risk are used.
    """
    old = sum((item.stable for item in before), Counts())
    new = sum((item.canary for item in after), Counts())
    if not new.requests:
        return Verdict(Kind.INCONCLUSIVE, Reason.NO_TRAFFIC, "no request was answered since the promotion")
    said = f"{figures.bad(new)} answers were bad since the promotion, {figures.bad(old)} before"
    if (found := breakdown(after, rules.rollback_alpha)) is not None and found.certain:
        last = figures.bad(found.canary)
        message = f"the promoted version does not answer properly: {last} of its last answers were bad"
        return Verdict(Kind.ROLLBACK, Reason.CANARY_BROKEN, message)
    alone = [replace(item, canary=item.stable, stable=Counts()) for item in before]
    inflation = clustering.inflation([*alone, *(replace(item, stable=Counts()) for item in after)])
    limit = math.log(2 / rules.rollback_alpha)
    bound = min(1.0, rules.max_relative_risk * _at_most(old, limit, inflation))
    evidence = _above(new, bound, inflation)
    without = [_above(_less(new, after[window]), bound, inflation) for window in clustering.windows(after)]
    evidence = min([evidence, *(_WINDOW_POWER * value for value in without)]) if evidence > 0 else evidence
    compared = f"{said}: e-value {figures.e_value(evidence)} (limit {figures.e_value(limit)}) for more than"
    message = f"{compared} {rules.max_relative_risk:g} times as often"
    kind, reason = Kind.UNDECIDED, Reason.COLLECTING_EVIDENCE
    if evidence >= limit:
        kind, reason = Kind.ROLLBACK, Reason.CANARY_WORSE
    return Verdict(kind, reason, message, e_rollback=figures.number(evidence), inflation=inflation)


def _at_most(counts: Counts, limit: float, inflation: float) -> float:
    """Return the share of bad answers that counts do not exceed, for certain; 1 without any."""
    if not counts.requests:
        return 1.0
    low, high = max(counts.bad / counts.requests, _LEAST), 1.0
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        if sequential.log_e_share(counts.bad, counts.requests, middle, 1.0, min(middle, 0.5)) / inflation >= limit:
            high = middle
        else:
            low = middle
    return high


def _above(counts: Counts, bound: float, inflation: float) -> float:
    """Return the log e-value of a share above the bound."""
    return sequential.log_e_share(counts.bad, counts.requests, 0.0, bound, min(2 * bound, 0.5)) / inflation


def _less(counts: Counts, window: Sequence[Stratum]) -> Counts:
    there = sum((item.canary for item in window), Counts())
    return Counts(counts.requests - there.requests, counts.bad - there.bad)
