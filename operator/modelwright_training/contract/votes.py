"""Leaders of an AutoML search that vote together, as further trials of its last rung.

The mean of a few good models is seldom worse than the best of them, which cross-validation can only guess (R. Caruana
et al., "Ensemble selection from libraries of models", ICML 2004). It is scored like any other trial, on the same folds.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from modelwright_training.contract.names import Task
from modelwright_training.contract.space import ESTIMATOR, Trial, estimator_of
from modelwright_training.contract.tuning import ranked

if TYPE_CHECKING:
    from modelwright_training.strict_json import JsonValue

VOTERS: Final = (3, 5)  # how many leaders vote


def leaders(scores: Mapping[int, float | None], metric: str | None) -> tuple[int, ...]:
    """Return the best trials of the rung before the last, the best first."""
    return ranked(scores, metric)[: max(VOTERS)]


def with_votes(plans: Sequence[Trial], chosen: Sequence[int] | None, task: Task) -> tuple[Trial, ...]:
    """Return the trials and, behind them, one for each number of leaders that vote, if there are so many.

    Of classes the mean of the probabilities decides, of numbers the mean.
    """
    found = tuple(count for count in VOTERS if count <= len(chosen or ()))
    return (*plans, *(_vote(plans, (chosen or ())[:count], task) for count in found))


def _vote(plans: Sequence[Trial], chosen: Sequence[int], task: Task) -> Trial:
    members: list[JsonValue] = []
    for number in chosen:
        estimator, parameters = estimator_of(plans[number])
        members.append({"name": f"trial_{number}", "estimator": estimator, "parameters": parameters})
    if task is Task.REGRESSION:
        return {ESTIMATOR: "sklearn.ensemble.VotingRegressor", "estimators": members}
    return {ESTIMATOR: "sklearn.ensemble.VotingClassifier", "estimators": members, "voting": "soft"}
