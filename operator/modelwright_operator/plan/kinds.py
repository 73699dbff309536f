"""One entrance for the three kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from modelwright_operator.decide import conditions
from modelwright_operator.decide.snapshot import (
    AnySnapshot,
    DeploymentSnapshot,
    ModelVersionSnapshot,
    TrainingJobSnapshot,
)
from modelwright_operator.plan import deployment, model_version, training_job
from modelwright_operator.plan.outcome import Plan, finish
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelwright_operator import api


def plan(snapshot: AnySnapshot) -> Plan:
    """Return what to write for a snapshot."""
    match snapshot:
        case TrainingJobSnapshot():
            return training_job.plan(snapshot)
        case ModelVersionSnapshot():
            return model_version.plan(snapshot)
        case DeploymentSnapshot():
            return deployment.plan(snapshot)
        case _:
            assert_never(snapshot)


def resource_of(snapshot: AnySnapshot) -> api.TrainingJob | api.ModelVersion | api.Deployment:
    """Return the object that a snapshot is of."""
    match snapshot:
        case TrainingJobSnapshot():
            return snapshot.job
        case ModelVersionSnapshot():
            return snapshot.version
        case DeploymentSnapshot():
            return snapshot.deployment
        case _:
            assert_never(snapshot)


def unreadable(resource: api.Unreadable, status: Mapping[str, Any], message: str, now: datetime) -> Plan:
    """Return the plan for an object that this version of the operator cannot read: say so, and touch nothing else.

    Args:
        resource: what can be read of it.
        status: its status as it is, which is kept.
        message: what is wrong with it.
        now: the time.
    """
    text = f"this version of the operator cannot read the object; upgrade it or mend the object: {message}"
    return finish(resource, conditions.stalled(Reason.INVALID_SPEC, text), status, now, Plan(requeue_after=300.0))
