# pyright: basic
# (scikit-learn comes without types.)
"""From `trainer.sklearn` to an estimator: only public classes of scikit-learn are ever called.

Estimators that wrap others get these as JSON in their parameters: `{"estimator": PATH, "parameters": {…}}`, in a list
also with a `name`. What is inside may be anything under `sklearn.` that is an estimator, such as a pipeline with a
scaler; the outermost must be a classifier or regressor.
"""

import difflib
import importlib
import re
from collections.abc import Mapping
from numbers import Integral
from typing import Any, NoReturn, TypeGuard

import numpy as np
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.utils._param_validation import Interval, RealNotInt

from modelwright_training import unservable
from modelwright_training.contract import JobConfig, Reason, SklearnTrainer, Task
from modelwright_training.errors import StageError
from modelwright_training.strict_json import JsonValue

_PATH = re.compile(r"sklearn(\.[A-Za-z][A-Za-z0-9_]*)+\.[A-Z][A-Za-z0-9]*")
_MEMBER = re.compile(r"[A-Za-z0-9_]{1,60}")
_NOT_PUBLIC = frozenset({"tests", "externals", "conftest"})
_INNER = frozenset({"estimator", "parameters", "name"})
_NEEDS_INNER = frozenset({"estimator", "estimators"})
_SLOTS = _NEEDS_INNER | {"final_estimator", "regressor", "steps"}
_NO_INNER = ("None", "passthrough", "drop", "deprecated")
_MAX_DEPTH = 4
_MAX_MEMBERS = 20
# Kubernetes drops nulls, and writes 1.0 as 1.
_TEXTS: Mapping[str, object] = {"None": None, "1": 1, "1.0": 1.0}
_SEED_LIMIT = 2**31  # some estimators hand the seed to C code


def build(trainer: SklearnTrainer, seed: int) -> Any:  # noqa: ANN401 - any estimator
    """Make the estimator, unfitted; its random state is the job's seed unless a number was given.

    Raises:
        StageError: EstimatorInvalid, naming the field.

    """
    estimator = _made(trainer.estimator, trainer.parameters, seed, "parameters", 0)
    if not (is_classifier(estimator) or is_regressor(estimator)):
        _refuse("estimator", f"{trainer.estimator} is neither a classifier nor a regressor")
    if problem := unservable.find(estimator):
        _refuse("parameters", problem)
    return estimator


def _made(path: str, parameters: Mapping[str, JsonValue], seed: int, field: str, depth: int) -> Any:  # noqa: ANN401
    """Make an estimator, after those inside it."""
    kind = _class(path, field)
    accepted: list[str] = sorted(kind._get_param_names())  # noqa: SLF001 - `get_params` needs an instance
    for name in parameters:
        if name not in accepted:
            near = difflib.get_close_matches(name, accepted) or accepted
            _refuse(field, f"{path} has no parameter {name!r}; did you mean {', '.join(near)}?")
    given = {
        name: _with_inner(_settled(kind, name, value, field), seed, f"{field}.{name}", depth)
        for name, value in parameters.items()
    }
    if "random_state" in accepted and given.get("random_state") is None:
        given["random_state"] = seed % _SEED_LIMIT
    try:
        estimator = kind(**given)
        is_classifier(estimator)  # asks those inside, too
    except Exception as error:  # noqa: BLE001 - estimators fail as they like
        said = f"cannot be made: {error}"
        if needed := sorted(_NEEDS_INNER.intersection(accepted)):
            said = f"wraps another estimator: give {needed[0]} as {{estimator: sklearn.…, parameters: {{…}}}}"
            said += ", in a list" if needed[0] == "estimators" else ""
        _refuse(field, f"{path} {said}")
    return estimator


def _with_inner(value: JsonValue, seed: int, field: str, depth: int) -> Any:  # noqa: ANN401 - whatever the parameter takes
    """Return a parameter's value, with estimators in place of what describes them."""
    if _is_inner(value):
        return _inner(value, seed, field, depth)
    if isinstance(value, list) and value and all(map(_is_inner, value)):
        if len(value) > _MAX_MEMBERS:
            _refuse(field, f"has {len(value)} estimators, more than {_MAX_MEMBERS}")
        return _named(value, seed, field, depth)
    if field.rsplit(".", 1)[-1] in _SLOTS and isinstance(value, list | dict | str) and value not in _NO_INNER:
        _refuse(field, "takes estimators: write {estimator: sklearn.…, parameters: {…}}, where several in a list")
    return _value(value)


def _is_inner(value: JsonValue) -> TypeGuard[dict[str, JsonValue]]:
    return isinstance(value, dict) and value.keys() <= _INNER and isinstance(value.get("estimator"), str)


def _inner(value: dict[str, JsonValue], seed: int, field: str, depth: int) -> Any:  # noqa: ANN401 - any estimator
    if depth == _MAX_DEPTH:
        _refuse(field, f"has estimators in estimators deeper than {_MAX_DEPTH}")
    parameters = value.get("parameters", {})
    if not isinstance(parameters, dict):
        _refuse(field, "parameters must be an object")
    return _made(str(value["estimator"]), parameters, seed, field, depth + 1)


def _named(members: list[Any], seed: int, field: str, depth: int) -> list[tuple[str, Any]]:
    """Return the named estimators that ensembles and pipelines take; without a name, one is called as its class."""
    found: dict[str, Any] = {}
    for member in members:
        made = _inner(member, seed, field, depth)
        name = member.get("name", type(made).__name__.lower())
        if not isinstance(name, str) or not _MEMBER.fullmatch(name) or "__" in name:
            _refuse(field, f"{name!r} is no name: letters, digits and single _")
        if name in found:
            _refuse(field, f"two estimators are called {name!r}; give each a name of its own")
        found[name] = made
    return list(found.items())


def resolve_task(job: JobConfig, estimator: object) -> Task:
    """Return what the estimator does.

    Raises:
        StageError: EstimatorInvalid, when `task` says otherwise.

    """
    found = Task.CLASSIFICATION if is_classifier(estimator) else Task.REGRESSION
    if job.task not in (Task.AUTO, found):
        kind = "classifier" if found is Task.CLASSIFICATION else "regressor"
        _refuse("estimator", f"{job.sklearn.estimator} is a {kind}, but task is {job.task}; change either")
    return found


def settle_class_weight(estimator: Any, classes: Mapping[str, object]) -> None:  # noqa: ANN401 - any estimator
    """Replace the texts that JSON makes of `class_weight`'s keys by the classes themselves.

    Raises:
        StageError: EstimatorInvalid, for a key that is no class.

    """
    for name, weights in estimator.get_params().items():
        if name.rsplit("__", 1)[-1] != "class_weight" or not isinstance(weights, dict):
            continue
        if unknown := [key for key in weights if key not in classes]:
            _refuse("parameters", f"{name} names {unknown[0]!r}, but the classes are {', '.join(classes)}")
        estimator.set_params(**{name: {classes[key]: weight for key, weight in weights.items()}})


def _class(path: str, field: str) -> type[Any]:
    field = "estimator" if field == "parameters" else field
    parts = path.split(".")
    if not _PATH.fullmatch(path) or _NOT_PUBLIC.intersection(parts):
        _refuse(field, f"{path!r} is not a public class of scikit-learn, such as sklearn.linear_model.Ridge")
    module, name = ".".join(parts[:-1]), parts[-1]
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        message = f"{path!r} cannot be imported: scikit-learn has no module {module!r}"
        _refuse(field, message)
    if found is None:
        near = difflib.get_close_matches(name, dir(importlib.import_module(module)))
        _refuse(field, f"{module} has no {name!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    if not _is_estimator_class(found):
        _refuse(field, f"{path!r} is not an estimator")
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


def _settled(kind: type[Any], name: str, value: JsonValue, field: str) -> JsonValue:
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
        _refuse(field, f'{name}: {value} may be a number or a share; write the text "1" or the text "1.0"')
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
