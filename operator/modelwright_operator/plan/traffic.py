"""The traffic table of a Deployment's status: by it stable pods spread requests, or count those a gateway spreads."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from modelwright_operator import api
from modelwright_operator.decide import tracks
from modelwright_operator.decide.course import Course
from modelwright_operator.render import serving
from modelwright_server import contract
from modelwright_server.contract.traffic import GATEWAY_API

if TYPE_CHECKING:
    from modelwright_operator.decide.snapshot import DeploymentSnapshot

SETTLING: Final = timedelta(seconds=10)
"""How long pods stay after the table that named them changed: sidecars pass it on within a second or so."""


def spread(snapshot: DeploymentSnapshot, stable: api.Revision, going: Course | None) -> api.TrafficStatus:
    """Return how the requests are to be spread, whoever does it. A canary gets some only while a pod of it is ready."""
    deployment, before = snapshot.deployment, snapshot.deployment.status.traffic
    sequence = before.sequence if before is not None else 0
    course = going or Course(stable, sequence=sequence)
    current, rules = course.rollout, deployment.spec.rollout
    tried = course.canary if course.phase in {"Stepping", "Promoting"} else None
    tried = course.previous if course.phase == "Watching" else tried
    ready = tried is not None and tracks.seen(snapshot, tried, None).ready > 0
    loaded = current is not None and (current.weight > 0 or current.shadow_percent > 0 or course.phase == "Watching")
    canary = (
        api.CanaryTrack(
            revision=tried.revision,
            version=tried.version,
            host=serving.canary_host(deployment),
            rest_port=serving.SERVICE_PORT,
            grpc_port=contract.GRPC_PORT,
        )
        if tried is not None and ready and loaded and rules is not None
        else None
    )
    trying = canary is not None and current is not None
    return api.TrafficStatus(
        stable=api.Track(revision=course.stable.revision, version=course.stable.version),
        canary=canary,
        sequence=course.sequence,
        weight=current.weight if trying and current is not None else 0,
        shadow_percent=current.shadow_percent if trying and current is not None else 0,
        match=deployment.spec.traffic.match if trying else None,
        sticky_header=deployment.spec.traffic.sticky_header if trying else None,
        canary_timeout_milliseconds=rules.canary_timeout_milliseconds if rules is not None else 1000,
        latency_threshold_milliseconds=rules.analysis.latency_threshold_milliseconds if rules is not None else None,
        mode=deployment.spec.traffic.mode,
        changed_at=before.changed_at if before is not None else None,
    )


def table(snapshot: DeploymentSnapshot, wanted: api.TrafficStatus) -> api.TrafficStatus:
    """Return the table for the pods.

    Where a gateway spreads the requests they send none on, also those of an earlier release, which know no mode.
    """
    before = snapshot.deployment.status.traffic
    gateway = wanted.mode == GATEWAY_API
    made = wanted.model_copy(update={"weight": 0, "shadow_percent": 0}) if gateway else wanted
    canary = made.canary
    if before == made or (before is None and canary is None):
        return made
    named = canary is not None or (before is not None and before.canary is not None)
    return made.model_copy(update={"changed_at": snapshot.now}) if named else made


def settled(snapshot: DeploymentSnapshot, made: api.TrafficStatus) -> bool:
    """Tell whether every pod may be taken to know the table, and none to be sent requests by an older one."""
    before = snapshot.deployment.status.traffic
    if made.canary is None and (before is None or before.canary is None) and made.changed_at is None:
        return True  # no pod was ever told of another
    return before == made and (made.changed_at is None or snapshot.now - made.changed_at >= SETTLING)
