"""AutoML against each of its families as scikit-learn has them, on the bundled data sets, over several seeds.

The search is the one that the operator runs: the same trials, rungs and choice, here in one process. It sees the
training rows alone; all are judged on the holdout. What AutoML is asked to improve is what it is judged by: the log
loss of classifiers, r2 of regressors. Accuracies stand beside it.
"""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modelwright_training import contract, crossval, dataset, train, trial
from modelwright_training.contract import FAMILIES, Algorithm, Task, Tuning
from tests.benchmarks.report import Report, Table
from tests.training.builders import job

if TYPE_CHECKING:
    import argparse

    from modelwright_training.contract import JobConfig
    from modelwright_training.dataset import Dataset

DATA = {
    "breast_cancer": Task.CLASSIFICATION,
    "digits": Task.CLASSIFICATION,
    "wine": Task.CLASSIFICATION,
    "diabetes": Task.REGRESSION,
}
METRICS = {Task.CLASSIFICATION: "log_loss", Task.REGRESSION: "r2"}
_BESIDE = {Task.CLASSIFICATION: "accuracy", Task.REGRESSION: "rmse"}
_FOLDS = 5


def options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--data", nargs="+", choices=sorted(DATA), default=list(DATA), help="data sets")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, each with a holdout of its own")
    parser.add_argument("--trials", type=int, default=16, help="maxTrials of the search")


@dataclass(frozen=True)
class Found:
    """What a model came to on the holdout."""

    metric: float
    beside: float


def chosen(config: JobConfig, data: Dataset, metric: str, trials: int) -> int:
    """Return the trial that AutoML chooses."""
    plans = contract.trials(Tuning(Algorithm.AUTO_ML, trials, (), _FOLDS), config.seed, data.task)
    candidates: tuple[int, ...] = tuple(range(len(plans)))
    scores: dict[int, float | None] = {}
    deviations: dict[int, float] = {}
    rungs = contract.rungs(Algorithm.AUTO_ML, len(plans))
    for number, rung in enumerate(rungs):
        if number:
            candidates = contract.promoted(scores, metric, rung.trials, contract.untuned(plans))
        scores = {}
        for candidate in candidates:
            tried = trial.with_parameters(config, plans[candidate])
            found = crossval.scores(tried, data, metric, _FOLDS, rung.percent, number)
            scores[candidate], deviations[candidate] = crossval.summary(found)
    best = contract.best_of(scores, metric)
    assert best is not None
    return contract.first_within(scores, metric, best, deviations[best] / _FOLDS**0.5)


def _held_out(config: JobConfig, plan: contract.Trial, data: Dataset) -> Found:
    fitted, _ = train.fit(trial.with_parameters(config, plan), data)
    values = crossval.measured(fitted, data)
    return Found(values[METRICS[data.task]], values[_BESIDE[data.task]])


def _one(name: str, seed: int, trials: int) -> tuple[dict[str, Found], str]:
    """Return what AutoML and each family come to, and which estimator AutoML chose."""
    task = DATA[name]
    config = replace(job(FAMILIES[task][0].estimator, uri=f"sklearn://{name}"), seed=seed, task=task)
    data = dataset.load(config, task)
    plans = contract.trials(Tuning(Algorithm.AUTO_ML, trials, (), _FOLDS), seed, task)
    number = chosen(config, data, METRICS[task], trials)
    found = {"AutoML": _held_out(config, plans[number], data)}
    for family in FAMILIES[task]:
        found[_short(family.estimator)] = _held_out(config, {contract.ESTIMATOR: family.estimator}, data)
    return found, f"{_short(str(plans[number][contract.ESTIMATOR]))} ({number})"


def _short(estimator: str) -> str:
    return estimator.rpartition(".")[2].removesuffix("Classifier").removesuffix("Regressor")


def run(arguments: argparse.Namespace) -> Report:
    """Measure all data sets and seeds."""
    logging.getLogger("modelwright.training").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    figures: dict[str, Any] = {}
    tables: list[Table] = []
    for name in arguments.data:
        started = time.monotonic()
        runs = [_one(name, seed, arguments.trials) for seed in range(arguments.seeds)]
        task = DATA[name]
        means = {
            who: Found(
                statistics.fmean(found[who].metric for found, _ in runs),
                statistics.fmean(found[who].beside for found, _ in runs),
            )
            for who in runs[0][0]
        }
        sign = -1 if METRICS[task] in contract.LOWER_IS_BETTER else 1
        best = max((who for who in means if who != "AutoML"), key=lambda who: sign * means[who].metric)
        figures[name] = {
            "metric": METRICS[task],
            "means": {who: found.metric for who, found in means.items()},
            _BESIDE[task]: {who: found.beside for who, found in means.items()},
            "bestFamily": best,
            "atLeastAsGood": sign * means["AutoML"].metric >= sign * means[best].metric,
            "chosen": [said for _, said in runs],
            "seconds": time.monotonic() - started,
        }
        rows = tuple((who, f"{found.metric:.4f}", f"{found.beside:.4f}") for who, found in means.items())
        title = f"{name}: means over {arguments.seeds} holdouts; best family {best}"
        tables.append(Table(title, ("", METRICS[task], _BESIDE[task]), rows))
    return Report("automl", {"trials": arguments.trials, "seeds": arguments.seeds, **figures}, tuple(tables))
