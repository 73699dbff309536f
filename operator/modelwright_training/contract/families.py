"""What AutoML chooses from: for each task, families of estimators that convert to ONNX, and where to search in each.

The first trials are the families as scikit-learn has them; the others take turns. Ranges follow those of auto-sklearn
(M. Feurer et al., "Efficient and robust automated machine learning", NIPS 2015), kept to what trains in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from modelwright_training.contract.names import Task
from modelwright_training.contract.tuning import Parameter, ParameterType, Scale
from modelwright_training.strict_json import JsonValue


@dataclass(frozen=True, slots=True)
class Family:
    """An estimator, what is always given to it, and its space."""

    estimator: str
    parameters: Mapping[str, JsonValue]
    space: tuple[Parameter, ...]


def _log(name: str, low: float, high: float) -> Parameter:
    return Parameter(name, low=low, high=high, scale=Scale.LOG)


def _whole(name: str, low: float, high: float, scale: Scale = Scale.LOG) -> Parameter:
    return Parameter(name, low=low, high=high, scale=scale, type=ParameterType.INTEGER)


def _families(kind: str, linear: Family) -> tuple[Family, ...]:
    features: tuple[JsonValue, ...] = ("sqrt", 0.3, 0.6) if kind == "Classifier" else (0.3, 0.6, 1.0)
    return (
        linear,
        Family(
            f"sklearn.ensemble.RandomForest{kind}",
            {"n_estimators": 201},
            (Parameter("max_features", values=features), _whole("min_samples_leaf", 1, 20)),
        ),
        Family(
            f"sklearn.ensemble.HistGradientBoosting{kind}",
            {},
            (
                _log("learning_rate", 0.02, 0.3),
                _whole("max_leaf_nodes", 4, 64),
                _whole("min_samples_leaf", 5, 50),
                _log("l2_regularization", 0.001, 10),
            ),
        ),
        Family(
            f"sklearn.neighbors.KNeighbors{kind}",
            {},
            (_whole("n_neighbors", 1, 40), Parameter("weights", values=("uniform", "distance"))),
        ),
        Family(
            f"sklearn.neural_network.MLP{kind}",
            {"max_iter": 500},
            (
                Parameter("hidden_layer_sizes", values=([32], [64], [128], [64, 64])),
                _log("alpha", 0.0001, 10),
                _log("learning_rate_init", 0.0005, 0.02),
            ),
        ),
    )


FAMILIES: Final[Mapping[Task, tuple[Family, ...]]] = {
    Task.CLASSIFICATION: _families(
        "Classifier",
        Family("sklearn.linear_model.LogisticRegression", {"max_iter": 1000}, (_log("C", 0.001, 100),)),
    ),
    Task.REGRESSION: _families("Regressor", Family("sklearn.linear_model.Ridge", {}, (_log("alpha", 0.001, 1000),))),
}
