"""The search for parameters as its pods, and the pod that trains what came of it, are told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator import api


def search_space(job: api.TrainingJob, tuning: api.Tuning) -> contract.Tuning:
    """Return what the search is over.

    Raises:
        ValueError: it is none; the text names the field.
    """
    taken = sorted({item.parameter for item in tuning.space} & set(job.spec.trainer.sklearn.parameters))
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
            for item in tuning.space
        ),
        folds=tuning.cross_validation.folds,
        metric=tuning.metric,
    )


def _searched(found: api.TuningStatus) -> contract.Searched:
    return contract.Searched(
        scores=tuple(contract.Score(trial.trial, trial.score) for trial in found.trials),
        metric=found.metric or "",
        stopped=contract.Stopped(found.stopped or contract.Stopped.ALL_TRIALS_ENDED),
        data=found.data_digest or "",
    )


def told(job: api.TrainingJob, trials: Sequence[int] | None) -> contract.Tuning | None:
    """Return the search as a pod of it, or the pod that trains what came of it, is told."""
    if job.spec.tuning is None:
        return None
    tuning, found = search_space(job, job.spec.tuning), job.status.tuning
    if trials is not None:
        return replace(tuning, trials=tuple(trials))
    return replace(tuning, searched=_searched(found)) if found is not None else tuning
