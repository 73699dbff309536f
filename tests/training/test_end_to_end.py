"""All stages, as the pod runs them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest

from modelwright_server import artifact
from modelwright_training import dataset, train
from modelwright_training.__main__ import main
from modelwright_training.contract import (
    Columns,
    DataSource,
    EvaluateResult,
    Evaluation,
    Failure,
    FetchResult,
    JobConfig,
    PublishResult,
    Reason,
    Stage,
    Task,
    TrainResult,
)
from tests.training.builders import HIST_CLASSIFIER, LOGISTIC, Pod, job, read_json
from tests.training.test_conversion import HOLEY, MIXED


def command(stage: str, pod: Pod, config: JobConfig, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **pod.environment(config), **more}
    line = [sys.executable, "-m", "modelwright_training", stage]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


def test_breast_cancer_as_commands_twice_gives_one_digest(pod: Pod) -> None:
    """Another job, another hash seed, other thread counts: the same model."""
    config = job(HIST_CLASSIFIER, {"max_iter": 50})
    for stage in config.stages:
        done = command(stage, pod, config, PYTHONHASHSEED="1", OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr
        assert 'progress: {"percent": 100' in done.stderr
    first = pod.message(Stage.PUBLISH)
    assert isinstance(first, PublishResult)
    assert not first.reused
    evaluated = read_json(pod.artifact / "metrics.json")["metrics"]
    assert {m["name"]: m["value"] for m in evaluated}["accuracy"] > 0.93

    second_job = job(HIST_CLASSIFIER, {"max_iter": 50}, training_job="churn-2", uid="77", namespace="other")
    stages = "main(['train']) or main(['evaluate']) or main(['publish'])"
    again = f"from modelwright_training.__main__ import main; exit({stages})"
    environment = {**os.environ, **pod.environment(second_job), "PYTHONHASHSEED": "2", "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", again], env=environment, check=True)
    second = pod.message(Stage.PUBLISH)
    assert isinstance(second, PublishResult)
    assert (second.digest, second.reused) == (first.digest, True)


def test_served_probabilities_equal_scikit_learn(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the demo does: rebuild the holdout, train again, compare with the stored model."""
    config = job(LOGISTIC)
    *_, published = pod.run(config, monkeypatch)
    assert isinstance(published, PublishResult)
    stored = pod.store / "churn" / published.digest.removeprefix("sha256:")
    artifact.verify(stored, published.digest)
    data = dataset.load(config, train.task_of(config))
    fitted, _ = train.fit(config, data)
    session = onnxruntime.InferenceSession(stored / "model.onnx")
    label, probabilities = session.run(["label", "probabilities"], data.holdout.values.feed())
    assert np.abs(probabilities - fitted.predict_proba(data.holdout.values.native())).max() < 1e-5
    metrics = {metric["name"]: metric["value"] for metric in read_json(stored / "metrics.json")["metrics"]}
    assert metrics["accuracy"] == pytest.approx(float(np.mean(label == data.holdout.target)), rel=1e-5)


def test_diabetes(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched, trained, evaluated, published = pod.run(
        job("sklearn.linear_model.Ridge", uri="sklearn://diabetes"), monkeypatch
    )
    assert isinstance(fetched, FetchResult)
    assert fetched.data[0].rows == 442
    assert isinstance(trained, TrainResult)
    assert trained.task is Task.REGRESSION
    assert trained.rows.train + trained.rows.holdout == 442
    assert isinstance(evaluated, EvaluateResult)
    metrics = {metric.name: metric.value for metric in evaluated.metrics}
    assert set(metrics) == {"rmse", "mae", "r2"}
    assert metrics["r2"] > 0.3
    assert isinstance(published, PublishResult)
    assert published.schema is not None
    assert [tensor.name for tensor in published.schema.outputs] == ["prediction"]


def test_mixed_csv(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pod.root / "stores" / "lake"
    MIXED.to_pandas().to_csv(folder / "churn.csv", index=True, index_label="id")
    config = job(uri="pvc://lake/churn.csv", columns=Columns(("id",), ("code",)))
    *_, evaluated, published = pod.run(config, monkeypatch)
    assert isinstance(evaluated, EvaluateResult)
    assert {metric.name: metric.value for metric in evaluated.metrics}["accuracy"] > 0.9
    assert isinstance(published, PublishResult)
    assert published.schema is not None
    assert [tensor.name for tensor in published.schema.inputs] == ["plan_name", "age", "income", "member", "code"]
    stored = pod.store / "churn" / published.digest.removeprefix("sha256:")
    session = onnxruntime.InferenceSession(stored / "model.onnx")
    row = {
        "plan_name": np.array([["never seen"]], dtype=object),
        "age": np.array([[33]]),
        "income": np.array([[np.nan]], dtype=np.float32),
        "member": np.array([[True]]),
        "code": np.array([[99]]),
    }
    label, probabilities = session.run(None, row)
    assert label.tolist() == ["yes"]
    assert probabilities.shape == (1, 2)


def test_parquet_with_a_holdout_of_its_own(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pod.root / "stores" / "lake"
    pq.write_table(HOLEY.slice(0, 100), folder / "train-1.parquet")
    pq.write_table(HOLEY.slice(100, 200), folder / "train-2.parquet")
    pq.write_table(HOLEY.slice(300), folder / "test.parquet")
    sources = (
        DataSource("train", "pvc://lake/train-*.parquet", None),
        DataSource("test", "pvc://lake/test.parquet", None),
    )
    *_, evaluated, _ = pod.run(job(data=sources, evaluation=Evaluation("test", 25)), monkeypatch)
    assert isinstance(evaluated, EvaluateResult)
    assert (evaluated.rows.train, evaluated.rows.holdout) == (300, 100)


def test_artifact_names_nothing_of_the_job(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod.run(job(LOGISTIC), monkeypatch)
    listed = [entry["path"] for entry in read_json(pod.artifact / "manifest.json")["files"]]
    assert listed == ["baseline.json", "card.json", "columns.json", "metrics.json", "model.onnx", "schema.json"]
    for name in listed:
        content = (pod.artifact / name).read_bytes()
        assert not any(word in content for word in (b"churn-1", b"3a5e", b"team", str(pod.root).encode()))
    report = read_json(pod.artifact / "report.json")
    assert report["trainingJob"] == {"namespace": "team", "name": "churn-1", "uid": "3a5e"}
    assert set(report["seconds"]) == {"fetch", "train", "evaluate"}
    assert report["versions"]["scikit-learn"]
    assert report["parity"]["findings"]


def test_failure_leaves_reason_and_exit_code(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pod.environment(job(uri="sklearn://nope")).items():
        monkeypatch.setenv(name, value)
    assert main([Stage.FETCH]) == 2
    failure = pod.message(Stage.FETCH)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.DATA_NOT_FOUND


def test_workspace_of_evaluate_and_artifact_of_publish_can_be_read_only(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by permissions, which root ignores: no file changes."""
    config = job(LOGISTIC)
    pod.run(config, monkeypatch)
    workspace, made = pod.root / "workspace", pod.artifact
    before = {path: path.stat().st_mtime_ns for path in workspace.iterdir()}
    assert main([Stage.EVALUATE]) == 0
    assert {path: path.stat().st_mtime_ns for path in workspace.iterdir()} == before
    before = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    assert main([Stage.PUBLISH]) == 0
    assert {path: path.stat().st_mtime_ns for path in made.iterdir()} == before


def test_crash_is_no_message_but_a_traceback(pod: Pod) -> None:
    done = command(Stage.PUBLISH, pod, job(), MODELWRIGHT_TRAINING_JOB='{"seed": "x"}')
    assert done.returncode == 1
    assert "ValueError: MODELWRIGHT_TRAINING_JOB" in done.stderr
    assert not (pod.root / "termination-log").exists()


@pytest.mark.parametrize("words", [["--help"], ["publish", "--help"]])
def test_help(words: list[str], tmp_path: Path) -> None:
    line = [sys.executable, "-m", "modelwright_training", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0
    assert "publish" in done.stdout


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("contract", ("numpy", "pyarrow", "sklearn")),
        ("publish", ("numpy", "pyarrow", "sklearn", "onnxruntime")),
        ("fetch", ("sklearn", "pandas", "onnxruntime")),
        ("train", ("onnxruntime", "skl2onnx")),
        ("latency", ("pandas", "pyarrow", "sklearn", "skl2onnx")),
    ],
)
def test_stages_import_only_what_they_need(module: str, banned: tuple[str, ...]) -> None:
    code = f"import sys, modelwright_training.{module}; print([m for m in {banned} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
