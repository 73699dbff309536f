# pyright: basic
# (scikit-learn comes without types.)
"""Estimators and parameters whose conversion to ONNX is known to be wrong or missing: refused before any training.

Tests train each of them and find that it fails indeed, so that none is refused for longer than it must be. What
depends on the data is left to `parity`.
"""

from collections.abc import Callable
from typing import Any

from modelwright_training import parts

_SIGMOID = 'set method to "sigmoid", whose probabilities are served as they are'
_LOG_LINK = (
    'with loss poisson or gamma has wrong predictions as ONNX; set loss to "squared_error", or use'
    " sklearn.linear_model.PoissonRegressor or GammaRegressor"
)
_CATEGORIES = (
    "with categorical_features has wrong predictions as ONNX; leave it out, and name such columns in"
    " columns.categorical, which one-hot encodes them"
)


def find(estimator: object) -> str | None:
    """Return what is wrong with an unfitted estimator, or with one inside it, and what to do; None if nothing is."""
    for part in parts.of(estimator):
        for name, is_wrong, problem in _RULES:
            if type(part).__name__ == name and is_wrong(part):
                return f"{name} {problem}"
    return None


def _always(_: Any) -> bool:  # noqa: ANN401 - any estimator
    return True


def _is_isotonic(part: Any) -> bool:  # noqa: ANN401
    return bool(part.method == "isotonic")


def _is_temperature(part: Any) -> bool:  # noqa: ANN401
    return bool(part.method == "temperature")


def _has_log_link(part: Any) -> bool:  # noqa: ANN401
    return part.loss in {"poisson", "gamma"}


def _has_categories(part: Any) -> bool:  # noqa: ANN401
    return part.categorical_features is not None and not isinstance(part.categorical_features, str)


_Rule = tuple[str, Callable[[Any], bool], str]
_RULES: tuple[_Rule, ...] = (
    ("CalibratedClassifierCV", _is_isotonic, f"with method isotonic has wrong probabilities as ONNX; {_SIGMOID}"),
    ("CalibratedClassifierCV", _is_temperature, f"with method temperature cannot be converted to ONNX; {_SIGMOID}"),
    ("TunedThresholdClassifierCV", _always, "loses its threshold as ONNX; use the estimator inside it"),
    ("FixedThresholdClassifier", _always, "cannot be converted to ONNX; use the estimator inside it"),
    ("TransformedTargetRegressor", _always, "cannot be converted to ONNX; transform the target in the data instead"),
    ("HistGradientBoostingRegressor", _has_log_link, _LOG_LINK),
    ("HistGradientBoostingRegressor", _has_categories, _CATEGORIES),
    ("HistGradientBoostingClassifier", _has_categories, _CATEGORIES),
)
