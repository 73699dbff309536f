"""From a key to a frozen Snapshot, read from the store alone; the clock is read here and nowhere below."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from modelwright_operator import api, naming
from modelwright_operator.cluster import family
from modelwright_operator.decide import captured
from modelwright_operator.decide.observed import Child, Job, Pod, Workload
from modelwright_operator.decide.pages import total
from modelwright_operator.decide.snapshot import (
    AnySnapshot,
    ChampionSeen,
    DeploymentSnapshot,
    ModelVersionSnapshot,
    TrainingJobSnapshot,
)
from modelwright_operator.raw import Raw, part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelwright_operator.cluster.store import Owner, Store
    from modelwright_operator.settings import Settings

_CHILDREN = (
    naming.SERVICES,
    naming.DISRUPTION_BUDGETS,
    naming.AUTOSCALERS,
    naming.NETWORK_POLICIES,
    naming.HTTP_ROUTES,
)


def now() -> datetime:
    """Return the time, to the second, as the API server stores it."""
    return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  # the one place that looks at the clock


def _versions(raws: Iterable[Raw]) -> tuple[api.ModelVersion, ...]:
    return tuple(api.ModelVersion.model_validate(raw) for raw in raws)


def _named_versions(store: Store, deployment: api.Deployment, runs: Iterable[Raw]) -> tuple[Raw, ...]:
    """Return the versions that a Deployment names, follows or serves, or that were made for it."""
    namespace = deployment.metadata.namespace
    reference, status = deployment.spec.model, deployment.status
    tracks = (status.stable, status.canary, status.previous)
    names = {revision.version for revision in tracks if revision is not None}
    if reference.version is not None:
        names.add(reference.version)
    if (last := status.retraining.last_run if status.retraining is not None else None) is not None:
        names |= {last.champion, last.version or ""}
    names |= {str(part(run, "status").get("modelVersion", "")) for run in runs}
    found = {name: store.get(naming.MODEL_VERSIONS, namespace, name) for name in names}
    if reference.name is not None:
        found |= {raw["metadata"]["name"]: raw for raw in store.versions_of(namespace, reference.name)}
    return tuple(raw for _, raw in sorted(found.items()) if raw is not None)


def _champion(store: Store, job: api.TrainingJob) -> ChampionSeen | None:
    """Return what a TrainingJob's reference to a champion leads to; None: it has none, or nothing serves yet."""
    wanted, namespace = job.spec.evaluation.champion, job.metadata.namespace
    if wanted is None:
        return None
    name = wanted.version
    if wanted.deployment is not None:
        name = part(store.get(naming.DEPLOYMENTS, namespace, wanted.deployment), "status", "stable").get("version")
    if not name:
        return None
    raw = store.get(naming.MODEL_VERSIONS, namespace, name)
    return ChampionSeen(name, api.ModelVersion.model_validate(raw) if raw is not None else None)


def _with_captured(store: Store, job: api.TrainingJob) -> api.TrainingJob:
    """Return a TrainingJob that knows where the captured rows are that it names by their Deployments."""
    captures: dict[str, api.Capture] = {}
    for name in captured.wanted(job):
        raw = part(store.get(naming.DEPLOYMENTS, job.metadata.namespace, name), "spec", "monitoring").get("capture")
        if raw is not None:
            captures[name] = api.Capture.model_validate(raw)
    return captured.resolved(job, captures)


def users_of(store: Store, namespace: str, version: str) -> tuple[str, ...]:
    """Return the names of the Deployments that serve a version, bring it up or name it."""
    users: list[str] = []
    for raw in store.all(naming.DEPLOYMENTS, namespace):
        named = {
            part(raw, "spec", "model").get("version"),
            *(part(raw, "status", track).get("version") for track in ("stable", "canary")),
        }
        if version in named and not raw["metadata"].get("deletionTimestamp"):
            users.append(str(raw["metadata"]["name"]))
    return tuple(sorted(users))


def gather(store: Store, settings: Settings, owner: Owner) -> AnySnapshot | None:
    """Return what a decision about this object is made on; None: it is gone.

    Raises:
        pydantic.ValidationError: the object is not as its schema says; a newer version may have written it.
    """
    raw = store.get(naming.PLURALS[owner.kind], owner.namespace, owner.name)
    if raw is None:
        return None
    time = now()
    uid = raw["metadata"].get("uid")

    def own(resource: str) -> tuple[Raw, ...]:
        return store.owned(resource, owner)

    def controlled(children: Iterable[Child]) -> tuple[Child, ...]:
        return tuple(child for child in children if child.controller_uid == uid)

    jobs = tuple(job for job in map(Job, own(naming.JOBS)) if job.controller_uid == uid)
    pods = tuple(map(Pod, own(naming.PODS)))
    rejections = {item.uid: text for item in jobs if (text := store.rejection(item.raw)) is not None}
    if owner.kind == naming.TRAINING_JOB:
        job = _with_captured(store, api.TrainingJob.model_validate(raw))
        versions = _versions(store.versions_of(owner.namespace, job.spec.model))
        lines = {pod.uid: line for pod in pods if (line := store.line(pod.raw)) is not None}
        champion = _champion(store, job)
        return TrainingJobSnapshot(time, settings, (), job, jobs, pods, versions, lines, rejections, champion)
    if owner.kind == naming.MODEL_VERSION:
        version = api.ModelVersion.model_validate(raw)
        maker = version.spec.provenance.training_job if version.spec.provenance else None
        made_by = store.get(naming.TRAINING_JOBS, owner.namespace, maker.name) if maker else None
        training_job = api.TrainingJob.model_validate(made_by) if made_by is not None else None
        users = users_of(store, owner.namespace, owner.name)
        siblings = family.siblings(store, owner.namespace, raw, settings)
        training = bool(siblings) and family.training(store, owner.namespace, raw)
        return ModelVersionSnapshot(
            time, settings, (), version, jobs, pods, training_job, users, rejections, siblings, training
        )
    deployment = api.Deployment.model_validate(raw)
    runs, renewed = own(naming.TRAINING_JOBS), deployment.spec.retraining
    template = store.get(naming.TRAINING_JOBS, owner.namespace, renewed.training_job) if renewed is not None else None
    return DeploymentSnapshot(
        time,
        settings,
        (),
        deployment,
        _versions(_named_versions(store, deployment, runs)),
        tuple(item for item in map(Workload, own(naming.WORKLOADS)) if item.controller_uid == uid),
        controlled(Child(item) for resource in _CHILDREN for item in own(resource)),
        pods,
        total(store.pages(owner)),
        store.readings(owner, deployment.status.rollout.revision) if deployment.status.rollout is not None else {},
        store.serves(naming.HTTP_ROUTES),
        controlled(map(Child, runs)),
        Child(template) if template is not None else None,
    )
