"""What the artifact says of the search for parameters."""

from typing import Any

from modelwright_training.contract import JobConfig, Searched, Stopped, Tuning, trials, with_vote
from modelwright_training.strict_json import encode

FILE = "tuning.json"


def record(job: JobConfig) -> dict[str, Any] | None:
    """Return the trials with their parameters and scores, for a file that the digest covers; None: no search."""
    if job.tuning is None or job.tuning.searched is None:
        return None
    tuning, found = job.tuning, job.tuning.searched
    plans = with_vote(trials(tuning, job.seed, job.task), tuning.leaders, job.task, tuning.weights)
    return {
        **_settings(tuning, found),
        "space": encode(tuning.space),
        "best": found.best,
        "stopped": found.stopped,
        "trials": [
            {"trial": item.trial, "rung": item.rung, "parameters": plans[item.trial], "score": item.score}
            for item in found.scores
        ],
    }


def summary(job: JobConfig) -> dict[str, Any] | None:
    """Return for card and report how the parameters were found; None: they were given."""
    if job.tuning is None or job.tuning.searched is None:
        return None
    found = job.tuning.searched
    return {
        **_settings(job.tuning, found),
        "trialsTried": len(found.scores),
        "trialsFailed": sum(item.score is None for item in found.scores),
        "best": encode(found.chosen),
        "stopped": found.stopped,
        # Which trials end within the seconds given depends on the machine.
        "reproducible": found.stopped is not Stopped.BUDGET_REACHED,
    }


def _settings(tuning: Tuning, found: Searched) -> dict[str, Any]:
    return {"algorithm": tuning.algorithm, "metric": found.metric, "folds": tuning.folds}
