# pyright: basic
# (scikit-learn comes without types.)
"""From `trainer.sklearn` to an estimator: only a public classifier or regressor of scikit-learn is ever called."""

import difflib
import importlib
import re
from collections.abc import Mapping
from numbers import Integral
from typing import Any, NoReturn, TypeGuard

import numpy as np
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.utils._param_validation import Interval, RealNotInt

from modelwright_training.contract import JobConfig, Reason, SklearnTrainer, Task
from modelwright_training.errors import StageError
from modelwright_training.strict_json import JsonValue

_PATH = re.compile(r"sklearn(\.[A-Za-z][A-Za-z0-9_]*)+\.[A-Z][A-Za-z0-9]*")
_NOT_PUBLIC = frozenset({"tests", "externals", "conftest"})
_NESTED = frozenset({"estimator", "estimators", "base_estimator", "regressor"})
# Kubernetes drops nulls, and writes 1.0 as 1.
_TEXTS: Mapping[str, object] = {"None": None, "1": 1, "1.0": 1.0}
_SEED_LIMIT = 2**31  # some estimators hand the seed to C code


def build(trainer: SklearnTrainer, seed: int) -> Any:  # noqa: ANN401 - any estimator
    """Make the estimator, unfitted; its random state is the job's seed unless a number was given.

    Raises:
        StageError: EstimatorInvalid, naming the field.

    """
    kind = _class(trainer.estimator)
    accepted: list[str] = sorted(kind._get_param_names())  # noqa: SLF001 - `get_params` needs an instance
    for name in trainer.parameters:
        if name not in accepted:
            near = difflib.get_close_matches(name, accepted) or accepted
            _refuse("parameters", f"{trainer.estimator} has no parameter {name!r}; did you mean {', '.join(near)}?")
    given = {name: _value(_settled(kind, name, value)) for name, value in trainer.parameters.items()}
    if "random_state" in accepted and given.get("random_state") is None:
        given["random_state"] = seed % _SEED_LIMIT
    try:
        estimator = kind(**given)
        predicts = is_classifier(estimator) or is_regressor(estimator)
    except Exception as error:  # noqa: BLE001 - estimators fail as they like
        said = f"cannot be made: {error}"
        if _NESTED.intersection(accepted):
            said = "wraps another estimator, which a TrainingJob cannot express; use that one itself"
        _refuse("parameters", f"{trainer.estimator} {said}")
    if not predicts:
        _refuse("estimator", f"{trainer.estimator} is neither a classifier nor a regressor")
    return estimator


def resolve_task(job: JobConfig, estimator: object) -> Task:
    """Return what the estimator does.

    Raises:
        StageError: EstimatorInvalid, when `task` says otherwise.

    """
    found = Task.CLASSIFICATION if is_classifier(estimator) else Task.REGRESSION
    if job.task not in (Task.AUTO, found):
        kind = "classifier" if found is Task.CLASSIFICATION else "regressor"
        _refuse("estimator", f"{job.trainer.sklearn.estimator} is a {kind}, but task is {job.task}; change either")
    return found


def settle_class_weight(estimator: Any, classes: Mapping[str, object]) -> None:  # noqa: ANN401 - any estimator
    """Replace the texts that JSON makes of `class_weight`'s keys by the classes themselves.

    Raises:
        StageError: EstimatorInvalid, for a key that is no class.

    """
    weights = getattr(estimator, "class_weight", None)
    if not isinstance(weights, dict):
        return
    if unknown := [key for key in weights if key not in classes]:
        _refuse("parameters", f"class_weight names {unknown[0]!r}, but the classes are {', '.join(classes)}")
    estimator.set_params(class_weight={classes[key]: weight for key, weight in weights.items()})


def _class(path: str) -> type[Any]:
    parts = path.split(".")
    if not _PATH.fullmatch(path) or _NOT_PUBLIC.intersection(parts):
        _refuse("estimator", f"{path!r} is not a public class of scikit-learn, such as sklearn.linear_model.Ridge")
    module, name = ".".join(parts[:-1]), parts[-1]
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        message = f"{path!r} cannot be imported: scikit-learn has no module {module!r}"
        _refuse("estimator", message)
    if found is None:
        near = difflib.get_close_matches(name, dir(importlib.import_module(module)))
        _refuse("estimator", f"{module} has no {name!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    if not _is_estimator_class(found):
        _refuse("estimator", f"{path!r} is not an estimator")
    return found


def _is_estimator_class(found: object) -> TypeGuard[type[Any]]:
    return isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__.startswith("sklearn.")


def _value(value: JsonValue) -> Any:  # noqa: ANN401 - whatever the parameter takes
    """Return a parameter's value, with the texts that stand for what does not survive Kubernetes."""
    if isinstance(value, str) and value in _TEXTS:
        return _TEXTS[value]
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    return value


def _settled(kind: type[Any], name: str, value: JsonValue) -> JsonValue:
    """Return a whole number as the share that was meant, where the parameter takes shares.

    Raises:
        StageError: EstimatorInvalid, for a 1 that may be the share of all as well as the number one.

    """
    if type(value) is not int:
        return value
    constraints = getattr(kind, "_parameter_constraints", {}).get(name, ())
    intervals = [constraint for constraint in constraints if isinstance(constraint, Interval)]
    share = any(interval.type is RealNotInt and value in interval for interval in intervals)
    if share and any(interval.type is Integral for interval in intervals):
        _refuse("parameters", f'{name}: {value} may be a number or a share; write the text "1" or the text "1.0"')
    return float(value) if share else value


def describe(target: Any, task: Task, estimator: object) -> str:  # noqa: ANN401 - an array
    """Say which task it is and why, and whether the target looks like the other one."""
    distinct, name = len(np.unique(target)), type(estimator).__name__
    hint = ""
    if task is Task.REGRESSION and distinct <= 20 and np.all(target == np.round(target)):  # noqa: PLR2004 - a few classes
        hint = "; so few whole numbers may be classes: then use a classifier"
    return f"task: {task}, since {name} is what it is; the target has {distinct} distinct values{hint}"


def _refuse(field: str, problem: str) -> NoReturn:
    raise StageError(Reason.ESTIMATOR_INVALID, f"trainer.sklearn.{field}: {problem}")
