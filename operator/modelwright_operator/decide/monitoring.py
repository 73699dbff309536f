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


def ruling(deployment: api.Deployment, now: datetime) -> Ruling:  # noqa: PLR0911  # one for each thing that may be
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
    if report.digest is not None and report.digest != stable.digest:
        message = f"{stable.version} has a baseline of its own: its first window is open"
        return Ruling(_begun(deployment, Reason.BASELINE_CHANGED, message, sequence, now))
    closed_at = report.window.closed_at if report.window is not None else None
    if closed_at is None:
        return Ruling()
    left = closed_at + 2 * timedelta(seconds=rules.window.max_seconds) + _SLACK - now
    if left > timedelta(0):
        return Ruling(look_seconds=left.total_seconds())
    return Ruling(_aged(deployment, report, closed_at, now))


def _begun(deployment: api.Deployment, reason: Reason, message: str, sequence: int, now: datetime) -> Mapping[str, Any]:
    """Return the part with which a version's windows begin: nothing is known yet."""
    marks = [conditions.unknown(kind, reason, message) for kind in _TOLD]
    return {"monitoring": {"window": {"sequence": sequence, "rows": 0}}, "conditions": _merged(deployment, marks, now)}


def _aged(
    deployment: api.Deployment, report: api.MonitoringStatus, closed_at: datetime, now: datetime
) -> Mapping[str, Any] | None:
    """Return the part with nothing in it that could still be taken for true; None: it is so already."""
    known = [item for item in deployment.status.conditions if item.type in monitoring.CONDITIONS]
    if all(item.reason == Reason.REPORT_STALE for item in known):
        return None
    message = (
        f"no window was closed since {conditions.rfc3339(closed_at)}: no requests came, or no sidecar reports; see the "
        "logs of the container monitor"
    )
    marks = [conditions.unknown(item.type, Reason.REPORT_STALE, message) for item in known]
    document = report.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"monitoring": document, "conditions": _merged(deployment, marks, now)}


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
