"""Deployment: the chosen version gets a workload of its own, then traffic; then the old one goes.

    (nothing) ──► canary comes up ──ready──► Service moves, canary becomes stable ──► old workloads are deleted
                        │
                        └── never ready: stable goes on answering, and the status says why

With spec.rollout, traffic moves step by step in between: decide/rollout.py draws that. Decisions read the observed
status: a crash between the Service and the status only repeats the promotion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelwright_operator import api, naming
from modelwright_operator.decide import approval, compatibility, conditions, pods, redaction, rollout, scaling, versions
from modelwright_operator.decide import monitoring as watched
from modelwright_operator.decide import tracks as seen
from modelwright_operator.plan import approvals, gateway, monitoring, retraining, rollouts, serving_image, traffic
from modelwright_operator.plan.outcome import Confirm, Delete, Plan, finish, refused, wanted
from modelwright_operator.reasons import Reason
from modelwright_operator.render import autoscaler, network, serving

if TYPE_CHECKING:
    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.course import Course
    from modelwright_operator.decide.observed import Child, Workload
    from modelwright_operator.decide.pods import Problem
    from modelwright_operator.decide.snapshot import DeploymentSnapshot
    from modelwright_operator.render.common import Manifest


@dataclass(frozen=True)
class _Tracks:
    """Which revision answers, which is to replace it, and which answered before.

    Attributes:
        course: of a rollout by steps; None: the canary takes over as soon as it is ready.
        rejection: why the revision that is wanted is not tried.
    """

    stable: api.Revision | None
    canary: api.Revision | None
    previous: api.Revision | None
    course: Course | None = None
    rejection: api.Rejection | None = None

    @property
    def weight(self) -> int:
        """Percent of the requests that the canary is to answer."""
        current = self.course.rollout if self.course is not None and self.canary is not None else None
        return current.weight if current is not None else 0

    @property
    def kept(self) -> tuple[api.Revision, ...]:
        """The revisions whose pods are wanted; last the one that people call."""
        watched = self.previous if self.course is not None and self.course.phase == "Watching" else None
        return tuple(item for item in (watched, self.canary, self.stable) if item is not None)


def plan(snapshot: DeploymentSnapshot) -> Plan:
    """Return what to write for a Deployment."""
    deployment = snapshot.deployment
    if deployment.metadata.deletion_timestamp is not None:
        return Plan()
    whole, snapshot = snapshot, retraining.serving_only(snapshot)
    choice = redaction.redacting(deployment, _choice(snapshot))
    tracks = _tracks(snapshot, choice)
    promoted = tracks.stable != deployment.status.stable
    renewal = retraining.plan(whole, _under_way(tracks, promoted=promoted))
    spread = traffic.spread(snapshot, tracks.stable, tracks.course) if tracks.stable is not None else None
    table = traffic.table(snapshot, spread) if spread is not None else None
    changed_at = table.changed_at if table is not None else None
    quiet = scaling.quiet_seconds(tracks.weight, changed_at, snapshot.now)
    manifests = _children(snapshot, tracks, spread, grows_only=quiet is not None)
    observed: tuple[Child, ...] = (*snapshot.workloads, *snapshot.children)
    applies = wanted(manifests, observed)
    settled = not (promoted or applies or snapshot.refusals) and (table is None or traffic.settled(snapshot, table))
    stale = _stale(snapshot, tracks, settled=settled)
    marks = (*_marks(snapshot, tracks, choice), *scaling.marks(snapshot), *renewal.marks)
    asked = approvals.plan(snapshot, choice, tracks.stable, marks)
    marks = (*marks, *asked.marks)
    confirm = (
        (Confirm(naming.DEPLOYMENTS, deployment.metadata.name, deployment.metadata.resource_version),)
        if promoted or stale
        else ()
    )
    happened = tracks.course.happened if tracks.course is not None else ()
    ruling = watched.ruling(deployment, snapshot.now)
    told = {**_values(snapshot, tracks), **rollouts.values(snapshot, tracks.course, table), **renewal.values}
    told, turned = monitoring.announced(snapshot, told)
    further = (*asked.happened, *renewal.happened)  # retraining follows from what turned
    told = rollouts.remembered(snapshot, told, further)
    writes = Plan(
        apply=(*(() if snapshot.refusals else applies), *renewal.apply),
        delete=(*(Delete(child) for child in stale), *renewal.delete),
        confirm=(*confirm, *renewal.confirm),
        monitor=ruling.part,
        events=(*rollouts.events(happened), *turned, *rollouts.events(further)),
        requeue_after=_sooner(
            _requeue(snapshot, tracks, marks, settled=settled),
            quiet if deployment.spec.autoscaling is not None else None,
            ruling.look_seconds,
            renewal.requeue_after,
        ),
    )
    return finish(deployment, marks, told, snapshot.now, writes)


def _under_way(tracks: _Tracks, *, promoted: bool) -> str:
    """Return what a rollout is doing; empty: there is none."""
    if tracks.canary is not None:
        return f"{tracks.canary.version} is to take over"
    watching = tracks.course is not None and tracks.course.phase is not None
    return f"{tracks.stable.version} has just taken over" if tracks.stable and (promoted or watching) else ""


def _sooner(*times: float | None) -> float | None:
    soonest = min(item if item is not None else math.inf for item in times)
    return soonest if soonest < math.inf else None


def _requeue(snapshot: DeploymentSnapshot, tracks: _Tracks, marks: tuple[Mark, ...], *, settled: bool) -> float | None:
    if tracks.course is not None and (look := rollouts.look_seconds(tracks.course, settled=settled)) is not None:
        return look
    waiting = any(
        mark.type != conditions.READY for mark in marks if mark.type in {conditions.RECONCILING, conditions.STALLED}
    )
    return (30.0 if snapshot.refusals else 15.0) if waiting else None


def _choice(snapshot: DeploymentSnapshot) -> api.ModelVersion | versions.NoVersion:
    """Return the version that is wanted; of a followed model, rejected ones are passed over while others remain."""
    deployment = snapshot.deployment
    reference, stable = deployment.spec.model, deployment.status.stable
    rules = approval.Rules.of(snapshot.settings)
    first = choice = versions.chosen(reference, snapshot.versions, stable, rules)
    if not rollouts.careful(deployment):
        return choice
    passed: set[str] = set()
    while isinstance(choice, api.ModelVersion) and reference.name is not None:
        if rollouts.rejected(snapshot, deployment.status.rejected, serving_image.revision(snapshot, choice)) is None:
            break
        passed.add(choice.metadata.name)
        left = [item for item in snapshot.versions if item.metadata.name not in passed]
        choice = versions.chosen(reference, left, stable, rules)
    serves_already = (
        isinstance(choice, api.ModelVersion) and stable is not None and choice.metadata.name == stable.version
    )
    if isinstance(choice, versions.NoVersion) or (passed and serves_already):
        choice = first  # whose rejection the status tells of
    return _fitting(snapshot, choice) if isinstance(choice, api.ModelVersion) else choice


def _fitting(snapshot: DeploymentSnapshot, version: api.ModelVersion) -> api.ModelVersion | versions.NoVersion:
    rules, stable = snapshot.deployment.spec.rollout, snapshot.deployment.status.stable
    if rules is None or stable is None or rules.allow_schema_change:
        return version
    return compatibility.fitting(version, stable, versions.named(snapshot.versions, stable))


def _workload(snapshot: DeploymentSnapshot, revision: api.Revision | None) -> Workload | None:
    return seen.workload_of(snapshot, revision) if revision is not None else None


def _ready(snapshot: DeploymentSnapshot, revision: api.Revision) -> bool:
    """Tell whether a revision could take all the traffic: every pod asked for is ready (of none, all are)."""
    workload = _workload(snapshot, revision)
    size = scaling.full_size(snapshot)
    return workload is not None and workload.observed and workload.wanted == size and workload.ready >= size


def _tracks(snapshot: DeploymentSnapshot, choice: api.ModelVersion | versions.NoVersion) -> _Tracks:
    deployment, status = snapshot.deployment, snapshot.deployment.status
    target = serving_image.revision(snapshot, choice) if isinstance(choice, api.ModelVersion) else None
    rules = deployment.spec.rollout
    stable, previous = status.stable, status.previous
    if approvals.withheld(choice) and status.canary is not None:
        target = stable  # the version under way may not serve any more
    if rules is not None and stable is not None and rollouts.careful(deployment):
        course = rollouts.advanced(snapshot, rules, stable, target)
        rejection = rollouts.rejected(snapshot, course.rejected, target)
        return _Tracks(course.stable, course.canary, course.previous, course, rejection)
    if target is None or (stable is not None and stable.revision == target.revision):
        return _Tracks(stable, None, previous)
    if _ready(snapshot, target) and not snapshot.refusals:
        return _Tracks(target, None, stable)
    return _Tracks(stable, target, previous)


def _size(snapshot: DeploymentSnapshot, tracks: _Tracks, revision: api.Revision) -> int:
    deployment, full = snapshot.deployment, scaling.full_size(snapshot)
    if deployment.spec.autoscaling is not None and revision == tracks.stable:
        return scaling.size_now(snapshot, deployment.spec.autoscaling, _workload(snapshot, revision))
    if tracks.course is None or deployment.spec.rollout is None:
        return full
    return rollout.size(tracks.course, revision, full, deployment.spec.rollout)


def _children(
    snapshot: DeploymentSnapshot, tracks: _Tracks, spread: api.TrafficStatus | None, *, grows_only: bool
) -> list[Manifest]:
    deployment = snapshot.deployment
    rules = deployment.spec.autoscaling
    manifests: list[Manifest] = []
    if tracks.kept and snapshot.settings.network_policies:  # before the pods
        manifests.append(network.policy(deployment, snapshot.settings))
    for revision in tracks.kept:
        version = versions.named(snapshot.versions, revision)
        workload = _workload(snapshot, revision)
        if version is not None:
            manifests.append(
                serving.workload(
                    deployment,
                    version,
                    revision.revision,
                    snapshot.settings,
                    workload,
                    replicas=_size(snapshot, tracks, revision),
                    autoscaled=rules is not None and revision == tracks.stable,
                )
            )
    if tracks.stable is not None:
        manifests.append(serving.service(deployment, tracks.stable.revision))
        if deployment.spec.rollout is not None:
            tried = tracks.canary or tracks.stable
            manifests.append(serving.service(deployment, tried.revision, canary=True))
        if scaling.most(deployment) > 1:
            manifests.append(serving.disruption_budget(deployment, tracks.stable.revision))
        if rules is not None:
            manifests.append(autoscaler.autoscaler(deployment, rules, tracks.stable.revision, grows_only=grows_only))
        manifests.extend(monitoring.manifests(deployment))
        if spread is not None and (route := gateway.manifest(snapshot, tracks.stable, spread)) is not None:
            manifests.append(route)
    return manifests


def _stale(snapshot: DeploymentSnapshot, tracks: _Tracks, *, settled: bool) -> list[Child]:
    """Return what is no longer wanted: old workloads only once the Service was seen to point elsewhere."""
    scaler = scaling.autoscaler(snapshot) if snapshot.deployment.spec.autoscaling is None else None
    route = gateway.unwanted(snapshot)
    if not settled:  # these go at once: an autoscaler would undo what spec.replicas says, a route spread on
        return [item for item in (scaler, route) if item is not None]
    keep = {revision.revision for revision in tracks.kept}
    stale: list[Child] = [item for item in snapshot.workloads if item.revision not in keep and not item.deleting]
    unwanted = monitoring.unwanted(snapshot.deployment)
    name = snapshot.deployment.metadata.name
    if snapshot.deployment.spec.autoscaling is None:
        unwanted.add((scaling.AUTOSCALER, name))
    if not snapshot.settings.network_policies:
        unwanted.add((network.KIND, name))
    if scaling.most(snapshot.deployment) <= 1:
        unwanted.add(("PodDisruptionBudget", name))
    if snapshot.deployment.spec.rollout is None:
        unwanted.add(("Service", naming.canary_name(name)))
    stale.extend(item for item in snapshot.children if (item.kind, item.name) in unwanted and not item.deleting)
    stale.extend([route] if route is not None else [])
    return stale


def _values(snapshot: DeploymentSnapshot, tracks: _Tracks) -> dict[str, Any]:
    deployment = snapshot.deployment
    workload = _workload(snapshot, tracks.stable)
    dumped = {
        name: revision.model_dump(mode="json", by_alias=True) if revision is not None else None
        for name, revision in (("stable", tracks.stable), ("canary", tracks.canary), ("previous", tracks.previous))
    }
    return {
        **dumped,
        "url": serving.url(deployment) if tracks.stable else None,
        "replicas": workload.replicas if workload else 0,
        "readyReplicas": workload.ready if workload else 0,
        "selector": _selector(deployment, tracks),
        **serving_image.values(snapshot, tracks.stable),
    }


def _selector(deployment: api.Deployment, tracks: _Tracks) -> str | None:
    """Return the selector of the pods that answer: an autoscaler takes their use together for that of all requests."""
    shown = tracks.stable or tracks.canary
    if shown is None:
        return None
    answering = {shown.revision, *([tracks.canary.revision] if tracks.canary is not None and tracks.weight else ())}
    return serving.text_selector(deployment, sorted(answering))


def _available(snapshot: DeploymentSnapshot, tracks: _Tracks) -> Mark:
    workload = _workload(snapshot, tracks.stable)
    if tracks.stable is None:
        return conditions.false(conditions.AVAILABLE, Reason.UNAVAILABLE, "no version is being served yet")
    if workload is not None and workload.ready > 0:
        return conditions.true(conditions.AVAILABLE, Reason.AVAILABLE, f"{tracks.stable.version} answers requests")
    if scaling.most(snapshot.deployment) == 0:
        return conditions.false(conditions.AVAILABLE, Reason.SCALED_TO_ZERO, "spec.replicas is 0: nothing answers")
    return conditions.false(conditions.AVAILABLE, Reason.UNAVAILABLE, f"no pod of {tracks.stable.version} is ready")


def _trouble(snapshot: DeploymentSnapshot, revision: api.Revision) -> Problem | None:
    found = pods.problem(seen.pods_of(snapshot, revision))
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


def _marks(  # noqa: PLR0911  # one for each thing that a Deployment may be
    snapshot: DeploymentSnapshot, tracks: _Tracks, choice: api.ModelVersion | versions.NoVersion
) -> tuple[Mark, ...]:
    available = _available(snapshot, tracks)
    if (marks := refused(snapshot.refusals)) is not None:
        return (*marks, available)
    if (marks := gateway.wrong(snapshot)) is not None:
        return (*marks, available)
    if (told := _rollout_marks(snapshot, tracks, choice)) is not None:
        return (*told, available)
    if isinstance(choice, versions.NoVersion) and (told := _nothing(tracks, choice)) is not None:
        return (*told, available)
    coming = tracks.canary or tracks.stable
    trouble = _trouble(snapshot, coming) if coming is not None else None
    if tracks.canary is not None:
        return (*_coming(tracks, tracks.canary, trouble), available)
    if tracks.stable is None or not _ready(snapshot, tracks.stable):
        return (*_scaling(snapshot, tracks, trouble), available)
    if scaling.most(snapshot.deployment) == 0:
        return (*conditions.ready(Reason.SCALED_TO_ZERO, "spec.replicas is 0: nothing answers, as asked"), available)
    if (marks := gateway.pending(snapshot)) is not None:
        return (*marks, available)
    if isinstance(choice, versions.NoVersion):
        return (*conditions.ready(choice.reason, f"{choice.message}{_still(tracks)}"), available)
    refused_since = versions.passed_over(snapshot.deployment.spec.model, snapshot.versions, choice)
    note = f"; {refused_since}" if refused_since else ""
    return (*conditions.ready(Reason.AVAILABLE, f"{tracks.stable.version} answers requests{note}"), available)


def _nothing(tracks: _Tracks, choice: versions.NoVersion) -> tuple[Mark, ...] | None:
    """Return what is said of a version that is missing; None: an approval is awaited, and what answers has the word."""
    if choice.reason is Reason.APPROVAL_REQUIRED:
        waits = conditions.false(conditions.READY, choice.reason, choice.message)
        return None if tracks.stable is not None else (waits,)
    shape = conditions.reconciling if choice.waiting else conditions.stalled
    return shape(choice.reason, f"{choice.message}{_still(tracks)}")


def _rollout_marks(
    snapshot: DeploymentSnapshot, tracks: _Tracks, choice: api.ModelVersion | versions.NoVersion
) -> tuple[Mark, ...] | None:
    if tracks.course is None or (isinstance(choice, versions.NoVersion) and not choice.waiting):
        return None
    return rollouts.marks(snapshot, tracks.course, tracks.rejection)


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
    count = f"{ready} of {scaling.full_size(snapshot)} pods are ready"
    if trouble is not None and trouble.lasting:
        return conditions.stalled(trouble.reason, f"{count}: {trouble.message}")
    if trouble is not None:
        return conditions.reconciling(trouble.reason, f"{count}: {trouble.message}")
    return conditions.reconciling(Reason.SCALING, count)
