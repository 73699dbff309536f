"""What is seen of the pods of one revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_operator import naming
from modelwright_operator.decide import pods
from modelwright_operator.decide.course import Pods
from modelwright_operator.decide.observed import parse_time
from modelwright_operator.raw import part
from modelwright_server import contract

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.observed import Pod, Workload
    from modelwright_operator.decide.snapshot import DeploymentSnapshot


def _crash(own: Sequence[Pod], since: datetime) -> str | None:
    """Return how a server ended that was started again since then."""
    for pod in own:
        container = pod.container(naming.SERVER_CONTAINER)
        before = container.previous if container is not None else None
        if before is None or before.get("exitCode") == contract.ExitCode.DONE:
            continue
        ended = before.get("finishedAt")
        if ended and (parse_time(ended) or since) < since:
            continue
        why = "at its memory limit" if before.get("reason") == "OOMKilled" else f"exit code {before.get('exitCode')}"
        return f"its server in pod {pod.name} ended ({why}). {pods.cut(str(before.get('message', '')), 300)}".strip()
    return None


def pods_of(snapshot: DeploymentSnapshot, revision: api.Revision) -> list[Pod]:
    """Return the pods of a revision."""
    return [pod for pod in snapshot.pods if pod.labels.get(naming.LABEL_REVISION) == revision.revision]


def workload_of(snapshot: DeploymentSnapshot, revision: api.Revision) -> Workload | None:
    """Return the workload that runs a revision, unless it is going."""
    found = (item for item in snapshot.workloads if item.revision == revision.revision and not item.deleting)
    return next(found, None)


def seen(snapshot: DeploymentSnapshot, revision: api.Revision, since: datetime | None) -> Pods:
    """Return what is seen of a revision's pods; of their ends only later ones count, and none without a time."""
    own, workload = pods_of(snapshot, revision), workload_of(snapshot, revision)
    return Pods(
        wanted=workload.wanted if workload is not None and workload.observed else -1,  # not settled
        ready=workload.ready if workload is not None else 0,
        problem=pods.problem(own),
        crash=_crash(own, since) if since is not None else None,
    )


def spreads(snapshot: DeploymentSnapshot, revision: api.Revision) -> bool:
    """Tell whether a revision's pods can spread requests; those that an earlier release made have no sidecar."""
    workload = next((item for item in snapshot.workloads if item.revision == revision.revision), None)
    if workload is None:
        return True
    containers = part(workload.spec, "template", "spec").get("initContainers") or ()
    return any(container.get("name") == naming.MONITOR_CONTAINER for container in containers)
