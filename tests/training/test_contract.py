import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_training import contract
from modelwright_training.contract import (
    Columns,
    ColumnSchema,
    ColumnType,
    EvaluateResult,
    Failure,
    FetchedData,
    FetchResult,
    JobConfig,
    Latency,
    LatencyResult,
    Metric,
    Parity,
    PublishResult,
    Reason,
    Result,
    Rows,
    Schema,
    SplitResult,
    Stage,
    Task,
    Tensor,
    TrainResult,
    parse_message,
)
from modelwright_training.strict_json import StrictJsonError, dumps
from tests.training.builders import JOB, job

DIGEST = "sha256:" + "0a" * 32
SCHEMA = Schema(
    (Tensor("input", "FP32", (-1, 2), ("a", "b"), nullable=True), Tensor("b", "INT64", (-1, 1))),
    (Tensor("prediction", "FP32", (-1, 1)),),
    Task.REGRESSION,
)
RESULTS: list[Result] = [
    FetchResult((FetchedData("train", DIGEST, 3),)),
    SplitResult((FetchedData("train", DIGEST, 3),)),
    SplitResult((), ("the column 'a' predicts the target alone",)),
    TrainResult(Task.REGRESSION, Rows(2, 1)),
    TrainResult(Task.REGRESSION, Rows(2, 1), ("the column 'a' predicts the target alone",)),
    EvaluateResult(Task.REGRESSION, Rows(2, 1), (Metric("rmse", 0.5, 0.4, 0.7), Metric("r2", 0.5)), Parity(3, 1e-7)),
    EvaluateResult(Task.REGRESSION, Rows(2, 1), (Metric("r2", 0.5),), None, warnings=("nothing to compare with",)),
    LatencyResult(0.25, 1.5, 2048),
    PublishResult("pvc://models/m/0a/", DIGEST, 10, reused=False, schema=SCHEMA),
    PublishResult("pvc://models/m/0a/", DIGEST, 10, reused=True),
]


def test_job_survives_its_json() -> None:
    config = job(parameters={"max_depth": "None", "max_iter": 5, "l2_regularization": 0.5, "x": [1, {"y": None}]})
    assert JobConfig.from_json(config.to_json()) == config


def test_what_is_not_given_is_not_said() -> None:
    """So that neither pods nor digests of jobs change that do not use it."""
    plain = json.loads(JOB.to_json())
    assert not {"positiveLabel", "schema"} & plain.keys()
    assert set(plain["columns"]) == {"drop", "categorical"}
    schema = (ColumnSchema("a", ColumnType.TEXT, nullable=True, categories=("b",)),)
    full = job(columns=Columns((), (), "day", "customer", "w"), positive_label="yes", schema=schema)
    assert JobConfig.from_json(full.to_json()) == full


def test_only_a_job_that_asks_for_it_has_a_latency_stage() -> None:
    timed = job(latency=Latency(threads=2, rows=16))
    assert JobConfig.from_json(timed.to_json()) == timed
    assert set(timed.stages) - set(job().stages) == {Stage.LATENCY}


def test_job_has_the_agreed_keys() -> None:
    document = json.loads(JOB.to_json())
    assert set(document) == {
        "namespace", "trainingJob", "uid", "model", "data", "target", "task", "columns", "trainer", "evaluation",
        "seed", "storage", "source",
    }  # fmt: skip
    assert document["evaluation"] == {"holdout": None, "holdoutPercent": 25}
    assert document["trainer"]["sklearn"]["preprocessing"] == "Auto"


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("seed", "7", "seed: must be a whole number"),
        ("seed", True, "seed: must be a whole number"),
        ("seed", -1, "seed must be between"),
        ("task", "Cluster", "task: must be one of Auto, Classification, Regression"),
        ("data", [], "at least one entry"),
        ("data", {}, "data: must be a list"),
        ("surprise", 1, "unknown key 'surprise'"),
        ("evaluation", {"holdout": None, "holdoutPercent": 0}, "evaluation: holdoutPercent must be between 1 and 90"),
        ("evaluation", {"holdout": "test", "holdoutPercent": 25}, "names no data set"),
        ("evaluation", {"holdout": "train", "holdoutPercent": 25}, "only data set"),
        ("evaluation", {"holdout": None}, "evaluation: lacks the key 'holdoutPercent'"),
        ("data", [{"name": "a", "uri": "x", "digest": "sha256:1"}], "data[0]: digest must be sha256:"),
        ("latency", {"threads": 0, "rows": 1}, "latency: threads must be between 1 and 64"),
        ("latency", {"threads": 1, "rows": 4097}, "rows between 1 and 4096"),
        ("target", "\ud800", "target: has a lone surrogate"),
        ("seed", 2**70, "beyond 64 bits"),
    ],
)
def test_wrong_job_names_the_key(path: str, value: object, named: str) -> None:
    document = json.loads(JOB.to_json())
    document[path] = value
    with pytest.raises(StrictJsonError) as error:
        JobConfig.from_json(json.dumps(document))
    assert named in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "NaN", '{"seed": 1, "seed": 2}', "[" * 100_000, "9" * 5000])
def test_wrong_json_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(StrictJsonError):
        JobConfig.from_json(text)


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.stage)
def test_results_survive_their_message(result: Result) -> None:
    assert parse_message(dumps(result), result.stage) == result


def test_what_is_not_nullable_says_nothing_of_it() -> None:
    first, second = json.loads(dumps(SCHEMA))["inputs"]
    assert (first["nullable"], "nullable" in second) == (True, False)


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.stage)
def test_results_of_another_stage_are_not_believed(result: Result) -> None:
    for stage in set(Stage) - {result.stage}:
        assert parse_message(dumps(result), stage) is None


def test_failures_survive_their_message() -> None:
    failure = Failure(Stage.TRAIN, Reason.DATA_INVALID, "column 'a'…")
    assert parse_message(dumps(failure), Stage.TRAIN) == failure
    assert parse_message(dumps(failure), Stage.FETCH) is None


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):\n",
        '{"stage":"train","reason":"Invented","message":"x"}',
        '{"stage":"train","task":"Regression","rows":{"train":-1,"holdout":1}}',
        '{"stage":"train","task":"Regression","rows":{"train":1,"holdout":1},"more":1}',
        '{"stage":"train","task":"Regression","rows":{"train":1e999,"holdout":1}}',
        '{"stage":"train","task":"Regression","rows":{"train":1.0,"holdout":1}}',
        '{"stage":"train","task":"Regression","rows":null}',
        " " * contract.MESSAGE_LIMIT + '{"stage":"train"}',
    ],
)
def test_garbage_is_no_message(text: str) -> None:
    assert parse_message(text, Stage.TRAIN) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.one_of(st.text(), st.sampled_from(["stage", "data", "rows"])), inner)
    ),
)


@given(st.text() | _json.map(lambda value: json.dumps({"stage": "fetch", "data": value})))
def test_no_text_breaks_the_parser(text: str) -> None:
    for stage in Stage:
        parse_message(text, stage)
