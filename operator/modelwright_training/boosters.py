# pyright: basic
# (XGBoost, LightGBM, onnxmltools and skl2onnx come without types.)
"""XGBoost's and LightGBM's estimators with scikit-learn's API, in ONNX by the converters of onnxmltools.

Put right is

- the name of columns, which onnxmltools takes XGBoost's for numbers;
- thresholds of LightGBM, which are float64: rounded to the nearest float32, a value just below one would fall to its
  other side. For numbers that are float32, as all are here, `x <= t` and `x <= floor(t)` agree.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

_CONVERTERS = "onnxmltools.convert.{0}.operator_converters.{1}"
_LIBRARIES = {"xgboost": ("XGBoost", "convert_xgboost"), "lightgbm": ("LightGbm", "convert_lightgbm")}
_KINDS = {
    "xgboost": ("XGBClassifier", "XGBRFClassifier", "XGBRegressor", "XGBRFRegressor"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
}

_registered: set[str] = set()


def library(part: object) -> str | None:
    """Return whose an estimator is: `xgboost`, `lightgbm`, or None."""
    found = type(part).__module__.partition(".")[0]
    return found if found in _LIBRARIES else None


def prepare(part: Any) -> None:  # noqa: ANN401 - any estimator
    """Make an estimator, which is a copy, ready for conversion; what is none of these stays as it is."""
    found = library(part)
    if found is None:
        return
    _register(found)
    if found == "xgboost":
        part.get_booster().feature_names = None


def same_names(found: Sequence[str], wanted: Sequence[str], estimator: object) -> list[str]:
    """Return the names of columns an estimator was fitted on as the table has them: LightGBM writes spaces as `_`."""
    if library(estimator) != "lightgbm":
        return list(found)
    known = {name.replace(" ", "_"): name for name in wanted}
    return [known.get(name, name) for name in found]


def _register(name: str) -> None:
    """Let skl2onnx convert a library's estimators; only where there are some is it imported."""
    if name in _registered:
        return
    module, convert = _LIBRARIES[name]
    converters: Any = importlib.import_module(_CONVERTERS.format(name, module))
    own = importlib.import_module(name)
    for kind in _KINDS[name]:
        classifies = kind.endswith("Classifier")
        update_registered_converter(
            getattr(own, kind),
            f"Modelwright{kind}",
            calculate_linear_classifier_output_shapes if classifies else calculate_linear_regressor_output_shapes,
            getattr(converters, convert),
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]} if classifies else None,
        )
    if name == "lightgbm":
        converters.dump_booster_model = _rounded_down(converters.dump_booster_model)
    _registered.add(name)


def _rounded_down(dump: Callable[..., Any]) -> Callable[..., Any]:
    def dumped(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - onnxmltools' own
        trees, info = dump(*arguments, **named)
        for node in (node for nodes in info["decision_nodes"] for node in nodes):
            if node["decision_type"] == "<=":
                node["threshold"] = _float32_below(float(node["threshold"]))
        return trees, info

    return dumped


def _float32_below(value: float) -> float:
    """Return the largest float32 that is not above a number."""
    with np.errstate(over="ignore"):
        nearest = np.float32(value)
    below = np.nextafter(nearest, np.float32(-math.inf)) if float(nearest) > value else nearest
    return float(below)
