"""The search for parameters as its pods are told of it, and what is made of their scores."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from modelwright_training.contract.checks import check_digest
from modelwright_training.contract.metrics import LOWER_IS_BETTER
from modelwright_training.strict_json import JsonValue

MAX_TRIALS: Final = 256
_LEAST_FOLDS: Final = 2
_KEPT: Final = 3  # of so many trials the best one goes on, with so many times the rows
_MAX_RUNGS: Final = 4


class Algorithm(StrEnum):
    """How the trials' parameters are chosen; all of them beforehand, from the seed alone."""

    SOBOL = "Sobol"
    RANDOM = "Random"
    GRID = "Grid"
    SUCCESSIVE_HALVING = "SuccessiveHalving"
    AUTO_ML = "AutoML"

    @property
    def halves(self) -> bool:
        """Whether most trials are given up on a part of the rows."""
        return self in {Algorithm.SUCCESSIVE_HALVING, Algorithm.AUTO_ML}


class Scale(StrEnum):
    """How a range is measured out."""

    LINEAR = "Linear"
    LOG = "Log"


class ParameterType(StrEnum):
    """What the numbers of a range are."""

    INTEGER = "Integer"
    FLOAT = "Float"


class Stopped(StrEnum):
    """Why a search ended."""

    ALL_TRIALS_ENDED = "AllTrialsEnded"
    EARLY_STOPPED = "EarlyStopped"
    BUDGET_REACHED = "BudgetReached"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One dimension of the space: `values`, or the range from `low` to `high`, both included."""

    parameter: str
    values: tuple[JsonValue, ...] | None = field(default=None, metadata={"omit": True})
    low: float | None = field(default=None, metadata={"omit": True})
    high: float | None = field(default=None, metadata={"omit": True})
    step: float | None = field(default=None, metadata={"omit": True})
    scale: Scale = Scale.LINEAR
    type: ParameterType = ParameterType.FLOAT

    def __post_init__(self) -> None:
        """Refuse what is neither a list nor a range."""
        if self.values is not None:
            if not self.values or (self.low, self.high, self.step) != (None, None, None):
                self._refuse("give either values, at least one, or min and max")
            return
        if self.low is None or self.high is None:
            self._refuse("give either values, at least one, or min and max")
        elif not self.low < self.high:
            self._refuse(f"min {self.low:g} must be below max {self.high:g}")
        elif self.scale is Scale.LOG and (self.low <= 0 or self.step is not None):
            self._refuse("on a Log scale min must be above 0, and there is no step")
        elif self.step is not None and not 0 < self.step <= self.high - self.low:
            self._refuse("step must be above 0, and not longer than from min to max")
        elif self.type is ParameterType.INTEGER and not all(
            number is None or float(number).is_integer() for number in (self.low, self.high, self.step)
        ):
            self._refuse("min, max and step of an Integer must be whole numbers")

    def _refuse(self, problem: str) -> None:
        message = f"tuning.space {self.parameter!r}: {problem}"
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Score:
    """What one trial came to, and on which rung, from 0; None: it failed."""

    trial: int
    score: float | None
    rung: int = 0


@dataclass(frozen=True, slots=True)
class Searched:
    """What the trials found, in their order; those not named were not run.

    `data` is the digest of the data they all saw.
    """

    scores: tuple[Score, ...]
    best: int
    metric: str
    stopped: Stopped
    data: str

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        check_digest(self.data)

    @property
    def chosen(self) -> Score | None:
        """What the best trial came to."""
        return next((item for item in self.scores if item.trial == self.best), None)


@dataclass(frozen=True, slots=True)
class Tuning:
    """The search.

    `metric` absent: accuracy of classifiers, r2 of regressors. In a pod of the search `trials` says which trial each
    index of its Job evaluates, and `rung` on which rung; in the pod that trains the model `searched` holds what came of
    it. `leaders` are those trials of AutoML that vote together on the last rung, and `weights` the votes of each, once
    they are known.
    """

    algorithm: Algorithm
    max_trials: int
    space: tuple[Parameter, ...]
    folds: int
    metric: str | None = None
    trials: tuple[int, ...] | None = field(default=None, metadata={"omit": True})
    rung: int = 0
    leaders: tuple[int, ...] = field(default=(), metadata={"omit": True})
    weights: tuple[int, ...] = field(default=(), metadata={"omit": True})
    searched: Searched | None = field(default=None, metadata={"omit": True})

    def __post_init__(self) -> None:
        """Refuse what no single field shows."""
        names = [item.parameter for item in self.space]
        if (not names and self.algorithm is not Algorithm.AUTO_ML) or len(set(names)) != len(names):
            message = "tuning.space must have at least one parameter, each once"
            raise ValueError(message)
        if not 1 <= self.max_trials <= MAX_TRIALS or self.folds < _LEAST_FOLDS:
            message = f"tuning.maxTrials must be between 1 and {MAX_TRIALS}, folds at least {_LEAST_FOLDS}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Rung:
    """A round of a search: how many trials take part, and with which share of the rows, in percent."""

    trials: int
    percent: int


def rungs(algorithm: Algorithm, trials: int) -> tuple[Rung, ...]:
    """Return the rounds of a search; all rows and all trials in one, unless the algorithm halves.

    Successive halving (K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
    optimization", AISTATS 2016): a third of the trials, rounded up, goes on with three times the rows, until one or two
    are left or all rows are used.

    >>> [(rung.trials, rung.percent) for rung in rungs(Algorithm.SUCCESSIVE_HALVING, 16)]
    [(16, 12), (6, 34), (2, 100)]
    """
    counts = [trials]
    while algorithm.halves and counts[-1] >= _KEPT and len(counts) < _MAX_RUNGS:
        counts.append(-(-counts[-1] // _KEPT))
    last = len(counts) - 1
    return tuple(Rung(count, -(-100 // _KEPT ** (last - index))) for index, count in enumerate(counts))


def promoted(
    scores: Mapping[int, float | None], metric: str | None, count: int, kept: Collection[int] = ()
) -> tuple[int, ...]:
    """Return the best trials of a rung, in their order; the first of equals, and always the best of `kept`."""
    best = ranked(scores, metric)
    first = [trial for trial in best if trial in kept][:1]
    return tuple(sorted([*first, *(trial for trial in best if trial not in first)][:count]))


def ranked(scores: Mapping[int, float | None], metric: str | None) -> tuple[int, ...]:
    """Return the trials that have a score, the best first, of equals the first."""
    sign = 1 if metric in LOWER_IS_BETTER else -1
    found = sorted((sign * score, trial) for trial, score in scores.items() if score is not None)
    return tuple(trial for _, trial in found)


def better(score: float, than: float | None, metric: str | None) -> bool:
    """Tell whether a score beats another; any beats none."""
    if than is None:
        return True
    return score < than if metric in LOWER_IS_BETTER else score > than


def best_of(scores: Mapping[int, float | None], metric: str | None) -> int | None:
    """Return the trial with the best score, the first among equals; None: no trial has one."""
    best: int | None = None
    for trial in sorted(scores):
        score = scores[trial]
        if score is not None and better(score, scores[best] if best is not None else None, metric):
            best = trial
    return best


def decided_after(
    scores: Mapping[int, float | None], total: int, metric: str | None, patience: int | None
) -> int | None:
    """Return after how many trials, in their order, the search is decided; None: not yet.

    With `patience` it is over once that many trials in a row did not improve on the best before them. What counts is
    the trials' order, not that in which they ended, so that the answer is the same whatever ran at the same time.
    """
    best: float | None = None
    idle = 0
    for trial in range(total):
        if trial not in scores:
            return None
        score = scores[trial]
        if score is not None and better(score, best, metric):
            best, idle = score, 0
        else:
            idle += 1
        if patience is not None and best is not None and idle >= patience:
            return trial + 1
    return total
