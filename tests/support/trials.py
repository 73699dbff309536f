"""What Kubernetes does with a search's Indexed Job: a pod for each index, and the Job's own verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelwright_operator import naming
from modelwright_operator.decide.observed import Job
from modelwright_operator.render.search import round_of
from tests.support import kubelet
from tests.support.builders import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator.render.space import Round
    from tests.support.fake_cluster import FakeCluster

Raw = dict[str, Any]
End = tuple[int, object]

INDEX = "batch.kubernetes.io/job-completion-index"


def score(trial: int) -> float:
    """Return the score that a trial has in these tests: the best is trial 2."""
    return [0.8, 0.7, 0.9, 0.85, 0.6, 0.9, 0.5, 0.75][trial % 8]


def scored(trial: int, value: float | None = None, **changes: Any) -> End:
    """Return how the pod of a trial ends that has a score."""
    said = {
        "stage": "trial",
        "trial": trial,
        "metric": "accuracy",
        "score": score(trial) if value is None else value,
        "deviation": 0.01,
        "rung": 0,
        "data": digest("d"),
    }
    return 0, {**said, **changes}


def _scored_in(what: Round, trial: int) -> End:
    """Return how the pod of a trial ends in that round; where there are leaders, only they take part, and vote."""
    votes: Raw = {"weights": [1] * len(what.leaders)} if what.leaders else {}
    return scored(trial, rung=what.rung, **votes)


def failed(code: int = 3, reason: str = "TrainingFailed", message: str = "it does not converge") -> End:
    """Return how the pod of a trial ends that has none."""
    return code, {"stage": "trial", "reason": reason, "message": message}


def pod(job: Raw, index: int, end: End | None, container: str = "trial") -> Raw:
    """Return the pod of an index, ended or running."""
    fetch = kubelet.terminated("fetch", 0, kubelet.results()["fetch"])
    if end is None:
        main, phase = kubelet.running("trial"), "Running"
    else:
        main = kubelet.terminated("trial", *end)
        phase = "Succeeded" if end[0] == 0 else "Failed"
        if container == "fetch":
            fetch, main = kubelet.terminated("fetch", *end), kubelet.waiting("trial")
    before = [fetch]
    if container == "prepare" and end is not None:
        before, main = [fetch, kubelet.terminated("prepare", *end)], kubelet.waiting("trial")
    status = {"phase": phase, "initContainerStatuses": before, "containerStatuses": [main]}
    raw = kubelet.pod_of(job, status, f"{job['metadata']['name']}-{index}-x1")
    raw["metadata"]["labels"][INDEX] = str(index)
    return raw


def pods(job: Raw, ends: Mapping[int, End | None] | None = None) -> list[Raw]:
    """Return a Job's pods by index; absent: those of all trials, each with its score."""
    what = round_of(Job(job))
    all_scored = {index: _scored_in(what, trial) for index, trial in enumerate(what.trials)}
    given = all_scored if ends is None else ends
    return [pod(job, index, end) for index, end in given.items()]


def put(cluster: FakeCluster, job: Raw, ends: Mapping[int, End | None]) -> None:
    """Let pods of a search be there."""
    for raw in pods(job, ends):
        name = raw["metadata"]["name"]
        if name not in cluster.names(naming.PODS):
            metadata = {key: value for key, value in raw["metadata"].items() if key not in {"uid", "resourceVersion"}}
            cluster.create({**raw, "metadata": metadata})
        cluster.set_status(naming.PODS, name, raw["status"])


def put_half(cluster: FakeCluster, job: Raw) -> None:
    """Let the first half of a search's pods have ended."""
    what = round_of(Job(job))
    half = what.trials[: len(what.trials) // 2]
    put(cluster, job, {index: _scored_in(what, trial) for index, trial in enumerate(half)})


def finish(cluster: FakeCluster, job: Raw, trials_that_fail: frozenset[int] = frozenset()) -> None:
    """Let a search's Job end: every trial has its score, or fails."""
    what = round_of(Job(job))
    trials = what.trials
    ends = {
        index: failed() if trial in trials_that_fail else _scored_in(what, trial) for index, trial in enumerate(trials)
    }
    put(cluster, job, ends)
    lost = [str(index) for index, trial in enumerate(trials) if trial in trials_that_fail]
    condition = {"type": "Failed" if lost else "Complete", "status": "True", "message": ""}
    condition |= {"reason": "FailedIndexes" if lost else "", "lastTransitionTime": cluster.clock.text()}
    status: Raw = {"conditions": [condition]}
    if lost:
        status["failedIndexes"] = ",".join(lost)
    cluster.set_status(naming.JOBS, job["metadata"]["name"], status)


def stop(cluster: FakeCluster, job: Raw) -> None:
    """Let a Job that was told to stop end, as its deadline ends it."""
    at = cluster.clock.text()
    condition = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": at}
    cluster.set_status(naming.JOBS, job["metadata"]["name"], {"conditions": [condition]})
