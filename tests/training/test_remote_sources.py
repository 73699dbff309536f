"""Data sets in an object store and on a web server, read as the fetch stage does."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from modelwright_server.contract import secret_prefix
from modelwright_server.stores import network, objects, web
from modelwright_training import contract, formats, sources
from modelwright_training.__main__ import main
from modelwright_training.contract import DataSource, FetchResult, Reason, Stage, StoreAccess
from modelwright_training.errors import StageError
from tests.support.object_store import REGION, Fault, ObjectStore, faulty, running_store
from tests.support.web_server import Answer, running_web_server
from tests.training.builders import Pod, job

TABLE = pa.table({"x": [1, 2, 3], "y": [0.5, None, 2.5], "kind": ["a", "b", "a"]})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with running_store(tmp_path_factory.mktemp("store") / "s3") as running:
        yield running


def environment(store: ObjectStore) -> dict[str, str]:
    return {secret_prefix("lake") + name: value for name, value in store.credentials.items()}


def source(uri: str, endpoint: str | None = None, digest: str | None = None) -> DataSource:
    return DataSource("train", uri, digest, StoreAccess(endpoint, REGION if endpoint else None, "lake"))


def read(store: ObjectStore, tmp_path: Path, uri: str, **given: Any) -> sources.Fetched:
    given = {"endpoint": store.endpoint, **given}
    return sources.read(source(uri, **given), tmp_path, tmp_path, environment(store))


def as_bytes(table: Any, suffix: str) -> bytes:
    sink = pa.BufferOutputStream()
    if suffix == "parquet":
        pq.write_table(table, sink, row_group_size=2)
    elif suffix == "csv":
        pa.csv.write_csv(table, sink)
    else:
        make = pa.ipc.new_file if suffix == "arrow" else pa.ipc.new_stream
        with make(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow", "stream.arrow"])
def test_every_format_is_read_alike_from_claim_and_store(store: ObjectStore, tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "claim" / "formats" / suffix
    folder.mkdir(parents=True)
    for number in range(2):
        data = as_bytes(TABLE.slice(number, 2), suffix)
        store.put(f"formats/{suffix}/{number}.{suffix}", data)
        (folder / f"{number}.{suffix}").write_bytes(data)
    for pattern in (f"0.{suffix}", f"*.{suffix}"):
        here = sources.read(DataSource("train", f"pvc://claim/formats/{suffix}/{pattern}", None), tmp_path)
        there = read(store, tmp_path, f"s3://lake/formats/{suffix}/{pattern}", digest=here.digest)
        assert there.table.equals(here.table)
        assert there.digest == here.digest
    assert here.table.column("x").to_pylist() == [1, 2, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["claim"]


def test_the_stage_reads_what_its_pod_is_told(store: ObjectStore, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("stage/a.csv", b"x,y\n1,2\n3,4\n")
    config = job(data=(source("s3://lake/stage/*.csv", store.endpoint),))
    for name, value in {**pod.environment(config), **environment(store)}.items():
        monkeypatch.setenv(name, value)
    assert main([Stage.FETCH]) == 0
    result = pod.message(Stage.FETCH)
    assert isinstance(result, FetchResult)
    assert result.data[0].rows == 2
    left = "\n".join(path.read_text(errors="replace") for path in pod.root.rglob("*") if path.is_file())
    assert not any(secret in left for secret in store.credentials.values())


@pytest.mark.parametrize(
    ("uri", "given", "reason", "words"),
    [
        ("s3://lake/bad/none.csv", {}, Reason.DATA_NOT_FOUND, "there is no such object"),
        ("s3://lake/bad/?.parquet", {}, Reason.DATA_NOT_FOUND, "there are bad/a.csv, bad/b.txt"),
        ("s3://lake/nowhere/*.csv", {}, Reason.DATA_NOT_FOUND, "there are none near it"),
        ("s3://nowhere/*.csv", {}, Reason.DATA_NOT_FOUND, "there is no such bucket"),
        ("s3://lake/bad/b.txt", {}, Reason.DATA_INVALID, "ends in none of .csv, .parquet, .arrow"),
        ("s3://lake/bad/broken.arrow", {}, Reason.DATA_INVALID, "which is not Arrow IPC"),
        ("s3://lake/bad/c*.arrow", {}, Reason.DATA_INVALID, "which is not Arrow IPC"),
        ("s3://lake/bad/broken.parquet", {}, Reason.DATA_INVALID, "which is not Parquet"),
        ("s3://lake/bad/empty.csv", {}, Reason.DATA_INVALID, "not CSV"),
        ("s3://lake/bad/a.csv", {"digest": "sha256:" + "0" * 64}, Reason.DATA_DIGEST_MISMATCH, "restore the data"),
        ("s3://lake/bad/a.csv", {"endpoint": "http://127.0.0.1:1"}, Reason.STORAGE_UNAVAILABLE, "nothing listens"),
        ("s3://lake/bad/a.csv", {"endpoint": "http://169.254.169.254"}, Reason.DATA_INVALID, "hands out credentials"),
    ],
)
def test_bad_sources(  # noqa: PLR0917 - one for each column
    store: ObjectStore, tmp_path: Path, uri: str, given: dict[str, Any], reason: Reason, words: str
) -> None:
    arrow = as_bytes(TABLE, "arrow")
    for name, data in {
        "a.csv": b"x\n1\n",
        "b.txt": b"x",
        "broken.arrow": b"ARROW1nonsense",
        "cut.arrow": arrow[: len(arrow) // 2],
        "broken.parquet": b"PAR1nonsense",
        "empty.csv": b"",
    }.items():
        store.put(f"bad/{name}", data)
    with pytest.raises(StageError, match="'train'") as error:
        read(store, tmp_path, uri, **given)
    assert error.value.reason is reason
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "reason", "retried"),
    [
        (403, Reason.STORAGE_FORBIDDEN, False),
        (404, Reason.DATA_NOT_FOUND, False),
        (503, Reason.STORAGE_UNAVAILABLE, True),
    ],
)
def test_only_what_may_pass_is_tried_again(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, reason: Reason, *, retried: bool
) -> None:
    monkeypatch.setattr(objects, "RETRY", {"max_retries": 1})
    monkeypatch.setattr(objects, "PAUSE_SECONDS", 0.001)
    with faulty(store.endpoint, lambda *_: Fault(status)) as (endpoint, seen), pytest.raises(StageError) as error:
        read(store, tmp_path, "s3://lake/a.csv", endpoint=endpoint)
    assert error.value.reason is reason
    assert (error.value.exit_code is contract.ExitCode.RETRYABLE) == retried
    assert (len(seen) > 1) == retried


def test_a_secret_without_keys_is_told(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="the Secret 'lake' has none of the keys AWS_ACCESS_KEY_ID") as error:
        sources.read(source("s3://lake/a.csv", store.endpoint), tmp_path, tmp_path, {})
    assert error.value.reason is Reason.STORAGE_FORBIDDEN


def test_a_file_of_a_web_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = as_bytes(TABLE, "parquet")
    with running_web_server(tmp_path, lambda _: Answer(200, data)) as server:
        given = {secret_prefix("lake") + "CA_CERTIFICATE": server.authority}
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        address = server.url("/churn.parquet?signature=hush")
        fetched = sources.read(source(address), tmp_path, scratch, given)
        assert fetched.table.equals(TABLE)
        with pytest.raises(StageError, match="ends in none of") as error:
            sources.read(source(server.url("/churn?format=.csv")), tmp_path, scratch, given)
        assert error.value.reason is Reason.DATA_INVALID
    monkeypatch.setattr(web, "PAUSE_SECONDS", 0.001)
    with pytest.raises(StageError, match="Connection refused, 5 times") as error:
        sources.read(source(address), tmp_path, scratch, given)
    assert error.value.reason is Reason.STORAGE_UNAVAILABLE
    assert "hush" not in str(error.value)
    monkeypatch.setattr(network, "refusal", lambda *_, **__: "which is link-local")
    with pytest.raises(StageError, match="link-local") as error:
        sources.read(source(address), tmp_path, scratch, given)
    assert error.value.reason is Reason.DATA_INVALID


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_small_file_of_very_many_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """An archive bomb: 8 MB of one number, in some kilobytes; where the memory is 4 MiB it must not be read whole."""
    table = pa.table({"x": pa.repeat(1.0, 1_000_000)})
    path = tmp_path / "claim" / f"bomb.{suffix}"
    path.parent.mkdir()
    if suffix == "parquet":
        pq.write_table(table, path, compression="zstd")
    else:
        with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table, max_chunksize=10_000)
    assert os.path.getsize(path) < 200_000  # noqa: PTH202
    monkeypatch.setattr(formats, "memory_limit", lambda: 4 << 20)
    before = pa.total_allocated_bytes()
    with pytest.raises(StageError, match=r"raise spec\.resources\.limits\.memory") as error:
        sources.read(DataSource("train", f"pvc://claim/bomb.{suffix}", None), tmp_path)
    assert error.value.reason is Reason.DATA_INVALID
    assert pa.total_allocated_bytes() - before < 8 << 20


def test_the_job_keeps_its_form_where_no_store_is_named() -> None:
    """Jobs of earlier versions keep their digest."""
    plain = json.loads(job().to_json())
    assert "access" not in plain["data"][0]
    assert "access" not in plain["storage"]
    told = job(data=(DataSource("train", "s3://lake/a.csv", None, StoreAccess(secret="s")),))  # noqa: S106
    assert contract.JobConfig.from_json(told.to_json()) == told
    assert json.loads(told.to_json())["data"][0]["access"] == {"secret": "s"}
