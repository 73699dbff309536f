"""ModelVersions that people import: believed once a Job has checked every byte and run the model, never before."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from modelwright_server import artifact
from tests.e2e.fixtures import (
    CLAIM,
    DEPLOYMENTS,
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
)
from tests.support.claims import run_in_claim, write_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.cluster

SOON = 90  # seconds
ROW = [[14.0] * 30]


@pytest.fixture(scope="module")
def trained(shared: Team) -> Object:
    """Train the model whose artifact the tests import; return the version its job made."""
    made = shared.train("first")["status"]["modelVersion"]
    return shared.wait(VERSIONS, made, is_true("Verified"))


def published(trained: Object) -> tuple[str, str]:
    """Return path and digest of the trained artifact."""
    found = trained["spec"]["artifact"]
    return found["uri"].removeprefix(f"pvc://{CLAIM}/"), found["digest"]


def rejected(team: Team, name: str, reason: str) -> str:
    """Wait until a version is refused for that reason; return the message."""
    seen = team.wait(VERSIONS, name, lambda seen: condition(seen, "Verified").get("status") == "False", deadline=SOON)
    assert is_true("Stalled", reason)(seen), seen["status"]
    assert condition(seen, "Verified")["reason"] == reason
    assert not condition(seen, "Reconciling")
    return str(condition(seen, "Stalled")["message"])


def test_a_trained_version_needs_no_job_of_its_own(shared: Team, trained: Object) -> None:
    assert is_true("Verified", "PublishedByTrainingJob")(trained)
    name = trained["metadata"]["name"]
    assert shared.find("jobs.batch", f"modelwright.dev/kind=ModelVersion,modelwright.dev/name={name}") == []


def test_an_imported_version_is_verified_served_and_in_use_as_long_as_it_is(shared: Team, trained: Object) -> None:
    path, digest = published(trained)
    shared.apply(model_version("brought", path, digest), deployment("served", {"version": "brought"}))
    seen = shared.wait(VERSIONS, "brought", is_true("Verified", "Verified"), deadline=SOON)
    status = seen["status"]
    assert "schema" not in seen["spec"]
    assert status["schema"] == trained["spec"]["schema"]
    assert status["sizeBytes"] > 1000
    jobs = shared.find("jobs.batch", "modelwright.dev/kind=ModelVersion,modelwright.dev/name=brought")
    assert [job["metadata"]["name"] for job in jobs] == [status["verification"]["job"]]
    ready = shared.wait(DEPLOYMENTS, "served", is_true("Ready"), deadline=SOON)
    assert ready["status"]["stable"]["version"] == "brought"
    answer = shared.infer("served", rows_body(ROW), "/v2/models/imported/infer")
    assert answer["model_version"] == "brought"
    assert len(next(item for item in answer["outputs"] if item["name"] == "probabilities")["data"]) == 2
    used = shared.wait(VERSIONS, "brought", is_true("InUse"))
    assert used["status"]["usedBy"] == ["served"]
    shared.patch(DEPLOYMENTS, "served", {"spec": {"model": {"version": trained["metadata"]["name"]}}})
    shared.wait(VERSIONS, trained["metadata"]["name"], is_true("InUse"))
    shared.wait(VERSIONS, "brought", lambda seen: condition(seen, "InUse")["status"] == "False", deadline=SOON)
    shared.cluster.delete(DEPLOYMENTS, "served", shared.namespace)
    free = shared.wait(
        VERSIONS, trained["metadata"]["name"], lambda seen: condition(seen, "InUse")["status"] == "False"
    )
    assert free["status"].get("usedBy", []) == []


def hostile(folder: Path, model: bytes, schema: object) -> str:
    """Write an artifact whose manifest is right and whose model is not; return its digest."""
    folder.mkdir()
    (folder / artifact.MODEL).write_bytes(model)
    (folder / artifact.SCHEMA).write_text(json.dumps(schema), encoding="utf-8")
    return artifact.write(folder).digest


def files(folder: Path) -> Mapping[str, bytes]:
    return {f"{folder.name}/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_what_is_wrong_with_an_imported_version_is_said(shared: Team, trained: Object, tmp_path: Path) -> None:
    path, digest = published(trained)
    schema = trained["spec"]["schema"]
    no_onnx = hostile(tmp_path / "no-onnx", b"#!/bin/sh\nrm -rf /\n", schema)
    no_manifest = {"no-manifest/model.onnx": b"model"}
    write_files(shared, CLAIM, {**files(tmp_path / "no-onnx"), **no_manifest})
    broken = {
        "wrong-digest": (
            model_version("wrong-digest", path, NO_DIGEST),
            "DigestMismatch",
            f"manifest.json has the digest {digest}",
        ),
        "missing": (model_version("missing", "nothing/here", NO_DIGEST), "ArtifactNotFound", "does not exist"),
        "no-manifest": (
            model_version("no-manifest", "no-manifest", NO_DIGEST),
            "ArtifactNotFound",
            "holds no manifest.json",
        ),
        "no-onnx": (model_version("no-onnx", "no-onnx", no_onnx), "ModelRejected", "ModelRejected/NotONNX: "),
    }

    def check(name: str) -> tuple[str, str]:
        wrong, reason, words = broken[name]
        shared.apply(wrong)
        return words, rejected(shared, name, reason)

    with ThreadPoolExecutor(2) as pool:
        for name, (words, message) in zip(broken, pool.map(check, broken), strict=True):
            assert words in message, name
            assert str(broken[name][0]["spec"]["artifact"]["uri"]) in message
            mend = (
                "import it as another ModelVersion" if broken[name][1] == "ModelRejected" else "modelwright.dev/retry"
            )
            assert mend in message
    shared.apply(deployment("refused", {"version": "no-onnx"}))
    seen = shared.wait(DEPLOYMENTS, "refused", is_true("Stalled", "ModelRejected"))
    assert "ModelVersion no-onnx was not accepted: ModelRejected/NotONNX: " in condition(seen, "Stalled")["message"]
    assert condition(seen, "Available")["status"] == "False"


def test_a_mended_artifact_is_verified_again_when_asked(shared: Team, trained: Object) -> None:
    path, digest = published(trained)
    shared.apply(model_version("mended", "mended", digest))
    rejected(shared, "mended", "ArtifactNotFound")
    run_in_claim(shared, CLAIM, f"import shutil; shutil.copytree({path!r}, 'mended')")
    shared.patch(VERSIONS, "mended", {"metadata": {"annotations": {"modelwright.dev/retry": "2"}}})
    seen = shared.wait(VERSIONS, "mended", is_true("Verified", "Verified"), deadline=SOON)
    assert seen["status"]["verification"]["attempt"] == "2"
    assert not condition(seen, "Stalled")


def test_a_missing_claim_is_said_and_the_verification_goes_on_once_it_is_there(shared: Team) -> None:
    shared.apply(model_version("elsewhere", "nothing", NO_DIGEST, "later"))
    seen = shared.wait(VERSIONS, "elsewhere", is_true("Stalled", "VolumeClaimNotFound"), deadline=SOON)
    assert "PersistentVolumeClaim later" in condition(seen, "Stalled")["message"]
    assert condition(seen, "Verified")["status"] == "Unknown"
    shared.apply(claim("later"))
    assert "does not exist" in rejected(shared, "elsewhere", "ArtifactNotFound")


def test_a_forged_provenance_is_not_believed(shared: Team, trained: Object) -> None:
    path, _ = published(trained)
    forged = model_version(
        "forged", path, NO_DIGEST, provenance={"trainingJob": trained["spec"]["provenance"]["trainingJob"]}
    )
    shared.apply(forged)
    rejected(shared, "forged", "DigestMismatch")
    # Not even under the very name the job gave its version.
    name = trained["metadata"]["name"]
    shared.cluster.delete(VERSIONS, name, shared.namespace)
    shared.apply({**forged, "metadata": {"name": name}})
    rejected(shared, name, "DigestMismatch")
