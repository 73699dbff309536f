"""What has become of a training attempt: its Job and pods in, one outcome out.

        ┌────────► Waiting ──┐
    (start) ──► InProgress ──┼──► Trained            results of all stages
                             ├──► Broken(retry)      nothing says that another attempt would end alike
                             └──► Broken(final)      a stage said so, or the deadline passed

A result is believed only from a pod that the attempt's own Job controls.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from modelwright_operator.decide import losses
from modelwright_operator.decide.observed import parse_time
from modelwright_operator.decide.pods import Problem, cut, problem
from modelwright_operator.raw import Raw, part
from modelwright_operator.reasons import Reason, reported
from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator.decide.observed import Container, Job, Pod

_FIRST_DELAY_SECONDS: Final = 10
_RESOURCES: Final = {contract.Stage.LATENCY: "spec.evaluation.latency.resources"}  # where they are not spec.resources
_WARNINGS: Final = 8
_WARNING_LIMIT: Final = 500

StageState = Literal["Waiting", "Running", "Succeeded", "Failed"]


@dataclass(frozen=True)
class Stage:
    """One stage as its container shows it."""

    name: contract.Stage
    state: StageState
    exit_code: int | None = None
    message: str | None = None
    reason: Reason | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class InProgress:
    """The attempt runs, or waits to; `problem` keeps it from running."""

    stages: tuple[Stage, ...]
    problem: Problem | None


@dataclass(frozen=True)
class Trained:
    """Every stage ended well."""

    stages: tuple[Stage, ...]
    fetch: contract.FetchResult
    evaluate: contract.EvaluateResult
    publish: contract.PublishResult
    finished_at: datetime | None
    image_digest: str | None = None
    latency: contract.LatencyResult | None = None  # of jobs that have this stage
    split: contract.SplitResult | None = None
    features: contract.FeaturesResult | None = None  # of jobs that have this stage
    own_images: Mapping[str, str] = field(default_factory=dict[str, str])  # of stages in the user's own images
    warnings: tuple[str, ...] = ()
    champion: contract.Champion | None = None  # that the attempt was told of

    @property
    def gates(self) -> tuple[contract.GateResult, ...]:
        """The verdicts of all stages."""
        return (*self.evaluate.gates, *(self.latency.gates if self.latency is not None else ()))


@dataclass(frozen=True)
class Broken:
    """The attempt failed; `final` when another one would fail alike."""

    stages: tuple[Stage, ...]
    reason: Reason
    message: str
    final: bool
    failed_at: datetime | None


Outcome = InProgress | Trained | Broken


_OWN_FAILED: Final = {contract.Stage.PREPARE: Reason.PREPARE_FAILED}


def _containers(job: Job) -> tuple[Raw, ...]:
    spec = part(job.spec, "template", "spec")
    return (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))


def stages_of(job: Job) -> tuple[contract.Stage, ...]:
    """Return the stages that an attempt has, by its Job's own template: an older operator may have made it."""
    names = {str(container.get("name")) for container in _containers(job)}
    return tuple(stage for stage in contract.STAGES if stage.value in names)


def _own(job: Job) -> frozenset[str]:
    """Return the stages that run in the user's own image: only ours are told of the whole job."""
    return frozenset(
        str(item["name"])
        for item in _containers(job)
        if all(variable.get("name") != contract.ENV_JOB for variable in item.get("env") or ())
    )


def failed_own(name: contract.Stage, container: Container, ended_message: str, exit_code: int) -> tuple[Reason, str]:
    """Say how the user's own code ended; whatever it wrote is only text."""
    if (container.terminated or {}).get("reason") == "OOMKilled":
        field_name = "spec.prepare" if name is contract.Stage.PREPARE else "spec.trainer.container"
        message = f"stage {name} was killed at its memory limit: raise {field_name}.resources.limits.memory"
        return Reason.OUT_OF_MEMORY, message
    tail = cut(ended_message) or "it left no log"
    reason = _OWN_FAILED.get(name, Reason.TRAINING_FAILED)
    return reason, f"your image of stage {name} ended with exit code {exit_code}: {tail}"


def _failed_stage(name: contract.Stage, container: Container, ended_message: str, exit_code: int) -> tuple[Reason, str]:
    parsed = contract.parse_message(ended_message, name)
    if isinstance(parsed, contract.Failure):
        return reported(parsed.reason, Reason.STAGE_FAILED), parsed.message
    if (container.terminated or {}).get("reason") == "OOMKilled":
        field = _RESOURCES.get(name, "spec.resources")
        return Reason.OUT_OF_MEMORY, f"stage {name} was killed at its memory limit: raise {field}.limits.memory"
    tail = cut(ended_message) or "it left no log"
    return Reason.STAGE_FAILED, f"stage {name} ended with exit code {exit_code}: {tail}"


def _stage(name: contract.Stage, pod: Pod | None, own: frozenset[str]) -> Stage:
    container = pod.container(name) if pod is not None else None
    if container is None:
        return Stage(name, "Waiting")
    ended = container.terminated
    if ended is None:
        state: StageState = "Running" if container.running else "Waiting"
        return Stage(name, state, started_at=container.started_at)
    code = int(ended.get("exitCode", -1))
    finished = parse_time(ended.get("finishedAt"))
    if code == 0:
        return Stage(name, "Succeeded", 0, started_at=container.started_at, finished_at=finished)
    explain = failed_own if name in own else _failed_stage
    reason, message = explain(name, container, str(ended.get("message", "")), code)
    return Stage(name, "Failed", code, message, reason, container.started_at, finished)


def champion_of(job: Job) -> contract.Champion | None:
    """Return the champion that an attempt's pod is told of."""
    containers: Sequence[Mapping[str, Any]] = part(job.spec, "template", "spec").get("containers") or ()
    variables: Sequence[Mapping[str, Any]] = (containers[0].get("env") or ()) if containers else ()
    told = {str(item.get("name")): str(item.get("value", "")) for item in variables}
    try:
        return contract.JobConfig.from_json(told.get(contract.ENV_JOB, "")).champion
    except ValueError:  # another version of the operator made it
        return None


def _results(pod: Pod, stages: Sequence[contract.Stage]) -> dict[contract.Stage, contract.Result] | None:
    results: dict[contract.Stage, contract.Result] = {}
    for name in stages:
        container = pod.container(name)
        ended = container.terminated if container is not None else None
        parsed = contract.parse_message(str((ended or {}).get("message", "")), name)
        if parsed is None or isinstance(parsed, contract.Failure):
            return None
        results[name] = parsed
    return results


def _warnings(results: Mapping[contract.Stage, contract.Result]) -> tuple[str, ...]:
    """Return what our stages say of data and model, in the stages' order."""
    said: list[str] = []
    for stage in contract.STAGES:
        result = results.get(stage)
        if isinstance(result, contract.SplitResult | contract.TrainResult | contract.EvaluateResult):
            said += result.warnings
    return tuple(text[:_WARNING_LIMIT] for text in said[:_WARNINGS])


def running_stage(pod: Pod) -> str | None:
    """Return the name of the stage that runs in a pod now."""
    running = (container.name for container in pod.containers if container.running)
    return next((name for name in running if name in contract.STAGES), None)


def newest(pods: Sequence[Pod]) -> Pod | None:
    """Return the pod to believe of an attempt's: the newest one that stays."""
    return max(
        pods, key=lambda pod: (not pod.deleting, str(pod.metadata.get("creationTimestamp")), pod.name), default=None
    )


def _trained(stages: tuple[Stage, ...], pod: Pod | None, own: frozenset[str], finished_at: datetime | None) -> Outcome:
    ours = [stage.name for stage in stages if stage.name not in own]
    results = _results(pod, ours) if pod is not None else None
    match results:
        case {
            contract.Stage.FETCH: contract.FetchResult() as fetch,
            contract.Stage.EVALUATE: contract.EvaluateResult() as evaluate,
            contract.Stage.PUBLISH: contract.PublishResult() as publish,
            **others,
        }:
            latency = others.get(contract.Stage.LATENCY)
            timed = latency if isinstance(latency, contract.LatencyResult) else None
            image = pod.container(contract.Stage.PUBLISH) if pod is not None else None
            split, joined = others.get(contract.Stage.SPLIT), others.get(contract.Stage.FEATURES)
            return Trained(
                stages,
                fetch,
                evaluate,
                publish,
                finished_at,
                image.image_digest if image else None,
                timed,
                split if isinstance(split, contract.SplitResult) else None,
                joined if isinstance(joined, contract.FeaturesResult) else None,
                _images(pod, own),
                _warnings(results or {}),
            )
        case _:
            return Broken(
                stages,
                Reason.RESULT_MISSING,
                "the Job ended well but its pod left no result that can be read",
                final=False,
                failed_at=finished_at,
            )


def _problem(own: Sequence[Pod], stages: Sequence[Stage], rejected: str | None) -> Problem | None:
    """Return what keeps the attempt from getting on, pods that are not there among it."""
    if not own:
        return losses.uncreated(rejected) if rejected else None
    if (found := problem(own)) is not None:
        return found
    taken = losses.disrupted(own)
    believed = newest(own)
    replaced = believed is not None and losses.disrupted([believed]) is None
    return None if replaced and any(stage.state != "Waiting" for stage in stages) else taken


def _limited(job: Job, stage: contract.Stage) -> bool:
    """Tell whether a stage has a memory limit of its own: then the same attempt would reach it once more."""
    return any(
        container["name"] == stage.value and part(container, "resources", "limits").get("memory")
        for container in _containers(job)
    )


def _images(pod: Pod | None, own: frozenset[str]) -> Mapping[str, str]:
    """Return what the node says it ran in the user's own stages, by digest where it knows one."""
    containers = pod.containers if pod is not None else ()
    found = {item.name: str(item.raw.get("imageID") or "") for item in containers if item.name in own}
    return {name: image.rpartition("://")[2][:1024] for name, image in found.items() if image}


def _broken(job: Job, pod: Pod | None, stages: tuple[Stage, ...]) -> Broken:
    failed = job.condition("Failed") or {}
    failed_at = parse_time(failed.get("lastTransitionTime"))
    if failed.get("reason") == "DeadlineExceeded":
        message = "the attempt took longer than spec.activeDeadlineSeconds; create a TrainingJob with a longer one"
        return Broken(stages, Reason.DEADLINE_EXCEEDED, message, final=True, failed_at=failed_at)
    stage = next((stage for stage in stages if stage.state == "Failed"), None)
    killed = stage is not None and stage.reason is Reason.OUT_OF_MEMORY
    loss = losses.lost(pod, stage.name if stage else None, stage.exit_code if stage else None)
    if loss is not None and not killed:
        return Broken(stages, loss.reason, loss.message, final=loss.final, failed_at=failed_at)
    if stage is None:
        text = cut(str(failed.get("message", "")), 300)
        message = f"the pod was lost before it ended: {text}"
        return Broken(stages, Reason.POD_LOST, message, final=False, failed_at=failed_at)
    final = stage.exit_code == contract.ExitCode.PERMANENT and stage.reason is not Reason.STAGE_FAILED
    final = final or (killed and _limited(job, stage.name))
    return Broken(stages, stage.reason or Reason.STAGE_FAILED, stage.message or "", final=final, failed_at=failed_at)


def outcome(job: Job, pods: Sequence[Pod], rejected: str | None = None) -> Outcome:
    """Return what has become of the attempt that `job` runs.

    Args:
        job: the attempt's Job.
        pods: pods, of which those that the Job controls are looked at.
        rejected: why the API server would not take the Job's pods, if its controller said so.
    """
    mine = [pod for pod in pods if pod.controller_uid == job.uid]
    pod, own = newest(mine), _own(job)
    stages = tuple(_stage(name, pod, own) for name in stages_of(job))
    if complete := (job.condition("Complete") if job.has("Complete") else None):
        seen = _trained(stages, pod, own, parse_time(complete.get("lastTransitionTime")))
        return replace(seen, champion=champion_of(job)) if isinstance(seen, Trained) else seen
    if not job.has("Failed"):
        return InProgress(stages, _problem(mine, stages, rejected))
    return _broken(job, pod, stages)


def retry_delay_seconds(attempt: int) -> int:
    """Return the pause after a failed attempt, in seconds: 10, 20, 40 … 320.

    >>> [retry_delay_seconds(attempt) for attempt in (1, 2, 3, 10)]
    [10, 20, 40, 320]
    """
    return int(_FIRST_DELAY_SECONDS * 2 ** min(attempt - 1, 5))
