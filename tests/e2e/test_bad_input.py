"""What users get wrong and no schema can see: said in a condition soon, and nothing that serves is touched."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.render import serving, training
from modelwright_operator.settings import Settings
from tests.cluster.settings import ClusterError
from tests.e2e.fixtures import (
    CLAIM,
    DEPLOYMENTS,
    JOBS,
    NO_DIGEST,
    VERSIONS,
    Object,
    Team,
    claim,
    condition,
    deployment,
    is_true,
    model_version,
    rows_body,
    training_job,
)
from tests.support.claims import run_in_claim, write_files
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from concurrent.futures import Future

pytestmark = pytest.mark.cluster

SOON = 120  # seconds: some are known only after a whole run, of which there are three at a time
DATA = "raw"  # the claim with the tables below
NO_IMAGE = "localhost/modelwright/none:none"
ROW = [[14.0] * 30]

TABLES = {
    "empty.csv": "a,b,target\n" + "1,2,\n3,4,\n" * 20,
    "texts.csv": "a,b,target\n" + "1,2,high\n3,4,low\n" * 20,
    "lonely.csv": "a,b,target\n" + "1,2,0\n3,4,1\n" * 20 + "5,6,2\n",
    "holes.csv": "a,b,target\n" + "1,,1\n3,4,0\n1,2,1\n3,,1\n" * 20,
    "right.csv": "a,b,target\n" + "1,2,0\n3,4,1\n1,4,1\n3,2,1\n" * 20,
}


def sklearn(estimator: str, preprocessing: str = "Auto", **parameters: Any) -> Object:
    settings = {"estimator": f"sklearn.{estimator}", "parameters": parameters, "preprocessing": preprocessing}
    return {"trainer": {"sklearn": settings}}


def table(name: str) -> Object:
    return {"data": [{"name": "all", "uri": f"pvc://{DATA}/{name}"}]}


# Said in a condition: what a TrainingJob is given, the reason, and words of the message, the field first.


@dataclass(frozen=True)
class Wrong:
    """Bad input of a TrainingJob, and what must be said of it."""

    spec: Object
    reason: str
    words: tuple[str, ...]


WRONG: Mapping[str, Wrong] = {
    "data-set": Wrong(
        {"data": [{"name": "all", "uri": "sklearn://titanic"}]},
        "DataNotFound",
        ("data set 'all'", "sklearn://titanic", "there are breast_cancer"),
    ),
    "file": Wrong(table("wrong.csv"), "DataNotFound", ("data set 'all'", "wrong.csv", "its folder holds")),
    "digest": Wrong(
        {"data": [{"name": "all", "uri": f"pvc://{DATA}/right.csv", "digest": NO_DIGEST}]},
        "DataDigestMismatch",
        ("data set 'all'", NO_DIGEST, "restore the data, or set the digest"),
    ),
    "target": Wrong(
        {**table("right.csv"), "target": "targets"}, "TargetInvalid", ("target 'targets'", "did you mean target?")
    ),
    "empty-target": Wrong(table("empty.csv"), "TargetInvalid", ("target 'target' is empty",)),
    "text-target": Wrong(
        {**table("texts.csv"), **sklearn("linear_model.Ridge")},
        "TargetInvalid",
        ("target 'target' is not numeric", "use a classifier"),
    ),
    "lonely-class": Wrong(table("lonely.csv"), "TargetInvalid", ("target 'target'", "single row (2)", "add rows")),
    "missing-numbers": Wrong(
        {**table("holes.csv"), **sklearn("linear_model.LogisticRegression", "None")},
        "DataInvalid",
        ("missing", "trainer.sklearn.preprocessing to Auto"),
    ),
    "estimator": Wrong(
        {**table("right.csv"), **sklearn("linear_model.LogisticRegresion")},
        "EstimatorInvalid",
        ("trainer.sklearn.estimator", "did you mean LogisticRegression"),
    ),
    "parameter": Wrong(
        {**table("right.csv"), **sklearn("linear_model.LogisticRegression", iterations=3)},
        "EstimatorInvalid",
        ("trainer.sklearn.parameters", "'iterations'"),
    ),
    "no-converter": Wrong(
        {**table("right.csv"), **sklearn("neighbors.NearestCentroid")},
        "ConversionFailed",
        ("trainer.sklearn.estimator: NearestCentroid", "choose another estimator"),
    ),
    "parity": Wrong(
        {**table("holes.csv"), **sklearn("tree.DecisionTreeClassifier", "None")},
        "ParityFailed",
        ("row", "DecisionTreeClassifier", "choose others"),
    ),
    "model-claim": Wrong(
        {**table("right.csv"), "storage": {"uri": "pvc://nowhere/models"}},
        "VolumeClaimNotFound",
        ("PersistentVolumeClaim nowhere", "create it"),
    ),
}


@pytest.fixture(scope="module")
def answers(shared: Team) -> Generator[Mapping[str, Future[Object]]]:
    """Apply all wrong TrainingJobs, a few at a time as the node is small; give what becomes of each."""

    def answer(name: str, wrong: Wrong) -> Object:
        shared.apply(training_job(name, **wrong.spec))
        end = "Stalled" if wrong.reason == "VolumeClaimNotFound" else "Failed"  # that one can go on
        return shared.wait(JOBS, name, is_true(end), deadline=SOON)

    shared.apply(claim(DATA), claim())
    write_files(shared, DATA, {name: text.encode() for name, text in TABLES.items()})
    with ThreadPoolExecutor(3) as pool:
        yield {name: pool.submit(answer, name, wrong) for name, wrong in WRONG.items()}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", WRONG)
def test_is_said_in_a_condition(answers: Mapping[str, Future[Object]], case: str) -> None:
    wrong, seen = WRONG[case], answers[case].result()
    stalled = condition(seen, "Stalled")
    assert stalled["reason"] == wrong.reason, stalled
    assert [word for word in wrong.words if word not in stalled["message"]] == [], stalled["message"]
    assert condition(seen, "Ready")["status"] == "False"
    assert not condition(seen, "Reconciling")
    if condition(seen, "Failed"):
        assert seen["status"]["attempt"] == 1, "what a retry cannot mend is not retried"
        failed = [stage for stage in seen["status"]["stages"] if stage["state"] == "Failed"]
        assert [(stage["exitCode"], stage["message"]) for stage in failed] == [(2, stalled["message"])]


@pytest.fixture(scope="module")
def gone_on(shared: Team, answers: Mapping[str, Future[Object]]) -> Object:
    """Make the claim that a job waits for; return the job at its end."""
    answers["model-claim"].result()
    shared.apply(claim("nowhere"))
    return shared.wait(JOBS, "model-claim", is_true("Complete"), deadline=SOON)


def test_a_job_goes_on_by_itself_once_its_claim_is_there(gone_on: Object) -> None:
    assert gone_on["status"]["attempt"] == 1
    assert gone_on["status"]["artifact"]["uri"].startswith("pvc://nowhere/models/")


def test_a_name_taken_by_another_version_is_said_and_the_job_goes_on_once_it_is_free(
    shared: Team, gone_on: Object
) -> None:
    name = gone_on["status"]["modelVersion"]  # the same data, parameters and seed make this very version again
    shared.cluster.delete(VERSIONS, name, shared.namespace)
    shared.apply(model_version(name, model="another"), training_job("again", **WRONG["model-claim"].spec))
    seen = shared.wait(JOBS, "again", is_true("Stalled", "NameConflict"), deadline=SOON)
    assert f"ModelVersion {name} exists" in condition(seen, "Stalled")["message"]
    assert shared.get(VERSIONS, name)["spec"]["artifact"]["digest"] == NO_DIGEST
    shared.cluster.delete(VERSIONS, name, shared.namespace)
    seen = shared.wait(JOBS, "again", is_true("Complete"), deadline=SOON)
    assert seen["status"]["modelVersion"] == name
    assert shared.get(VERSIONS, name)["spec"]["provenance"]["trainingJob"]["uid"] == seen["metadata"]["uid"]


# Images: one setting of the operator, right in the tests. The children below are what an operator with a wrong one
# left behind; pods once rendered are never rendered anew, so the present operator works on with them.

MISSET = Settings(serving_image=NO_IMAGE, training_image=NO_IMAGE, feast_image=NO_IMAGE)


def test_an_image_that_is_not_there_is_said_of_a_training_job(shared: Team) -> None:
    shared.apply(training_job("no-image", suspend=True))
    waiting = shared.wait(JOBS, "no-image", is_true("Suspended"))
    shared.apply(training.batch_job(api.TrainingJob.model_validate(waiting), 1, MISSET))
    shared.patch(JOBS, "no-image", {"spec": {"suspend": False}})
    seen = shared.wait(JOBS, "no-image", is_true("Stalled"), deadline=SOON)
    assert_no_image(seen, "fetch")
    shared.patch(JOBS, "no-image", {"spec": {"suspend": True}})


def assert_no_image(seen: Object, container: str) -> None:
    stalled = condition(seen, "Stalled")
    assert stalled["reason"] == "ImagePullFailed", stalled
    assert f"image {NO_IMAGE} of container {container} cannot be pulled" in stalled["message"]
    assert "check the image's name" in stalled["message"]


# Serving goes on.


@pytest.fixture(scope="module")
def cancer(shared: Team) -> Object:
    """Train the model that the tests below serve; return its ModelVersion."""
    made = shared.train("cancer")["status"]["modelVersion"]
    return shared.wait(VERSIONS, made, is_true("Verified"))


@pytest.fixture(scope="module")
def damaged(shared: Team, cancer: Object) -> tuple[str, str]:
    """Import two verified versions, whose artifacts are then `deleted` and `altered`; return these names."""
    artifact = cancer["spec"]["artifact"]
    names = ("deleted", "altered")
    source = artifact["uri"].removeprefix(f"pvc://{CLAIM}/")
    run_in_claim(shared, CLAIM, f"import shutil; [shutil.copytree({source!r}, name) for name in {names}]")
    shared.apply(*(model_version(name, name, artifact["digest"], model="cancer") for name in names))
    for name in names:
        shared.wait(VERSIONS, name, is_true("Verified"))
    damage = "import os, shutil; shutil.rmtree('deleted'); os.truncate('altered/model.onnx', 100)"
    run_in_claim(shared, CLAIM, damage)
    return names


def test_what_serves_goes_on_while_its_deployment_is_pointed_at_broken_versions(
    shared: Team, cancer: Object, damaged: tuple[str, str]
) -> None:
    deleted, altered = damaged
    good = cancer["metadata"]["name"]
    shared.apply(deployment("steady", {"version": good}), model_version("unverified", "unverified"))
    shared.wait(DEPLOYMENTS, "steady", is_true("Ready"))
    shared.wait(VERSIONS, "unverified", is_true("Stalled", "ArtifactNotFound"))
    broken = {
        "nowhere": ("VersionNotFound", "spec.model.version: there is no ModelVersion nowhere"),
        "unverified": ("ArtifactNotFound", "ModelVersion unverified was not accepted: "),
        deleted: ("ArtifactNotFound", f"pvc://{CLAIM}/deleted"),
        altered: ("DigestMismatch", "model.onnx has 100 bytes"),
    }
    address = shared.get("services", "steady")["spec"]["clusterIP"]
    with Clients(address, kept=1, fresh=1) as load:
        for name, (reason, words) in broken.items():
            shared.patch(DEPLOYMENTS, "steady", {"spec": {"model": {"version": name}}})
            seen = shared.wait(DEPLOYMENTS, "steady", is_true("Stalled", reason), deadline=SOON)
            assert words in condition(seen, "Stalled")["message"]
            assert f"; {good} goes on answering" in condition(seen, "Stalled")["message"]
            assert seen["status"]["stable"]["version"] == good
            assert is_true("Available")(seen)
        shared.patch(DEPLOYMENTS, "steady", {"spec": {"model": {"version": good}}})
        shared.wait(DEPLOYMENTS, "steady", is_true("Ready"), deadline=SOON)
    assert set(load.answers) == {good}, load.answers
    assert load.answers[good] > 100


def test_an_artifact_deleted_before_anything_serves_is_said(shared: Team, damaged: tuple[str, str]) -> None:
    shared.apply(deployment("early", {"version": damaged[0]}))
    seen = shared.wait(DEPLOYMENTS, "early", is_true("Stalled", "ArtifactNotFound"), deadline=SOON)
    assert f"pvc://{CLAIM}/deleted" in condition(seen, "Stalled")["message"]
    assert condition(seen, "Available")["status"] == "False"


def test_a_service_of_another_stays_untouched_and_the_deployment_goes_on_once_it_is_gone(
    shared: Team, cancer: Object
) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "taken"},
        "spec": {"selector": {"app": "another"}, "ports": [{"port": 80}]},
    }
    shared.apply(foreign, deployment("taken", {"version": cancer["metadata"]["name"]}))
    before = shared.get("services", "taken")
    seen = shared.wait(DEPLOYMENTS, "taken", is_true("Stalled", "NameConflict"), deadline=SOON)
    message = condition(seen, "Stalled")["message"]
    assert "Service taken exists" in message
    assert "delete or rename it, or choose another name" in message
    assert shared.get("services", "taken") == before
    shared.cluster.delete("services", "taken", shared.namespace)
    shared.wait(DEPLOYMENTS, "taken", is_true("Ready"), deadline=SOON)
    assert shared.infer("taken", rows_body(ROW))["model_version"] == cancer["metadata"]["name"]


def test_an_image_that_is_not_there_is_said_of_a_deployment(shared: Team, cancer: Object) -> None:
    name = cancer["metadata"]["name"]
    shared.apply(deployment("no-image", {"version": name}, replicas=0))
    resting = shared.wait(DEPLOYMENTS, "no-image", is_true("Ready", "ScaledToZero"))
    found = api.Deployment.model_validate(resting)
    assert found.status.stable is not None
    revision = found.status.stable.revision
    wrong = serving.workload(found, api.ModelVersion.model_validate(cancer), revision, MISSET)
    template = wrong["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE]
    workload = naming.workload_name("no-image", revision)
    shared.patch("deployments.apps", workload, {"metadata": {"annotations": {naming.ANNOTATION_TEMPLATE: template}}})
    shared.wait("deployments.apps", workload, lambda seen: NO_IMAGE in json.dumps((seen or {}).get("spec")))
    shared.patch(DEPLOYMENTS, "no-image", {"spec": {"replicas": 1}})
    seen = shared.wait(DEPLOYMENTS, "no-image", is_true("Stalled"), deadline=SOON)
    assert_no_image(seen, naming.FETCH_CONTAINER)
    shared.cluster.delete(DEPLOYMENTS, "no-image", shared.namespace)


def test_a_second_version_of_one_name_is_refused_and_changes_nothing(shared: Team, cancer: Object) -> None:
    with pytest.raises(ClusterError, match=r"spec\.artifact cannot be changed"):
        shared.apply(model_version(cancer["metadata"]["name"]))
    assert shared.get(VERSIONS, cancer["metadata"]["name"])["spec"] == cancer["spec"]
