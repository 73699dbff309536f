"""From evidence to a verdict on a canary, for people: what is tested, in which order, and in which words.

    the canary answers hardly anything properly ─────────────────► Rollback       CanaryBroken
    fewer answers agree with stable's than minAgreement ─────────► Rollback       PredictionsDisagree
    the traffic was not split as asked ──────────────────────────► Inconclusive   TrafficShareMismatch
    certainly riskier than stable, and maybe than allowed ───────► Rollback       CanaryWorse
    hardly anything answered properly, in one look so far ───────► Inconclusive   CollectingEvidence
    no requests, or too few ─────────────────────────────────────► Inconclusive   NoTraffic, InsufficientSamples
    certainly less risky than allowed ───────────────────────────► Promote        CanaryNotWorse
    certainly fewer bad answers than are tolerated anyway ───────► Promote        FewBadAnswers
    otherwise ───────────────────────────────────────────────────► Undecided      CollectingEvidence

A bad answer is an error, a slow or an invalid one. The relative risk r is how many times as likely to be bad an answer
of the canary is. Between `tolerated_relative_risk` (1: as good as stable) and `max_relative_risk` lies what either
verdict is right for. So an equal canary is rolled back with a chance of at most rollback_alpha, one that is
max_relative_risk times as risky promoted with at most promote_alpha, and one that surely lies between is promoted.

docs/analysis.md says the same for users, docs/decisions/0014 why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import clustering, expectation, figures, sequential
from modelwright_operator.decide.breakdown import breakdown, failing
from modelwright_operator.decide.sequential import Counts, Interval
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.decide.sequential import LogRatios, Stratum

SHARE_TOLERANCE: Final = 1.1
"""The realised share may be this many times the asked one, and the other way round."""
STICKY_SHARE_TOLERANCE: Final = 4.0
"""The same where a header decides: users differ in how much they ask."""
_SHARE_ALPHA: Final = 0.001
_FIRST_STEPS_PART: Final = 0.95  # of rollback_alpha is for the evidence since the first step, the rest for later starts
_WINDOW_POWER: Final = 4.0  # without its worst half minute the evidence must still reach alpha to the power of 1/4


class Kind(StrEnum):
    """What to do."""

    ROLLBACK = "Rollback"
    PROMOTE = "Promote"  # the step may end, once it has been held long enough
    UNDECIDED = "Undecided"  # wait: evidence comes in
    INCONCLUSIVE = "Inconclusive"  # wait: evidence is missing, or not fit to judge by


@dataclass(frozen=True)
class Rules:
    """What a canary is held to.

    Attributes:
        rollback_alpha: chance that a canary as good as stable is rolled back.
        promote_alpha: chance that one which is `max_relative_risk` times as risky is promoted.
        max_relative_risk: a canary this many times as risky as stable must not be promoted.
        tolerated_relative_risk: one up to this many times as risky must not be rolled back; at most max_relative_risk.
        tolerated_bad_percent: fewer bad answers than that are no reason to wait for a comparison.
        min_requests: that the canary must have had in the step before it is promoted.
        min_agreement: share of answers that must agree with stable's, 0 to 1; None: not judged.
        share_tolerance: SHARE_TOLERANCE or STICKY_SHARE_TOLERANCE.

    Raises:
        ValueError: the two relative risks are the wrong way round.
    """

    rollback_alpha: float = 0.01
    promote_alpha: float = 0.05
    max_relative_risk: float = 1.5
    tolerated_relative_risk: float = 1.0
    tolerated_bad_percent: float = 1.0
    min_requests: int = 0
    min_agreement: float | None = None
    share_tolerance: float = SHARE_TOLERANCE

    def __post_init__(self) -> None:
        if self.tolerated_relative_risk > self.max_relative_risk:
            message = f"tolerated_relative_risk {self.tolerated_relative_risk} is above {self.max_relative_risk}"
            raise ValueError(message)


@dataclass(frozen=True)
class Shadow:
    """What became of copies sent to the canary, over all steps that sent some.

    Attributes:
        sent: copies; `failed` of them had no proper answer.
        compared: answers that were compared with stable's; `agreed` of them agreed.
        seconds: how long copies were sent.
    """

    sent: float = 0
    failed: float = 0
    compared: float = 0
    agreed: float = 0
    seconds: float = 0


@dataclass(frozen=True)
class Verdict:
    """What the evidence says, and how sure it is.

    Attributes:
        kind, reason, message: what to do, and why, for people.
        e_rollback: e-value of the canary being riskier than tolerated; the limit is 1 / rollback_alpha.
        e_promote: e-value of it being less risky than max_relative_risk; the limit is 1 / promote_alpha.
        relative_risk: what the relative risk may be.
        inflation: how many times more than single failures the bad answers vary (clustering.py).
        share_percent: of the step's requests that were the canary's; None without requests.
        eta_seconds: until a verdict is to be expected if all goes on as it does; None: decided, or unknown.
    """

    kind: Kind
    reason: Reason
    message: str
    e_rollback: float = 1.0
    e_promote: float = 1.0
    relative_risk: Interval = field(default_factory=lambda: Interval(0.0, math.inf))
    inflation: float = 1.0
    share_percent: float | None = None
    eta_seconds: int | None = None


def judge(  # noqa: PLR0913  # what a verdict rests on
    strata: Sequence[Stratum],
    rules: Rules,
    step: int,
    weight: float,
    shadow: Shadow | None = None,
    *,
    silent_seconds: float = 0.0,
) -> Verdict:
    """Return the verdict on a canary in a step of its rollout.

    Args:
        strata: what was answered since the rollout of this canary began, in the order of time (evidence.added).
        rules: what it is held to.
        step: the step it is in.
        weight: percent of the requests it is to answer in it; 0: it only gets copies.
        shadow: what became of copies.
        silent_seconds: for how long no pod of the canary has been ready.
    """
    return _Judgement(tuple(strata), rules, step, weight, shadow or Shadow(), silent_seconds=silent_seconds).verdict()


class _Judgement:
    """One look at the evidence."""

    def __init__(  # noqa: PLR0913  # as judge
        self,
        strata: tuple[Stratum, ...],
        rules: Rules,
        step: int,
        weight: float,
        shadow: Shadow,
        *,
        silent_seconds: float,
    ) -> None:
        self._strata = strata
        self._rules = rules
        self._weight = weight
        self._shadow = shadow
        self._here = [item for item in strata if item.step == step]
        self._canary = sum((item.canary for item in self._here), Counts())
        self._stable = sum((item.stable for item in self._here), Counts())
        self._skipped = sum(item.skipped for item in self._here)
        self._inflation = clustering.inflation(strata)
        self._risk = sequential.relative_risk(strata, rules.rollback_alpha, rules.promote_alpha, self._inflation)
        self._above = [sequential.above([item], rules.tolerated_relative_risk) for item in strata]
        self._below = [sequential.below([item], rules.max_relative_risk) for item in strata]
        self._log_promote = sequential.log_e(sequential.combined(*self._below), self._inflation)
        self._log_rollback = self._worse()
        self._breakdown = breakdown(self._here, rules.rollback_alpha, silent_seconds)

    def verdict(self) -> Verdict:
        """Return the first verdict that the evidence supports."""
        return (
            self._broken()
            or self._disagreeing()
            or self._unevenly_split()
            or self._riskier()
            or self._suspected()
            or self._missing()
            or self._passed()
            or self._said(Kind.UNDECIDED, Reason.COLLECTING_EVIDENCE, self._comparison(), self._seconds_left())
        )

    def _said(self, kind: Kind, reason: Reason, message: str, eta_seconds: float | None = None) -> Verdict:
        asked = self._canary.requests + self._stable.requests
        return Verdict(
            kind=kind,
            reason=reason,
            message=message,
            e_rollback=figures.number(self._log_rollback),
            e_promote=figures.number(self._log_promote),
            relative_risk=self._risk,
            inflation=self._inflation,
            share_percent=100 * self._canary.requests / asked if asked else None,
            eta_seconds=None if eta_seconds is None else math.ceil(eta_seconds),
        )

    # what speaks against the canary

    def _broken(self) -> Verdict | None:
        found = self._breakdown
        if found is not None and found.certain:
            said = f"{figures.bad(found.canary)} of its last answers were bad, {figures.bad(found.stable)} of stable's"
        elif failing(self._shadow.sent, self._shadow.failed, self._rules.rollback_alpha):
            said = f"{self._shadow.failed:g} of {self._shadow.sent:g} copies failed"
        else:
            return None
        return self._said(Kind.ROLLBACK, Reason.CANARY_BROKEN, f"the canary does not answer properly: {said}")

    def _disagreeing(self) -> Verdict | None:
        wanted, shadow = self._rules.min_agreement, self._shadow
        if wanted is None or not shadow.compared or shadow.agreed / shadow.compared >= wanted:
            return None
        evidence = sequential.log_e_share(shadow.agreed, shadow.compared, wanted, 1.0, min(max(wanted, 0.01), 0.99))
        limit = -math.log(self._rules.rollback_alpha)
        if evidence < limit:
            return None
        return self._said(
            Kind.ROLLBACK,
            Reason.PREDICTIONS_DISAGREE,
            f"{shadow.agreed:g} of {shadow.compared:g} predictions agreed with stable's, fewer than minAgreement"
            f" {wanted:g}: e-value {figures.e_value(evidence)}, limit {figures.e_value(limit)}",
        )

    def _unevenly_split(self) -> Verdict | None:
        chosen, asked = self._canary.requests + self._skipped, self._weight / 100
        total = chosen + self._stable.requests
        if not 0 < asked < 1 or not total:
            return None
        low, high = asked / self._rules.share_tolerance, min(1.0, asked * self._rules.share_tolerance)
        evidence = sequential.log_e_share(chosen, total, low, high, asked)
        if evidence < -math.log(_SHARE_ALPHA):
            return None
        return self._said(
            Kind.INCONCLUSIVE,
            Reason.TRAFFIC_SHARE_MISMATCH,
            f"{100 * chosen / total:.3g} % of the requests went to the canary, {self._weight:g} % were to: not judged"
            " by it; look for servers that do not know the current weight, or for a sticky header with few values",
        )

    def _worse(self) -> float:
        """Return the log e-value against tolerated_relative_risk, from the first step and from later ones on.

        Evidence that begins later finds a canary that was good at first. Where the evidence from some step on says
        that the canary surely is within max_relative_risk, it does not count against it.
        """
        parts: list[float] = []
        for index, start in enumerate(_beginnings(self._strata)):
            better = sequential.log_e(sequential.combined(*self._below[start:]), self._inflation)
            if better < -math.log(self._rules.promote_alpha):
                part = _FIRST_STEPS_PART if index == 0 else (1 - _FIRST_STEPS_PART) / (index * (index + 1))
                parts.append(math.log(part) + self._doubted(start))
        return sequential.log_sum(parts)

    def _doubted(self, start: int) -> float:
        """Return the log e-value of what came since a stratum, held down if it rests on half a minute."""
        everything = sequential.combined(*self._above[start:])
        evidence = sequential.log_e(everything, self._inflation)
        if evidence < -math.log(self._rules.rollback_alpha):
            return evidence
        without = [
            sequential.log_e(_less(everything, self._above[start:][window]), self._inflation)
            for window in clustering.windows(self._strata[start:])
        ]
        return min([evidence, *(_WINDOW_POWER * value for value in without)])

    def _riskier(self) -> Verdict | None:
        if self._log_rollback < -math.log(self._rules.rollback_alpha):
            return None
        return self._said(Kind.ROLLBACK, Reason.CANARY_WORSE, self._comparison())

    def _suspected(self) -> Verdict | None:
        if self._breakdown is None:
            return None
        said = f"{figures.bad(self._breakdown.canary)} of the canary's last answers were bad"
        return self._said(
            Kind.INCONCLUSIVE, Reason.COLLECTING_EVIDENCE, f"{said}: the next look tells whether it answers at all"
        )

    # what is missing, and what speaks for it

    def _missing(self) -> Verdict | None:
        had, pace = self._canary.requests, sum(item.seconds for item in self._here)
        whose = "copies of requests were" if not self._weight else "requests were"
        if not self._weight:
            had, pace = self._shadow.compared + self._shadow.failed, self._shadow.seconds
        if not had:
            return self._said(
                Kind.INCONCLUSIVE, Reason.NO_TRAFFIC, f"no {whose} answered by the canary: send some, or wait for it"
            )
        missing = self._rules.min_requests - had
        if missing <= 0:
            return None
        eta = missing * pace / had
        return self._said(
            Kind.INCONCLUSIVE,
            Reason.INSUFFICIENT_SAMPLES,
            f"{had:g} {whose} answered by the canary, {missing:g} fewer than minRequests {self._rules.min_requests}",
            eta if pace else None,
        )

    def _passed(self) -> Verdict | None:
        limit = -math.log(self._rules.promote_alpha)
        if not self._weight:
            bad = Counts(self._shadow.compared + self._shadow.failed, self._shadow.failed)
            return self._tolerated(bad, "copies", limit)
        if self._log_promote >= limit:
            return self._said(Kind.PROMOTE, Reason.CANARY_NOT_WORSE, self._comparison())
        return self._tolerated(sum((item.canary for item in self._strata), Counts()), "answers", limit)

    def _tolerated(self, counts: Counts, what: str, limit: float) -> Verdict | None:
        tolerated = self._rules.tolerated_bad_percent / 100
        if counts.bad >= tolerated * counts.requests:
            return None
        if sequential.log_e_share(counts.bad, counts.requests, tolerated, 1.0, tolerated) < limit:
            return None
        return self._said(
            Kind.PROMOTE,
            Reason.FEW_BAD_ANSWERS,
            f"{figures.bad(counts)} of the canary's {what} were bad: certainly fewer than the"
            f" {self._rules.tolerated_bad_percent:g} % that are tolerated",
        )

    def _seconds_left(self) -> float | None:
        above, below = sequential.combined(*self._above), sequential.combined(*self._below)
        return expectation.seconds_left(self._strata, self._here, self._rules, (above, below), self._inflation)

    # words

    def _comparison(self) -> str:
        rules = self._rules
        canary = sum((item.canary for item in self._strata), Counts())
        stable = sum((item.stable for item in self._strata), Counts())
        rollback, promote = (figures.e_value(-math.log(alpha)) for alpha in (rules.rollback_alpha, rules.promote_alpha))
        return (
            f"{figures.bad(canary)} of the canary's answers were bad, {figures.bad(stable)} of stable's:"
            f" {figures.risk(self._risk)}; e-value {figures.e_value(self._log_rollback)} for worse than stable"
            f" (limit {rollback}), {figures.e_value(self._log_promote)} for less than {rules.max_relative_risk:g} times"
            f" the risk (limit {promote})"
        )


def _beginnings(strata: Sequence[Stratum]) -> list[int]:
    """Return where each step begins."""
    return [index for index, item in enumerate(strata) if index == 0 or item.step != strata[index - 1].step]


def _less(everything: LogRatios, window: Sequence[LogRatios]) -> LogRatios:
    """Return the log ratios without those of a window."""
    return tuple(whole - sum(parts) for whole, *parts in zip(everything, *window, strict=True))
