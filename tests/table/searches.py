"""Searches under way, for tables that vary what has become of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from modelwright_operator.render import search as render
from modelwright_operator.render.space import Round
from modelwright_training import contract
from tests.support import builders as make
from tests.support import trials
from tests.support.builders import SETTINGS, stored
from tests.support.clock import START
from tests.table.planning import Planned, ended, training_job_of

Raw = dict[str, Any]

TUNING: Raw = {
    "maxTrials": 6,
    "parallelism": 2,
    "maxSeconds": 600,
    "space": [{"parameter": "C", "min": 0.01, "max": 10, "scale": "Log"}],
}

ROW: Raw = {"state": "Succeeded", "score": 0.8, "deviation": 0.01}


def subject(**tuning: Any) -> make.Maker:
    return make.training_job().spec(tuning={**TUNING, **tuning})


def searching(*known: int, **tuning: Any) -> make.Maker:
    """Return a TrainingJob whose search runs, with these trials in its status."""
    rows = [{**ROW, "trial": number, "score": trials.score(number)} for number in known]
    found = {"attempt": 1, "startedAt": "2026-03-01T12:00:00Z", "trials": rows, "total": 6, "succeeded": len(rows)}
    if rows:
        found |= {"metric": "accuracy", "dataDigest": make.digest("d")}
    return subject(**tuning).status(tuning=found, startedAt="2026-03-01T12:00:00Z")


def search_job(
    maker: make.Maker, numbers: tuple[int, ...] = (0, 1, 2, 3, 4, 5), attempt: int = 1, rung: int = 0, **status: Any
) -> Raw:
    job = training_job_of(maker)
    assert job.spec.tuning is not None
    manifest = render.batch_job(
        job,
        job.spec.tuning,
        attempt,
        Round(numbers, rung),
        SETTINGS,
        seconds=job.spec.tuning.max_seconds,
        failures=job.spec.tuning.max_failed_trials,
    )
    return {**stored(manifest), "status": status}


def failed(reason: str, at: Any = START, **status: Any) -> Raw:
    return {"conditions": ended("Failed", at, reason), **status}


def numbers_of(plan: Planned) -> tuple[int, ...]:
    """Return the trials that the Job of a plan runs."""
    [variable] = [
        item
        for item in plan.manifest("Job")["spec"]["template"]["spec"]["containers"][0]["env"]
        if item["name"] == contract.ENV_JOB
    ]
    tuning = contract.JobConfig.from_json(variable["value"]).tuning
    assert tuning is not None
    assert tuning.trials is not None
    return tuning.trials


def later(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


def config_of(manifest: Raw) -> contract.JobConfig:
    variables = manifest["spec"]["template"]["spec"]["containers"][0]["env"]
    [told] = [item["value"] for item in variables if item["name"] == contract.ENV_JOB]
    return contract.JobConfig.from_json(told)
