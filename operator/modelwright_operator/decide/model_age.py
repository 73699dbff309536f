"""How old the version that answers is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from modelwright_operator.decide import conditions
from modelwright_operator.decide.course import Happened
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.conditions import Mark


def stale_at(deployment: api.Deployment) -> datetime | None:
    """Return when the version that answers is stale; None: never, as far as is known."""
    watched, stable = deployment.spec.monitoring, deployment.status.stable
    longest = watched.max_model_age_seconds if watched is not None else None
    if longest is None or stable is None or stable.version_created_at is None:
        return None
    return stable.version_created_at + timedelta(seconds=longest)


def mark(deployment: api.Deployment, now: datetime) -> Mark | None:
    """Return what the condition says of the model's age; None: nothing is asked for, or nothing answers yet."""
    end, stable = stale_at(deployment), deployment.status.stable
    if end is None or stable is None:
        return None
    until = f"spec.monitoring.maxModelAgeSeconds after its creation, at {conditions.rfc3339(end)}"
    if now >= end:
        message = f"{stable.version} is older than it should be: it became stale {until}"
        return conditions.true(conditions.MODEL_STALE, Reason.MODEL_STALE, message)
    return conditions.false(conditions.MODEL_STALE, Reason.MODEL_CURRENT, f"{stable.version} becomes stale {until}")


def turned(deployment: api.Deployment, age: Mark | None) -> tuple[Happened, ...]:
    """Return what is to be told: that the version became stale, or that one that is not took its place."""
    before, stable = conditions.find(deployment.status.conditions, conditions.MODEL_STALE), deployment.status.stable
    was = before is not None and before.status == "True"
    if age is None or stable is None or was == (age.status == "True"):
        return ()
    return (Happened(Reason(age.reason), stable.version, age.message),)
