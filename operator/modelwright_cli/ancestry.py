"""`lineage` and `tree`: where a model came from, and what a Deployment is made of; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_cli.objects import Json, condition, name_of, number, part, parts, text, whole
from modelwright_cli.overview import progress
from modelwright_cli.printing import Node

if TYPE_CHECKING:
    from collections.abc import Sequence

REVISION = "modelwright.dev/revision"
APPROVE = "modelwright.dev/approve"
_STEERED = frozenset({"RolloutStarted", "StepStarted", "Promoted", "PromotedByHand", "RolledBack", "Aborted"})
_MOST_STEERED = 10
_DECIDED = frozenset({"Approved", "ApprovalRejected"})


def version_node(version: Json, job: Json | None) -> Node:
    """Return how a ModelVersion came to be; the job as it is now, None: it is gone."""
    spec = part(version, "spec")
    provenance = part(spec, "provenance")
    verified = condition(version, "Verified")
    state = ", not verified yet"
    if verified:
        state = f", {'' if text(verified, 'status') == 'True' else 'not '}verified ({text(verified, 'reason')})"
    below = [Node(f"artifact {text(spec, 'artifact', 'uri')} {text(spec, 'artifact', 'digest')}")]
    if metrics := parts(spec, "metrics"):
        below.append(Node("metrics", tuple(Node(metric(item)) for item in metrics)))
    below.append(_approval(version))
    if not provenance:
        below.append(Node("imported: nothing is recorded of how it was made"))
        return Node(f"ModelVersion {name_of(version)}{state}", tuple(below))
    below.append(_made(provenance, job))
    below.append(_data(provenance))
    return Node(f"ModelVersion {name_of(version)}{state}", tuple(below))


def metric(item: Json) -> str:
    """Return a metric with its interval."""
    value, low, high = (number(item, key) for key in ("value", "low", "high"))
    interval = f" ({low:.4g} to {high:.4g})" if low is not None and high is not None else ""
    return (
        f"{text(item, 'name')} {value if value is None else format(value, '.4g')}{interval} on {text(item, 'dataset')}"
    )


def _approval(version: Json) -> Node:
    """Return who decided, with when, and the decisions before."""
    approval = part(version, "spec", "approval")
    told = [item for item in parts(version, "status", "history") if text(item, "event").startswith("Approv")]
    decided = [item for item in told if text(item, "event") in _DECIDED]
    below = tuple(Node(f"{text(item, 'at')} {text(item, 'event')}: {text(item, 'message')}") for item in told)
    if not approval:
        return Node("neither approved nor rejected", below)
    reason = f": {text(approval, 'reason')}" if text(approval, "reason") else ""
    at = f" (at {text(decided[-1], 'at')})" if decided else ""
    earlier = below if len(below) > 1 else ()
    return Node(f"{text(approval, 'state').lower()} by {text(approval, 'by')}{reason}{at}", earlier)


def _made(provenance: Json, job: Json | None) -> Node:
    reference = part(provenance, "trainingJob")
    below: list[Node] = []
    if job is not None:
        below += _trainer(job)
    for key, label in (("image", "image"), ("imageDigest", "image digest"), ("parametersDigest", "parameters")):
        if text(provenance, key):
            below.append(Node(f"{label} {text(provenance, key)}"))
    below += [Node(f"own image of {text(i, 'stage')} {text(i, 'image')}") for i in parts(provenance, "ownImages")]
    if text(provenance, "requestedBy"):
        below.append(Node(f"requested by {text(provenance, 'requestedBy')}"))
    if "seed" in provenance:
        below.append(Node(f"seed {text(provenance, 'seed')}"))
    if "trials" in provenance:
        below.append(Node(f"search of {text(provenance, 'trials')} trials"))
    if source := part(provenance, "source"):
        below.append(Node(f"source {text(source, 'repository')} {text(source, 'commit')}"))
    name = text(reference, "name") or "unknown"
    gone = "" if job is not None else ", no longer there: what is below was recorded in the version"
    return Node(f"TrainingJob {name} (uid {text(reference, 'uid')}){gone}", tuple(below))


def _trainer(job: Json) -> list[Node]:
    trainer = part(job, "spec", "trainer")
    sklearn, container = part(trainer, "sklearn"), part(trainer, "container")
    found: list[Node] = []
    if sklearn:
        found.append(Node(f"estimator {text(sklearn, 'estimator')}"))
        parameters = part(sklearn, "parameters")
        found += [Node(f"parameter {key}={value}") for key, value in sorted(parameters.items())]
    if container:
        found.append(Node(f"own code in {text(container, 'image')}"))
    champion = part(job, "status", "resolved", "champion")
    if champion:
        found.append(Node(f"compared with {text(champion, 'version')}"))
    return found


def _data(provenance: Json) -> Node:
    below = [
        Node(f"{text(item, 'name')} {text(item, 'uri')} {text(item, 'digest')}, {whole(item, 'rows')} rows")
        for item in parts(provenance, "data")
    ]
    below += [
        Node(f"prepared {text(item, 'name')} {text(item, 'digest')}, {whole(item, 'rows')} rows")
        for item in parts(provenance, "prepared")
    ]
    return Node("data", tuple(below))


def lineage(pods: Sequence[Json], deployment: Json, versions: Sequence[Node]) -> Node:
    """Return the way from serving pods back to the data."""
    below = [
        Node(
            f"Pod {name_of(pod)} ({_track(deployment, pod)}, revision {_revision(pod)}, {text(pod, 'status', 'phase')})"
        )
        for pod in sorted(pods, key=name_of)
    ]
    steered = [
        Node(f"{text(item, 'at')} {text(item, 'event')} {text(item, 'version')}: {text(item, 'message')}")
        for item in parts(deployment, "status", "history")
        if text(item, "event") in _STEERED
    ][-_MOST_STEERED:]
    if approved := text(part(deployment, "metadata", "annotations"), APPROVE):
        steered.append(Node(f"approved by annotation: {approved} (revision/step)"))
    told = [Node("rollouts and approvals", tuple(steered))] if steered else []
    return Node(f"Deployment {name_of(deployment)}", (*below, *versions, *told))


def family(deployment: Json, workloads: Sequence[Json], pods: Sequence[Json], jobs: Sequence[Json]) -> Node:
    """Return what a Deployment is made of now."""
    status = part(deployment, "status")
    below: list[Node] = []
    for workload in sorted(workloads, key=name_of):
        revision = text(part(workload, "metadata", "labels"), REVISION)
        own = [pod for pod in pods if _revision(pod) == revision]
        ready = f"{whole(workload, 'status', 'readyReplicas')}/{whole(workload, 'spec', 'replicas')} ready"
        label = f"{_track(deployment, workload)}: workload {name_of(workload)} {_version(status, revision)} ({ready})"
        below.append(Node(label, tuple(Node(_pod(pod)) for pod in sorted(own, key=name_of))))
    runs = [job for job in jobs if name_of(job).startswith(f"{name_of(deployment)}-retrain-")]
    below += [Node(f"retraining: TrainingJob {name_of(job)} ({_outcome(job)})") for job in sorted(runs, key=name_of)]
    for item in parts(status, "rejected"):
        below.append(Node(f"rejected: {text(item, 'version')} ({text(item, 'reason')})"))
    return Node(f"Deployment {name_of(deployment)}, rollout {progress(part(status, 'rollout'))}", tuple(below))


def _pod(pod: Json) -> str:
    ready = any(
        item.get("type") == "Ready" and item.get("status") == "True" for item in parts(pod, "status", "conditions")
    )
    restarts = sum(whole(item, "restartCount") for item in parts(pod, "status", "containerStatuses"))
    again = f", {restarts} restarts" if restarts else ""
    return f"Pod {name_of(pod)} ({text(pod, 'status', 'phase')}, {'ready' if ready else 'not ready'}{again})"


def _outcome(job: Json) -> str:
    for kind in ("Complete", "Failed", "Suspended"):
        if text(condition(job, kind), "status") == "True":
            made = text(job, "status", "modelVersion")
            return f"{kind}{f', made {made}' if made else ''}"
    return text(job, "status", "stage") or "starting"


def _revision(child: Json) -> str:
    return text(part(child, "metadata", "labels"), REVISION)


def _track(deployment: Json, child: Json) -> str:
    """Return on which track a pod or workload is."""
    status, revision = part(deployment, "status"), _revision(child)
    tracks = [track for track in ("stable", "canary") if text(status, track, "revision") == revision]
    return tracks[0] if tracks else "former"


def _version(status: Json, revision: str) -> str:
    known = (part(status, track) for track in ("stable", "canary", "previous"))
    return next((text(item, "version") for item in known if text(item, "revision") == revision), "")


def versions_of(deployment: Json, pods: Sequence[Json], *, only_pods: bool) -> list[str]:
    """Return the names of the versions that a Deployment serves, the stable one first; or that these pods do."""
    status = part(deployment, "status")
    wanted = {_revision(pod) for pod in pods}
    found: list[str] = []
    for track in ("stable", "canary", "previous"):
        name, revision = text(status, track, "version"), text(status, track, "revision")
        if name and (revision in wanted or (track == "stable" and not only_pods)):
            found.append(name)
    return list(dict.fromkeys(found))
