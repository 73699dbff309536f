"""A batch Job in a queue, by the Job API's own behaviour: another manager suspends and starts it, as Kueue does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import JOBS, VERSIONS, Object, Team, claim, condition, is_true, training_job

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

BATCH = "jobs.batch"
SELECTOR = "modelwright.dev/kind=TrainingJob,modelwright.dev/name=queued"


def _queue_sets(team: Team, name: str, *, suspend: bool) -> None:
    """Set a Job's suspension under another field manager, as a queue's controller does."""
    patch = json.dumps({"spec": {"suspend": suspend}})
    command = ("patch", BATCH, name, "-n", team.namespace, "--type=merge", "--field-manager=kueue", "-p", patch)
    team.cluster.kubectl(*command)


def _seen(generation: int) -> Callable[[Object | None], bool]:
    return lambda job: bool(job) and (job or {})["status"].get("observedGeneration", -1) >= generation


def _is_queued(seen: Object | None) -> bool:
    return is_true("Reconciling", "Queued")(seen)


def test_the_queue_decides_when_a_job_runs(shared: Team) -> None:
    shared.apply(claim(), training_job("queued", model="queued", scheduling={"queueName": "team-a"}))
    started = shared.wait(JOBS, "queued", lambda seen: bool((seen or {}).get("status", {}).get("job")))
    name = started["status"]["job"]
    shared.wait(BATCH, name, lambda seen: seen is not None)
    assert shared.get(BATCH, name)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"

    _queue_sets(shared, name, suspend=True)
    held = shared.wait(JOBS, "queued", _is_queued)
    assert "queue team-a" in condition(held, "Reconciling")["message"]
    shared.wait(JOBS, "queued", lambda _: not shared.find("pods", SELECTOR))
    # Passes that have something to write leave the suspension alone.
    shared.patch(JOBS, "queued", {"spec": {"ttlSecondsAfterFinished": 7200}})
    shared.wait(JOBS, "queued", _seen(held["metadata"]["generation"] + 1))
    shared.cluster.kubectl("label", BATCH, name, "-n", shared.namespace, "modelwright.dev/model-")
    labelled = "modelwright.dev/model"
    shared.wait(BATCH, name, lambda seen: bool(seen) and labelled in (seen or {})["metadata"]["labels"])
    assert shared.get(BATCH, name)["spec"]["suspend"] is True
    assert _is_queued(shared.get(JOBS, "queued"))

    # The user's own suspension takes the Job out of the queue, and resuming brings it back as the same attempt.
    shared.patch(JOBS, "queued", {"spec": {"suspend": True}})
    shared.wait(JOBS, "queued", is_true("Suspended"))
    shared.wait(BATCH, name, lambda seen: seen is None)
    shared.patch(JOBS, "queued", {"spec": {"suspend": False}})
    again = shared.wait(BATCH, name, lambda seen: seen is not None)
    _queue_sets(shared, name, suspend=True)
    shared.wait(JOBS, "queued", _is_queued)
    _queue_sets(shared, name, suspend=False)
    done = shared.wait(JOBS, "queued", is_true("Complete"), deadline=120)
    assert (done["status"]["attempt"], done["status"]["job"]) == (1, again["metadata"]["name"])
    assert [item["metadata"]["name"] for item in shared.find(VERSIONS)] == [done["status"]["modelVersion"]]
