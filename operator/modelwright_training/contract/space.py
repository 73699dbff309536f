"""The list of trials: a pure function of search space and seed, the same in the operator and in every pod."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Final

from modelwright_training.contract import sobol
from modelwright_training.contract.families import FAMILIES, Family
from modelwright_training.contract.names import Task
from modelwright_training.contract.tuning import Algorithm, Parameter, ParameterType, Scale, Tuning
from modelwright_training.strict_json import JsonValue

_DIGITS = 6  # significant ones: processors differ in the last bits of logarithms, and people read these
_DRAWS = 20  # for each trial wanted, before a space is taken to have no more points

ESTIMATOR: Final = "estimator"  # of an AutoML trial: what the other entries are parameters of
Trial = dict[str, JsonValue]


def trials(tuning: Tuning, seed: int, task: Task = Task.AUTO) -> tuple[Trial, ...]:
    """Return the parameters of all trials, none twice; fewer than `max_trials` where the space has fewer points.

    Those of AutoML name their estimator, which is of the task.

    Raises:
        ValueError: a grid has more points than `max_trials`, or infinitely many; AutoML is not told its task.

    """
    if tuning.algorithm is Algorithm.AUTO_ML:
        if task not in FAMILIES:
            message = "task: AutoML needs Classification or Regression"
            raise ValueError(message)
        return of_families(FAMILIES[task], tuning.max_trials, seed)
    if tuning.algorithm is Algorithm.GRID:
        return _grid(tuning)
    return _drawn(tuning.space, tuning.max_trials, tuning.algorithm, seed)


def of_families(families: Sequence[Family], count: int, seed: int) -> tuple[Trial, ...]:
    """Return trials that name their estimator: each family as it is, then points of the families' spaces in turn."""
    found: list[Trial] = [{ESTIMATOR: family.estimator} for family in families]
    drawn = [_drawn(family.space, count, Algorithm.SOBOL, seed) for family in families]
    for turn in itertools.zip_longest(*drawn):
        for family, point in zip(families, turn, strict=True):
            if point is not None:
                found.append({ESTIMATOR: family.estimator, **family.parameters, **point})
    return tuple(found[:count])


def estimator_of(trial: Trial) -> tuple[str | None, Trial]:
    """Return the estimator a trial names, None where the trainer does, and its parameters."""
    name = trial.get(ESTIMATOR)
    return (
        (name, {key: value for key, value in trial.items() if key != ESTIMATOR})
        if isinstance(name, str)
        else (
            None,
            trial,
        )
    )


def untuned(plans: Sequence[Trial]) -> tuple[int, ...]:
    """Return the trials that name an estimator and leave it as it is."""
    return tuple(number for number, trial in enumerate(plans) if set(trial) == {ESTIMATOR})


def _drawn(space: Sequence[Parameter], count: int, algorithm: Algorithm, seed: int) -> tuple[Trial, ...]:
    """Return so many distinct points of a space."""
    found: dict[str, Trial] = {}
    for index in range(count * _DRAWS):
        trial = {
            item.parameter: _at(item, _unit(algorithm, seed, index, dimension)) for dimension, item in enumerate(space)
        }
        found.setdefault(json.dumps(trial, sort_keys=True), trial)
        if len(found) == count:
            break
    return tuple(found.values())


def _grid(tuning: Tuning) -> tuple[Trial, ...]:
    levels = [list(_levels(item)) for item in tuning.space]
    count = math.prod(len(level) for level in levels)
    if count > tuning.max_trials:
        message = (
            f"tuning.space: the grid has {count} points, more than tuning.maxTrials {tuning.max_trials}; raise it, or"
            " leave values out"
        )
        raise ValueError(message)
    names = [item.parameter for item in tuning.space]
    return tuple(dict(zip(names, point, strict=True)) for point in itertools.product(*levels))


def _levels(item: Parameter) -> Iterator[JsonValue]:
    """Yield the points of one dimension of a grid."""
    if item.values is not None:
        yield from item.values
        return
    if item.low is None or item.high is None or (item.step is None and item.type is ParameterType.FLOAT):
        message = f"tuning.space {item.parameter!r}: a grid needs values, or a step from min to max"
        raise ValueError(message)
    step = item.step or 1.0
    for index in range(_steps(item, step) + 1):
        yield _number(item, item.low + index * step)


def _unit(algorithm: Algorithm, seed: int, index: int, dimension: int) -> float:
    """Return a coordinate in [0, 1) of a point: of a shifted Sobol sequence, or as if thrown by dice."""
    if algorithm is not Algorithm.RANDOM:
        return sobol.coordinate(index, dimension, _hashed(seed, dimension) >> (64 - sobol.BITS))
    return (_hashed(seed, dimension, index) >> 11) / 2**53


def _hashed(*parts: int) -> int:
    """Return 64 bits that depend on all the numbers."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big")


def _at(item: Parameter, unit: float) -> JsonValue:
    """Return the value at a share of the way through a dimension."""
    if item.values is not None:
        return item.values[int(unit * len(item.values))]
    low, high = item.low or 0.0, item.high or 0.0
    if item.step is not None:
        return _number(item, low + item.step * int(unit * (_steps(item, item.step) + 1)))
    if item.type is ParameterType.INTEGER:
        low, high = low - 0.5, high + 0.5  # each number gets an equal share, those at the ends too
    if item.scale is Scale.LOG:
        return _number(item, math.exp(math.log(low) + unit * (math.log(high) - math.log(low))))
    return _number(item, low + unit * (high - low))


def _steps(item: Parameter, step: float) -> int:
    return int(((item.high or 0.0) - (item.low or 0.0)) / step + 1e-9)


def _number(item: Parameter, value: float) -> JsonValue:
    if item.type is ParameterType.INTEGER:
        return int(min(max(round(value), item.low or 0.0), item.high or 0.0))
    return min(max(float(f"{value:.{_DIGITS}g}"), item.low or 0.0), item.high or 0.0)
