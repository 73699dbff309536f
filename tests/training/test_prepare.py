"""The prepare stage's contract: what the user's image finds, what it may leave, and what becomes of it."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelwright_training.__main__ import main
from modelwright_training.contract import (
    FROM_PREPARE,
    TO_PREPARE,
    Columns,
    DataSource,
    EvaluateResult,
    Evaluation,
    Failure,
    JobConfig,
    OwnCode,
    PublishResult,
    Reason,
    SplitResult,
    Stage,
    Task,
)
from modelwright_training.workspace import Workspace
from tests.training.builders import LOGISTIC, Pod, job, read_json

OWN = OwnCode("registry.test/prepare:1", "sha256:" + "5" * 64)
RANDOM = np.random.default_rng(3)
RAW = pa.table(
    {
        "id": np.arange(400),
        "spent": [f"{value:.2f} EUR" for value in RANDOM.gamma(2, 40, 400)],
        "calls": RANDOM.integers(0, 9, 400),
    }
)
RAW = RAW.append_column("churned", pa.array([int(float(t.split()[0]) > 70) for t in RAW["spent"].to_pylist()]))


def config(**changes: Any) -> JobConfig:
    return job(LOGISTIC, uri="pvc://lake/raw.parquet", prepare=OWN, **{"target": "churned", **changes})


def prepared(table: Any) -> Any:
    """Turn the texts into numbers: what a team's own image would do."""
    spent = [float(text.split()[0]) for text in table["spent"].to_pylist()]
    return pa.table({"spent": spent, "calls": table["calls"], "churned": table["churned"]})


def own_image(pod: Pod, names: tuple[str, ...] = ("train",)) -> Callable[[], None]:
    def run() -> None:
        for name in names:
            table = pq.read_table(pod.root / "handover" / TO_PREPARE / f"{name}.parquet")
            pq.write_table(prepared(table), pod.root / "handover" / FROM_PREPARE / f"{name}.parquet")

    return run


def test_prepared_tables_are_learned_from_and_recorded(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(RAW, pod.root / "stores" / "lake" / "raw.parquet")
    fetched, split, _, evaluated, published = pod.run(config(), monkeypatch, {Stage.PREPARE: own_image(pod)})
    found = pq.read_table(pod.root / "handover" / TO_PREPARE / "train.parquet")
    assert found.equals(RAW)
    left = (pod.root / "handover" / FROM_PREPARE / "train.parquet").read_bytes()
    digest = "sha256:" + hashlib.sha256(left).hexdigest()
    assert isinstance(split, SplitResult)
    assert [(data.name, data.digest, data.rows) for data in split.data] == [("train", digest, 400)]
    assert isinstance(evaluated, EvaluateResult)
    assert {metric.name: metric.value for metric in evaluated.metrics}["accuracy"] > 0.9
    assert isinstance(published, PublishResult)
    assert published.schema is not None
    assert published.schema.inputs[0].columns == ("spent", "calls") or len(published.schema.inputs) == 2
    card = read_json(pod.artifact / "card.json")
    assert card["prepare"] == {"image": OWN.image, "digest": OWN.digest}
    assert card["prepared"] == [{"name": "train", "digest": digest, "rows": 400}]
    assert card["data"][0]["digest"] == fetched.data[0].digest  # type: ignore[union-attr]  # it is fetch's


def test_every_data_set_is_prepared_the_holdout_too(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, part in (("train", RAW.slice(0, 300)), ("test", RAW.slice(300))):
        pq.write_table(part, pod.root / "stores" / "lake" / f"{name}.parquet")
    sources = tuple(DataSource(name, f"pvc://lake/{name}.parquet", None) for name in ("train", "test"))
    *_, evaluated, _ = pod.run(
        config(data=sources, evaluation=Evaluation("test", 25)),
        monkeypatch,
        {Stage.PREPARE: own_image(pod, ("train", "test"))},
    )
    assert isinstance(evaluated, EvaluateResult)
    assert (evaluated.rows.train, evaluated.rows.holdout) == (300, 100)


def _left(text: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(text)


def _table(columns: Mapping[str, Any]) -> Callable[[Path], object]:
    return lambda path: pq.write_table(pa.table(dict(columns)), path)


def _twice(path: Path) -> None:
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)


@pytest.mark.parametrize(
    ("leave", "says"),
    [
        pytest.param(lambda _: None, "left no train.parquet; its output folder is empty", id="nothing"),
        pytest.param(
            lambda path: (path.parent / "data.parquet").write_bytes(b"x"),
            "its output folder holds 'data.parquet'",
            id="another name",
        ),
        pytest.param(_left(b""), "is not Parquet", id="an empty file"),
        pytest.param(_left(b"a,b\n1,2\n"), "is not Parquet", id="CSV"),
        pytest.param(_table({"a": pa.array([], pa.int64())}), "has no rows", id="no rows"),
        pytest.param(_twice, "has the column 'a' twice", id="a column twice"),
        pytest.param(lambda path: path.symlink_to("/etc/hostname"), "cannot be opened", id="a link"),
        pytest.param(os.mkfifo, "not a plain file", id="a pipe"),
        pytest.param(lambda path: path.mkdir(), "cannot be opened", id="a folder"),
    ],
)
def test_what_cannot_be_taken_in_is_one_clear_reason(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, leave: Callable[[Path], object], says: str
) -> None:
    for name, value in pod.environment(config()).items():
        monkeypatch.setenv(name, value)
    leave(pod.root / "handover" / FROM_PREPARE / "train.parquet")
    assert main([Stage.SPLIT]) == 2
    failure = pod.message(Stage.SPLIT)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.PREPARED_DATA_INVALID
    assert says in failure.message


def test_output_beyond_the_bound_is_not_read(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright_training.handover.MAX_BYTES", 100_000)
    for name, value in pod.environment(config()).items():
        monkeypatch.setenv(name, value)
    path = pod.root / "handover" / FROM_PREPARE / "train.parquet"
    pq.write_table(pa.table({"a": np.zeros(1_000_000)}), path)  # well compressed: few bytes, many rows
    assert path.stat().st_size < 100_000
    assert main([Stage.SPLIT]) == 2
    failure = pod.message(Stage.SPLIT)
    assert isinstance(failure, Failure)
    assert "of rows; write less" in failure.message


def test_tables_are_read_and_written_in_pieces(tmp_path: Path) -> None:
    """Many row groups, dictionaries and gaps survive both ways."""
    from modelwright_training import handover  # noqa: PLC0415 - the one test that calls it directly

    table = pa.table(
        {
            "text": pa.array(["a", None, "b"] * 50_000).dictionary_encode(),
            "number": pa.array([1.5, None, 2.5] * 50_000),
            "flag": pa.array([True, None, False] * 50_000),
        }
    )
    handover.write(tmp_path, "all", table)
    workspace = Workspace(tmp_path)
    found = handover.take_in(tmp_path, "all", workspace, 0)
    assert found.rows == 150_000
    read = workspace.read_table(0)
    assert read["number"].to_pylist() == table["number"].to_pylist()
    assert read["text"].cast(pa.string()).to_pylist() == table["text"].cast(pa.string()).to_pylist()
    assert read["flag"].to_pylist() == table["flag"].to_pylist()


def test_a_job_without_prepare_says_nothing_of_it(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs as they were keep their digest."""
    plain = job(LOGISTIC, task=Task.AUTO, columns=Columns((), ()))
    assert plain.stages == (Stage.FETCH, Stage.TRAIN, Stage.EVALUATE, Stage.PUBLISH)
    pod.run(plain, monkeypatch)
    assert not {"prepare", "prepared"} & set(read_json(pod.artifact / "card.json"))
