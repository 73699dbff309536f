"""A batch Job that waits in a queue: who suspends it, and what the operator makes of it."""

from __future__ import annotations

from typing import Any

from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import attempt_job, ended, planned

Raw = dict[str, Any]
LABEL = "kueue.x-k8s.io/queue-name"


def queued(**spec: Any) -> make.Maker:
    return make.training_job().spec(scheduling={"queueName": "team-a"}, **spec)


def running(**spec: Any) -> make.Maker:
    before = queued(**spec).status(attempt=1, job="x", startedAt="2026-03-01T12:00:00Z")
    return before.condition("Ready", "False", "Running")


def suspended(job: Raw, *, by_queue: bool) -> Raw:
    """Return the Job as a queue's controller left it: its own field manager owns the suspension."""
    return {**job, "spec": {**job["spec"], "suspend": by_queue}, "managers": ["modelwright/Apply", "kueue/Update"]}


def test_a_queued_job_has_the_label_and_leaves_its_suspension_to_the_queue() -> None:
    manifest = planned(queued()).manifest("Job")
    assert manifest["metadata"]["labels"][LABEL] == "team-a"
    assert "suspend" not in manifest["spec"]
    assert LABEL not in manifest["spec"]["template"]["metadata"]["labels"]
    plain = planned(make.training_job()).manifest("Job")
    assert LABEL not in plain["metadata"]["labels"]
    assert plain["spec"]["suspend"] is False


def test_what_the_queue_holds_back_stays_held_and_is_queued() -> None:
    plan = planned(running(), suspended(attempt_job(running()), by_queue=True))
    assert (plan.applies, plan.deletes) == ([], [])
    assert plan.conditions == {"Ready": "False/Queued", "Reconciling": "True/Queued"}
    assert "queue team-a" in plan.messages
    assert plan.status["attempt"] == 1


def test_what_the_queue_lets_start_runs_and_is_not_written() -> None:
    job = suspended(attempt_job(running()), by_queue=False)
    pod = kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses({}, kubelet.running("fetch"))))
    plan = planned(running(), job, pod)
    assert (plan.applies, plan.deletes) == ([], [])
    assert plan.conditions == {"Ready": "False/Running", "Reconciling": "True/Running"}


def test_suspending_takes_the_job_out_of_the_queue() -> None:
    for by_queue in (True, False):
        job = suspended(attempt_job(running()), by_queue=by_queue)
        plan = planned(running(suspend=True), job)
        assert plan.applies == []
        assert plan.deletes == [f"Job/{job['metadata']['name']}"]
        assert plan.conditions == {"Suspended": "True/Suspended"}
        [seen] = plan.plan.confirm
        assert (seen.name, seen.resource_version) == (job["metadata"]["name"], job["metadata"]["resourceVersion"])


def test_a_suspended_one_whose_job_is_gone_rests() -> None:
    held = queued(suspend=True).status(attempt=1, job="x", startedAt="2026-03-01T12:00:00Z").condition("Suspended")
    assert not planned(held).applies
    assert not planned(held).deletes


def test_resuming_queues_up_the_same_attempt_anew() -> None:
    held = queued().status(attempt=2, job="x", startedAt="2026-03-01T12:00:00Z").condition("Suspended")
    plan = planned(held)
    name = plan.plan.apply[0].name
    assert plan.status["attempt"] == 2
    assert plan.manifest("Job")["metadata"]["labels"]["modelwright.dev/attempt"] == "2"
    assert (name, None) in [(item.name, item.resource_version) for item in plan.plan.confirm]
    assert plan.conditions == {"Ready": "False/Pending", "Reconciling": "True/Pending"}


def test_a_job_somebody_deleted_is_still_an_attempt_lost() -> None:
    plan = planned(running())
    assert plan.status["attempt"] == 2


def test_an_end_counts_even_if_it_was_suspended_meanwhile() -> None:
    job = attempt_job(running(), conditions=ended("Complete"))
    pod = kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses(kubelet.results()), "Succeeded"))
    plan = planned(running(suspend=True), job, pod)
    assert plan.conditions["Complete"] == "True/Succeeded"
    assert plan.deletes == []
