# pyright: basic
# (scikit-learn comes without types.)
"""What stands before the estimator: filling, scaling, one-hot encoding, each only where it is needed."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelwright_training import parts
from modelwright_training.contract import Preprocessing, Reason
from modelwright_training.errors import StageError
from modelwright_training.features import Features

ESTIMATOR_STEP = "estimator"

# Estimators that care about the features' scales. Trees do not, and scaling costs them agreement: a value on a
# threshold may fall to the other side after float32 arithmetic. Naive Bayes takes counts, which must stay positive.
_SCALED_MODULES = frozenset(
    {
        "calibration",  # of a linear SVM, unless told otherwise
        "discriminant_analysis",
        "gaussian_process",
        "kernel_ridge",
        "linear_model",
        "neighbors",
        "neural_network",
        "svm",
    }
)
# Both convert missing values rightly; forests and single trees learn from them, but their graphs do not (ml.md §5).
_TAKES_MISSING = frozenset({"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"})


def build(estimator: Any, features: Features, preprocessing: Preprocessing) -> Pipeline:  # noqa: ANN401 - any estimator
    """Put the preprocessing before the estimator.

    Raises:
        StageError: DataInvalid, for texts without preprocessing.

    """
    if preprocessing is Preprocessing.NONE:
        if features.categorical:
            message = (
                f"column {features.categorical[0].column!r} holds categories, which no estimator takes as they are; set"
                " trainer.sklearn.preprocessing to Auto, or add the column to columns.drop"
            )
            raise StageError(Reason.DATA_INVALID, message)
        return Pipeline([(ESTIMATOR_STEP, estimator)])
    estimator = _with_scaled_members(estimator)
    steps = _numeric_steps(estimator)
    if features.is_matrix:
        return Pipeline([*steps, (ESTIMATOR_STEP, estimator)])
    # The frame's columns: first the numbers, then the categories.
    count = len(features.numeric)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts: list[Any] = [("categories", encoder, list(range(count, len(features.all))))]
    if count:
        parts.insert(0, ("numbers", Pipeline(steps) if steps else "passthrough", list(range(count))))
    return Pipeline([("columns", ColumnTransformer(parts, sparse_threshold=0)), (ESTIMATOR_STEP, estimator)])


def round_fills(fitted: Any) -> None:  # noqa: ANN401 - any pipeline
    """Round what gaps are filled with to float32, as all other numbers are.

    The median of an even number of rows lies between two values, and so do the thresholds of trees: unrounded, one
    would fall to the other side of the other as soon as the graph computes with it.
    """
    for part in parts.of(fitted):
        filled: Any = getattr(part, "statistics_", None) if isinstance(part, SimpleImputer) else None
        if filled is not None and filled.dtype.kind == "f":
            part.statistics_ = filled.astype(np.float32).astype(np.float64)


def takes_missing(fitted: Pipeline, preprocessing: Preprocessing) -> bool:
    """Whether all numbers may be missing when the pipeline predicts: they are filled, or the estimator takes NaN."""
    return preprocessing is Preprocessing.AUTO or _learns_from_missing(fitted.named_steps[ESTIMATOR_STEP])


def _learns_from_missing(estimator: object) -> bool:
    return type(estimator).__name__ in _TAKES_MISSING


def _numeric_steps(estimator: object) -> list[tuple[str, Any]]:
    steps: list[tuple[str, Any]] = []
    if not _learns_from_missing(estimator):
        steps.append(("fill", SimpleImputer(strategy="median")))
    if _wants_scale(estimator):
        steps.append(("scale", StandardScaler()))
    return steps


def _wants_scale(estimator: object) -> bool:
    """Whether an estimator, or all it consists of, cares about scales; a pipeline takes care of that itself."""
    if isinstance(estimator, Pipeline):
        return False
    if members := _members(estimator):
        return all(_wants_scale(member) for _, member in members)
    inner = getattr(estimator, "estimator", None)
    if isinstance(inner, BaseEstimator):
        return _wants_scale(inner)
    return type(estimator).__module__.split(".")[1] in _SCALED_MODULES


def _with_scaled_members(estimator: Any) -> Any:  # noqa: ANN401 - any estimator
    """Give a scaler of their own to those members of an ensemble that want one, where others do not."""
    members = _members(estimator)
    wanting = {name for name, member in members if _wants_scale(member)}
    if not 0 < len(wanting) < len(members):
        return estimator
    scaled = [
        (name, Pipeline([("scale", StandardScaler()), (ESTIMATOR_STEP, member)]) if name in wanting else member)
        for name, member in members
    ]
    copied: Any = clone(estimator)
    return copied.set_params(estimators=scaled)


def _members(estimator: object) -> list[tuple[str, Any]]:
    """Return the named members of an ensemble of different estimators."""
    members = getattr(estimator, "estimators", None)
    return members if isinstance(members, list) and all(isinstance(member, tuple) for member in members) else []
