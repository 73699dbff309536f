"""What becomes of the sidecars' report where no sidecar can say it: begun, outdated by a promotion, stale, or unwanted.

The operator writes here under the sidecars' own field manager, and the whole of their part, since what it left out
would go. A sidecar that closes a window at the same time has the better news: its write meets a changed object, is
tried again, and replaces this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator.decide import conditions
from modelwright_operator.reasons import Reason
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.conditions import Mark

_SLACK: Final = timedelta(seconds=120)
_TOLD: Final = (
    monitoring.MONITORING_HEALTHY,
    monitoring.DATA_DRIFT,
    monitoring.PREDICTION_DRIFT,
    monitoring.DATA_QUALITY,
)


@dataclass(frozen=True)
class Ruling:
    """What the operator writes for the sidecars.

    Attributes:
        part: all of their part of the status, empty to take it away; None: it stays as it is.
        look_seconds: when their report may be stale; None: it cannot become so.
    """

    part: Mapping[str, Any] | None = None
    look_seconds: float | None = None


def ruling(deployment: api.Deployment, now: datetime) -> Ruling:
    """Return what is to be written of monitoring where the sidecars do not."""
    rules, status = deployment.spec.monitoring, deployment.status
    report, stable = status.monitoring, status.stable
    if rules is None:
        return Ruling({} if report is not None else None)
    if stable is None:
        return Ruling()
    if report is None:
        message = f"the first window of {stable.version} is open; it needs requests to close"
        return Ruling(_begun(deployment, Reason.AWAITING_FIRST_WINDOW, message, 0, now))
    sequence = report.window.sequence if report.window is not None else 0
    if rules.quality is None and _speaks_of_labels(deployment, report):
        return Ruling(_without_labels(deployment, report))
    if report.digest is not None and report.digest != stable.digest:
        message = f"{stable.version} has a baseline of its own: its first window is open"
        return Ruling(_begun(deployment, Reason.BASELINE_CHANGED, message, sequence, now))
    return _ageing(deployment, rules, report, now)


def _begun(deployment: api.Deployment, reason: Reason, message: str, sequence: int, now: datetime) -> Mapping[str, Any]:
    """Return the part with which a version's windows begin: nothing is known yet."""
    rules, report = deployment.spec.monitoring, deployment.status.monitoring
    labels = rules is not None and rules.quality is not None
    kinds = (*_TOLD, *((monitoring.MODEL_QUALITY,) if labels else ()))
    marks = [conditions.unknown(kind, reason, message) for kind in kinds]
    document: dict[str, Any] = {"window": {"sequence": sequence, "rows": 0}}
    if labels and report is not None and report.quality is not None:  # labels are by version, and stay
        document["quality"] = _dumped(report)["quality"]
    return {"monitoring": document, "conditions": _merged(deployment, marks, now)}


def _speaks_of_labels(deployment: api.Deployment, report: api.MonitoringStatus) -> bool:
    known = conditions.find(deployment.status.conditions, monitoring.MODEL_QUALITY)
    return report.quality is not None or known is not None


def _without_labels(deployment: api.Deployment, report: api.MonitoringStatus) -> Mapping[str, Any]:
    """Return the part without what labels said."""
    document = {name: value for name, value in _dumped(report).items() if name != "quality"}
    kept = [item for item in _known(deployment) if item.type != monitoring.MODEL_QUALITY]
    return {"monitoring": document, "conditions": [_as_it_is(item) for item in kept]}


@dataclass(frozen=True)
class _Age:
    """When conditions become stale.

    Attributes:
        kinds: which.
        at: from when on.
        message: what to say then.
    """

    kinds: tuple[str, ...]
    at: datetime
    message: str


def _ageing(deployment: api.Deployment, rules: api.Monitoring, report: api.MonitoringStatus, now: datetime) -> Ruling:
    """Return the ruling on a report that is as it should be, but for its age.

    Windows and labels grow old by themselves: a verdict by labels holds as long as their predictions count.
    """
    ages: list[_Age] = []
    closed_at = report.window.closed_at if report.window is not None else None
    if closed_at is not None:
        message = (
            f"no window was closed since {conditions.rfc3339(closed_at)}: no requests came, or no sidecar reports; see "
            "the logs of the container monitor"
        )
        ages.append(_Age(_TOLD, closed_at + 2 * timedelta(seconds=rules.window.max_seconds) + _SLACK, message))
    updated_at = report.quality.updated_at if report.quality is not None else None
    if updated_at is not None and rules.quality is not None:
        delay = timedelta(seconds=rules.quality.max_label_delay_seconds)
        message = f"nothing was reported since {conditions.rfc3339(updated_at)}, and all predictions judged are too old"
        ages.append(_Age((monitoring.MODEL_QUALITY,), updated_at + delay + _SLACK, message))
    left = [(age.at - now).total_seconds() for age in ages if age.at > now]
    part = _aged(deployment, report, [age for age in ages if age.at <= now], now)
    return Ruling(part, min(left, default=None))


def _aged(
    deployment: api.Deployment, report: api.MonitoringStatus, stale: list[_Age], now: datetime
) -> Mapping[str, Any] | None:
    """Return the part with nothing in it that could still be taken for true; None: it is so already."""
    messages = {kind: age.message for age in stale for kind in age.kinds}
    known = _known(deployment)
    if all(item.reason == Reason.REPORT_STALE for item in known if item.type in messages):
        return None
    marks = [
        conditions.unknown(item.type, Reason.REPORT_STALE, messages[item.type])
        for item in known
        if item.type in messages
    ]
    others = [_as_it_is(item) for item in known if item.type not in messages]
    return {"monitoring": _dumped(report), "conditions": [*_merged(deployment, marks, now), *others]}


def _known(deployment: api.Deployment) -> list[api.Condition]:
    return [item for item in deployment.status.conditions if item.type in monitoring.CONDITIONS]


def _dumped(report: api.MonitoringStatus) -> dict[str, Any]:
    return report.model_dump(mode="json", by_alias=True, exclude_none=True)


def _as_it_is(condition: api.Condition) -> Mapping[str, Any]:
    since = conditions.rfc3339(condition.last_transition_time)
    return {**condition.model_dump(mode="json", by_alias=True), "lastTransitionTime": since}


def _merged(deployment: api.Deployment, marks: list[Mark], now: datetime) -> list[Mapping[str, Any]]:
    observed, generation = deployment.status.conditions, deployment.metadata.generation
    return conditions.merge(observed, marks, generation=generation, now=now)


@dataclass(frozen=True)
class Turn:
    """A condition of the sidecars whose status changed since it was last told of.

    Attributes:
        condition: as it is now.
        bad: whether somebody should look at it.
        known: whether another status was told of before.
    """

    condition: api.Condition
    bad: bool
    known: bool


def turns(deployment: api.Deployment) -> tuple[Turn, ...]:
    """Return the conditions of the sidecars that were not told of as they are."""
    told = {item.type: item.status for item in deployment.status.announced}
    found: list[Turn] = []
    for condition in deployment.status.conditions:
        if condition.type in monitoring.CONDITIONS and told.get(condition.type) != condition.status:
            wrong = "False" if condition.type == monitoring.MONITORING_HEALTHY else "True"
            found.append(Turn(condition, condition.status == wrong, condition.type in told))
    return tuple(found)
