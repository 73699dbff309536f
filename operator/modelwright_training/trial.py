"""Stage trial, of a search's pods: cross-validate one trial's parameters and report the score."""

from dataclasses import replace

from modelwright_training import crossval, ensemble, estimator, train
from modelwright_training.contract import (
    SIMPLEST,
    JobConfig,
    Reason,
    Task,
    Trial,
    TrialResult,
    Tuning,
    estimator_of,
    metrics_of,
    rungs,
    trials,
    with_vote,
)
from modelwright_training.errors import StageError, TrialError
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings
from modelwright_training.strict_json import dumps
from modelwright_training.workspace import Workspace

_DEFAULT_METRICS = {Task.CLASSIFICATION: "accuracy", Task.REGRESSION: "r2"}
_OF_THE_PARAMETERS = (Reason.TRAINING_FAILED, Reason.ESTIMATOR_INVALID, Reason.TUNING_INVALID)


def run(settings: Settings) -> TrialResult:
    """Score the trial that this pod's index stands for.

    Raises:
        StageError: what no other trial can mend: data, target, estimator, metric.
        TrialError: these parameters cannot be fitted, or the metric not be measured.

    """
    job, workspace = settings.job, Workspace(settings.workspace)
    tuning = job.tuning
    if tuning is None or tuning.trials is None or settings.index is None or settings.index >= len(tuning.trials):
        message = "this pod is none of a search: its index or its trials are missing"
        raise ValueError(message)
    number = tuning.trials[settings.index]
    plans = trials(tuning, job.seed, job.task)
    tried = with_parameters(job, with_vote(plans, tuning.leaders, job.task)[number])
    rung = rungs(tuning.algorithm, len(plans))[tuning.rung]
    logger.info("trial %s: %s", number, dumps(tried.trainer.sklearn))
    progress(0, "preparing the data")
    metric = metric_of(tried, tuning)
    data = train.load(tried, workspace)
    progress(20, f"fitting {tuning.folds} times")
    weights: tuple[int, ...] = ()
    try:
        if number < len(plans):
            found = crossval.scores(tried, data, metric, tuning.folds, rung.percent, tuning.rung)
        else:
            leaders = [with_parameters(job, plans[leader]) for leader in tuning.leaders]
            said = [crossval.answers(one, data, metric, tuning.folds, rung.percent, tuning.rung) for one in leaders]
            weights, found = ensemble.select(said, metric, tuning.folds, tuning.leaders.index(SIMPLEST))
    except StageError as error:
        if error.reason in _OF_THE_PARAMETERS:
            raise TrialError(error.reason, str(error)) from error
        raise
    score, deviation = crossval.summary(found)
    logger.info("trial %s: %s %s ± %s", number, metric, score, deviation)
    progress(100, "measured")
    return TrialResult(number, metric, score, deviation, workspace.data_digest(), tuning.rung, weights)


def with_parameters(job: JobConfig, parameters: Trial) -> JobConfig:
    """Return the job with a trial's parameters beside the trainer's own, or with the estimator it names."""
    trainer = job.sklearn
    named, given = estimator_of(parameters)
    if named is not None:
        chosen = replace(trainer, estimator=named, parameters=given)
    else:
        chosen = replace(trainer, parameters={**trainer.parameters, **given})
    return replace(job, trainer=replace(job.trainer, sklearn=chosen))


def metric_of(job: JobConfig, tuning: Tuning) -> str:
    """Return the metric of the search.

    Raises:
        StageError: TuningInvalid, when it is none of the task's; EstimatorInvalid.

    """
    model = estimator.build(job.sklearn, job.seed)
    task = estimator.resolve_task(job, model)
    metric = tuning.metric or _DEFAULT_METRICS[task]
    known = metrics_of(task, probabilities=True)
    if metric not in known:
        message = f"tuning.metric: {metric} is none of {task}; take one of {', '.join(known)}"
        raise StageError(Reason.TUNING_INVALID, message)
    return metric
