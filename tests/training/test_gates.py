import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_training import gates
from modelwright_training.__main__ import main
from modelwright_training.contract import (
    METRICS,
    EvaluateResult,
    ExitCode,
    Failure,
    Gate,
    GateResult,
    Reason,
    Stage,
    Task,
    Verdict,
)
from modelwright_training.errors import StageError
from tests.training.builders import LOGISTIC, Pod, job, read_json

numbers = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("gate", "value", "verdict"),
    [
        (Gate("accuracy", min=0.9), 0.91, Verdict.PASSED),
        (Gate("accuracy", min=0.9), 0.9, Verdict.PASSED),
        (Gate("accuracy", min=0.9), 0.89, Verdict.FAILED),
        (Gate("rmse", max=2), 1.5, Verdict.PASSED),
        (Gate("rmse", max=2), 2.0, Verdict.PASSED),
        (Gate("rmse", max=2), 2.5, Verdict.FAILED),
        (Gate("r2", min=0), 0.0, Verdict.PASSED),
        (Gate("accuracy", min=0.9), None, Verdict.NOT_MEASURED),
    ],
)
def test_a_gate_is_judged_by_its_limit(gate: Gate, value: float | None, verdict: Verdict) -> None:
    observed = {"other": 0.0} if value is None else {gate.metric: value}
    assert gates.judge([gate], observed) == (GateResult(0, verdict, value),)


@given(st.lists(st.tuples(st.sampled_from(METRICS), numbers, st.booleans()), max_size=16), numbers)
def test_every_gate_has_one_verdict_in_its_place(drawn: list[tuple[str, float, bool]], value: float) -> None:
    given_gates = [Gate(name, min=limit) if low else Gate(name, max=limit) for name, limit, low in drawn]
    observed = dict.fromkeys(METRICS, value)
    stages = [gates.judge(given_gates, observed), gates.judge(given_gates, observed, timed=True)]
    found = sorted((result for results in stages for result in results), key=lambda result: result.gate)
    assert [result.gate for result in found] == list(range(len(drawn)))
    for gate, result in zip(given_gates, found, strict=True):
        kept = value >= gate.min if gate.min is not None else value <= (gate.max or 0)
        assert (result.verdict is Verdict.PASSED) == kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "accuracy"},
        {"metric": "accuracy", "min": 0.1, "max": 0.2},
        {"metric": "accuracy", "min": float("nan")},
        {"metric": "accuracy", "min": float("inf")},
        {"metric": "auc", "min": 0.1},
    ],
    ids=str,
)
def test_a_gate_that_cannot_be_judged_is_none(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"exactly one of min, max and maxRegression|metric must be one of"):
        Gate(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "task", "probabilities", "said"),
    [
        ("rmse", Task.CLASSIFICATION, True, r"gates\[1\].metric rmse cannot be measured: classification has accuracy"),
        ("roc_auc", Task.REGRESSION, True, r"gates\[1\].metric roc_auc cannot be measured: regression has rmse"),
        ("log_loss", Task.CLASSIFICATION, False, "the estimator gives no probabilities"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(metric: str, task: Task, said: str, *, probabilities: bool) -> None:
    fine = "mae" if task is Task.REGRESSION else "f1"
    with pytest.raises(StageError, match=said) as caught:
        gates.check([Gate(fine, max=1), Gate(metric, max=1)], task, probabilities=probabilities)
    assert caught.value.reason is Reason.GATE_INVALID
    gates.check([Gate(fine, max=1)], task, probabilities=probabilities)


def test_a_wrong_gate_ends_the_run_before_anything_is_read(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data were fetched: the train stage would fail on that, if it looked."""
    config = job("sklearn.svm.LinearSVC", gates=(Gate("roc_auc", min=0.9),))
    for name, value in pod.environment(config).items():
        monkeypatch.setenv(name, value)
    assert main([Stage.TRAIN]) == ExitCode.PERMANENT
    failure = pod.message(Stage.TRAIN)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.GATE_INVALID


def test_verdicts_are_reported_and_the_model_published_all_the_same(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    given_gates = (Gate("accuracy", min=0.9), Gate("log_loss", max=0.001))
    *_, evaluated, published = pod.run(job(LOGISTIC, gates=given_gates), monkeypatch)
    assert isinstance(evaluated, EvaluateResult)
    measured = {metric.name: metric.value for metric in evaluated.metrics}
    assert evaluated.gates == (
        GateResult(0, Verdict.PASSED, measured["accuracy"]),
        GateResult(1, Verdict.FAILED, measured["log_loss"]),
    )
    said = read_json(pod.artifact / "report.json")["gates"]
    assert [(item["metric"], item["verdict"]) for item in said] == [("accuracy", "Passed"), ("log_loss", "Failed")]
    assert said[1]["observed"] == measured["log_loss"]
    *_, without = pod.run(job(LOGISTIC), monkeypatch)
    assert published.digest == without.digest  # type: ignore[union-attr]  # gates are no part of the model


def test_metrics_and_gates_are_about_the_positive_class(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """Average precision is that of the class asked for, and so is the one that a gate is judged by."""
    found: dict[str | None, dict[str, float]] = {}
    for label in (None, "1", "0"):
        config = job(LOGISTIC, positive_label=label, gates=(Gate("average_precision", min=0.5),))
        *_, evaluated, _ = pod.run(config, monkeypatch)
        assert isinstance(evaluated, EvaluateResult)
        found[label] = {metric.name: metric.value for metric in evaluated.metrics}
        assert evaluated.gates[0].observed == found[label]["average_precision"]
    assert found[None] == found["1"]
    assert found["0"]["f1"] != found["1"]["f1"]
    assert found["0"]["accuracy"] == found["1"]["accuracy"]
