"""What has become of a search's Job: its status and pods in, the trials that ended out.

    pod of index i ──► exit 0: the score of trial i, in its message
                   ├─► exit 3: trial i has failed for good; the others go on
                   ├─► exit 2: what no trial can mend; Kubernetes ends the Job
                   └─► anything else: Kubernetes runs index i again, retryLimit times; then trial i has failed, but
                       where that was the user's own code in prepare, no trial can mend it

A score is believed only from a pod that the search's own Job controls, and only for the trial its index stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from modelwright_operator.decide.observed import parse_time
from modelwright_operator.decide.pods import Problem, cut, problem
from modelwright_operator.decide.training import failed_own
from modelwright_operator.reasons import Reason, reported
from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator.decide.observed import Container, Job, Pod

_INDEX: Final = "batch.kubernetes.io/job-completion-index"
_MESSAGE: Final = 300

End = Literal["Complete", "SomeFailed", "TooManyFailed", "Deadline", "Fatal", "Lost"]
_ENDS: Final[Mapping[str, End]] = {
    "FailedIndexes": "SomeFailed",
    "MaxFailedIndexesExceeded": "TooManyFailed",
    "DeadlineExceeded": "Deadline",
    "PodFailurePolicy": "Fatal",
}


@dataclass(frozen=True)
class Scored:
    """A trial with a score."""

    result: contract.TrialResult
    seconds: int | None


@dataclass(frozen=True)
class Failed:
    """A trial without."""

    trial: int
    message: str


@dataclass(frozen=True)
class Seen:
    """What a search's Job shows.

    Attributes:
        trials: those that ended, by number.
        end: how the Job ended; None: it runs, or waits.
        ended_at: when.
        fatal: what no trial can mend.
        problem: what keeps its pods from running.
    """

    trials: Mapping[int, Scored | Failed]
    end: End | None
    ended_at: datetime | None
    fatal: tuple[Reason, str] | None
    problem: Problem | None


def indexes(text: str) -> frozenset[int]:
    """Return the numbers that a Job's status lists; what is none is left out.

    >>> sorted(indexes("1,3-5,7"))
    [1, 3, 4, 5, 7]
    """
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), min(int(last or first), int(first) + contract.MAX_TRIALS) + 1))
    return frozenset(found)


def _index(pod: Pod) -> int:
    text = pod.labels.get(_INDEX) or pod.annotations.get(_INDEX) or ""
    return int(text) if text.isdigit() else -1


def _newest(pods: Sequence[Pod]) -> Pod | None:
    return max(pods, key=lambda pod: (str(pod.metadata.get("creationTimestamp")), pod.name), default=None)


def _failure(pods: Sequence[Pod]) -> str:
    """Say why an index failed, as its newest pod tells it."""
    newest = _newest(pods)
    for container in newest.containers if newest is not None else ():
        said = _said(container)
        if said is not None:
            return said[1]
    return "its pod was lost"


def _unprepared(pods: Sequence[Pod]) -> tuple[Reason, str] | None:
    """Return how the user's own code failed an index for good: it does the same for all of them."""
    newest = _newest(pods)
    prepare = newest.container(contract.Stage.PREPARE.value) if newest is not None else None
    return _said(prepare) if prepare is not None else None


def _said(container: Container) -> tuple[Reason, str] | None:
    """Return what a container that failed says; None: it did not fail."""
    ended = container.terminated
    code = int(ended.get("exitCode", -1)) if ended is not None else 0
    if ended is None or code == contract.ExitCode.DONE:
        return None
    text = str(ended.get("message", ""))
    if container.name == contract.Stage.PREPARE.value:
        return failed_own(contract.Stage.PREPARE, container, text, code)
    if container.name in set(contract.Stage):
        parsed = contract.parse_message(text, contract.Stage(container.name))
        if isinstance(parsed, contract.Failure):
            return reported(parsed.reason, Reason.STAGE_FAILED), parsed.message
    if ended.get("reason") == "OOMKilled":
        return Reason.OUT_OF_MEMORY, f"{container.name} was killed at its memory limit: raise spec.resources"
    return Reason.STAGE_FAILED, f"{container.name} ended with exit code {code}: {cut(text) or 'it left no log'}"


def _fatal(pods: Sequence[Pod]) -> tuple[Reason, str] | None:
    for pod in pods:
        for container in pod.containers:
            code = (container.terminated or {}).get("exitCode")
            if code == contract.ExitCode.PERMANENT and (said := _said(container)) is not None:
                return said
    return None


def _score(pod: Pod) -> Scored | None:
    container = pod.container(contract.Stage.TRIAL.value)
    ended = container.terminated if container is not None else None
    if ended is None or ended.get("exitCode") != contract.ExitCode.DONE:
        return None
    parsed = contract.parse_message(str(ended.get("message", "")), contract.Stage.TRIAL)
    if container is None or not isinstance(parsed, contract.TrialResult):
        return None
    began, finished = container.started_at, parse_time(ended.get("finishedAt"))
    return Scored(parsed, int((finished - began).total_seconds()) if began and finished else None)


def seen(job: Job, pods: Sequence[Pod], trials: Sequence[int], rung: int) -> Seen:
    """Return what a search's Job shows; `trials` are those its indexes stand for, on that rung."""
    own = [pod for pod in pods if pod.controller_uid == job.uid]
    found: dict[int, Scored | Failed] = {}
    for pod in sorted(own, key=lambda pod: pod.name):
        index, scored = _index(pod), _score(pod)
        if scored is None or not 0 <= index < len(trials):
            continue
        if (scored.result.trial, scored.result.rung) == (trials[index], rung):
            found.setdefault(trials[index], scored)
    fatal: tuple[Reason, str] | None = None
    for index in indexes(str(job.status.get("failedIndexes", ""))):
        if index < len(trials) and trials[index] not in found:
            mine = [pod for pod in own if _index(pod) == index]
            found[trials[index]] = Failed(trials[index], _failure(mine)[:_MESSAGE])
            fatal = fatal or _unprepared(mine)
    end: End | None = None
    condition = None
    if job.has("Complete"):
        end, condition = "Complete", job.condition("Complete")
    elif job.has("Failed"):
        condition = job.condition("Failed")
        end = _ENDS.get(str((condition or {}).get("reason")), "Lost")
        fatal = _fatal(own) if end == "Fatal" else fatal
    ended_at = parse_time((condition or {}).get("lastTransitionTime"))
    return Seen(found, end, ended_at, fatal, problem(own))
