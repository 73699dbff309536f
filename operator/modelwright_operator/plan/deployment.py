"""Deployment: the chosen version gets a workload of its own, and traffic once that is ready; then the old one goes.

    (nothing) ──► canary comes up ──ready──► Service moves, canary becomes stable ──► old workloads are deleted
                        │
                        └── never ready: stable goes on answering, and the status says why

Decisions read the observed status: a crash between the Service and the status only repeats the promotion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelwright_operator import api, naming
from modelwright_operator.decide import conditions, pods, versions
from modelwright_operator.plan.outcome import Confirm, Delete, Plan, finish, refused, wanted
from modelwright_operator.reasons import Reason
from modelwright_operator.render import serving

if TYPE_CHECKING:
    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.observed import Child, Workload
    from modelwright_operator.decide.pods import Problem
    from modelwright_operator.decide.snapshot import DeploymentSnapshot
    from modelwright_operator.render.common import Manifest


@dataclass(frozen=True)
class _Tracks:
    """Which revision answers, which is to replace it, and which answered before."""

    stable: api.Revision | None
    canary: api.Revision | None
    previous: api.Revision | None


def plan(snapshot: DeploymentSnapshot) -> Plan:
    """Return what to write for a Deployment."""
    deployment = snapshot.deployment
    if deployment.metadata.deletion_timestamp is not None:
        return Plan()
    choice = versions.chosen(deployment.spec.model, snapshot.versions, deployment.status.stable)
    target = _revision(deployment, choice) if isinstance(choice, api.ModelVersion) else None
    tracks = _tracks(snapshot, target)
    promoted = tracks.stable != deployment.status.stable
    manifests = _children(snapshot, tracks)
    observed: tuple[Child, ...] = (*snapshot.workloads, *snapshot.children)
    applies = wanted(manifests, observed)
    stale = _stale(snapshot, tracks, settled=not promoted and not applies and not snapshot.refusals)
    marks = _marks(snapshot, tracks, choice)
    confirm = (
        (Confirm(naming.DEPLOYMENTS, deployment.metadata.name, deployment.metadata.resource_version),)
        if promoted or stale
        else ()
    )
    waiting = any(
        mark.type != conditions.READY for mark in marks if mark.type in {conditions.RECONCILING, conditions.STALLED}
    )
    writes = Plan(
        apply=() if snapshot.refusals else applies,
        delete=tuple(Delete(child) for child in stale),
        confirm=confirm,
        requeue_after=(30.0 if snapshot.refusals else 15.0) if waiting else None,
    )
    return finish(deployment, marks, _values(snapshot, tracks), snapshot.now, writes)


def _revision(deployment: api.Deployment, version: api.ModelVersion) -> api.Revision:
    return api.Revision(
        revision=serving.revision_hash(deployment, version),
        version=version.metadata.name,
        model=version.spec.model,
        digest=version.spec.artifact.digest,
        version_created_at=version.metadata.creation_timestamp,
    )


def _workload(snapshot: DeploymentSnapshot, revision: api.Revision | None) -> Workload | None:
    if revision is None:
        return None
    found = (item for item in snapshot.workloads if item.revision == revision.revision and not item.deleting)
    return next(found, None)


def _ready(snapshot: DeploymentSnapshot, revision: api.Revision) -> bool:
    """Tell whether a revision could take all the traffic: every pod asked for is ready (of none, all are)."""
    workload = _workload(snapshot, revision)
    replicas = snapshot.deployment.spec.replicas
    return workload is not None and workload.observed and workload.wanted == replicas and workload.ready >= replicas


def _tracks(snapshot: DeploymentSnapshot, target: api.Revision | None) -> _Tracks:
    status = snapshot.deployment.status
    stable, previous = status.stable, status.previous
    if target is None or (stable is not None and stable.revision == target.revision):
        return _Tracks(stable, None, previous)
    if _ready(snapshot, target) and not snapshot.refusals:
        return _Tracks(target, None, stable)
    return _Tracks(stable, target, previous)


def _version(snapshot: DeploymentSnapshot, revision: api.Revision) -> api.ModelVersion | None:
    return next((item for item in snapshot.versions if item.metadata.name == revision.version), None)


def _children(snapshot: DeploymentSnapshot, tracks: _Tracks) -> list[Manifest]:
    deployment = snapshot.deployment
    manifests: list[Manifest] = []
    for revision in (tracks.canary, tracks.stable):
        if revision is None:
            continue
        version = _version(snapshot, revision)
        workload = _workload(snapshot, revision)
        if version is not None:
            manifests.append(serving.workload(deployment, version, revision.revision, snapshot.settings, workload))
    if tracks.stable is not None:
        manifests.append(serving.service(deployment, tracks.stable.revision))
        if deployment.spec.replicas > 1:
            manifests.append(serving.disruption_budget(deployment, tracks.stable.revision))
    return manifests


def _stale(snapshot: DeploymentSnapshot, tracks: _Tracks, *, settled: bool) -> list[Child]:
    """Return what is no longer wanted: old workloads only once the Service was seen to point elsewhere."""
    if not settled:
        return []
    keep = {revision.revision for revision in (tracks.stable, tracks.canary) if revision is not None}
    stale: list[Child] = [item for item in snapshot.workloads if item.revision not in keep and not item.deleting]
    if snapshot.deployment.spec.replicas <= 1:
        stale.extend(item for item in snapshot.children if item.kind == "PodDisruptionBudget" and not item.deleting)
    return stale


def _values(snapshot: DeploymentSnapshot, tracks: _Tracks) -> dict[str, Any]:
    deployment = snapshot.deployment
    workload = _workload(snapshot, tracks.stable)
    dumped = {
        name: revision.model_dump(mode="json", by_alias=True) if revision is not None else None
        for name, revision in (("stable", tracks.stable), ("canary", tracks.canary), ("previous", tracks.previous))
    }
    shown = tracks.stable or tracks.canary
    selector = serving.pod_selector(deployment, shown.revision) if shown else {}
    return {
        **dumped,
        "url": serving.url(deployment) if tracks.stable else None,
        "replicas": workload.replicas if workload else 0,
        "readyReplicas": workload.ready if workload else 0,
        "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or None,
    }


def _available(snapshot: DeploymentSnapshot, tracks: _Tracks) -> Mark:
    workload = _workload(snapshot, tracks.stable)
    if tracks.stable is None:
        return conditions.false(conditions.AVAILABLE, Reason.UNAVAILABLE, "no version is being served yet")
    if workload is not None and workload.ready > 0:
        return conditions.true(conditions.AVAILABLE, Reason.AVAILABLE, f"{tracks.stable.version} answers requests")
    if snapshot.deployment.spec.replicas == 0:
        return conditions.false(conditions.AVAILABLE, Reason.SCALED_TO_ZERO, "spec.replicas is 0: nothing answers")
    return conditions.false(conditions.AVAILABLE, Reason.UNAVAILABLE, f"no pod of {tracks.stable.version} is ready")


def _trouble(snapshot: DeploymentSnapshot, revision: api.Revision) -> Problem | None:
    own = [pod for pod in snapshot.pods if pod.labels.get(naming.LABEL_REVISION) == revision.revision]
    found = pods.problem(own)
    if found is not None and found.lasting:
        return found
    workload = _workload(snapshot, revision)
    condition = workload.condition("Progressing") if workload is not None else None
    if condition is not None and condition.get("reason") == "ProgressDeadlineExceeded":
        look = f"see the pods with kubectl get pods -l {naming.LABEL_REVISION}={revision.revision}"
        message = (
            f"{revision.version} was not ready within spec.progressDeadlineSeconds: {found.message if found else look}"
        )
        return pods.Problem(Reason.PROGRESS_DEADLINE_EXCEEDED, message, lasting=True)
    failure = workload.condition("ReplicaFailure") if workload is not None else None
    if failure is not None and failure.get("status") == "True":
        return pods.Problem(Reason.POD_REJECTED, pods.cut(str(failure.get("message", ""))), lasting=True)
    return found


def _marks(
    snapshot: DeploymentSnapshot, tracks: _Tracks, choice: api.ModelVersion | versions.NoVersion
) -> tuple[Mark, ...]:
    available = _available(snapshot, tracks)
    if (marks := refused(snapshot.refusals)) is not None:
        return (*marks, available)
    if isinstance(choice, versions.NoVersion):
        shape = conditions.reconciling if choice.waiting else conditions.stalled
        return (*shape(choice.reason, f"{choice.message}{_still(tracks)}"), available)
    coming = tracks.canary or tracks.stable
    trouble = _trouble(snapshot, coming) if coming is not None else None
    if tracks.canary is not None:
        return (*_coming(tracks, tracks.canary, trouble), available)
    if tracks.stable is None or not _ready(snapshot, tracks.stable):
        return (*_scaling(snapshot, tracks, trouble), available)
    if snapshot.deployment.spec.replicas == 0:
        return (*conditions.ready(Reason.SCALED_TO_ZERO, "spec.replicas is 0: nothing answers, as asked"), available)
    refused_since = versions.passed_over(snapshot.deployment.spec.model, snapshot.versions, choice)
    note = f"; {refused_since}" if refused_since else ""
    return (*conditions.ready(Reason.AVAILABLE, f"{tracks.stable.version} answers requests{note}"), available)


def _still(tracks: _Tracks) -> str:
    return f"; {tracks.stable.version} goes on answering" if tracks.stable else ""


def _coming(tracks: _Tracks, canary: api.Revision, trouble: Problem | None) -> tuple[Mark, ...]:
    still = _still(tracks)
    if trouble is not None and trouble.lasting:
        return conditions.stalled(trouble.reason, f"{canary.version} cannot start: {trouble.message}{still}")
    if trouble is not None:
        return conditions.reconciling(trouble.reason, f"{canary.version} is waiting: {trouble.message}{still}")
    return conditions.reconciling(Reason.ROLLING_OUT, f"bringing up {canary.version}{still}")


def _scaling(snapshot: DeploymentSnapshot, tracks: _Tracks, trouble: Problem | None) -> tuple[Mark, ...]:
    workload = _workload(snapshot, tracks.stable)
    ready = workload.ready if workload else 0
    count = f"{ready} of {snapshot.deployment.spec.replicas} pods are ready"
    if trouble is not None and trouble.lasting:
        return conditions.stalled(trouble.reason, f"{count}: {trouble.message}")
    if trouble is not None:
        return conditions.reconciling(trouble.reason, f"{count}: {trouble.message}")
    return conditions.reconciling(Reason.SCALING, count)
