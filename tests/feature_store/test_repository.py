"""Which of a repository's files reach the stage that reads them, and from where."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from modelwright_server.contract import secret_prefix
from modelwright_training import repository
from modelwright_training.contract import Feast, Reason, StoreAccess
from modelwright_training.errors import StageError
from tests.support.object_store import BUCKET, REGION, running_store

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"feature_store.yaml": b"project: shop", "data/registry.db": b"r", "data/day=1/part-0.parquet": b"p" * 3000}
HIDDEN = {".git/config": b"x", "__pycache__/a.pyc": b"x", "data/.x.parquet": b"x"}
FEAST = Feast("pvc://lake/shop", "at", service="churn")


def put(root: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def there(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refused(feast: Feast, tmp_path: Path) -> StageError:
    with pytest.raises(StageError) as raised:
        repository.fetch(feast, tmp_path / "stores", tmp_path / "copy", {})
    assert str(raised.value).startswith("features.feast.uri: ")
    return raised.value


def test_the_files_of_a_folder_are_taken_but_hidden_ones_and_links(tmp_path: Path) -> None:
    shop = tmp_path / "stores/lake/shop"
    put(shop, FILES | HIDDEN)
    put(tmp_path / "stores", {"other/secret": b"x"})
    (shop / "link").symlink_to("../../other")
    (shop / "data/link.parquet").symlink_to("../../../other/secret")
    os.mkfifo(shop / "data/pipe")
    repository.fetch(FEAST, tmp_path / "stores", tmp_path / "copy", {})
    assert there(tmp_path / "copy") == FILES


def test_a_bucket_has_a_repository_as_well(tmp_path: Path) -> None:
    with running_store(tmp_path / "s3") as store:
        for path, content in (FILES | HIDDEN).items():
            store.put(f"team/shop/{path}", content)
        store.put("team/shop-2/feature_store.yaml", b"another")
        access = StoreAccess(store.endpoint, REGION, "keys")
        feast = replace(FEAST, uri=f"s3://{BUCKET}/team/shop", access=access)
        environment = {secret_prefix("keys") + name: value for name, value in store.credentials.items()}
        repository.fetch(feast, tmp_path, tmp_path / "copy", environment)
        with pytest.raises(StageError, match="there are no files at s3://lake/team/none") as raised:
            repository.fetch(replace(feast, uri="s3://lake/team/none"), tmp_path, tmp_path / "none", environment)
    assert raised.value.reason is Reason.DATA_NOT_FOUND
    assert there(tmp_path / "copy") == FILES


def test_what_is_not_there_or_too_much_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "stores/lake", {"shop/a": b"12345", "shop/b": b"67890", "empty/.keep": b""})
    assert refused(replace(FEAST, uri="pvc://away/shop"), tmp_path).reason is Reason.STORAGE_UNAVAILABLE
    for uri in ("pvc://lake/none", "pvc://lake/empty", "pvc://lake/shop/a"):
        error = refused(replace(FEAST, uri=uri), tmp_path)
        assert (error.reason, "there are no files at" in str(error)) == (Reason.DATA_NOT_FOUND, True)
    assert "a file of a web server" in str(refused(replace(FEAST, uri="https://example.org/shop"), tmp_path))
    monkeypatch.setattr(repository, "MAX_FILES", 1)
    assert "more than 1 files" in str(refused(FEAST, tmp_path))
    monkeypatch.undo()
    monkeypatch.setattr(repository, "MAX_BYTES", 9)
    assert "has 5 bytes, the limit is 4" in str(refused(FEAST, tmp_path))
