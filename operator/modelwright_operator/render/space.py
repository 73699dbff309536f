"""The search for parameters as its pods, and the pod that trains what came of it, are told of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modelwright_training import contract

if TYPE_CHECKING:
    from modelwright_operator import api


@dataclass(frozen=True)
class Round:
    """What a Job runs: trials, by index, on a rung of the search, and those that vote together on it."""

    trials: tuple[int, ...]
    rung: int = 0
    leaders: tuple[int, ...] = ()


def search_space(job: api.TrainingJob, tuning: api.Tuning) -> contract.Tuning:
    """Return what the search is over.

    Raises:
        ValueError: it is none; the text names the field.
    """
    trainer = job.spec.trainer.sklearn if job.spec.trainer is not None else None
    given = trainer.parameters if trainer is not None else {}
    taken = sorted({item.parameter for item in tuning.space or ()} & set(given))
    if taken:
        message = f"tuning.space names {taken[0]!r}, which trainer.sklearn.parameters sets: leave it out of one of them"
        raise ValueError(message)
    return contract.Tuning(
        algorithm=contract.Algorithm(tuning.algorithm),
        max_trials=tuning.max_trials,
        space=tuple(
            contract.Parameter(
                parameter=item.parameter,
                values=tuple(item.values) if item.values is not None else None,
                low=item.low,
                high=item.high,
                step=item.step,
                scale=contract.Scale(item.scale),
                type=contract.ParameterType(item.type),
            )
            for item in tuning.space or ()
        ),
        folds=tuning.cross_validation.folds,
        metric=tuning.metric,
    )


def _searched(found: api.TuningStatus, best: api.BestTrial | None) -> contract.Searched:
    return contract.Searched(
        scores=tuple(contract.Score(trial.trial, trial.score, trial.rung) for trial in found.trials),
        best=best.trial if best is not None else 0,
        metric=found.metric or "",
        stopped=contract.Stopped(found.stopped or contract.Stopped.ALL_TRIALS_ENDED),
        data=found.data_digest or "",
    )


def plans(job: api.TrainingJob, tuning: api.Tuning) -> tuple[contract.Trial, ...]:
    """Return the parameters of all trials but the vote of AutoML.

    Raises:
        ValueError: the space is none; the text names the field.
    """
    return contract.trials(search_space(job, tuning), job.spec.seed, contract.Task(job.spec.task))


def trainer(job: api.TrainingJob) -> contract.SklearnTrainer:
    """Return the trainer with the best trial's parameters, or the best trial's estimator; before there is one, any."""
    best = job.status.best_trial
    found = best.parameters if best is not None else {}
    given = job.spec.trainer.sklearn if job.spec.trainer is not None else None
    if given is not None:
        parameters, preprocessing = {**given.parameters, **found}, contract.Preprocessing(given.preprocessing)
        return contract.SklearnTrainer(given.estimator, parameters, preprocessing)
    families = contract.FAMILIES.get(contract.Task(job.spec.task)) or contract.FAMILIES[contract.Task.CLASSIFICATION]
    estimator = (best.estimator if best is not None else None) or families[0].estimator
    return contract.SklearnTrainer(estimator, found, contract.Preprocessing.AUTO)


def told(job: api.TrainingJob, what: Round | None) -> contract.Tuning | None:
    """Return the search as a pod of it, or the pod that trains what came of it, is told."""
    if job.spec.tuning is None:
        return None
    tuning, found = search_space(job, job.spec.tuning), job.status.tuning
    if what is not None:
        return replace(tuning, trials=what.trials, rung=what.rung, leaders=what.leaders)
    if found is None:
        return tuning
    return replace(
        tuning,
        searched=_searched(found, job.status.best_trial),
        leaders=tuple(found.leaders or ()),
        weights=tuple(found.weights or ()),
    )
