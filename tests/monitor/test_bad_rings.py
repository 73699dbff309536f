"""Whatever lies where a ring, a model or the counts should: it is said, in bounded memory, and harms nothing else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from modelwright_drift import summary
from modelwright_drift.baseline import Baseline
from modelwright_monitor.columns import Columns, MismatchError
from modelwright_monitor.model import Model, UnfitError, unfit_marks
from modelwright_monitor.peers import Part
from modelwright_monitor.tally import Tally, TallyError, most_bytes
from modelwright_server.contract import monitoring
from modelwright_server.ring import RingReader, RingWriter
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec
from tests.monitor.replicas import SCHEMA, Replica, baseline, new_ring, replicas, rows_of, write_model
from tests.ring.rings import TEXTS, texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RNG = np.random.default_rng(3)
RULES = {"window": {"rows": 1000, "minSeconds": 0, "maxSeconds": 0}}


def truncated(replica: Replica) -> None:
    os.truncate(replica.folders.ring / "ring-0", 40)


def nonsense(replica: Replica) -> None:
    (replica.folders.ring / "ring-0").unlink()
    (replica.folders.ring / "ring-0").write_bytes(os.urandom(4096))


def huge(replica: Replica) -> None:
    (replica.folders.ring / "ring-0").unlink()
    with (replica.folders.ring / "ring-0").open("wb") as file:
        file.truncate(1 << 40)


def link(replica: Replica) -> None:
    (replica.folders.ring / "ring-0").unlink()
    (replica.folders.ring / "ring-0").symlink_to("/etc/passwd")


def foreign(replica: Replica) -> None:
    new_ring(replica.folders.ring, "sha256:" + "0" * 64)


def renamed(replica: Replica) -> None:
    """Make a ring whose features have other names."""
    [spec] = SCHEMA.inputs
    other = Schema((TensorSpec(spec.name, spec.datatype, spec.shape, ("b", "a", "c")),), SCHEMA.outputs, SCHEMA.task)
    new_ring(replica.folders.ring, replica.session._model.digest, other)


@pytest.mark.parametrize("spoil", [truncated, nonsense, huge, link, foreign, renamed])
def test_a_ring_that_is_none_is_said_and_the_others_are_counted(
    tmp_path: Path, spoil: Callable[[Replica], None]
) -> None:
    with replicas(tmp_path, 2, RULES) as (api, found):
        spoil(found[0])
        found[1].answer(rows_of(RNG, 1200))
        found[1].count()
        found[0].count()  # up to the end of the ring before
        found[0].step()
        assert api.report["window"]["rows"] == 1200
        healthy = api.condition(monitoring.MONITORING_HEALTHY)
        assert (healthy["status"], healthy["reason"]) == ("False", "RingInvalid")
        assert found[0].name in healthy["message"]


def test_a_ring_that_is_none_is_said_once_where_nothing_else_is(tmp_path: Path) -> None:
    with replicas(tmp_path, 1, RULES) as (api, [replica]):
        nonsense(replica)
        for _ in range(4):
            replica.step()
        assert len(api.writes) == 1
        assert api.condition(monitoring.MONITORING_HEALTHY)["reason"] == "RingInvalid"
        replica.ring = new_ring(replica.folders.ring, replica.session._model.digest)
        replica.answer(rows_of(RNG, 1000))
        replica.step()
        replica.step()
        assert api.condition(monitoring.MONITORING_HEALTHY)["status"] == "True", "a good one is followed again"


def test_all_values_missing_is_broken_data(tmp_path: Path) -> None:
    with replicas(tmp_path, 1, RULES) as (api, [replica]):
        for _ in range(2):
            rows = rows_of(RNG, 1000)
            rows[:, 0] = np.nan
            replica.answer(rows)
            replica.step()
        quality = api.condition(monitoring.DATA_QUALITY)
        assert (quality["status"], quality["reason"]) == ("True", "MissingValues")


def test_values_far_out_of_range_are_broken_data_and_some_are_drift(tmp_path: Path) -> None:
    with replicas(tmp_path, 1, RULES) as (api, [replica]):
        for _ in range(2):
            replica.answer(rows_of(RNG, 1000, shift=1.5))
            replica.step()
        assert api.condition(monitoring.DATA_DRIFT)["status"] == "True"
        assert api.condition(monitoring.DATA_QUALITY)["status"] == "False"
        for _ in range(3):
            replica.answer(rows_of(RNG, 1000, shift=1000))
            replica.step()
        assert api.condition(monitoring.DATA_QUALITY)["reason"] == "ValuesOutOfRange"
        assert api.condition(monitoring.DATA_DRIFT)["status"] == "Unknown"


def texts_model() -> tuple[Schema, Baseline]:
    plans = ["basic"] * 600 + ["pro"] * 300 + ["gold"] * 100
    ages = np.arange(1000, dtype=np.float32)
    probabilities = np.linspace(0, 1, 1000, dtype=np.float32)
    features = (summary.categorical("plan", "BYTES", plans), summary.numeric("age", "FP32", ages))
    label = summary.categorical("label", "BYTES", ["yes", "no"] * 500)
    return TEXTS, Baseline(features, (label, summary.numeric("probabilities[1]", "FP32", probabilities)))


def test_new_categories_by_the_thousand_take_no_room(tmp_path: Path) -> None:
    schema, made = texts_model()
    columns = Columns(schema, made)
    writer = RingWriter.create(tmp_path, "ring-0", schema, model="m", version="v", digest="d")
    for number in range(200):
        labels, plans = ["yes"] * 20, [f"new-{number}-{row}" for row in range(20)]
        writer.append(20, texts([*labels, *plans], 20))
    tally = columns.count(RingReader.open(tmp_path / "ring-0").poll())
    assert tally.rows == 4000
    assert tally.features[0].tolist() == [0, 0, 0, 4000, 4000]
    assert len(json.dumps(tally.to_document())) < most_bytes(made)


def test_rows_whose_texts_cannot_be_read_are_lost_and_the_others_are_not(tmp_path: Path) -> None:
    schema, made = texts_model()
    writer = RingWriter.create(tmp_path, "ring-0", schema, model="m", version="v", digest="d")
    good = texts(["yes", "basic"], 1)
    writer.append(1, good)
    writer.append(1, [b"\xff\xff\xff\x7f" + b"x" * 60])
    writer.append(1, good)
    tally = Columns(schema, made).count(RingReader.open(tmp_path / "ring-0").poll())
    assert (tally.rows, tally.lost) == (2, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "baseline.json").unlink(), "NoBaseline"),
        (lambda folder: (folder / "baseline.json").write_bytes(b"{}"), "BaselineMismatch"),
        (lambda folder: (folder / "baseline.json").write_bytes(b"x" * (9 << 20)), "BaselineMismatch"),
        (lambda folder: (folder / "schema.json").write_bytes(b"[]"), "BaselineMismatch"),
    ],
)
def test_a_model_that_cannot_be_monitored_says_why(
    tmp_path: Path, change: Callable[[Path], object], reason: str
) -> None:
    write_model(tmp_path)
    change(tmp_path)
    with pytest.raises(UnfitError) as caught:
        Model.load(tmp_path)
    assert caught.value.reason == reason
    marks = unfit_marks(caught.value)
    assert (marks[0].kind, marks[0].status) == (monitoring.MONITORING_HEALTHY, "False")
    assert {mark.status for mark in marks[1:]} == {"Unknown"}


@pytest.mark.parametrize(
    "feature",
    [
        summary.numeric("z", "FP32", np.arange(100, dtype=np.float32)),
        summary.numeric("a", "FP64", np.arange(100, dtype=np.float64)),
    ],
)
def test_a_baseline_of_another_model_is_refused(feature: Any) -> None:
    made = Baseline((feature,), baseline().prediction)
    with pytest.raises(MismatchError, match="baseline's"):
        Columns(SCHEMA, made)


def test_a_number_for_texts_is_refused() -> None:
    schema = Schema((TensorSpec("a", Datatype.BYTES, (-1, 1)),), SCHEMA.outputs, Task.CLASSIFICATION)
    feature = summary.numeric("a", "FP32", np.arange(100, dtype=np.float32))
    with pytest.raises(MismatchError):
        Columns(schema, Baseline((feature,), baseline().prediction))


@pytest.mark.parametrize(
    "spoil",
    [
        {"rows": -1},
        {"rows": 1.5},
        {"rows": True},
        {"lost": "1"},
        {"features": []},
        {"features": None},
        {"features": [[0], [0], [0]]},
        {"prediction": [[10**30] * 4, [0] * 13]},
    ],
)
def test_counts_that_cannot_be_are_refused(spoil: dict[str, Any]) -> None:
    made = baseline()
    document = {**Tally.empty(made).to_document(), **spoil}
    with pytest.raises(TallyError):
        Tally.from_document(document, made)


def test_more_in_a_bin_than_there_are_rows_is_refused() -> None:
    made = baseline()
    document = Tally.empty(made).to_document()
    document["features"][0][0] = 5
    with pytest.raises(TallyError, match="more in a bin"):
        Tally.from_document({**document, "rows": 4}, made)


def test_what_another_version_says_is_read_without_its_counts() -> None:
    made = baseline()
    document = {
        **Part("p", "canary", "sha256:other", 5, 0, 1.0, "", None).to_document(),
        "tally": {"anything": "at all"},
    }
    assert Part.from_document(document, made, "sha256:mine").tally is None


@pytest.mark.parametrize("left", [b"", b"{}", b"[1]", b"\xff", b'{"format": 1}', b"x" * (17 << 20)])
def test_counts_that_cannot_be_read_again_are_begun_anew(tmp_path: Path, left: bytes) -> None:
    with replicas(tmp_path, 1, RULES) as (api, [replica]):
        (replica.folders.windows / "state.json").write_bytes(left)
        replica.kill()
        replica.answer(rows_of(RNG, 1000))
        replica.step()
        replica.step()
        assert api.report["window"]["rows"] == 1000


def test_a_full_disk_stops_no_counting_and_no_row_is_counted_twice(tmp_path: Path) -> None:
    with replicas(tmp_path, 2, RULES) as (api, found):
        windows = found[0].session._windows
        windows._new = windows._new.parent / "no" / "such" / "folder"
        for replica in found:
            replica.answer(rows_of(RNG, 1100))
            replica.count()
        found[0].step()
        assert api.writes == [], "what cannot be kept is not given away"
        found[1].step()
        assert api.report["window"]["rows"] == 1100
        assert api.report["coverage"] == {"replicas": 2, "reported": 1}
        found[0].kill()
        found[1].answer(rows_of(RNG, 100))
        found[1].step()
        found[0].step()
        assert api.report["total"]["rows"] == 2300


def test_a_clock_that_is_set_back_or_forth_closes_no_empty_window(tmp_path: Path) -> None:
    with replicas(tmp_path, 1, {"window": {"rows": 1000, "minSeconds": 5, "maxSeconds": 60}}) as (api, [replica]):
        windows = replica.session._windows
        now = [windows._now()]
        windows._now = lambda: now[0]
        replica.answer(rows_of(RNG, 1500))
        now[0] -= 10**6
        replica.step()
        assert api.writes == []
        now[0] += 6
        replica.step()
        assert api.report["window"]["rows"] == 1500
        now[0] += 10**6
        replica.step()
        assert len(api.writes) == 1
