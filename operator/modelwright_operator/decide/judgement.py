"""From the figures of a status and of the pods' pages to what a rollout's machine is told of a canary."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from modelwright_operator.api.rollout_status import Evidence, Stratum
from modelwright_operator.decide import checks, evidence, pages, sequential, verdict, watch
from modelwright_operator.decide.course import Judgement
from modelwright_operator.decide.sequential import Counts
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator import api

_NOTES: Final[Mapping[Reason, str]] = {
    Reason.NO_TRAFFIC: "no request has reached the canary",
    Reason.INSUFFICIENT_SAMPLES: "too few requests have reached the canary",
    Reason.TRAFFIC_SHARE_MISMATCH: "the canary gets another share of the requests than it was given",
}

_ANY_SHARE: Final = 100
"""As a weight: whatever share of all requests the canary's are, they are judged."""


@dataclass(frozen=True)
class Judged:
    """What the figures say.

    Attributes:
        judgement: for the machine.
        shown: for the status.
        checks: what is known of analysis.checks, for the status.
        requests: answers of the canary, or copies, in the present step.
    """

    judgement: Judgement
    shown: Evidence
    checks: tuple[api.CheckStatus, ...]
    requests: int


def judged(  # noqa: PLR0913  # what a verdict rests on
    current: api.RolloutStatus,
    steps: Sequence[api.StepEvidence],
    sequence: int,
    rules: api.Rollout,
    now: datetime,
    *,
    known_checks: Sequence[api.CheckStatus],
    sticky: bool,
    mirrored: bool = False,
) -> Judged:
    """Return what the figures say of the canary, or of what was promoted while it is watched.

    Args:
        current: the rollout, with the figures as they were.
        steps: the figures as they are.
        sequence: of the present step.
        rules: how it is judged.
        now: when the figures were taken.
        known_checks: what is known of analysis.checks.
        sticky: whether a header decides where a request goes.
        mirrored: whether a gateway copies requests: the canary counts what it answers of them like any other, and
            nothing is compared.
    """
    known = _strata(current, steps, now)
    here = next((item for item in steps if item.sequence == sequence), None)
    watching = current.phase == "Watching"
    analysis = rules.analysis
    strata = [_stratum(item) for item in known]
    held_to = verdict.Rules(
        rollback_alpha=analysis.rollback_alpha,
        promote_alpha=analysis.promote_alpha,
        max_relative_risk=analysis.max_relative_risk,
        tolerated_bad_percent=analysis.tolerated_bad_percent,
        min_agreement=analysis.min_agreement,
        share_tolerance=verdict.STICKY_SHARE_TOLERANCE if sticky else verdict.SHARE_TOLERANCE,
    )
    if watching:
        found = watch.watched(*_parted(strata, sequence), held_to)
    else:
        silent = _silent_seconds(current, now)
        weight = _ANY_SHARE if mirrored else current.weight
        found = verdict.judge(strata, held_to, sequence, weight, _shadow(steps, known), silent_seconds=silent)
    said = checks.together(analysis.checks, known_checks, current.step_started_at)
    counted, found = found, checks.with_checks(found, said)
    shown = Evidence(
        observed_at=now,
        steps=list(steps),
        strata=list(known),
        realised_weight=pages.realised_weight(here) if here is not None and not (watching or mirrored) else None,
        verdict=found.kind.value,
        message=found.message[:1024],
        relative_risk_low=_rounded(found.relative_risk.low),
        relative_risk_high=_rounded(found.relative_risk.high),
        eta_seconds=found.eta_seconds,
    )
    note = (
        said.note or said.message
        if found is not counted
        else _NOTES.get(found.reason, "the evidence does not decide yet; status.rollout.evidence has the figures")
    )
    requests = _requests(here)
    return Judged(Judgement(found.kind.value, found.message, found.reason, note), shown, tuple(known_checks), requests)


def _silent_seconds(current: api.RolloutStatus, now: datetime) -> float:
    """Return for how long none of the pods that were given the present step's traffic has been ready."""
    if current.phase != "Stepping" or current.step_started_at is None or current.waiting_since is None:
        return 0.0
    return max((now - current.waiting_since).total_seconds(), 0.0)


def _requests(here: api.StepEvidence | None) -> int:
    return max(here.canary.requests, here.shadow.sent) if here is not None else 0


def _rounded(number: float) -> float | None:
    """Return three digits, which is all that is known; None for what has no bound."""
    return float(f"{number:.3g}") if math.isfinite(number) and number > 0 else None


def _strata(current: api.RolloutStatus, steps: Sequence[api.StepEvidence], now: datetime) -> tuple[Stratum, ...]:
    """Return the strata with what came since the figures of the status were taken."""
    known: tuple[sequential.Stratum, ...] = tuple(_stratum(item) for item in current.evidence.strata)
    before = {item.sequence: item for item in current.evidence.steps}
    since = current.evidence.observed_at or current.step_started_at or current.started_at
    seconds = max((now - since).total_seconds(), 0.0)
    for item in steps:
        old = before.get(item.sequence)
        look = sequential.Stratum(
            step=item.sequence,
            weight=item.weight,
            seconds=seconds,
            stable=_grown(item.stable, old.stable if old is not None else None),
            canary=_grown(item.canary, old.canary if old is not None else None),
            skipped=item.skipped - (old.skipped if old is not None else 0),
        )
        if look.stable.requests or look.canary.requests:
            known = evidence.added(known, look)
    return tuple(_written(item) for item in known)


def _grown(new: api.Answers, old: api.Answers | None) -> Counts:
    if old is None:
        return Counts(new.requests, new.bad)
    return Counts(max(new.requests - old.requests, 0), max(new.bad - old.bad, 0))


def _stratum(item: Stratum) -> sequential.Stratum:
    return sequential.Stratum(
        step=item.sequence,
        weight=item.weight,
        seconds=item.seconds,
        stable=Counts(item.stable_requests, item.stable_bad),
        canary=Counts(item.canary_requests, item.canary_bad),
        skipped=item.skipped,
    )


def _written(item: sequential.Stratum) -> Stratum:
    return Stratum(
        sequence=item.step,
        weight=int(item.weight),
        seconds=round(item.seconds),
        stable_requests=int(item.stable.requests),
        stable_bad=int(item.stable.bad),
        canary_requests=int(item.canary.requests),
        canary_bad=int(item.canary.bad),
        skipped=int(item.skipped),
    )


def _parted(
    strata: Sequence[sequential.Stratum], sequence: int
) -> tuple[list[sequential.Stratum], list[sequential.Stratum]]:
    """Return the strata of before the promotion, and those since, in which what was promoted is the canary."""
    before = [item for item in strata if item.step != sequence]
    after = [replace(item, canary=item.stable, stable=Counts()) for item in strata if item.step == sequence]
    return before, after


def _shadow(steps: Sequence[api.StepEvidence], known: Sequence[Stratum]) -> verdict.Shadow:
    copies = [item for item in steps if item.shadow.sent]
    sequences = {item.sequence for item in copies}
    return verdict.Shadow(
        sent=sum(item.shadow.sent for item in copies),
        failed=sum(item.shadow.failed for item in copies),
        compared=sum(item.shadow.compared for item in copies),
        agreed=sum(item.shadow.agreed for item in copies),
        seconds=sum(item.seconds for item in known if item.sequence in sequences),
    )
