"""The Indexed Job of a search for parameters: one pod for each trial, which fetches the data itself.

No storage is shared: which trial an index stands for is in the Job's own template, its score in the termination
message of its pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.raw import part
from modelwright_operator.render import common
from modelwright_operator.render import training as render
from modelwright_operator.render.quantities import cores
from modelwright_operator.render.space import Round
from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.decide.observed import Job
    from modelwright_operator.settings import Settings

_STOPPED_SECONDS: Final = 1


def job_name(job: api.TrainingJob, attempt: int) -> str:
    """Return the name of a search's Job."""
    return naming.job_name(job.metadata.name, job.metadata.uid, f"search-{attempt}")


def round_of(observed: Job) -> Round:
    """Return what the indexes of a Job stand for, as its pods were told; nothing if that cannot be read."""
    containers: Sequence[common.Manifest] = part(observed.spec, "template", "spec").get("containers") or ()
    variables = {item["name"]: str(item.get("value", "")) for item in (containers or ({},))[0].get("env", ())}
    try:
        tuning = contract.JobConfig.from_json(variables.get(contract.ENV_JOB, "")).tuning
    except ValueError:
        tuning = None
    return Round(tuning.trials or (), tuning.rung, tuning.leaders) if tuning is not None else Round(())


def _pod_spec(job: api.TrainingJob, settings: Settings, what: Round) -> k8s.V1PodSpec:
    """Return the training pod's, with `trial` in the place of all that comes after fetching."""
    pod = render.pod_spec(job, settings, render.job_config(job, settings, what=what))
    stages: list[k8s.V1Container] = [*(pod.init_containers or ()), *pod.containers]
    position = next(index for index, stage in enumerate(stages) if stage.name == contract.Stage.TRAIN.value)
    before, train = stages[:position], stages[position]
    # Trials run side by side: threads of more than their share would only wait for each other.
    threads = k8s.V1EnvVar(name="OMP_NUM_THREADS", value=str(_cores(job)))
    trial = train.model_copy(
        update={
            "env": [*(train.env or ()), threads],
            "name": contract.Stage.TRIAL.value,
            "command": ["python", "-m", "modelwright_training", contract.Stage.TRIAL.value],
        }
    )
    mounted: set[str] = set()
    for container in (*before, trial):
        mounted |= {mount.name for mount in container.volume_mounts or ()}
    volumes = [volume for volume in pod.volumes or () if volume.name in mounted]
    return pod.model_copy(update={"init_containers": before, "containers": [trial], "volumes": volumes})


def _cores(job: api.TrainingJob) -> int:
    """Return how many cores a pod may use, or else is promised: so its scores do not depend on the node's."""
    given = job.spec.resources or render.DEFAULT_RESOURCES
    stated = [part.cpu for part in (given.limits, given.requests) if part is not None and part.cpu is not None]
    return cores(str(stated[0])) if stated else 1


def _failure_policy() -> k8s.V1PodFailurePolicy:
    """Return what a pod's end means: what no trial can mend ends the Job, what others may mend only this index."""

    def on_exit(action: str, code: contract.ExitCode, of: str | None = None) -> k8s.V1PodFailurePolicyRule:
        requirement = k8s.V1PodFailurePolicyOnExitCodesRequirement(container_name=of, operator="In", values=[int(code)])
        return k8s.V1PodFailurePolicyRule(action=action, on_exit_codes=requirement)

    return k8s.V1PodFailurePolicy(
        rules=[
            common.ignore_disruptions(),
            on_exit("FailJob", contract.ExitCode.PERMANENT),
            # Of this stage alone: in the user's own image another code of theirs means nothing.
            on_exit("FailIndex", contract.ExitCode.TRIAL_FAILED, contract.Stage.TRIAL.value),
        ]
    )


def batch_job(  # noqa: PLR0913, PLR0917  # what a Job is made of, and what is to become of it
    job: api.TrainingJob,
    tuning: api.Tuning,
    attempt: int,
    what: Round,
    settings: Settings,
    observed: Job | None = None,
    *,
    seconds: int,
    failures: int | None = None,
    stop: bool = False,
    expire: bool = False,
) -> common.Manifest:
    """Return a Job that runs trials.

    Args:
        job: whose search it is.
        tuning: its `spec.tuning`.
        attempt: number of the Job, from 1.
        what: the trials it runs.
        settings: the operator's.
        observed: the Job as it is; None: it is not there yet.
        seconds: how long it may run.
        failures: failed trials beyond which it fails; None: any number may.
        stop: end it, since its trials are not needed any more.
        expire: let Kubernetes remove it; all that matters is in the status.
    """
    labels = {naming.LABEL_SEARCH: str(attempt), naming.LABEL_MODEL: job.spec.model}
    user_labels = dict(job.spec.pod.labels or {}) if job.spec.pod else {}
    pod_labels = {**user_labels, **naming.owner_labels(naming.TRAINING_JOB, job.metadata.name), **labels}
    model = k8s.V1Job(
        metadata=common.child_metadata(job, naming.TRAINING_JOB, job_name(job, attempt), labels),
        spec=k8s.V1JobSpec(
            active_deadline_seconds=_STOPPED_SECONDS if stop else seconds,
            backoff_limit_per_index=job.spec.retry_limit,
            completion_mode="Indexed",
            completions=len(what.trials),
            max_failed_indexes=failures,
            parallelism=min(tuning.parallelism, len(what.trials)),
            suspend=job.spec.suspend and not expire,
            ttl_seconds_after_finished=job.spec.ttl_seconds_after_finished if expire else None,
            pod_failure_policy=_failure_policy(),
            template=k8s.V1PodTemplateSpec(
                metadata=k8s.V1ObjectMeta(labels=pod_labels), spec=_pod_spec(job, settings, what)
            ),
        ),
    )
    return common.manifest(model, "batch/v1", "Job", observed)
