"""What became of the version that a retraining made."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import api
from modelwright_operator.decide.observed import Child
from modelwright_operator.decide.retraining import Turn
from modelwright_operator.decide.run_outcome import judged
from tests.support import builders as make
from tests.support.clock import START

Raw = dict[str, Any]

A, B, C = (make.verified(seed, age_seconds=age) for seed, age in (("a", 300), ("b", 200), ("c", 100)))
NAME_A, NAME_B, NAME_C = (version.raw["metadata"]["name"] for version in (A, B, C))
REFUSED = make.model_version("b").condition("Verified", "False", "DigestMismatch", "it has another digest")


def revision(version: make.Maker) -> Raw:
    metadata, spec = version.raw["metadata"], version.raw["spec"]
    created = {"versionCreatedAt": metadata["creationTimestamp"]}
    return {
        "revision": "r",
        "version": metadata["name"],
        "model": "churn",
        "digest": spec["artifact"]["digest"],
    } | created


def outcome(
    *versions: make.Maker,
    before: api.Outcome = "RollingOut",
    stable: make.Maker = A,
    pinned: str | None = None,
    job: make.Maker | None = None,
    **status: Any,
) -> api.RetrainingRun:
    """Return the run of version B after one look; a job's run is still under way."""
    subject = make.deployment(version=pinned).status(stable=revision(stable), **status)
    deployment = api.Deployment.model_validate(subject.stored())
    run = api.RetrainingRun(
        name="run", episode=1, champion=NAME_A, started_at=START, outcome="Running" if job else before, version=NAME_B
    )
    runs = [Child(job.stored())] if job is not None else []
    known = [api.ModelVersion.model_validate(item.stored()) for item in versions]
    after = judged(Turn(api.RetrainingStatus(last_run=run, runs=[START])), deployment, runs, known, START)
    assert after.state.last_run is not None
    changed = after.state.last_run.outcome != run.outcome
    assert len(after.happened) == int(changed and after.state.last_run.outcome != "RollingOut")
    return after.state.last_run


def rejected(version: str) -> list[Raw]:
    at = START.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [{"revision": "r", "version": version, "reason": "CanaryWorse", "message": "bad answers", "at": at}]


def trained(**status: Any) -> make.Maker:
    return make.training_job("run").status(modelVersion=NAME_B, **status).condition("Complete", reason="Succeeded")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (outcome(A, B), "RollingOut"),
        (outcome(A, B, stable=B), "Promoted"),
        (outcome(A, B, rejected=rejected(NAME_B)), "RolledBack"),
        (outcome(A, B, rejected=rejected(NAME_C)), "RollingOut"),
        (outcome(A, B, C, stable=C), "Superseded"),
        (outcome(A, REFUSED), "Failed"),
        (outcome(A), "Failed"),
        (outcome(A, B, pinned=NAME_A), "UpdateAvailable"),
        (outcome(A, B, pinned=NAME_B), "RollingOut"),
        (outcome(A, B, before="UpdateAvailable", pinned=NAME_A), "UpdateAvailable"),
        (outcome(A, B, before="UpdateAvailable", pinned=NAME_B), "RollingOut"),
        (outcome(A, B, before="UpdateAvailable", pinned=NAME_B, stable=B), "Promoted"),
        (outcome(A, before="UpdateAvailable", pinned=NAME_A), "Failed"),
        (outcome(A, B, before="Promoted", stable=B), "Promoted"),
        (outcome(A, B, before="Promoted", rejected=rejected(NAME_B)), "RolledBack"),
        (outcome(A, B, before="Promoted", stable=C), "Promoted"),
        (outcome(A, B, before="RolledBack", stable=B), "Promoted"),
        (outcome(A, B, before="Rejected", stable=B), "Rejected"),
        (outcome(A, B, job=trained()), "RollingOut"),
        (outcome(A, B, job=trained(), stable=B), "Promoted"),
        (outcome(A, B, job=trained().deleting()), "Failed"),
        (outcome(C, make.verified("a", age_seconds=400), B, job=trained()), "RollingOut"),
        (outcome(B, make.verified("a", age_seconds=100), job=trained()), "NoNewData"),
        (outcome(A, B, job=make.training_job("run")), "Running"),
        (outcome(A, B, job=make.training_job("run").condition("Failed", reason="GatesNotPassed")), "Rejected"),
        (outcome(A, B, job=make.training_job("run").condition("Failed", reason="DataNotFound")), "Failed"),
    ],
)
def test_what_becomes_of_it(found: api.RetrainingRun, expected: str) -> None:
    assert found.outcome == expected
    assert (found.finished_at is None) == (expected in {"Running", "RollingOut"} or found.message == "")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([{"name": "train", "uri": "u", "digest": make.digest("d")}], "NoNewData"),
        ([{"name": "train", "uri": "u", "digest": make.digest("e")}], "Rejected"),
        ([{"name": "other", "uri": "u", "digest": make.digest("d")}], "Rejected"),
        ([], "Rejected"),
    ],
)
def test_what_a_run_read_is_compared_with_what_the_champion_was_made_of(data: list[Raw], expected: str) -> None:
    known = {"provenance": {"data": [{"name": "train", "uri": "elsewhere", "digest": make.digest("d")}]}}
    champion = make.verified("a", age_seconds=300).spec(**known)
    job = make.training_job("run").status(resolved={"data": data}).condition("Failed", reason="GatesNotPassed")
    assert outcome(champion, B, job=job).outcome == expected
