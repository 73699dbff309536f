"""Timing the finished model: what is measured, what becomes of it, and what it must not change."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from modelwright_server import artifact
from modelwright_training import latency, measures, samples
from modelwright_training.__main__ import main
from modelwright_training.contract import Columns, Failure, Latency, LatencyResult, PublishResult, Reason, Stage
from modelwright_training.measures import Measurement, Timing
from tests.training.builders import LOGISTIC, Pod, job, read_json
from tests.training.test_conversion import MIXED

FEW = 25


@pytest.fixture(autouse=True)
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "CALLS", FEW)


def test_a_timed_job_reports_percentiles_and_size_and_keeps_its_digest(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, plain = pod.run(job(LOGISTIC), monkeypatch)
    *_, timed, published = pod.run(job(LOGISTIC, latency=Latency(threads=1, rows=3), uid="2"), monkeypatch)
    assert isinstance(plain, PublishResult)
    assert isinstance(published, PublishResult)
    assert (published.digest, published.reused) == (plain.digest, True)
    assert isinstance(timed, LatencyResult)
    assert 0 < timed.p50_milliseconds <= timed.p99_milliseconds
    assert timed.size_bytes == (pod.artifact / artifact.MODEL).stat().st_size
    assert {metric.name for metric in timed.metrics} == {
        "latencyP50Milliseconds", "latencyP99Milliseconds", "sizeBytes"
    }  # fmt: skip


def test_the_measurement_is_in_the_report_and_in_nothing_the_digest_covers(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, timed, published = pod.run(job(LOGISTIC, latency=Latency(threads=2, rows=600)), monkeypatch)
    assert isinstance(timed, LatencyResult)
    assert isinstance(published, PublishResult)
    stored = pod.store / "churn" / published.digest.removeprefix("sha256:")
    artifact.verify(stored, published.digest)
    report = read_json(stored / "report.json")
    found = report["latency"]
    assert (found["rows"], found["threads"]) == (600, 2)
    assert [repeat["calls"] for repeat in found["repeats"]] == [FEW] * latency.REPEATS
    assert found["p99Milliseconds"] == min(repeat["p99Milliseconds"] for repeat in found["repeats"])
    assert found["p99Milliseconds"] == timed.p99_milliseconds
    assert report["parity"]  # what evaluate wrote is still there
    assert not any(b"atency" in (stored / name).read_bytes() for name in ("card.json", "metrics.json", "manifest.json"))


def test_a_model_of_texts_and_gaps_is_timed_on_rows_of_the_holdout(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    MIXED.to_pandas().to_csv(pod.root / "stores" / "lake" / "churn.csv", index=True, index_label="id")
    config = job(uri="pvc://lake/churn.csv", columns=Columns(("id",), ("code",)), latency=Latency(1, 1))
    *_, timed, _ = pod.run(config, monkeypatch)
    assert isinstance(timed, LatencyResult)
    feeds = samples.read(pod.measures)
    assert set(feeds) == {"plan_name", "age", "income", "member", "code"}
    assert set(feeds["plan_name"].ravel()) <= {"", *map(str, MIXED["plan name"].to_pylist())}
    assert np.isnan(feeds["income"]).any()


def test_every_call_gets_the_next_rows_of_the_sample() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.seen: list[list[float]] = []

        def run(self, feeds: samples.Feeds, rows: int) -> None:
            assert rows == 2
            self.seen.append(feeds["x"][:, 0].tolist())

    recorder = Recorder()
    timing = latency.timed(recorder, {"x": np.array([[0.0], [1.0], [2.0]])}, 2)  # type: ignore[arg-type]
    assert timing.calls == FEW
    assert recorder.seen[:3] == [[0, 1], [2, 0], [1, 2]]


def test_slow_models_are_timed_by_fewer_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def run(self, feeds: samples.Feeds, rows: int) -> None:
            pass

    monkeypatch.setattr(latency, "SECONDS", 0.0)
    timing = latency.timed(Slow(), {"x": np.zeros((1, 1))}, 1)  # type: ignore[arg-type]
    assert timing.calls == latency.FEWEST_CALLS


def test_texts_of_any_kind_survive_the_sample(tmp_path: Path) -> None:
    texts = np.array([["a\0"], ["é\n"], [""], ["x" * 3000]], dtype=object)
    feeds = {"file": texts, "names": np.array([[1], [2], [3], [4]]), "flag": np.array([[True]] * 4)}
    samples.write(tmp_path, feeds)
    found = samples.read(tmp_path)
    assert list(found) == list(feeds)
    for name, array in feeds.items():
        assert found[name].dtype == array.dtype
        assert found[name].tolist() == array.tolist()


def test_large_rows_are_fewer(tmp_path: Path) -> None:
    """The volume they lie in is small, and a pod that fills it is evicted."""
    texts = np.array([["x" * (samples.MAX_BYTES // 50)]] * 100, dtype=object)
    samples.write(tmp_path, {"text": texts, "number": np.zeros((100, 1))})
    found = samples.read(tmp_path)
    assert 25 <= len(found["text"]) == len(found["number"]) < 50


def test_a_model_the_server_refuses_ends_the_run(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    config = job(LOGISTIC, latency=Latency(1, 1))
    pod.run(config, monkeypatch)
    schema = read_json(pod.artifact / artifact.SCHEMA)
    schema["inputs"][0]["name"] = "other"
    (pod.artifact / artifact.SCHEMA).write_text(json.dumps(schema))
    assert main([Stage.LATENCY]) == 2
    failure = pod.message(Stage.LATENCY)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.ARTIFACT_INVALID
    assert "spec.evaluation.latency" in failure.message


MEASUREMENT = Measurement(1, 1, 0.1, 0.2, 9, (Timing(20, 0.1, 0.2, 0.3),))


def test_the_report_takes_only_a_measurement(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"seconds": 1}')
    with pytest.raises(ValueError, match=r"latency\.json is missing"):
        measures.report(tmp_path, tmp_path, timed=True)
    for text in ("{}", "[", '{"rows": 1}', "\xff"):
        (tmp_path / "latency.json").write_text(text, encoding="latin-1")
        with pytest.raises(ValueError, match=r"."):
            measures.report(tmp_path, tmp_path, timed=True)
    measures.write(tmp_path, MEASUREMENT)
    completed = measures.report(tmp_path, tmp_path, timed=True)
    assert completed is not None
    assert json.loads(completed)["seconds"] == 1
    assert json.loads(completed)["latency"]["sizeBytes"] == 9
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(ValueError, match="not a JSON object"):
        measures.report(tmp_path, tmp_path, timed=True)


@pytest.mark.parametrize("name", ["report.json", "latency.json"])
def test_a_link_to_what_only_publish_may_read_is_not_followed(pod: Pod, tmp_path: Path, name: str) -> None:
    """Evaluate and latency run a stranger's code; publish holds the store's credentials."""
    secret = tmp_path / "secret"
    secret.write_text('{"key": "hunter2"}')
    (pod.measures / name).symlink_to(secret)
    folder = pod.measures
    if name == "latency.json":
        (folder / "report.json").write_text("{}")
    with pytest.raises(ValueError, match=f"{name} is a link"):
        measures.report(folder, folder, timed=True)


def test_a_pipe_in_place_of_the_report_does_not_hold_publish_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "report.json")
    with pytest.raises(ValueError, match="not a regular file"):
        measures.report(tmp_path, tmp_path, timed=False)


def test_percentiles_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending"):
        LatencyResult(p50_milliseconds=1.0, p99_milliseconds=0.5, size_bytes=9)
