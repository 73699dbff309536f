# pyright: basic
# (scikit-learn and joblib come without types.)
"""The estimator that a user's own image fitted: unpickled, checked, and asked and converted as one of ours.

Unpickling runs whatever the file says. That is why evaluate has neither credentials nor anything of other stages to
write to.
"""

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from modelwright_training import boosters, handover, parts, unservable
from modelwright_training.contract import MODEL_JOBLIB, Reason, Task
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError
from modelwright_training.features import Features
from modelwright_training.pipeline import ESTIMATOR_STEP

_SHOWN = 5
_API = "one with scikit-learn's API, of scikit-learn, XGBoost or LightGBM"

Array = npt.NDArray[Any]
_Method = TypeVar("_Method", bound="Callable[..., Any]")


def _has(method: str) -> Callable[[_Method], _Method]:
    """Let a method be there only where the estimator has it."""
    return cast("Callable[[_Method], _Method]", available_if(lambda adopted: hasattr(adopted.estimator, method)))


class Adopted:
    """A user's fitted estimator, which takes rows as `Values.native` has them and gives labels of the target.

    Attributes:
        estimator: as it was left.
        labels: the target's classes [k], where the estimator was fitted on their numbers 0 … k - 1; else None.

    """

    def __init__(self, estimator: Any, features: Features, labels: Array | None) -> None:  # noqa: ANN401 - any estimator
        self.estimator, self.labels = estimator, labels
        self._features = features
        self._named = _names(estimator) is not None

    @property
    def steps(self) -> list[tuple[str, Any]]:
        """The steps, as a pipeline's."""
        found = _best(self.estimator)
        return found.steps if isinstance(found, Pipeline) else [(ESTIMATOR_STEP, found)]

    @property
    def kind(self) -> str:
        """Import path of the last step's class, as the module has it."""
        last = type(self.steps[-1][1])
        return f"{last.__module__}.{last.__qualname__}"

    def predict(self, rows: Any) -> Array:  # noqa: ANN401 - a matrix or frame
        """Return labels or numbers [n]."""
        said = np.asarray(self.estimator.predict(self._as_fitted(rows)))
        return said if self.labels is None else self.labels[said.astype(np.int64)]

    @_has("predict_proba")
    def predict_proba(self, rows: Any) -> Array:  # noqa: ANN401 - as above
        """Return probabilities [n, k]."""
        return np.asarray(self.estimator.predict_proba(self._as_fitted(rows)))

    @_has("decision_function")
    def decision_function(self, rows: Any) -> Array:  # noqa: ANN401 - as above
        """Return scores [n] or [n, k]."""
        return np.asarray(self.estimator.decision_function(self._as_fitted(rows)))

    def convertible(self) -> Pipeline:
        """Return a copy as `convert` takes it, columns named by their places."""
        found = copy.deepcopy(_best(self.estimator))
        for part in parts.of(found):
            if isinstance(part, ColumnTransformer):
                _by_place(part, self._features)
            if isinstance(part, SimpleImputer):
                _fill_below(part)
            boosters.prepare(part)
        return found if isinstance(found, Pipeline) else Pipeline([(ESTIMATOR_STEP, found)])

    def _as_fitted(self, rows: Any) -> Any:  # noqa: ANN401 - a matrix or frame
        """Return the rows with the columns' names and order, where it was fitted on such."""
        if not self._named:
            return rows
        columns = [feature.column for feature in self._features.all]
        return pd.DataFrame(rows, columns=columns, copy=False)


def load(folder: Path, data: Dataset) -> Adopted:
    """Return what the user's image left.

    Raises:
        StageError: ModelInvalid, saying what is wrong with it; EstimatorInvalid, when its conversion is known to fail.

    """
    estimator = _unpickled(folder / MODEL_JOBLIB)
    if not isinstance(estimator, BaseEstimator):
        _refuse(f"holds a {type(estimator).__module__}.{type(estimator).__name__}, which is no estimator: save {_API}")
    _check_kind(estimator, data.task)
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        _refuse(f"holds a {type(estimator).__name__} that is not fitted: call fit before saving it")
    _check_columns(estimator, data.features)
    if problem := unservable.find(estimator):
        raise StageError(Reason.ESTIMATOR_INVALID, f"trainer.container left {MODEL_JOBLIB}: {problem}")
    return Adopted(estimator, data.features, _labels(estimator, data.classes))


def _unpickled(path: Path) -> Any:  # noqa: ANN401 - whatever is in it
    with handover.open_plain(path, Reason.MODEL_INVALID, "train") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            return joblib.load(stream)
        except MemoryError:
            raise  # more memory may mend it
        except InconsistentVersionWarning as warning:
            here, there = warning.current_sklearn_version, warning.original_sklearn_version
            _refuse(
                f"was saved with scikit-learn {there}, which {here} may read wrongly: install scikit-learn=={here} in"
                " the image, or build it on Modelwright's training image"
            )
        except ModuleNotFoundError as error:
            _refuse(f"needs the module {error.name!r}, which only the image has: save {_API}, with no classes of yours")
        except AttributeError as error:  # a class or function of the script that trained
            _refuse(f"needs code that only the image has ({_said(error)}): save {_API}, with no classes of yours")
        except (pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError) as error:
            _refuse(f"is no file of joblib.dump ({_said(error)})")
        except Exception as error:  # noqa: BLE001 - it runs what is in the file
            _refuse(f"cannot be unpickled ({type(error).__name__}: {_said(error)})")


def _check_kind(estimator: BaseEstimator, task: Task) -> None:
    name = type(estimator).__name__
    fits, wanted = (
        (is_classifier(estimator), "a classifier")
        if task is Task.CLASSIFICATION
        else (is_regressor(estimator), "a regressor")
    )
    if not fits:
        _refuse(f"holds a {name}, which is not {wanted}, but task is {task}; change either")


def _names(estimator: object) -> list[str] | None:
    """Return the columns it was fitted on; None: on a matrix without names."""
    found = getattr(estimator, "feature_names_in_", None)
    return None if found is None else [str(name) for name in found]


def _check_columns(estimator: Any, features: Features) -> None:  # noqa: ANN401 - any estimator
    wanted = [feature.column for feature in features.all]
    fitted_on = _names(estimator)
    names = None if fitted_on is None else boosters.same_names(fitted_on, wanted, estimator)
    if names is None:
        if not features.is_matrix:
            _refuse("was fitted on a matrix without names; where columns hold texts, fit on a pandas.DataFrame")
        count = getattr(estimator, "n_features_in_", len(wanted))
        if count != len(wanted):
            _refuse(f"was fitted on {count} columns, but the features are {len(wanted)}: {_some(wanted)}")
        return
    if unknown := [name for name in names if name not in wanted]:
        _refuse(f"was fitted on columns that are no features: {_some(unknown)}; columns.json says which ones are")
    if missing := [name for name in wanted if name not in names]:
        _refuse(f"was not fitted on the features {_some(missing)}; fit on all, or add these to columns.drop")
    if names != wanted:
        _refuse(f"was fitted on the features in another order; keep that of train.parquet: {_some(wanted)}")


def _labels(estimator: Any, classes: Array | None) -> Array | None:  # noqa: ANN401 - any estimator
    if classes is None:
        return None
    found = np.asarray(estimator.classes_)
    if found.tolist() == classes.tolist():
        return None
    if found.tolist() != list(range(len(classes))):
        _refuse(
            f"has the classes {_some(map(str, found))}, but the target has {_some(map(str, classes))}; fit on these, or"
            f" on their numbers 0 to {len(classes) - 1} in this order"
        )
    return classes


def _best(estimator: Any) -> Any:  # noqa: ANN401 - any estimator
    """Return what predicts: of a search the best estimator."""
    return _best(estimator.best_estimator_) if hasattr(estimator, "best_estimator_") else estimator


def _by_place(part: ColumnTransformer, features: Features) -> None:
    """Name columns by their places in what the graph takes: numbers first, then texts."""
    places = {item.column: place for place, item in enumerate((*features.numeric, *features.categorical))}
    names = _names(part)
    if names is not None and set(names) != places.keys():
        return  # it transforms what another step made
    order = range(len(places)) if names is None else [places[name] for name in names]
    known = part._transformer_to_input_indices  # noqa: SLF001 - scikit-learn keeps the places nowhere else
    part.transformers_ = [(name, step, [order[place] for place in known[name]]) for name, step, _ in part.transformers_]


def _fill_below(part: SimpleImputer) -> None:
    """Round what gaps are filled with down to float32, as the thresholds of trees are: `f <= t` stays so."""
    filled: Any = getattr(part, "statistics_", None)
    if filled is None or filled.dtype.kind != "f":
        return
    nearest = filled.astype(np.float32)
    part.statistics_ = np.where(nearest > filled, np.nextafter(nearest, np.float32(-np.inf)), nearest).astype(
        np.float64
    )


def _some(names: Any) -> str:  # noqa: ANN401 - texts
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _refuse(problem: str) -> NoReturn:
    raise StageError(Reason.MODEL_INVALID, f"trainer.container left {MODEL_JOBLIB}, which {problem}")
