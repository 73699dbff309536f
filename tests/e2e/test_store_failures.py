"""A store that is busy, cuts and stalls in the middle of a stage: one version or none, and nothing half there."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from sklearn.datasets import load_breast_cancer

from tests.e2e.fixtures import JOBS, VERSIONS, Object, Team, condition, is_true, training_job
from tests.e2e.object_store import BUCKET, SECRET, access, failures, run_failing, run_store

if TYPE_CHECKING:
    from obstore.store import S3Store

pytestmark = pytest.mark.cluster

KEY = "cancer.parquet"
ALWAYS = 10_000
TRIES = 10  # of one file that is put: five by the client, twice
RULES = [
    # Passing failures of every kind, while it reads and while it writes: the attempt goes on.
    ("flaky", "GET", KEY, "cut", 2),
    ("flaky", "GET", KEY, "stall", 1),
    ("flaky", "GET", KEY, "busy", 1),
    ("flaky", "PUT", "model.onnx", "busy", 2),
    ("flaky", "PUT", "schema.json", "drop", 1),
    ("flaky", "PUT", "baseline.json", "stall", 1),
    ("flaky", "PUT", "metrics.json", "cut", 1),
    ("flaky", "PUT", "manifest.json", "cut", 1),
    # The first attempt gives up with some files there; the second completes them.
    ("late", "PUT", "metrics.json", "busy", TRIES),
    # Lasting ones: all but the manifest is there, and nothing is published.
    ("dead", "PUT", "manifest.json", "busy", ALWAYS),
    ("unread", "GET", KEY, "cut", ALWAYS),
]


@pytest.fixture(scope="module")
def bucket(shared: Team, tmp_path_factory: pytest.TempPathFactory) -> S3Store:
    """Give the bucket, with the runs on their way to and from it."""
    made = run_store(shared, tmp_path_factory.mktemp("image"))
    names = ("host", "method", "path", "how", "times")
    run_failing(shared, [dict(zip(names, rule, strict=True)) for rule in RULES])
    written = io.BytesIO()
    load_breast_cancer(as_frame=True).frame.to_parquet(written, index=False)
    obstore.put(made, KEY, written.getvalue())
    shared.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lake"}, "stringData": SECRET})
    shared.apply(run("plain", "store"), *(run(name, name, retryLimit=limit) for name, limit in LIMITS.items()))
    return made


LIMITS = {"flaky": 0, "late": 1, "dead": 0, "unread": 0}


def run(name: str, host: str, **more: Any) -> Object:
    data = [{"name": "all", "uri": f"s3://{BUCKET}/{KEY}", **access(host)}]
    return training_job(name, data=data, storage={"uri": f"s3://{BUCKET}/{name}/", **access(host)}, **more)


def published(bucket: S3Store, name: str) -> dict[str, dict[str, bytes]]:
    """Return the files of a run's place, by folder."""
    found: dict[str, dict[str, bytes]] = {}
    for page in obstore.list(bucket, name):
        for each in page:
            folder, _, file = each["path"].rpartition("/")
            found.setdefault(folder, {})[file] = bytes(obstore.get(bucket, each["path"]).bytes())
    return found


def test_passing_failures_end_in_the_very_same_version(shared: Team, bucket: S3Store) -> None:
    jobs = {name: shared.wait(JOBS, name, is_true("Complete"), deadline=240) for name in ("plain", "flaky", "late")}
    digests = {job["status"]["artifact"]["digest"] for job in jobs.values()}
    [digest] = digests
    assert {name: job["status"]["attempt"] for name, job in jobs.items()} == {"plain": 1, "flaky": 1, "late": 2}
    for name in jobs:
        hexadecimal = digest.removeprefix("sha256:")
        [(folder, files)] = published(bucket, name).items()
        assert folder == f"{name}/cancer/{hexadecimal}"
        assert hashlib.sha256(files["manifest.json"]).hexdigest() == hexadecimal
        listed = {item["path"]: item["sha256"] for item in json.loads(files["manifest.json"])["files"]}
        assert {path: hashlib.sha256(files[path]).hexdigest() for path in listed} == listed
        assert files.keys() - listed.keys() == {"manifest.json", "report.json"}
    made = failures(shared)
    for host, method, path, how, times in RULES:
        if host in jobs:
            assert made.count(f"{host} {method} {path} {how}") == times


def test_lasting_failures_end_with_a_reason_and_nothing_published(shared: Team, bucket: S3Store) -> None:
    for name, says in {"dead": "the store answered 503", "unread": "the connection to the store was lost"}.items():
        job = shared.wait(JOBS, name, is_true("Failed"), deadline=240)
        assert condition(job, "Failed")["reason"] == "StorageUnavailable"
        assert says in condition(job, "Failed")["message"]
        assert job["status"]["attempt"] == 1
        assert "modelVersion" not in job["status"]
    [files] = published(bucket, "dead").values()
    assert "model.onnx" in files
    assert "manifest.json" not in files
    assert published(bucket, "unread") == {}
    [version] = shared.find(VERSIONS)
    assert version["spec"]["provenance"]["trainingJob"]["name"] in {"plain", "flaky", "late"}
