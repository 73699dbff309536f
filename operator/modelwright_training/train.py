# pyright: basic
# (scikit-learn comes without types.)
"""Stage train: fit the estimator on everything but the holdout."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
from sklearn.utils.validation import has_fit_parameter

from modelwright_training import dataset, estimator, gates, leakage, pipeline
from modelwright_training.contract import JobConfig, Reason, Stage, Task, TrainResult
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings
from modelwright_training.workspace import Workspace


def run(settings: Settings) -> TrainResult:
    """Fit, and leave the pipeline in the workspace for evaluate.

    Raises:
        StageError: GateInvalid, DataInvalid, TargetInvalid, EstimatorInvalid or TrainingFailed.

    """
    started = time.monotonic()
    job, workspace = settings.job, Workspace(settings.workspace)
    check_gates(job)
    progress(0, "preparing the data")
    data = load(job, workspace)
    check_searched(job, workspace)
    gates.check_classes(job.gates, binary=data.positive is not None)
    logger.info("rows: %s to train on, %s held out; features: %s", *_counts(data))
    odd = (*leakage.check(data), *leakage.between_parts(data))
    for line in odd:
        logger.warning("%s", line)
    progress(20, f"fitting {job.sklearn.estimator}")
    fitted, said = fit(job, data)
    joblib.dump(fitted, workspace.estimator)
    workspace.write_notes(Stage.TRAIN, {"warnings": [*odd, *said], "seconds": time.monotonic() - started})
    progress(100, "fitted")
    return TrainResult(data.task, data.rows, odd)


def check_searched(job: JobConfig, workspace: Workspace) -> None:
    """Refuse data that are not those the search's trials were scored on.

    Raises:
        StageError: DataDigestMismatch.

    """
    if job.tuning is None or job.tuning.searched is None or job.tuning.searched.data == workspace.data_digest():
        return
    message = (
        "the data changed since the search for parameters, so its scores are not of these; create the TrainingJob anew,"
        " with spec.data[].digest if the data must not change"
    )
    raise StageError(Reason.DATA_DIGEST_MISMATCH, message)


def load(job: JobConfig, workspace: Workspace) -> Dataset:
    """Prepare the fetched data; every stage that does gets the same rows."""
    task = task_of(job)
    tables = {source.name: workspace.read_table(i) for i, source in enumerate(job.data)}
    return dataset.prepare(without(job, workspace.left_out(), tables), task, tables)


def without(job: JobConfig, columns: Sequence[str], tables: Mapping[str, Any]) -> JobConfig:
    """Return the job with columns left out that were there to look features up; prepare may have removed some."""
    there = [name for name in columns if all(name in table.column_names for table in tables.values())]
    return replace(job, columns=replace(job.columns, drop=tuple(dict.fromkeys((*job.columns.drop, *there)))))


def task_of(job: JobConfig) -> Task:
    """Return the job's task, never Auto: the estimator decides it, if the job names one."""
    if job.trainer.container is not None:
        return job.task
    return estimator.resolve_task(job, estimator.build(job.sklearn, job.seed))


def check_gates(job: JobConfig) -> None:
    """Refuse gates that cannot be judged, before anything is read.

    Raises:
        StageError: GateInvalid, or EstimatorInvalid.

    """
    model = estimator.build(job.sklearn, job.seed)
    gates.check(job.gates, estimator.resolve_task(job, model), probabilities=hasattr(model, "predict_proba"))


def fit(job: JobConfig, data: Dataset) -> tuple[Any, list[str]]:
    """Return the fitted pipeline, and what scikit-learn warned of.

    Raises:
        StageError: EstimatorInvalid, DataInvalid or TrainingFailed.

    """
    model = estimator.build(job.sklearn, job.seed)
    if data.task is Task.CLASSIFICATION:
        estimator.settle_class_weight(model, {str(label): label for label in np.unique(data.train.target)})
    logger.info("%s", estimator.describe(data.train.target, data.task, model))
    weights = _weights(job, model, data)
    built = pipeline.build(model, data.features, job.sklearn.preprocessing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            built.fit(data.train.values.native(), data.train.target, **weights)
        except MemoryError:
            raise  # more memory may mend it
        except Exception as error:
            raise _explained(error, job) from error
    pipeline.round_fills(built)
    # Warnings about the fit; those about coming releases of scikit-learn are not the user's.
    told = [warning for warning in caught if issubclass(warning.category, UserWarning | RuntimeWarning)]
    said = sorted({f"{warning.category.__name__}: {warning.message}" for warning in told})
    for line in said:
        logger.warning("%s", line)
    return built, said


def _weights(job: JobConfig, model: object, data: Dataset) -> dict[str, Any]:
    """Return what hands the rows' weights to the estimator; what stands before it counts each row once.

    Raises:
        StageError: EstimatorInvalid, when the estimator takes no weights.

    """
    if data.train.roles.weight is None:
        return {}
    if not has_fit_parameter(model, "sample_weight"):
        message = (
            f"trainer.sklearn.estimator: {job.sklearn.estimator} takes no sample weights, but columns.weight is"
            f" {job.columns.weight!r}; move it to columns.drop, or choose another estimator"
        )
        raise StageError(Reason.ESTIMATOR_INVALID, message)
    return {f"{pipeline.ESTIMATOR_STEP}__sample_weight": data.train.roles.weight}


def _explained(error: Exception, job: JobConfig) -> StageError:
    """Tell apart what the user can mend: a parameter's value, missing numbers, anything else scikit-learn says."""
    name, said = job.sklearn.estimator, " ".join(str(error).split())
    if type(error).__name__ == "InvalidParameterError":
        return StageError(Reason.ESTIMATOR_INVALID, f"trainer.sklearn.parameters: {said}")
    if "contains NaN" in said:
        message = (
            f"the data have missing numbers, which {name} does not take; set trainer.sklearn.preprocessing to Auto"
        )
        return StageError(Reason.DATA_INVALID, message)
    message = f"{name} cannot be fitted ({type(error).__name__}: {said}); change trainer.sklearn or the data"
    return StageError(Reason.TRAINING_FAILED, message)


def _counts(data: Dataset) -> tuple[int, int, int]:
    return len(data.train), len(data.holdout), len(data.features.all)
