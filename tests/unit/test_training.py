"""What has become of an attempt: every combination of Job and pod."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator.decide import training
from modelwright_operator.decide.observed import Job, Pod
from modelwright_training.contract import Stage
from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import attempt_job, ended

Raw = dict[str, Any]
SUBJECT = make.training_job()


def job(*conditions: Raw) -> Raw:
    return attempt_job(SUBJECT, conditions=[*conditions])


def pod(raw: Raw, statuses: list[Raw], phase: str = "Running", **metadata: Any) -> Raw:
    made = kubelet.pod_of(raw, kubelet.pod_status(statuses, phase))
    made["metadata"] |= metadata
    return made


def outcome(raw: Raw, *pods: Raw) -> training.Outcome:
    return training.outcome(Job(raw), [Pod(item) for item in pods])


ALL = kubelet.stage_statuses(kubelet.results())


def test_stages_follow_their_containers() -> None:
    results = kubelet.results()
    raw = job()
    seen = outcome(raw, pod(raw, kubelet.stage_statuses({"fetch": results["fetch"]}, kubelet.running("train"))))
    assert isinstance(seen, training.InProgress)
    assert [(stage.name, stage.state) for stage in seen.stages] == [
        (Stage.FETCH, "Succeeded"),
        (Stage.TRAIN, "Running"),
        (Stage.EVALUATE, "Waiting"),
        (Stage.PUBLISH, "Waiting"),
    ]
    assert seen.stages[0].finished_at is not None
    assert seen.stages[1].started_at is not None


def test_all_results_make_a_trained_model() -> None:
    raw = job(*ended("Complete"))
    seen = outcome(raw, pod(raw, ALL, "Succeeded"))
    assert isinstance(seen, training.Trained)
    assert seen.publish.digest == make.digest("a")
    assert seen.evaluate.metrics[0].name == "accuracy"
    assert seen.fetch.data[0].rows == 100


@pytest.mark.parametrize(
    ("conditions", "reason", "final"),
    [
        pytest.param(ended("Failed", reason="DeadlineExceeded"), "DeadlineExceeded", True, id="deadline"),
        pytest.param(ended("Failed", reason="BackoffLimitExceeded"), "PodLost", False, id="no pod left"),
        pytest.param(ended("Complete"), "ResultMissing", False, id="no result left"),
    ],
)
def test_an_end_without_a_pod(conditions: list[Raw], reason: str, *, final: bool) -> None:
    seen = outcome(job(*conditions))
    assert isinstance(seen, training.Broken)
    assert (seen.reason.value, seen.final) == (reason, final)
    assert seen.failed_at is not None


def test_the_newest_pod_that_stays_is_believed() -> None:
    raw = job(*ended("Complete"))
    lost = kubelet.stage_statuses({}, kubelet.terminated("fetch", 137, ""))
    older = pod(raw, lost, "Failed", name="p1", creationTimestamp="2026-03-01T12:00:00Z")
    newer = pod(raw, ALL, "Succeeded", name="p2", creationTimestamp="2026-03-01T12:05:00Z")
    going = pod(raw, lost, "Failed", name="p3", creationTimestamp="2026-03-01T12:09:00Z", deletionTimestamp="x")
    assert isinstance(outcome(raw, older, newer, going), training.Trained)
    assert isinstance(outcome(raw, going, newer, older), training.Trained)


def test_a_condition_that_is_false_is_no_end() -> None:
    condition = {**ended("Complete")[0], "status": "False"}
    assert isinstance(outcome(job(condition)), training.InProgress)


TIMED = make.training_job().spec(evaluation={"holdoutPercent": 25, "latency": {}})


def timed(*conditions: Raw) -> Raw:
    return attempt_job(TIMED, conditions=[*conditions])


def test_a_timed_job_has_a_stage_more_and_needs_its_result() -> None:
    raw, results = timed(*ended("Complete")), kubelet.results()
    seen = outcome(raw, pod(raw, kubelet.stage_statuses(results, stages=kubelet.stages_of(raw)), "Succeeded"))
    assert isinstance(seen, training.Trained)
    assert [stage.name for stage in seen.stages] == list(kubelet.results())
    assert seen.latency is not None
    assert seen.latency.p99_milliseconds == 0.5
    del results["latency"]
    lacking = outcome(raw, pod(raw, kubelet.stage_statuses(results, stages=kubelet.stages_of(raw)), "Succeeded"))
    assert isinstance(lacking, training.Broken)
    assert lacking.reason.value == "ResultMissing"


def test_a_timing_killed_for_its_memory_names_its_own_limit() -> None:
    raw = timed(*ended("Failed", reason="BackoffLimitExceeded"))
    before = {name: kubelet.results()[name] for name in ("fetch", "train", "evaluate")}
    killed = kubelet.terminated("latency", 137, "", reason="OOMKilled")
    seen = outcome(raw, pod(raw, kubelet.stage_statuses(before, killed, kubelet.stages_of(raw)), "Failed"))
    assert isinstance(seen, training.Broken)
    assert (seen.reason.value, seen.final) == ("OutOfMemory", True)
    assert "raise spec.evaluation.latency.resources.limits.memory" in seen.message


@pytest.mark.parametrize(("attempt", "pause"), [(1, 10), (2, 20), (3, 40), (6, 320), (60, 320)])
def test_pauses_grow_and_end_growing(attempt: int, pause: int) -> None:
    assert training.retry_delay_seconds(attempt) == pause
