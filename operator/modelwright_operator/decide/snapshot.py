"""What a decision is made on: one object, its children and neighbours, and the time, read once and frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.checks import Reading
    from modelwright_operator.decide.observed import Child, Job, LogLine, Pod, Workload
    from modelwright_operator.decide.retention import Sibling
    from modelwright_operator.reasons import Reason
    from modelwright_operator.settings import Settings


@dataclass(frozen=True)
class Refusal:
    """A child that the API server would not take; found while carrying out an earlier plan of the same pass."""

    kind: str
    name: str
    reason: Reason
    message: str


@dataclass(frozen=True)
class Snapshot:
    """What every kind's snapshot has."""

    now: datetime
    settings: Settings
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True)
class ChampionSeen:
    """What a reference to a champion leads to: the name of a version, and the version, if it exists."""

    name: str
    version: api.ModelVersion | None


@dataclass(frozen=True)
class TrainingJobSnapshot(Snapshot):
    """A TrainingJob and its Jobs, pods and the ModelVersions it may have made.

    Attributes:
        versions: versions whose provenance names this job by namespace and name, and the one of `status.modelVersion`.
        lines: by uid of a pod, the last progress line of its log.
        rejections: by uid of a Job, why the API server would not take its pods when it last had none.
        champion: the version that `spec.evaluation.champion` stands for now; None: there is none.
    """

    job: api.TrainingJob
    jobs: tuple[Job, ...]
    pods: tuple[Pod, ...]
    versions: tuple[api.ModelVersion, ...]
    lines: Mapping[str, LogLine]
    rejections: Mapping[str, str]
    champion: ChampionSeen | None = None


@dataclass(frozen=True)
class ModelVersionSnapshot(Snapshot):
    """A ModelVersion, its Jobs, the TrainingJob that made it and the Deployments that use it.

    Attributes:
        siblings: all versions of the namespace that are of its model or name its artifact, itself among them; none if
            the model has no more of them than are kept.
        training: whether a TrainingJob of its model is under way, where there are siblings.
    """

    version: api.ModelVersion
    jobs: tuple[Job, ...]
    pods: tuple[Pod, ...]
    training_job: api.TrainingJob | None
    users: tuple[str, ...]
    rejections: Mapping[str, str]
    siblings: tuple[Sibling, ...]
    training: bool


@dataclass(frozen=True)
class DeploymentSnapshot(Snapshot):
    """A Deployment, its workloads, Services and pods, and the versions it may serve.

    Attributes:
        versions: the versions it names or follows, and those its status names.
        children: its Services, PodDisruptionBudget, autoscaler, NetworkPolicy and HTTPRoute.
        counted: what its pods counted of canaries, by the traffic table's sequence.
        readings: of the checks on the revision that is tried or watched, the last of each and its time.
        routes_served: whether the API server knows HTTPRoutes, as far as it is known.
        runs: the TrainingJobs that were made of spec.retraining.
        template: the TrainingJob that spec.retraining names.
    """

    deployment: api.Deployment
    versions: tuple[api.ModelVersion, ...]
    workloads: tuple[Workload, ...]
    children: tuple[Child, ...]
    pods: tuple[Pod, ...]
    counted: Mapping[int, api.StepEvidence] = field(default_factory=dict[int, "api.StepEvidence"])
    readings: Mapping[api.Check, tuple[datetime, Reading]] = field(
        default_factory=dict["api.Check", "tuple[datetime, Reading]"]
    )
    routes_served: bool = True
    runs: tuple[Child, ...] = ()
    template: Child | None = None


AnySnapshot = TrainingJobSnapshot | ModelVersionSnapshot | DeploymentSnapshot
