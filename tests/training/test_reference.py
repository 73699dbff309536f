"""baseline.json as the evaluate stage makes it: what requests look like, and what the model says of new rows."""

import numpy as np
import pyarrow as pa
import pytest

from modelwright_drift import counts, document, verdict
from modelwright_drift.baseline import Baseline, Categorical, Numeric
from modelwright_training import reference
from modelwright_training.contract import Columns
from tests.training.builders import HIST_CLASSIFIER, LOGISTIC, Model, Pod, job, make
from tests.training.test_conversion import MIXED

RNG = np.random.default_rng(0)


def baseline(model: Model) -> Baseline:
    return reference.make(model.data, model.runtime, model.schema)


def test_every_request_column_is_there_in_the_type_it_is_received() -> None:
    model = make(job(LOGISTIC, columns=Columns((), ("code",))), {"train": MIXED})
    found = baseline(model)
    assert [(feature.name, feature.datatype, type(feature)) for feature in found.features] == [
        ("plan name", "BYTES", Categorical),
        ("age", "INT64", Numeric),
        ("income", "FP32", Numeric),
        ("member", "BOOL", Numeric),
        ("code", "INT64", Categorical),
    ]
    rows = model.data.rows
    assert (found.rows, found.holdout_rows) == (rows.train, rows.holdout)
    received = model.data.train.values.feed()
    plan, age, income, member, code = found.features
    assert isinstance(plan, Categorical)
    assert counts.count_categories(plan, received["plan_name"][:, 0])[:-1].tolist() == [*plan.counts, plan.other]
    assert isinstance(code, Categorical)
    assert counts.count_whole_numbers(code, received["code"][:, 0])[:-1].tolist() == [*code.counts, code.other]
    for feature in (age, income, member):
        assert isinstance(feature, Numeric)
        live = counts.count_numbers(feature, received[feature.name][:, 0])
        assert live.tolist() == [*feature.counts, feature.missing, 0, 0]
    assert income.rows - income.values > 50  # type: ignore[union-attr]


def test_predictions_are_those_of_the_onnx_model_on_the_holdout() -> None:
    model = make(job(HIST_CLASSIFIER))
    label, score = baseline(model).prediction
    outputs = model.runtime.predict(model.data.holdout.values)
    assert isinstance(label, Categorical)
    assert counts.count_whole_numbers(label, outputs[0])[:-1].tolist() == [*label.counts, label.other]
    assert isinstance(score, Numeric)
    assert score.name == "probabilities[1]"
    assert counts.count_numbers(score, outputs[1][:, 1]).tolist() == [*score.counts, 0, 0, 0]
    truth = model.data.holdout.target
    assert sum(baseline(model).right) == int(np.sum(outputs[0] == truth))
    first = outputs[1][:, 1] <= np.float32(score.edges[0])
    assert baseline(model).right[0] == int(np.sum((outputs[0] == truth)[first]))


def test_last_bits_of_predictions_change_nothing() -> None:
    model = make(job("sklearn.ensemble.RandomForestRegressor", {"max_depth": 3}, uri="sklearn://diabetes"))
    (number,) = baseline(model).prediction
    assert isinstance(number, Numeric)
    said = model.runtime.predict(model.data.holdout.values)[0][:, 0]
    for other in (np.nextafter(said, np.float32(np.inf)), np.nextafter(said, np.float32(-np.inf))):
        assert counts.count_numbers(number, other).tolist() == [*number.counts, 0, 0, 0]


def test_of_many_classes_the_label_is_kept() -> None:
    (label,) = baseline(make(job(LOGISTIC, uri="sklearn://iris"))).prediction
    assert isinstance(label, Categorical)
    assert sorted(label.categories) == ["0", "1", "2"]
    assert baseline(make(job(LOGISTIC, uri="sklearn://iris"))).right == ()


def test_live_rows_are_judged_with_what_the_artifact_says(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod.run(job(LOGISTIC), monkeypatch)
    read = document.load((pod.artifact / "baseline.json").read_bytes())
    model = make(job(LOGISTIC))
    features = [feature for feature in read.features if isinstance(feature, Numeric)]
    same = model.data.train.values.feed()["input"]
    assert verdict.judge(features, [*counts.count_matrix(features, np.tile(same, (2, 1)))]).drifted == ()
    large = same[same[:, 0] > np.median(same[:, 0])]
    moved = verdict.judge(features, counts.count_matrix(features, np.tile(large, (3, 1))))
    assert "mean radius" in moved.drifted


def test_few_rows_and_many_columns_are_said() -> None:
    values = RNG.normal(size=(60, 1002))
    table = pa.table({**{f"x{index}": values[:, index] for index in range(1002)}, "target": [0, 1] * 30})
    model = make(job("sklearn.naive_bayes.GaussianNB"), {"train": table})
    found = baseline(model)
    assert len(found.features) == 1000
    few, many = reference.warnings(found, len(model.data.features.all))
    assert few.startswith("baseline: 44 rows; with fewer than 2000")
    assert many == "baseline: monitoring will see the first 1000 of 1002 columns only"
    assert document.load(document.dump(found)) == found


def test_a_column_that_the_rows_lack_altogether_is_all_missing() -> None:
    column = [1.5] * 3 + [None] * 397
    table = pa.table({"x": RNG.normal(size=400), "rare": column, "target": [0, 1] * 200})
    rare = baseline(make(job(HIST_CLASSIFIER), {"train": table})).features[1]
    assert isinstance(rare, Numeric)
    assert rare.values + rare.missing == 300


def test_of_a_time_column_the_newest_rows_count_and_their_dependence_is_known() -> None:
    rows = 12_000
    when = RNG.permutation(rows)
    slow = np.sin(when / 300) + RNG.normal(size=rows) / 10
    table = pa.table(
        {"when": when, "slow": slow, "quick": RNG.normal(size=rows), "target": slow + RNG.normal(size=rows)}
    )
    model = make(job("sklearn.linear_model.Ridge", columns=Columns((), (), time="when")), {"train": table})
    found = baseline(model)
    assert (found.rows, found.holdout_rows) == (2250, 3000)
    slowly, quickly = found.features
    assert isinstance(slowly, Numeric)
    newest = slow[np.argsort(when)][9000 - 2250 : 9000].astype(np.float32)
    assert counts.count_numbers(slowly, newest).tolist() == [*slowly.counts, 0, 0, 0]
    assert (slowly.inflation.source, slowly.inflation.chunks) == ("time", 22)
    assert slowly.inflation.vif > 5
    assert quickly.inflation.vif < 1.3
    assert found.prediction[0].inflation.vif > 2


def test_the_newest_rows_are_never_fewer_than_two_thousand() -> None:
    rows = 4000
    table = pa.table({"when": np.arange(rows), "x": RNG.normal(size=rows), "target": RNG.normal(size=rows)})
    model = make(job("sklearn.linear_model.Ridge", columns=Columns((), (), time="when")), {"train": table})
    assert baseline(model).rows == 2000
