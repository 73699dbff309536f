"""TrainingJobs under way and their pods, for tables that vary what has become of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.support import builders as make
from tests.support import kubelet
from tests.support.clock import START

Raw = dict[str, Any]

JOB = make.training_job
VERSION = "churn-aaaaaaaaaa"


def running(attempt: int = 1) -> make.Maker:
    return (
        JOB().status(attempt=attempt, job="x", startedAt="2026-03-01T12:00:00Z").condition("Ready", "False", "Running")
    )


def finished(kind: str = "Complete", reason: str = "Succeeded") -> make.Maker:
    return (
        running()
        .status(modelVersion=VERSION, observedGeneration=1)
        .condition("Ready", "True", reason)
        .condition(kind, reason=reason)
    )


def pod(job: Raw, active: Raw | None = None, ended_stages: dict[str, Raw] | None = None, phase: str = "Running") -> Raw:
    return kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses(ended_stages or {}, active), phase))


def done_pod(job: Raw, said: dict[str, Raw] | None = None) -> Raw:
    return kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses(said or kubelet.results()), "Succeeded"))


def failed_pod(job: Raw, stage: str, code: int, message: object, **extra: Any) -> Raw:
    before = {name: kubelet.results()[name] for name in kubelet.STAGES[: kubelet.STAGES.index(stage)]}
    return pod(job, kubelet.terminated(stage, code, message, **extra), before, "Failed")


def later(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)
