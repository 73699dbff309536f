import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelwright_server import artifact
from modelwright_server.contract.signing import parse_keys
from modelwright_server.signature import verify
from modelwright_training import publish
from modelwright_training.contract import PublishResult, Reason
from modelwright_training.errors import StageError
from modelwright_training.settings import Settings
from modelwright_training.strict_json import dumps
from tests.training.builders import JOB, Pod
from tests.training.test_contract import SCHEMA


@pytest.fixture
def settings(pod: Pod) -> Settings:
    (pod.artifact / "model.onnx").write_bytes(b"graph")
    (pod.artifact / "schema.json").write_text(dumps(SCHEMA))
    (pod.artifact / "metrics.json").write_text("{}")
    (pod.artifact / "report.json").write_text('{"seconds": 1}')
    artifact.write(pod.artifact)
    return Settings(JOB, pod.root / "workspace", pod.artifact, pod.measures, pod.root / "stores")


def stored(pod: Pod, result: PublishResult) -> Path:
    return pod.store / "churn" / result.digest.removeprefix("sha256:")


def test_artifact_is_stored_under_its_digest(pod: Pod, settings: Settings) -> None:
    result = publish.run(settings)
    assert result.uri == f"pvc://models/churn/{result.digest.removeprefix('sha256:')}/"
    assert not result.reused
    assert result.schema == SCHEMA
    assert result.size_bytes == artifact.verify(stored(pod, result), result.digest).size
    assert (stored(pod, result) / "report.json").read_text() == '{"seconds": 1}'
    assert [entry.name for entry in (pod.store / "churn").iterdir()] == [stored(pod, result).name]


def test_same_artifact_is_reused(settings: Settings) -> None:
    publish.run(settings)
    assert publish.run(settings).reused


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "file"])
def test_damaged_artifact_is_replaced(pod: Pod, settings: Settings, damage: str) -> None:
    first = publish.run(settings)
    target = stored(pod, first)
    if damage == "changed":
        (target / "model.onnx").write_bytes(b"hacks")
    elif damage == "missing":
        (target / "model.onnx").unlink()
    elif damage == "added":
        (target / "more.txt").write_text("x")
    else:
        target.rename(pod.store / "elsewhere")
        target.write_text("x")
    assert not publish.run(settings).reused
    artifact.verify(target, first.digest)
    assert [entry.name for entry in (pod.store / "churn").iterdir()] == [target.name]


def test_left_over_copy_of_a_killed_attempt_is_taken_over(
    pod: Pod, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publish, "_sync", killed)
        patch.setattr(shutil, "rmtree", lambda *_args, **_settings: None)  # killed: nothing is cleaned
        with pytest.raises(KeyboardInterrupt):
            publish.run(settings)
    assert [entry.name[:9] for entry in (pod.store / "churn").iterdir()] == [".partial-"]
    result = publish.run(settings)
    assert [entry.name for entry in (pod.store / "churn").iterdir()] == [stored(pod, result).name]


def test_faster_twin_is_reused(pod: Pod, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    verify, calls = publish._is_whole, []

    def late(target: Path, digest: str) -> bool:
        calls.append(target)
        if len(calls) > 1:
            return verify(target, digest)
        artifact.copy_verified(pod.artifact, target, digest)  # the twin's, just after we looked
        return False

    monkeypatch.setattr(publish, "_is_whole", late)
    monkeypatch.setattr(Path, "exists", lambda _self: False)
    assert publish.run(settings).reused


def test_tampered_artifact_is_refused(pod: Pod, settings: Settings) -> None:
    (pod.artifact / "model.onnx").write_bytes(b"other")
    with pytest.raises(StageError, match=r"model.onnx") as error:
        publish.run(settings)
    assert error.value.reason is Reason.ARTIFACT_INVALID
    assert list(pod.store.iterdir()) == []


def test_missing_manifest_is_refused(pod: Pod, settings: Settings) -> None:
    (pod.artifact / "manifest.json").unlink()
    with pytest.raises(StageError, match="no manifest"):
        publish.run(settings)


def test_missing_claim(pod: Pod, settings: Settings) -> None:
    pod.store.rmdir()
    with pytest.raises(StageError, match=r"storage.uri pvc://models/: .*not mounted") as error:
        publish.run(settings)
    assert error.value.reason is Reason.STORAGE_UNAVAILABLE
    assert error.value.exit_code == 1


@pytest.mark.parametrize(
    ("number", "named"),
    [(errno.ENOSPC, "it is full"), (errno.EROFS, "mount it read-write"), (errno.EIO, "Input/output")],
)
def test_store_that_cannot_be_written(
    pod: Pod, settings: Settings, monkeypatch: pytest.MonkeyPatch, number: int, named: str
) -> None:
    def fail(*_args: object, **_settings: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(artifact, "copy_verified", fail)
    with pytest.raises(StageError, match=named) as error:
        publish.run(settings)
    assert error.value.reason is Reason.STORAGE_UNAVAILABLE
    assert list((pod.store / "churn").iterdir()) == []


def key_pair() -> tuple[bytes, str]:
    """Return a private key and the public one, as OpenSSL writes them."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public.decode()


@pytest.fixture
def signing(pod: Pod, settings: Settings) -> Settings:
    """Give settings of a job that signs; its key is not there yet."""
    (pod.root / "signing").mkdir()
    return replace(settings, job=replace(settings.job, signing="keys"), signing=pod.root / "signing")


def signer(pod: Pod, result: PublishResult, public: str) -> str | None:
    manifest, signature = artifact.read_signed(stored(pod, result), result.digest)
    return verify(signature, manifest, parse_keys(public), required=True)


def test_what_is_published_is_signed_and_what_was_there_gets_the_signature(
    pod: Pod, settings: Settings, signing: Settings
) -> None:
    unsigned = publish.run(settings)
    assert not (stored(pod, unsigned) / "model.sig").exists()
    for _ in range(2):  # the second key takes the first one's place
        private, public = key_pair()
        (signing.signing / "signing.key").write_bytes(private)
        result = publish.run(signing)
        assert result.reused
        assert signer(pod, result, public)
        before = (stored(pod, result) / "model.sig").stat().st_mtime_ns
        assert publish.run(signing).reused
        assert (stored(pod, result) / "model.sig").stat().st_mtime_ns == before, "nothing is written twice"
    shutil.rmtree(stored(pod, result))
    assert not publish.run(signing).reused
    assert signer(pod, result, public)
    assert [entry.name for entry in (pod.store / "churn").iterdir()] == [stored(pod, result).name]


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----"])
def test_without_a_key_nothing_is_published_and_the_key_is_not_quoted(
    pod: Pod, signing: Settings, content: bytes | None
) -> None:
    if content is not None:
        (signing.signing / "signing.key").write_bytes(content)
    with pytest.raises(StageError, match="Secret keys") as caught:
        publish.run(signing)
    assert caught.value.reason is Reason.SIGNING_KEY_INVALID
    assert "secret\n" not in str(caught.value)
    assert not (pod.store / "churn").exists()
