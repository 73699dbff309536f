import itertools

import numpy as np
import pyarrow as pa
import pytest

from modelwright_training import importance
from modelwright_training.contract import Task
from tests.training.builders import HIST_REGRESSOR, LOGISTIC, Model, job, make

RANDOM = np.random.default_rng(0)
NOISE, SIGNAL = RANDOM.normal(size=600), RANDOM.normal(size=600)
PLAN = np.where(RANDOM.random(600) < 0.5, "basic", "plus")
TABLE = {"noise": NOISE, "signal": SIGNAL, "plan": PLAN}
LABELS = SIGNAL + 2 * (PLAN == "plus") + 0.1 * RANDOM.normal(size=600)


def made(estimator: str, target: object) -> Model:
    return make(job(estimator, target="target"), {"train": pa.table({**TABLE, "target": target})})


def measured(model: Model, **more: object) -> importance.Importances:
    classes = model.fitted.classes_ if model.data.task is Task.CLASSIFICATION else None
    return importance.measure(model.runtime, model.data, classes, 7, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("estimator", "target", "loss"),
    [
        (HIST_REGRESSOR, LABELS, "rmse"),
        (LOGISTIC, np.where(LABELS > 1, "yes", "no"), "log_loss"),
        ("sklearn.svm.LinearSVC", np.where(LABELS > 1, "yes", "no"), "error_rate"),
    ],
)
def test_what_matters_comes_first(estimator: str, target: object, loss: str) -> None:
    model = made(estimator, target)
    found = measured(model)
    assert found.loss == loss
    assert {item.column for item in found.columns[:2]} == {"signal", "plan"}
    assert found.columns[1].mean > 5 * abs(found.columns[2].mean)
    assert found == measured(model)
    assert found.rows == len(model.data.holdout)


def test_it_stops_when_its_time_is_over_and_says_what_is_missing() -> None:
    ticks = itertools.count(step=importance.MAX_SECONDS / 2)
    found = measured(made(HIST_REGRESSOR, LABELS), clock=lambda: next(ticks))
    assert len(found.columns) == 2
    assert found.skipped == ("plan",)
    everything = measured(made(HIST_REGRESSOR, LABELS))
    assert set(found.columns) < set(everything.columns)
