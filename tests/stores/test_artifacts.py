"""Artifacts in an object store: published by the stage, fetched and verified as serving pods and Jobs do."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelwright_server import artifact, signature
from modelwright_server.contract import Reason, secret_prefix
from modelwright_server.stores import ObjectAddress, objects
from modelwright_training import champion, publish
from modelwright_training.contract import Champion, ExitCode, PublishResult, Storage, StoreAccess
from modelwright_training.contract import Reason as TrainingReason
from modelwright_training.errors import StageError
from modelwright_training.settings import Settings
from modelwright_training.strict_json import dumps
from tests.server.fetching import Fetch
from tests.server.models import Built
from tests.server.test_signature import Pair
from tests.support.object_store import BUCKET, REGION, Fault, ObjectStore, faulty
from tests.training.builders import JOB
from tests.training.test_contract import SCHEMA

Answer = tuple[int, dict[str, Any]]
SECRET = "models"  # noqa: S105 - a name


def environment(store: ObjectStore) -> dict[str, str]:
    return {secret_prefix(SECRET) + name: value for name, value in store.credentials.items()}


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A folder of the bucket for each test."""
    return f"artifacts/{request.node.name.partition('[')[0]}-{abs(hash(request.node.name)) % 10**8}"


@pytest.fixture
def settings(store: ObjectStore, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment(store).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "PAUSE_SECONDS", 0.001)
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(random.Random(1).randbytes(objects.UPLOAD_PART_BYTES + 5))
    (folder / "schema.json").write_text(dumps(SCHEMA))
    (folder / "metrics.json").write_text("{}")
    (folder / "report.json").write_text('{"seconds": 1}')
    artifact.write(folder)
    job = replace(JOB, storage=Storage(f"s3://{BUCKET}/{prefix}/", StoreAccess(store.endpoint, REGION, SECRET)))
    return Settings(job, tmp_path / "workspace", folder, tmp_path / "measures", tmp_path / "stores")


def stored(store: ObjectStore, result: PublishResult) -> Path:
    """The objects are files below the server's folder."""
    return store.folder / result.uri.removeprefix("s3://")


def names(store: ObjectStore, prefix: str) -> set[str]:
    return {key.rpartition("/")[2] for key in store.keys() if key.startswith(prefix)}  # noqa: SIM118


ALL = {"manifest.json", "metrics.json", "model.onnx", "report.json", "schema.json"}


def test_an_artifact_is_stored_once_under_its_digest(store: ObjectStore, settings: Settings, prefix: str) -> None:
    result = publish.run(settings)
    assert result.uri == f"s3://{BUCKET}/{prefix}/churn/{result.digest.removeprefix('sha256:')}/"
    assert not result.reused
    assert names(store, prefix) == ALL
    artifact.verify(stored(store, result), result.digest)
    before = {path.name: path.stat().st_mtime_ns for path in stored(store, result).iterdir()}
    (settings.artifact / "report.json").write_text('{"seconds": 2}')
    assert publish.run(settings).reused
    assert {path.name: path.stat().st_mtime_ns for path in stored(store, result).iterdir()} == before


@pytest.mark.parametrize("name", ["model.onnx", "schema.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_a_damaged_artifact_is_mended(store: ObjectStore, settings: Settings, name: str, damage: str) -> None:
    first = publish.run(settings)
    key = f"{first.uri.removeprefix(f's3://{BUCKET}/')}{name}"
    data = (settings.artifact / name).read_bytes()
    if damage == "missing":
        (stored(store, first) / name).unlink()
    else:
        store.put(key, data[:-1] if damage == "cut" else data[:-1] + b"!")
    assert not publish.run(settings).reused
    artifact.verify(stored(store, first), first.digest)
    assert publish.run(settings).reused


@pytest.mark.parametrize("lost", range(1, 9))
def test_nothing_partial_is_visible_wherever_a_run_is_cut(
    store: ObjectStore, settings: Settings, prefix: str, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """From the write `lost` on, the store takes nothing more; then it comes back and the next attempt runs."""
    monkeypatch.setattr(objects, "RETRY", {"max_retries": 0})
    writes: list[str] = []

    def plan(method: str, path: str, _: int) -> Fault | None:
        if method in {"PUT", "POST"}:
            writes.append(path)
        return Fault(503) if len(writes) >= lost else None

    access = settings.job.storage.access
    assert access is not None
    with faulty(store.endpoint, plan) as (endpoint, _):
        job = replace(settings.job, storage=replace(settings.job.storage, access=replace(access, endpoint=endpoint)))
        error: StageError | None = None
        try:
            publish.run(replace(settings, job=job))
        except StageError as raised:
            error = raised
    assert (error is None) == (len(writes) < lost)
    assert ("manifest.json" in names(store, prefix)) == (error is None)
    assert error is None or error.exit_code is ExitCode.RETRYABLE
    again = publish.run(settings)
    artifact.verify(stored(store, again), again.digest)
    assert names(store, prefix) == ALL


def test_jobs_at_the_same_time_end_in_one_artifact(store: ObjectStore, settings: Settings, prefix: str) -> None:
    results: list[PublishResult] = []
    threads = [threading.Thread(target=lambda: results.append(publish.run(settings))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(result.uri, result.digest) for result in results}) == 1
    assert len(results) == 4
    artifact.verify(stored(store, results[0]), results[0].digest)
    assert names(store, prefix) == ALL


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (403, TrainingReason.STORAGE_FORBIDDEN, ExitCode.PERMANENT),
        (503, TrainingReason.STORAGE_UNAVAILABLE, ExitCode.RETRYABLE),
        (501, TrainingReason.STORAGE_UNAVAILABLE, ExitCode.RETRYABLE),
    ],
)
def test_a_store_that_cannot_be_written(  # noqa: PLR0917 - fixtures
    store: ObjectStore,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    reason: TrainingReason,
    code: ExitCode,
) -> None:
    monkeypatch.setattr(objects, "RETRY", {"max_retries": 1})
    with faulty(store.endpoint, lambda method, *_: Fault(status) if method == "PUT" else None) as (endpoint, _):
        place = replace(settings.job.storage, access=StoreAccess(endpoint, REGION, SECRET))
        with pytest.raises(StageError, match=r"storage.uri s3://lake/artifacts") as error:
            publish.run(replace(settings, job=replace(settings.job, storage=place)))
    assert (error.value.reason, error.value.exit_code) == (reason, code)


@pytest.fixture
def uploaded(store: ObjectStore, built: Callable[[str], Built], prefix: str) -> tuple[Built, str]:
    model = built("logistic")
    for path in model.folder.iterdir():
        store.put(f"{prefix}/{path.name}", path.read_bytes())
    return model, f"s3://{BUCKET}/{prefix}/"


def fetched(
    store: ObjectStore, run: Fetch, uri: str, digest: str, *flags: str, **changes: Any
) -> tuple[int, dict[str, Any]]:
    given = {"artifact_endpoint": store.endpoint, "artifact_region": REGION, "artifact_secret": SECRET, **changes}
    return run(uri, digest, run.target.parent, *flags, env=environment(store), **given)


def test_what_is_published_with_a_key_is_let_in_by_that_key_alone(
    store: ObjectStore, settings: Settings, uploaded: tuple[Built, str], prefix: str, tmp_path: Path
) -> None:
    keys = tmp_path / "signing"
    keys.mkdir()
    pairs = [Pair(), Pair()]
    signing = replace(settings, job=replace(settings.job, signing="keys"), signing=keys)
    for pair in pairs:  # the second one's signature takes the first one's place
        (keys / "signing.key").write_bytes(pair.private)
        result = publish.run(signing)
    assert result.reused
    assert names(store, f"{prefix}/churn") == {*ALL, "model.sig"}
    before = (stored(store, result) / "model.sig").stat().st_mtime_ns
    publish.run(signing)
    assert (stored(store, result) / "model.sig").stat().st_mtime_ns == before

    # The same with a model that runs: unsigned, signed, bent.
    model, uri = uploaded
    (tmp_path / "pod").mkdir()
    run = Fetch(tmp_path / "pod")
    key = f"{prefix}/model.sig"
    asked: dict[str, Any] = {"trusted_keys": pairs[1].public, "signature_required": True}
    code, message = fetched(store, run, uri, model.digest, **asked)
    assert (code, message["reason"]) == (2, "SignatureInvalid")
    assert "model.sig is missing" in message["message"]
    assert not list(run.target.glob("*")), "nothing is fetched of what is not let in"
    good, _ = signature.sign(artifact.build(model.folder), pairs[1].private)
    store.put(key, good)
    for flags in ((), ("--verify",)):
        code, message = fetched(store, run, uri, model.digest, *flags, **asked)
        assert (code, message["keyId"]) == (0, pairs[1].trusted.id), run.stderr
    assert not (run.target / "model.sig").exists()
    for bad in (good[:-200] + good[-199:], b" " * (artifact.MAX_SIGNATURE_BYTES + 1)):
        store.put(key, bad)
        code, message = fetched(store, run, uri, model.digest, **asked)
        assert (code, message["reason"]) in {(2, "SignatureInvalid"), (2, "ArtifactInvalid")}
    code, _ = fetched(store, run, uri, model.digest)
    assert code == 0, "who knows no keys does not look"


def test_a_serving_pod_fetches_and_a_job_verifies(
    store: ObjectStore, uploaded: tuple[Built, str], tmp_path: Path
) -> None:
    model, uri = uploaded
    run = Fetch(tmp_path)
    code, message = fetched(store, run, uri, model.digest)
    assert (code, message["digest"]) == (0, model.digest), run.stderr
    artifact.verify(run.target, model.digest)
    assert not (run.target / "report.json").exists()
    code, message = fetched(store, run, uri, model.digest, "--verify")
    assert (code, message["task"]) == (0, "Classification"), run.stderr


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ("model.onnx", 2, Reason.DIGEST_MISMATCH),
        ("schema.json", 2, Reason.DIGEST_MISMATCH),
        ("manifest.json", 2, Reason.DIGEST_MISMATCH),
        ("-model.onnx", 2, Reason.DIGEST_MISMATCH),
        ("-manifest.json", 2, Reason.ARTIFACT_NOT_FOUND),
        ("+manifest.json", 2, Reason.ARTIFACT_INVALID),
        ("endpoint", 1, Reason.STORAGE_UNAVAILABLE),
        ("metadata", 2, Reason.ARTIFACT_INVALID),
        ("region", 2, Reason.ARTIFACT_INVALID),
        ("secret", 2, Reason.STORAGE_FORBIDDEN),
        ("web", 2, Reason.ARTIFACT_INVALID),
    ],
)
def test_what_is_not_the_artifact_is_refused(  # noqa: PLR0917 - fixtures
    store: ObjectStore, uploaded: tuple[Built, str], tmp_path: Path, change: str, code: int, reason: Reason
) -> None:
    model, uri = uploaded
    folder = store.folder / uri.removeprefix("s3://")
    changes = {
        "endpoint": {"artifact_endpoint": "http://127.0.0.1:1"},
        "metadata": {"artifact_endpoint": "http://169.254.169.254"},
        "region": {"artifact_region": "us-east-1"},
        "secret": {"artifact_secret": "another"},
    }.get(change, {})
    if change.startswith("-"):
        (folder / change[1:]).unlink()
    elif change.startswith("+"):
        store.put(f"{uri.removeprefix(f's3://{BUCKET}/')}{change[1:]}", b" " * (artifact.MAX_MANIFEST_BYTES + 1))
    elif change.endswith((".onnx", ".json")):
        data = (folder / change).read_bytes()
        store.put(f"{uri.removeprefix(f's3://{BUCKET}/')}{change}", bytes([data[0] ^ 1]) + data[1:])
    run = Fetch(tmp_path)
    where = "https://127.0.0.1/model/" if change == "web" else uri
    assert fetched(store, run, where, model.digest, **changes)[:1] == (code,)
    told = fetched(store, run, where, model.digest, **changes)[1]
    assert told["reason"] == reason, told
    assert not any(path.is_file() for path in run.target.rglob("*"))


def test_the_models_process_inherits_no_credentials(
    store: ObjectStore, uploaded: tuple[Built, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, uri = uploaded
    found = tmp_path / "found"
    spy = "import os, sys\nif 'modelwright_server.inspection' in sys.orig_argv:\n    "
    (tmp_path / "sitecustomize.py").write_text(spy + f"open({str(found)!r}, 'w').write(repr(os.environ))\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert fetched(store, Fetch(tmp_path), uri, model.digest, "--verify")[0] == 0
    assert "PATH" in found.read_text()
    assert not any(value in found.read_text() for value in store.credentials.values())


def test_the_models_process_cannot_read_those_of_the_process_that_started_it() -> None:
    script = """
import ctypes, os, subprocess
from modelwright_server import fetch
if os.getuid() == 0:  # as in a pod
    os.setgid(65532), os.setuid(65532)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after exec
def peek():
    command = ["cat", f"/proc/{os.getpid()}/environ"]
    return subprocess.run(command, capture_output=True, close_fds=False, cwd="/").returncode
before = peek()
fetch._hide_memory()
print(before, peek())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "0 1\n", done.stderr


def test_an_address_grows_by_plain_names_only() -> None:
    address = ObjectAddress("s3", "lake", "a")
    assert str(address.child("b", "c")) == "s3://lake/a/b/c"
    for wrong in ("..", "b/c", "", "x" * 2000):
        with pytest.raises(Exception, match=r"must not have|names more than one place"):
            address.child(wrong)


def test_a_champion_is_fetched_for_comparison(
    store: ObjectStore, uploaded: tuple[Built, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, uri = uploaded
    best = Champion("churn-0", uri, model.digest, StoreAccess(store.endpoint, REGION, SECRET))
    champion.fetch(best, tmp_path / "stores", tmp_path, environment(store))
    artifact.verify(tmp_path / champion.FOLDER, model.digest)
    monkeypatch.setattr(objects, "PAUSE_SECONDS", 0.001)
    for env, digest, reason in (
        (environment(store) | {secret_prefix(SECRET) + "AWS_SECRET_ACCESS_KEY": "x"}, model.digest, "StorageForbidden"),
        (environment(store), f"sha256:{'0' * 64}", "ArtifactInvalid"),
    ):
        with pytest.raises(StageError, match="champion churn-0") as error:
            champion.fetch(replace(best, digest=digest), tmp_path / "stores", tmp_path / "again", env)
        assert error.value.reason == reason
