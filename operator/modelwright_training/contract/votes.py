"""Leaders of an AutoML search that vote together, as the one trial of its last rung.

The mean of a few good models is seldom worse than the best of them, which cross-validation can only guess. How much
each has to say is selected by what they say of rows they were not fitted on (`modelwright_training.ensemble`).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from modelwright_training.contract.names import Task
from modelwright_training.contract.space import ESTIMATOR, Trial, estimator_of
from modelwright_training.contract.tuning import ranked

if TYPE_CHECKING:
    from modelwright_training.strict_json import JsonValue

LEADERS: Final = 8
SIMPLEST: Final = 0  # the trial that is a linear model as scikit-learn has it


def leaders(scores: Mapping[int, float | None], metric: str | None) -> tuple[int, ...]:
    """Return the best trials of the rung before the last, the best first, and the simplest in any case."""
    best = ranked(scores, metric)
    if SIMPLEST in best[:LEADERS]:
        return best[:LEADERS]
    return (*best[: LEADERS - 1], SIMPLEST)


def with_vote(
    plans: Sequence[Trial], chosen: Sequence[int] | None, task: Task, weights: Sequence[int] | None = None
) -> tuple[Trial, ...]:
    """Return the trials and, behind them, the vote of those chosen, if any are.

    Of classes the weighted mean of the probabilities decides, of numbers the weighted mean. Without weights, as long as
    they are not known, all have the same; who has none is left out.

    Raises:
        ValueError: there are as many weights as trials chosen, or none.

    """
    if not chosen:
        return tuple(plans)
    given = [(number, weight) for number, weight in zip(chosen, weights or [1] * len(chosen), strict=True) if weight]
    if len(given) == 1:
        return (*plans, plans[given[0][0]])
    members: list[JsonValue] = []
    for number, _ in given:
        estimator, parameters = estimator_of(plans[number])
        members.append({"name": f"trial_{number}", "estimator": estimator, "parameters": parameters})
    vote: Trial = {ESTIMATOR: "sklearn.ensemble.VotingRegressor", "estimators": members}
    if task is not Task.REGRESSION:
        vote = {ESTIMATOR: "sklearn.ensemble.VotingClassifier", "estimators": members, "voting": "soft"}
    if weights:
        vote["weights"] = [weight for _, weight in given]
    return (*plans, vote)
