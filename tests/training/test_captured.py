"""Captured rows as training data: each labelled row once, whatever was written twice."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from modelwright_server.contract import secret_prefix
from modelwright_training import sources
from modelwright_training.captured import typed
from modelwright_training.contract import Captured, DataSource, Reason, StoreAccess
from modelwright_training.errors import StageError
from tests.support.object_store import REGION, ObjectStore, running_store
from tests.training.test_remote_sources import as_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    with running_store(tmp_path / "s3") as running:
        yield running


class Place:
    """A Deployment's place in a store."""

    def __init__(self, store: ObjectStore, tmp_path: Path) -> None:
        self.store, self.tmp_path, self.files = store, tmp_path, 0

    def put(self, folder: str, **columns: Any) -> None:
        self.files += 1
        self.store.put(f"captured/team/churn/{folder}/pod-{self.files}.parquet", as_bytes(pa.table(columns), "parquet"))

    def rows(self, ids: str, version: str = "a", **more: Any) -> None:
        numbers = [float(ord(each)) for each in ids]
        times = pa.array([START + dt.timedelta(seconds=200 - number) for number in numbers], pa.timestamp("us", "UTC"))
        columns: dict[str, Any] = {"prediction_id": list(ids), "prediction_time": times, "age": numbers, **more}
        self.put(f"version={version}/date=2026-11-22", **columns, predicted_label=["no"] * len(ids))

    def labels(self, ids: str, texts: list[str], second: int = 0) -> None:
        times = pa.array([START + dt.timedelta(seconds=second)] * len(ids), pa.timestamp("us", "UTC"))
        self.put("labels/date=2026-11-22", prediction_id=list(ids), label=texts, label_time=times, taken_at=times)

    def read(self, time: str | None = None, label: str = "churned") -> sources.Fetched:
        access = StoreAccess(self.store.endpoint, REGION, "lake")
        source = DataSource("live", "s3://lake/captured/team/churn", None, access, Captured(label, time))
        environment = {secret_prefix("lake") + name: value for name, value in self.store.credentials.items()}
        return sources.read(source, self.tmp_path, self.tmp_path, environment)


@pytest.fixture
def place(store: ObjectStore, tmp_path: Path) -> Place:
    return Place(store, tmp_path)


def test_labelled_rows_come_once_oldest_first_with_the_first_label(place: Place) -> None:
    place.rows("abc")
    place.rows("bcd", version="b")  # two of them twice
    place.labels("bd", ["1", "0"], second=5)
    place.labels("bx", ["0", "1"], second=9)
    fetched = place.read()
    assert fetched.table.to_pydict() == {"age": [100.0, 98.0], "churned": [0, 1]}
    assert place.read("prediction_time").table.column_names == ["age", "churned", "prediction_time"]


def test_the_digest_is_of_what_can_be_learned_from(place: Place) -> None:
    place.rows("abc")
    place.labels("ab", ["1", "0"])
    first = place.read().digest
    place.rows("abc")
    place.rows("xyz")
    place.labels("ab", ["0", "0"], second=3)
    assert place.read().digest == first, "nothing that has a label is new"
    place.labels("c", ["1"])
    assert place.read().digest != first


@pytest.mark.parametrize(
    ("made", "reason", "words"),
    [
        (lambda place: place.rows("a"), Reason.DATA_NOT_FOUND, "no label was captured yet below s3://lake/captured"),
        (lambda place: place.labels("a", ["1"]), Reason.DATA_NOT_FOUND, "no object matches"),
        (lambda place: (place.rows("a"), place.labels("b", ["1"])), Reason.DATA_NOT_FOUND, "has a label yet"),
        (
            lambda place: (place.rows("a"), place.labels("a", ["1"]), place.put("version=1/date=1", age=[1])),
            Reason.DATA_INVALID,
            "lacks the columns of captured rows",
        ),
        (
            lambda place: (place.rows("ab"), place.rows("c", tenure=[1.0]), place.labels("abc", ["1", "0", "1"])),
            Reason.DATA_INVALID,
            "has the column 'tenure'",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_told(place: Place, made: Any, reason: Reason, words: str) -> None:
    made(place)
    with pytest.raises(StageError, match=words) as raised:
        place.read()
    assert raised.value.reason is reason


def test_a_target_that_is_a_feature_is_refused(place: Place) -> None:
    place.rows("a")
    place.labels("a", ["1"])
    with pytest.raises(StageError, match="has the feature 'age', which is the name of the target"):
        place.read(label="age")


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["1", "-20"], pa.int64()),
        (["1", "2.5", "1e3"], pa.float64()),
        (["true", "false"], pa.bool_()),
        (["1", "yes"], pa.string()),
        (["01", "x"], pa.string()),
    ],
)
def test_labels_are_numbers_if_all_of_them_are(labels: list[str], kind: Any) -> None:
    assert typed(labels).type == kind
