import numpy as np
import pytest
from sklearn import metrics

from modelwright_training import measure
from modelwright_training.contract import Metric

RNG = np.random.default_rng(0)


def values(found: tuple[Metric, ...]) -> dict[str, float]:
    return {metric.name: metric.value for metric in found}


@pytest.mark.parametrize("count", [2, 3])
def test_classification_equals_scikit_learn(count: int) -> None:
    classes = np.arange(count) + 5
    target = RNG.choice(classes, 300)
    scores = RNG.random((300, count)) + 0.7 * (target[:, None] == classes)
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    label = classes[probabilities.argmax(axis=1)]
    exact = probabilities.astype(float) / probabilities.astype(float).sum(axis=1, keepdims=True)
    rated = exact[:, 1] if count == 2 else exact
    assert values(measure.classification(target, label, probabilities, classes)) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(target, label),
            "balanced_accuracy": metrics.balanced_accuracy_score(target, label),
            "f1": metrics.f1_score(target, label, average="macro"),
            "roc_auc": metrics.roc_auc_score(target, rated, multi_class="ovr", average="macro"),
            "log_loss": metrics.log_loss(target, exact),
        },
        rel=1e-5,
    )


def test_labels_alone() -> None:
    target = np.array(["a", "b", "b"], dtype=object)
    label = np.array(["a", "b", "a"], dtype=object)
    assert set(values(measure.classification(target, label, None, np.array(["a", "b"])))) == {
        "accuracy", "balanced_accuracy", "f1",
    }  # fmt: skip


def test_one_class_in_the_holdout_has_no_area() -> None:
    found = values(measure.classification(np.ones(3), np.ones(3), np.full((3, 2), 0.5), np.array([0, 1])))
    assert "roc_auc" not in found
    assert found["log_loss"] == pytest.approx(np.log(2), rel=1e-5)


def test_regression_equals_scikit_learn() -> None:
    target, prediction = RNG.normal(size=100), RNG.normal(size=100)
    assert values(measure.regression(target, prediction)) == pytest.approx(
        {
            "rmse": metrics.root_mean_squared_error(target, prediction),
            "mae": metrics.mean_absolute_error(target, prediction),
            "r2": metrics.r2_score(target, prediction),
        },
        rel=1e-5,
    )


def test_constant_holdout_has_no_r2() -> None:
    assert set(values(measure.regression(np.ones(3), np.zeros(3)))) == {"rmse", "mae"}
