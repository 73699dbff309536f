"""The clean-up Job's program on a real object store: exactly one artifact goes, or nothing."""

from pathlib import Path

import obstore
import pytest

from modelwright_server import artifact, stores
from modelwright_server.contract import secret_prefix
from modelwright_server.stores import Access
from modelwright_server.stores.objects import Bucket
from modelwright_training import cleanup, contract, publish, uploads
from tests.support.object_store import BUCKET, REGION, ObjectStore


class Shelf:
    """A prefix of a bucket with one artifact, and another's object beside it."""

    def __init__(self, store: ObjectStore, access: Access, folder: Path) -> None:
        (folder / artifact.MODEL).write_bytes(folder.name.encode())
        (folder / artifact.SCHEMA).write_bytes(b"{}")
        self.digest = artifact.write(folder).digest
        self.store, self.folder, self.access = store, folder, access
        hexadecimal = self.digest.removeprefix("sha256:")
        self.address = stores.ObjectAddress("s3", BUCKET, f"{folder.name}/churn/{hexadecimal}")
        self.bucket = Bucket(self.address, access)
        self.publish()
        self.beside = f"{self.address.path}0/model.onnx"  # the digest is the beginning of its name
        self.bucket.create(self.beside, b"other")

    def publish(self) -> bool:
        return uploads.store(self.folder, self.address, self.access, self.digest, publish.Beside(b"{}", b"{}"))

    def run(self, uri: str = "", **environment: str) -> int:
        credentials = {f"{secret_prefix('lake')}{key}": value for key, value in self.store.credentials.items()}
        return cleanup.main(
            {
                contract.ENV_CLEANUP_URI: uri or f"{self.address}/",
                contract.ENV_CLEANUP_DIGEST: self.digest,
                contract.ENV_CLEANUP_ENDPOINT: self.store.endpoint,
                contract.ENV_CLEANUP_REGION: REGION,
                contract.ENV_CLEANUP_SECRET: "lake",
                **credentials,
                **environment,
            }
        )

    @property
    def left(self) -> list[str]:
        folder = self.address.path.partition("/")[0]
        return [item.path for item in self.bucket.below(folder, 100)]


@pytest.fixture
def shelf(store: ObjectStore, access: Access, tmp_path: Path) -> Shelf:
    return Shelf(store, access, tmp_path)


def test_the_artifact_and_its_report_go_and_nothing_else(shelf: Shelf) -> None:
    assert shelf.run() == contract.ExitCode.DONE
    assert shelf.left == [shelf.beside]


def test_twice_is_once_and_it_can_be_published_again(shelf: Shelf) -> None:
    assert (shelf.run(), shelf.run()) == (0, 0)
    assert not shelf.publish()
    assert len(shelf.left) == 6


def test_what_a_first_run_left_is_taken_up(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = obstore.delete, []

    def once(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise ConnectionResetError
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(obstore, "delete", once)
    assert shelf.run() == contract.ExitCode.RETRYABLE
    assert 1 < len(shelf.left) < 6
    monkeypatch.undo()
    assert shelf.run() == 0
    assert shelf.left == [shelf.beside]


def test_another_artifact_under_that_name_stays(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    before = shelf.left
    shelf.bucket.replace(shelf.address.child(artifact.MANIFEST).path, b"{}")
    assert shelf.run() == contract.ExitCode.PERMANENT
    assert shelf.left == before
    assert "manifest.json has the digest" in capsys.readouterr().err


def test_without_a_manifest_nothing_goes(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    shelf.bucket.delete(shelf.address.child(artifact.MANIFEST).path)
    before = shelf.left
    assert shelf.run() == contract.ExitCode.PERMANENT
    assert shelf.left == before
    assert "may hold something else" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["", "/churn", "/churn/0123"])
def test_only_a_folder_named_after_the_digest_goes(shelf: Shelf, path: str) -> None:
    before = shelf.left
    assert shelf.run(f"s3://{BUCKET}/{shelf.folder.name}{path}") == contract.ExitCode.PERMANENT
    assert shelf.left == before


def test_credentials_that_are_refused_are_said_once(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {f"{secret_prefix('lake')}AWS_SECRET_ACCESS_KEY": "wrong"}
    assert shelf.run(**wrong) == contract.ExitCode.PERMANENT
    assert "refuses the credentials of the Secret 'lake'" in capsys.readouterr().err
