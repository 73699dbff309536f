import dataclasses

import pytest

from modelwright_training import contract, termination
from modelwright_training.contract import (
    METRICS,
    EvaluateResult,
    Failure,
    FetchedData,
    FetchResult,
    GateResult,
    Metric,
    Parity,
    PublishResult,
    Reason,
    Rows,
    Stage,
    Task,
    Tensor,
    Verdict,
    parse_message,
)
from modelwright_training.errors import StageError
from tests.training.test_contract import DIGEST, SCHEMA


def test_publish_gives_up_its_schema_when_it_would_not_fit() -> None:
    columns = tuple(f"column {index}" for index in range(500))
    schema = dataclasses.replace(SCHEMA, inputs=(Tensor("input", "FP32", (-1, 500), columns),), task=Task.REGRESSION)
    result = PublishResult("pvc://models/m/0a/", DIGEST, 10, reused=False, schema=schema)
    found = parse_message(termination.result_text(result), Stage.PUBLISH)
    assert found == dataclasses.replace(result, schema=None)


def test_too_large_a_result_is_a_failure() -> None:
    result = FetchResult(tuple(FetchedData(f"set-{index}", DIGEST, 1) for index in range(20)))
    with pytest.raises(StageError) as error:
        termination.result_text(result)
    assert error.value.reason is Reason.RESULT_TOO_LARGE


@pytest.mark.parametrize("character", ["x", '"', "\n", "\x00", "ü", "𝄞", "\ud800", "\\"])
def test_any_failure_fits(character: str) -> None:
    text = termination.failure_text(Stage.TRAIN, StageError(Reason.TRAINING_FAILED, character * 5000))
    assert len(text.encode()) <= contract.MESSAGE_LIMIT
    found = parse_message(text, Stage.TRAIN)
    assert isinstance(found, Failure)
    assert 0 < len(found.message.encode()) <= contract.FAILURE_TEXT_LIMIT


def test_an_evaluation_with_every_metric_and_gate_fits() -> None:
    """Sixteen gates and eight metrics with intervals, in numbers as long as six digits can be."""
    metrics = tuple(Metric(name, 1.23456e-05, 1.23451e-05, 1.23459e-05) for name in METRICS[:8])
    judged = tuple(GateResult(index, Verdict.FAILED, 1.23456e-05, "g" * 60) for index in range(16))
    rows, parity = Rows(10**9, 10**9), Parity(10**9, 1.234567890123e-05)
    result = EvaluateResult(Task.CLASSIFICATION, rows, metrics, parity, judged)
    kept = parse_message(termination.result_text(result), Stage.EVALUATE)
    assert isinstance(kept, EvaluateResult)
    assert [(item.name, item.value) for item in kept.metrics] == [(item.name, item.value) for item in metrics]
    assert kept.gates == tuple(dataclasses.replace(item, group=None) for item in judged)
    few = EvaluateResult(Task.CLASSIFICATION, rows, metrics, parity, judged[:2])
    assert parse_message(termination.result_text(few), Stage.EVALUATE) == few
