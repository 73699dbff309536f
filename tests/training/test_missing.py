"""Where clients may leave numbers out: the schema says so exactly where training made sure of it."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelwright_server import schema as served
from modelwright_training import edges
from modelwright_training.contract import Columns, Preprocessing, PublishResult, Stage
from tests.training.builders import HIST_CLASSIFIER, HIST_REGRESSOR, LOGISTIC, Model, Pod, job, make, read_json
from tests.training.test_conversion import HOLEY, MIXED

FOREST, BAYES, RIDGE = (
    f"sklearn.{path}" for path in ("ensemble.RandomForestClassifier", "naive_bayes.GaussianNB", "linear_model.Ridge")
)
WHOLE = HOLEY.select(["target"]).append_column("x", pa.array(np.arange(len(HOLEY)) % 97 / 8))


def nullable(model: Model) -> set[str]:
    return {tensor.name for tensor in model.schema.inputs if tensor.nullable}


@pytest.mark.parametrize(
    ("estimator", "preprocessing", "table", "marked"),
    [
        (LOGISTIC, Preprocessing.AUTO, HOLEY, True),
        (FOREST, Preprocessing.AUTO, HOLEY, True),
        (FOREST, Preprocessing.AUTO, WHOLE, True),
        (RIDGE, Preprocessing.AUTO, WHOLE, True),
        (HIST_CLASSIFIER, Preprocessing.AUTO, HOLEY, True),
        (HIST_CLASSIFIER, Preprocessing.NONE, HOLEY, True),
        (HIST_CLASSIFIER, Preprocessing.NONE, WHOLE, True),
        (HIST_REGRESSOR, Preprocessing.NONE, WHOLE, True),
        (LOGISTIC, Preprocessing.NONE, WHOLE, False),
        (FOREST, Preprocessing.NONE, WHOLE, False),
        (BAYES, Preprocessing.NONE, WHOLE, False),
        (RIDGE, Preprocessing.NONE, WHOLE, False),
    ],
)
def test_a_matrix_is_nullable_where_gaps_are_filled_or_learned_from(
    estimator: str, preprocessing: Preprocessing, table: Any, *, marked: bool
) -> None:
    model = make(job(estimator, preprocessing=preprocessing), {"train": table})
    assert nullable(model) == ({"input"} if marked else set())
    assert marked == (edges.MISSING in {finding.group for finding in model.report.findings})
    assert all(tensor.nullable is None for tensor in model.schema.outputs)


@pytest.mark.parametrize("estimator", [LOGISTIC, HIST_CLASSIFIER])
def test_of_named_columns_only_floats_are_nullable(estimator: str) -> None:
    """Whole numbers, truth values, categories and texts are tensors without NaN."""
    model = make(job(estimator, columns=Columns((), ("code",))), {"train": MIXED})
    assert nullable(model) == {"income"}


@pytest.mark.parametrize("table", [HOLEY, MIXED], ids=["matrix", "columns"])
def test_parity_takes_every_nullable_value_away_alone_and_with_all_others(table: Any) -> None:
    model = make(job(LOGISTIC), {"train": table})
    rows = dict(edges.groups(model.data.train.values))[edges.MISSING]
    taken = np.isnan(rows.numbers)
    names = [feature.input for feature in rows.features.numeric]
    may = np.array([rows.features.is_matrix or name in nullable(model) for name in names])
    assert may.any()
    assert taken[0].tolist() == may.tolist()
    for column in np.flatnonzero(may):
        assert (taken.sum(axis=1) == 1)[taken[:, column]].any()
    assert not taken[:, ~may].any()


def test_nothing_is_nullable_that_was_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should scikit-learn ever refuse the made-up rows with gaps, clients may not send any."""
    monkeypatch.setattr("modelwright_training.edges._missing", lambda train: train.take(np.arange(0)))
    model = make(job(LOGISTIC), {"train": HOLEY})
    assert model.report.refused == (edges.MISSING,)
    assert nullable(model) == set()


def test_the_artifact_says_it_and_the_server_reads_it(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, published = pod.run(job(LOGISTIC), monkeypatch)
    assert isinstance(published, PublishResult)
    assert published.schema is not None
    assert published.schema.inputs[0].nullable
    document = read_json(pod.artifact / "schema.json")
    assert document["inputs"][0]["nullable"] is True
    assert not any("nullable" in output for output in document["outputs"])
    schema = served.parse((pod.artifact / "schema.json").read_bytes())
    assert schema.inputs[0].nullable
    assert schema.to_document() == document


def test_digest_of_a_nullable_model_is_the_same_in_another_process(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    (pod.root / "stores" / "lake" / "churn.csv").write_bytes(MIXED.to_pandas().to_csv(index=False).encode())
    config = job(LOGISTIC, uri="pvc://lake/churn.csv", columns=Columns((), ("code",)))
    *_, first = pod.run(config, monkeypatch)
    stages = "main(['train']) or main(['evaluate']) or main(['publish'])"
    again = f"from modelwright_training.__main__ import main; exit({stages})"
    environment = {**os.environ, **pod.environment(config), "PYTHONHASHSEED": "3"}
    subprocess.run([sys.executable, "-c", again], env=environment, check=True)
    second = pod.message(Stage.PUBLISH)
    assert isinstance(first, PublishResult)
    assert isinstance(second, PublishResult)
    assert (second.digest, second.reused) == (first.digest, True)
    assert second.schema is not None
    assert [tensor.name for tensor in second.schema.inputs if tensor.nullable] == ["income"]
