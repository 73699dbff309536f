"""From data to prediction on the real cluster, and what must stay true afterwards."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelwright_training import contract
from modelwright_training.dataset import load
from tests.e2e.fixtures import (
    DEPLOYMENTS,
    JOBS,
    OURS,
    VERSIONS,
    Object,
    Team,
    condition,
    deployment,
    is_true,
    rows_body,
    training_job,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

LATEST = {"name": "cancer", "follow": "Latest"}


def config_of(job: Object) -> contract.JobConfig:
    """Return what the job's pod was told: the test rebuilds the holdout from it in a process of its own."""
    spec = job["spec"]
    trainer = spec["trainer"]["sklearn"]
    return contract.JobConfig(
        namespace=job["metadata"]["namespace"],
        training_job=job["metadata"]["name"],
        uid=job["metadata"]["uid"],
        model=spec["model"],
        data=tuple(contract.DataSource(item["name"], item["uri"], item.get("digest")) for item in spec["data"]),
        target=spec["target"],
        task=contract.Task(spec["task"]),
        columns=contract.Columns((), ()),
        trainer=contract.Trainer(
            contract.SklearnTrainer(trainer["estimator"], trainer.get("parameters", {}), contract.Preprocessing.AUTO)
        ),
        evaluation=contract.Evaluation(None, spec["evaluation"]["holdoutPercent"]),
        seed=spec["seed"],
        storage=contract.Storage("pvc://unused/"),
        source=contract.Source(None, None),
    )


def quiet(team: Team, seconds: int, resources: tuple[str, ...]) -> list[str]:
    """Watch the namespace's objects for so many seconds; return every change that was seen."""
    seen: list[str] = []

    def watch(resource: str) -> None:
        plural, _, group = resource.partition(".")
        root = {"": "/api/v1", "modelwright.dev": "/apis/modelwright.dev/v1alpha1"}.get(group, f"/apis/{group}/v1")
        path = f"{root}/namespaces/{team.namespace}/{plural}"
        version = team.cluster.api.request("GET", path)["metadata"]["resourceVersion"]
        query = f"?watch=1&timeoutSeconds={seconds}&resourceVersion={quote(version)}"
        events = team.cluster.api.watch(path + query, timeout=seconds + 30)
        seen.extend(f"{event['type']} {resource}/{event['object']['metadata']['name']}" for event in events)

    threads = [threading.Thread(target=watch, args=(resource,)) for resource in resources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


CHILDREN = (
    "jobs.batch",
    "deployments.apps",
    "services",
    "poddisruptionbudgets.policy",
    "networkpolicies.networking.k8s.io",
)


def test_data_to_prediction_and_a_quiet_afterwards(team: Team) -> None:
    team.apply(deployment("scores", LATEST, replicas=2))
    job = team.train("first")
    version = job["status"]["modelVersion"]
    team.wait(DEPLOYMENTS, "scores", is_true("Ready", "Available"))

    dataset = load(config_of(job), contract.Task.CLASSIFICATION)
    estimator = LogisticRegression(max_iter=500, random_state=7)
    native = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), estimator)
    native.fit(dataset.train.values.native(), dataset.train.target)
    rows = dataset.holdout.values.feed()["input"]
    expected = native.predict_proba(dataset.holdout.values.native())

    answer = team.infer("scores", rows_body(rows.tolist()))
    outputs = {output["name"]: output for output in answer["outputs"]}
    served = np.array(outputs["probabilities"]["data"]).reshape(len(rows), 2)
    assert answer["model_version"] == version
    assert np.abs(served - expected).max() <= 1e-5
    accuracy = float(np.mean(np.array(outputs["label"]["data"]) == np.asarray(dataset.holdout.target)))
    recorded = {metric["name"]: metric["value"] for metric in team.get(VERSIONS, version)["spec"]["metrics"]}
    assert accuracy == pytest.approx(recorded["accuracy"], abs=1e-6)

    assert condition(team.get(VERSIONS, version), "Verified")["reason"] == "PublishedByTrainingJob"
    team.wait(VERSIONS, version, is_true("InUse"))
    told = [event for event in team.find("events.events.k8s.io") if "modelwright.dev" in str(event["regarding"])]
    assert {"Succeeded", "Available"} <= {event["reason"] for event in told}

    team.wait("jobs.batch", job["status"]["job"], lambda seen: seen and "ttlSecondsAfterFinished" in seen["spec"])
    assert quiet(team, 60, (*OURS, *CHILDREN)) == []


def test_same_data_and_seed_is_the_same_version(team: Team) -> None:
    first = team.train("first")
    team.apply(training_job("second"))
    second = team.wait(JOBS, "second", is_true("Complete", "Reproduced"), deadline=120)
    assert second["status"]["modelVersion"] == first["status"]["modelVersion"]
    assert second["status"]["artifact"]["digest"] == first["status"]["artifact"]["digest"]
    assert second["status"]["reproduced"]
    assert len(team.find(VERSIONS)) == 1


def test_another_version_of_the_same_parameters_says_what_differs(team: Team) -> None:
    first = team.train("first")["status"]
    assert first["resolved"]["imageDigest"].startswith("sha256:")
    source = {"repository": "https://git.example.test/cancer", "commit": "0123abc"}
    second = team.train("second", source=source)["status"]
    assert not second.get("reproduced")
    assert second["differs"] == {"version": first["modelVersion"], "what": ["source"]}
    provenance = team.get(VERSIONS, second["modelVersion"])["spec"]["provenance"]
    assert provenance["source"] == source
    assert provenance["imageDigest"] == first["resolved"]["imageDigest"]


def test_a_finished_job_never_trains_again(team: Team) -> None:
    job = team.train("first", ttlSecondsAfterFinished=86400)
    name = job["status"]["job"]
    team.cluster.delete("jobs.batch", name, team.namespace)
    team.wait("jobs.batch", name, lambda seen: seen is None)
    team.patch(JOBS, "first", {"spec": {"ttlSecondsAfterFinished": 0}})
    generation = team.get(JOBS, "first")["metadata"]["generation"]
    seen = team.wait(JOBS, "first", lambda now: now and now["status"]["observedGeneration"] == generation)
    assert seen["status"]["attempt"] == 1
    assert condition(seen, "Complete")["status"] == "True"
    assert team.find("jobs.batch") == []


def test_the_ttl_removes_the_job_and_nothing_else(team: Team) -> None:
    job = team.train("first", ttlSecondsAfterFinished=1)
    team.wait("jobs.batch", job["status"]["job"], lambda seen: seen is None, deadline=30)
    seen = team.get(JOBS, "first")
    assert (seen["status"]["attempt"], condition(seen, "Complete")["status"]) == (1, "True")
    assert len(team.find(VERSIONS)) == 1


def edit_replicas(team: Team, name: str) -> None:
    team.patch("deployments.apps", name, {"spec": {"replicas": 5}})


def edit_template(team: Team, name: str) -> None:
    container = {"name": "server", "env": [{"name": "MODELWRIGHT_THREADS", "value": "9"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    team.cluster.api.request(
        "PATCH",
        f"/apis/apps/v1/namespaces/{team.namespace}/deployments/{name}",
        patch,
        "application/strategic-merge-patch+json",
    )


def drop_label(team: Team, name: str) -> None:
    team.patch("deployments.apps", name, {"metadata": {"labels": {"modelwright.dev/revision": None}}})


def drop_owner_labels(team: Team, name: str) -> None:
    labels = {"app.kubernetes.io/managed-by": None, "modelwright.dev/name": None}
    team.patch("deployments.apps", name, {"metadata": {"labels": labels}})


def delete_it(team: Team, name: str) -> None:
    team.cluster.delete("deployments.apps", name, team.namespace)


def test_children_edited_or_deleted_are_restored(team: Team) -> None:
    team.train("first")
    team.apply(deployment("scores", LATEST))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    workload = team.find("deployments.apps")[0]
    name = workload["metadata"]["name"]

    def as_before(seen: Object | None) -> bool:
        if seen is None:
            return False
        return (seen["spec"], seen["metadata"]["labels"]) == (workload["spec"], workload["metadata"]["labels"])

    edits: list[Callable[[Team, str], None]] = [edit_replicas, edit_template, drop_label, drop_owner_labels, delete_it]
    for edit in edits:
        edit(team, name)
        team.wait("deployments.apps", name, as_before, deadline=60)

    selector = team.get("services", "scores")["spec"]["selector"]
    team.patch("services", "scores", {"spec": {"selector": {"app": "hijacked"}}})
    team.wait("services", "scores", lambda seen: seen and seen["spec"]["selector"] == selector, deadline=60)
    team.cluster.delete("services", "scores", team.namespace)
    team.wait("services", "scores", lambda seen: seen and seen["spec"]["selector"] == selector, deadline=60)


def test_scaling_by_kubectl(team: Team) -> None:
    team.train("first")
    team.apply(deployment("scores", LATEST))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    revision = team.get(DEPLOYMENTS, "scores")["status"]["stable"]["revision"]
    team.cluster.kubectl("scale", "modeldeployment/scores", "--replicas=2", "-n", team.namespace)
    ready = team.wait(
        DEPLOYMENTS, "scores", lambda seen: is_true("Ready")(seen) and seen and seen["status"]["readyReplicas"] == 2
    )
    assert ready["status"]["stable"]["revision"] == revision
    assert len(team.find("poddisruptionbudgets.policy")) == 1
    team.cluster.kubectl("scale", "modeldeployment/scores", "--replicas=0", "-n", team.namespace)
    team.wait(DEPLOYMENTS, "scores", is_true("Ready", "ScaledToZero"))
    team.wait("poddisruptionbudgets.policy", "scores", lambda seen: seen is None)
