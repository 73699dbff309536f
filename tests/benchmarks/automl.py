"""AutoML against each of its families as scikit-learn has them, on the bundled data sets, over several seeds.

The search is the one that the operator runs: the same trials, rungs and choice, here in one process. It sees the
training rows alone; all are judged on the holdout. What AutoML is asked to improve is what it is judged by: the log
loss of classifiers, r2 of regressors. Accuracies stand beside it.

What was fitted once on some rows is not fitted on them again: neither on the next rung nor as one that votes, since a
vote is a mean of what its members say (tests/training/test_search.py has that).
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import statistics
import sys
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from modelwright_training import contract, crossval, dataset, ensemble, train, trial
from modelwright_training.contract import FAMILIES, Algorithm, Task, Tuning
from modelwright_training.strict_json import dumps
from tests.benchmarks.report import Report, Table
from tests.training.builders import job

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

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
_THREADS: Any = importlib.import_module("threadpoolctl")  # comes with scikit-learn, and without types


def options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--data", nargs="+", choices=sorted(DATA), default=list(DATA), help="data sets")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, each with a holdout of its own")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them")
    parser.add_argument("--trials", type=int, default=16, help="maxTrials of the search")
    parser.add_argument("--minutes", type=float, default=120, help="begin no further seed after so long")


@dataclass(frozen=True)
class Found:
    """What a model came to on the holdout."""

    metric: float
    beside: float


Run = tuple[dict[str, Found], str]  # by who trained it, and what AutoML chose


@dataclass(frozen=True)
class Answered:
    """A fitted model, of which only what it says of the rows held out is kept: probabilities of classes, or numbers."""

    said: npt.NDArray[Any]
    classes_: npt.NDArray[Any] | None

    def predict(self, _rows: object) -> npt.NDArray[Any]:
        """Return the most probable classes, or the numbers."""
        return self.said if self.classes_ is None else self.classes_[self.said.argmax(axis=1)]

    def predict_proba(self, _rows: object) -> npt.NDArray[Any]:
        """Return the probabilities."""
        return self.said


class Fits:
    """Stands in for `train.fit`, and fits nothing twice."""

    def __init__(self) -> None:
        self._fit = train.fit
        self._known: dict[tuple[str, bytes], Answered] = {}

    def fit(self, config: JobConfig, data: Dataset) -> tuple[Answered, tuple[str, ...]]:
        """Return what the job's estimator says of the rows held out, once it is fitted on the others."""
        given = config.sklearn
        members: Any = given.parameters.get("estimators")
        if members:
            plans = [{contract.ESTIMATOR: item["estimator"], **item["parameters"]} for item in members]
            each = [self.fit(trial.with_parameters(config, plan), data)[0] for plan in plans]
            weights: Any = given.parameters.get("weights")
            return Answered(np.average([one.said for one in each], axis=0, weights=weights), each[0].classes_), ()
        rows = hashlib.sha256(np.ascontiguousarray(data.train.values.native()).tobytes()).digest()
        key = (dumps(given), rows)
        if key not in self._known:
            fitted, _ = self._fit(config, data)
            tested = data.holdout.values.native()
            regression = data.task is Task.REGRESSION
            self._known[key] = Answered(
                fitted.predict(tested) if regression else fitted.predict_proba(tested),
                None if regression else fitted.classes_,
            )
        return self._known[key], ()


def chosen(config: JobConfig, data: Dataset, metric: str, trials: int) -> contract.Trial:
    """Return what AutoML trains."""
    plans = contract.trials(Tuning(Algorithm.AUTO_ML, trials, (), _FOLDS), config.seed, data.task)
    candidates: tuple[int, ...] = tuple(range(len(plans)))
    scores: dict[int, float | None] = {}
    rungs = contract.rungs(Algorithm.AUTO_ML, len(plans))
    kept = contract.untuned(plans)
    for number, rung in enumerate(rungs[:-1]):
        if number:
            candidates = contract.promoted(scores, metric, rung.trials, kept)
        scores = {}
        for candidate in candidates:
            tried = trial.with_parameters(config, plans[candidate])
            scores[candidate], _ = crossval.summary(crossval.scores(tried, data, metric, _FOLDS, rung.percent, number))
    leaders = contract.leaders(scores, metric)
    jobs = [trial.with_parameters(config, plans[leader]) for leader in leaders]
    said = [crossval.answers(one, data, metric, _FOLDS, rungs[-1].percent, len(rungs) - 1) for one in jobs]
    selected = ensemble.select(said, metric, _FOLDS, leaders.index(contract.SIMPLEST))
    return contract.with_vote(plans, leaders, data.task, selected.weights)[-1]


def _held_out(config: JobConfig, plan: contract.Trial, data: Dataset) -> Found:
    fitted, _ = train.fit(trial.with_parameters(config, plan), data)
    values = crossval.measured(fitted, data)
    return Found(values[METRICS[data.task]], values[_BESIDE[data.task]])


def _one(name: str, seed: int, trials: int) -> Run:
    """Return what AutoML and each family come to, and which estimator AutoML chose."""
    task = DATA[name]
    config = replace(job(FAMILIES[task][0].estimator, uri=f"sklearn://{name}"), seed=seed, task=task)
    data = dataset.load(config, task)
    with patch.object(train, "fit", Fits().fit):
        plan = chosen(config, data, METRICS[task], trials)
        found = {"AutoML": _held_out(config, plan, data)}
        for family in FAMILIES[task]:
            found[_short(family.estimator)] = _held_out(config, {contract.ESTIMATOR: family.estimator}, data)
    return found, _described(plan)


def _described(plan: contract.Trial) -> str:
    """Say who votes, and how often."""
    members: Any = plan.get("estimators")
    if not members:
        return _short(str(plan[contract.ESTIMATOR]))
    weights: Any = plan["weights"]
    return ", ".join(f"{_short(item['estimator'])} {votes}" for item, votes in zip(members, weights, strict=True))


def _short(estimator: str) -> str:
    return estimator.rpartition(".")[2].removesuffix("Classifier").removesuffix("Regressor")


def _better(metric: str, value: float, than: float) -> bool:
    return value <= than if metric in contract.LOWER_IS_BETTER else value >= than


def _means(runs: Sequence[Run]) -> dict[str, Found]:
    return {
        who: Found(
            statistics.fmean(found[who].metric for found, _ in runs),
            statistics.fmean(found[who].beside for found, _ in runs),
        )
        for who in runs[0][0]
    }


def _best_family(means: Mapping[str, Found], metric: str) -> str:
    values: dict[str, float] = {who: found.metric for who, found in means.items() if who != "AutoML"}
    pick = min if metric in contract.LOWER_IS_BETTER else max
    return pick(values, key=lambda who: values[who])


def _runs(name: str, seeds: Iterable[int], trials: int, until: float) -> Iterator[Run]:
    """Yield what each seed comes to, and say so, since it takes minutes."""
    for seed in seeds:
        if time.monotonic() > until:
            print(f"{name}, seed {seed}: not begun, the time is over", file=sys.stderr, flush=True)
            return
        started = time.monotonic()
        found, said = _one(name, seed, trials)
        metric = METRICS[DATA[name]]
        best = _best_family(found, metric)
        print(
            f"{name}, seed {seed}: {metric} {found['AutoML'].metric:.4f} by {said},"
            f" {found[best].metric:.4f} by the best family, {best}; {time.monotonic() - started:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        yield found, said


def run(arguments: argparse.Namespace) -> Report:
    """Measure all data sets and seeds, in one thread: threads that wait for each other would say nothing new."""
    logging.getLogger("modelwright.training").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    figures: dict[str, Any] = {}
    tables: list[Table] = []
    until = time.monotonic() + 60 * arguments.minutes
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    for name in arguments.data:
        with _THREADS.threadpool_limits(1):
            runs = list(_runs(name, seeds, arguments.trials, until))
        if not runs:
            continue
        metric, beside = METRICS[DATA[name]], _BESIDE[DATA[name]]
        means = _means(runs)
        best = _best_family(means, metric)
        figures[name] = {
            "metric": metric,
            "seeds": len(runs),
            "means": {who: found.metric for who, found in means.items()},
            beside: {who: found.beside for who, found in means.items()},
            "bestFamily": best,
            "atLeastAsGood": _better(metric, means["AutoML"].metric, means[best].metric),
            "chosen": [said for _, said in runs],
        }
        rows = tuple((who, f"{found.metric:.4f}", f"{found.beside:.4f}") for who, found in means.items())
        title = f"{name}: means over seeds {seeds[0]} to {seeds[len(runs) - 1]}; best family {best}"
        tables.append(Table(title, ("", metric, beside), rows))
    return Report("automl", {"trials": arguments.trials, "firstSeed": arguments.first_seed, **figures}, tuple(tables))
