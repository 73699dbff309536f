"""From an object store to an object store: data, model, serving, and an import, on a real S3 server in the cluster."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelwright_training.contract import JobConfig, Task
from modelwright_training.dataset import load
from tests.e2e.fixtures import (
    DEPLOYMENTS,
    JOBS,
    VERSIONS,
    Object,
    Team,
    condition,
    deployment,
    is_true,
    model_version,
    rows_body,
    training_job,
)
from tests.e2e.object_store import ACCESS, SECRET, run_store

if TYPE_CHECKING:
    from pathlib import Path

    from obstore.store import S3Store

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def bucket(shared: Team, tmp_path_factory: pytest.TempPathFactory) -> S3Store:
    """Give the bucket of a running server, as a client on this machine sees it."""
    return run_store(shared, tmp_path_factory.mktemp("image"))


def stalled(reason: str) -> Any:
    return lambda seen: condition(seen, "Stalled").get("reason") == reason


def tables() -> dict[str, bytes]:
    """Return the breast-cancer data as two Parquet files."""
    frame = load_breast_cancer(as_frame=True).frame
    files: dict[str, bytes] = {}
    for number, part in enumerate((frame.iloc[:300], frame.iloc[300:])):
        written = io.BytesIO()
        part.to_parquet(written, index=False)
        files[f"cancer/part-{number}.parquet"] = written.getvalue()
    return files


def test_from_store_to_store(shared: Team, bucket: S3Store, tmp_path: Path) -> None:
    files = tables()
    for name, content in files.items():
        obstore.put(bucket, name, content)
        (tmp_path / "lake" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lake" / name).write_bytes(content)
    data = [{"name": "all", "uri": "s3://lake/cancer/part-*.parquet", **ACCESS}]
    storage = {"uri": "s3://lake/models/", **ACCESS}
    shared.apply(
        training_job("stored", data=data, storage=storage),
        training_job("refused", data=[{**data[0], "secretName": "wrong"}], storage=storage),
        training_job("absent", data=[{**data[0], "uri": "s3://lake/nothing/*.csv"}], storage=storage),
    )
    wrong = {**SECRET, "AWS_SECRET_ACCESS_KEY": "another"}
    secrets: list[Object] = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        for name, values in (("wrong", wrong), ("lake", SECRET))
    ]

    # The run waits for its Secret, says so, and goes on once it is there.
    seen = shared.wait(JOBS, "stored", stalled("SecretNotFound"), deadline=60)
    assert "Secret lake" in condition(seen, "Stalled")["message"]
    shared.apply(*secrets)
    job = shared.wait(JOBS, "stored", is_true("Complete"), deadline=180)
    version = shared.get(VERSIONS, job["status"]["modelVersion"])
    artifact = version["spec"]["artifact"]
    hexadecimal = artifact["digest"].removeprefix("sha256:")
    assert artifact == {"uri": f"s3://lake/models/cancer/{hexadecimal}/", "digest": artifact["digest"], **ACCESS}

    # What is there is whole, and what is served from it answers as the native model.
    keys = {each["path"] for page in obstore.list(bucket, "models") for each in page}
    names = {key.removeprefix(f"models/cancer/{hexadecimal}/") for key in keys}
    assert {"manifest.json", "model.onnx", "schema.json", "report.json"} <= names
    assert not any("/" in name for name in names)
    shared.apply(deployment("stored", {"version": version["metadata"]["name"]}))
    imported = model_version("imported")
    imported["spec"]["artifact"] = artifact
    shared.apply(imported)
    rows, native = _holdout(shared, job, tmp_path)
    shared.wait(DEPLOYMENTS, "stored", is_true("Ready"), deadline=60)
    answer = shared.infer("stored", rows_body(rows.tolist()))
    served = next(item for item in answer["outputs"] if item["name"] == "probabilities")
    assert np.abs(np.reshape(served["data"], served["shape"]) - native).max() <= 1e-5

    # An import is verified from there; refusals end without another attempt.
    shared.wait(VERSIONS, "imported", is_true("Verified"), deadline=90)
    for name, reason in (("refused", "StorageForbidden"), ("absent", "DataNotFound")):
        ended = shared.wait(JOBS, name, is_true("Failed"), deadline=60)
        assert (condition(ended, "Failed")["reason"], ended["status"]["attempt"]) == (reason, 1)
    pods = [pod for pod in shared.find("pods") if pod["metadata"]["name"] != "store"]
    assert SECRET["AWS_SECRET_ACCESS_KEY"] not in str([*shared.find(JOBS), *shared.find(VERSIONS), *pods])


def _holdout(team: Team, job: Object, folder: Path) -> tuple[Any, Any]:
    """Return the rows the run held out, and what a native model of the same training says of them."""
    spec = team.get("jobs.batch", job["status"]["job"])["spec"]["template"]["spec"]
    variables = {item["name"]: item.get("value", "") for item in spec["containers"][0]["env"]}
    config = JobConfig.from_json(variables["MODELWRIGHT_TRAINING_JOB"].replace("s3://lake/", "pvc://lake/"))
    data = load(config, Task.CLASSIFICATION, folder)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, random_state=7))
    model.fit(data.train.values.native(), data.train.target)
    rows = data.holdout.values.native()
    return np.asarray(rows, dtype=np.float64), model.predict_proba(rows)
