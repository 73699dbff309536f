"""What the cluster holds of a version: itself, the job that made it, the Deployments that use it or did."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from modelwright_cli.access import Refused
from modelwright_cli.objects import Json, name_of, part, parts, text

if TYPE_CHECKING:
    from modelwright_cli.access import Cluster

_TRACKS = ("stable", "canary", "previous")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is known of a version.

    Attributes:
        version: the ModelVersion.
        job: the TrainingJob that made it; None: it is gone, or there was none.
        deployments: those that serve it, did, or tried to.
        siblings: other versions of the model.
    """

    version: Json
    job: Json | None = None
    deployments: tuple[Json, ...] = ()
    siblings: tuple[Json, ...] = ()

    @property
    def name(self) -> str:
        """Name of the version."""
        return name_of(self.version)

    @property
    def provenance(self) -> Json:
        """How it came to be, as the version recorded it."""
        return part(self.version, "spec", "provenance")

    @property
    def task(self) -> str:
        """Classification or Regression, as far as that is known."""
        schemas = (part(self.version, where, "schema") for where in ("spec", "status"))
        return next(
            (text(schema, "task") for schema in schemas if text(schema, "task")), text(self.job, "status", "task")
        )

    @property
    def schema(self) -> Json:
        """Inputs and outputs."""
        return part(self.version, "spec", "schema") or part(self.version, "status", "schema")

    def uses(self, deployment: Json) -> list[str]:
        """Return on which tracks a Deployment has the version."""
        return [track for track in _TRACKS if text(deployment, "status", track, "version") == self.name]


def gather(cluster: Cluster, name: str) -> Holdings:
    """Return what a namespace holds of a version.

    Raises:
        Fault: it cannot be had.
    """
    version = cluster.get("ModelVersion", name)
    model = text(version, "spec", "model")
    deployments = [item for item in cluster.list("Deployment") if _concerns(item, name)]
    siblings = [
        item for item in cluster.list("ModelVersion") if text(item, "spec", "model") == model and name_of(item) != name
    ]
    return Holdings(version, maker(cluster, version), tuple(deployments), tuple(siblings))


def maker(cluster: Cluster, version: Json) -> Json | None:
    """Return the TrainingJob that made a version, if it is still the one.

    Raises:
        Fault: whether it is cannot be found out.
    """
    reference = part(version, "spec", "provenance", "trainingJob")
    if not text(reference, "name"):
        return None
    try:
        job = cluster.get("TrainingJob", text(reference, "name"))
    except Refused as refused:
        if refused.status != HTTPStatus.NOT_FOUND:
            raise
        return None
    return job if text(job, "metadata", "uid") == text(reference, "uid") else None


def _concerns(deployment: Json, name: str) -> bool:
    status = part(deployment, "status")
    told = (*parts(status, "history"), *parts(status, "rejected"), *(part(status, track) for track in _TRACKS))
    return any(text(item, "version") == name for item in told)
