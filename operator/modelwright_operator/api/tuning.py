"""The search for a trainer's parameters: `spec.tuning`, and how it is going."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.meta import Digest, Model, Observed, Short, rules
from modelwright_training import contract

_LIMIT = 1e15  # whole numbers are exact up to here, and far beyond
Bound = Annotated[float, Field(ge=-_LIMIT, le=_LIMIT)]
MetricName = contract.MetricName
_MAX_ROWS = contract.MAX_TRIALS + 1  # the vote of AutoML's leaders
_ANY: dict[str, Any] = {"items": {"x-kubernetes-preserve-unknown-fields": True}}


class SearchParameter(Model):
    """One parameter of the estimator to search: its values, or a range."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["values"]}, {"required": ["min", "max"]}],
            **rules(
                ("!has(self.min) || !has(self.max) || self.min < self.max", "min must be below max"),
                ("!has(self.min) || self.scale != 'Log' || self.min > 0.0", "min must be above 0 on a Log scale"),
                (
                    (
                        "!has(self.step) || (self.step > 0.0 && has(self.min) && has(self.max)"
                        " && self.scale == 'Linear' && double(self.step) <= double(self.max) - double(self.min))"
                    ),
                    "step must be above 0, and needs min and max at least as far apart, and a Linear scale",
                ),
                (
                    (
                        "self.type != 'Integer' || [has(self.min) ? self.min : 0.0, has(self.max) ? self.max : 0.0,"
                        " has(self.step) ? self.step : 0.0].all(n, double(int(n)) == double(n))"
                    ),
                    "min, max and step of type Integer must be whole numbers",
                ),
            ),
        }
    )

    parameter: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern="^[A-Za-z][A-Za-z0-9_]*$")] = (
        Field(description="Keyword argument of the estimator.")
    )
    values: list[Any] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description='Values to try: numbers, texts, true or false, lists; write None as the text "None".',
        json_schema_extra=_ANY,
    )
    low: Bound | None = Field(default=None, alias="min", description="Smallest value of a range.")
    high: Bound | None = Field(default=None, alias="max", description="Largest value of a range, included.")
    step: Annotated[float, Field(ge=0, le=_LIMIT)] | None = Field(
        default=None, description="Distance of the values of a range; absent: every number, or every whole number."
    )
    scale: Literal["Linear", "Log"] = Field(
        default="Linear", description="Log: as many trials between 0.01 and 0.1 as between 0.1 and 1."
    )
    type: Literal["Float", "Integer"] = Field(default="Float", description="What the numbers of a range are.")


class EarlyStop(Model):
    """When to give up before all trials ran."""

    patience: Annotated[int, Field(ge=1, le=contract.MAX_TRIALS)] = Field(
        description="Number of trials in a row without a better score after which the rest are not run."
    )


class CrossValidation(Model):
    """How a trial is scored."""

    folds: Annotated[int, Field(ge=2, le=20)] = Field(
        default=5, description="Parts of the training rows: each is predicted by a model fitted on the others."
    )


class Tuning(Model):
    """A search for the trainer's parameters, on the training rows alone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.parallelism <= self.maxTrials", "parallelism must not be above maxTrials"),
            (
                "!has(self.maxFailedTrials) || self.maxFailedTrials < self.maxTrials",
                "maxFailedTrials must be below maxTrials",
            ),
            (
                "!has(self.earlyStop) || self.earlyStop.patience < self.maxTrials",
                "earlyStop.patience must be below maxTrials",
            ),
            (
                (
                    "self.algorithm != 'Grid' || !has(self.space)"
                    " || self.space.all(p, !has(p.min) || has(p.step) || p.type == 'Integer')"
                ),
                "a Grid needs values, or a range with a step or of type Integer",
            ),
            (
                "has(self.space) == (self.algorithm != 'AutoML')",
                "space names what to search, but for AutoML, which knows by itself: give it, or leave it out",
            ),
            (
                "!has(self.earlyStop) || !(self.algorithm in ['SuccessiveHalving', 'AutoML'])",
                "earlyStop is not for SuccessiveHalving and AutoML, which give up trials by themselves: leave it out",
            ),
            (
                "self.maxTrials >= 4 || !(self.algorithm in ['SuccessiveHalving', 'AutoML'])",
                "SuccessiveHalving and AutoML need maxTrials of 4 at least",
            ),
        )
    )

    algorithm: Literal["Sobol", "Random", "Grid", "SuccessiveHalving", "AutoML"] = Field(
        default="Sobol",
        description="Sobol: points that fill the space evenly; Random: independent ones; Grid: all combinations; "
        "SuccessiveHalving: as Sobol, but a third goes on with three times the rows, again and again; AutoML: the same "
        "over several families of estimators, without spec.trainer.",
    )
    max_trials: Annotated[int, Field(ge=1, le=contract.MAX_TRIALS)] = Field(
        default=16, description="Number of trials at most; a Grid must not have more points."
    )
    parallelism: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Trials that run at the same time.")
    max_seconds: Annotated[int, Field(ge=1, le=2592000)] = Field(
        default=3600, description="Seconds after which the search ends with the best trial so far."
    )
    max_failed_trials: Annotated[int, Field(ge=0, le=contract.MAX_TRIALS)] | None = Field(
        default=None, description="Failed trials beyond which the run fails; absent: it fails if all trials do."
    )
    early_stop: EarlyStop | None = Field(default=None, description="When to give up early; absent: never.")
    metric: MetricName | None = Field(
        default=None, description="What trials are compared by; absent: accuracy of classifiers, r2 of regressors."
    )
    cross_validation: CrossValidation = Field(
        default_factory=CrossValidation,
        description="How a trial is scored; 5 folds by default.",
        json_schema_extra={"default": {}},
    )
    space: list[SearchParameter] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Parameters to search; absent with AutoML only.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["parameter"]},
    )


class Trial(Observed):
    """One trial of the search."""

    trial: int = Field(description="Number of the trial, from 0; the seed decides what it tries.")
    rung: int = Field(default=0, description="Rung of successive halving on which it was scored last, from 0.")
    state: Literal["Succeeded", "Failed"] = Field(description="How the trial ended.")
    estimator: Short | None = Field(default=None, description="With AutoML: the estimator it tried.")
    score: float | None = Field(default=None, description="Mean of the metric over the folds.")
    deviation: float | None = Field(default=None, description="Standard deviation of the metric over the folds.")
    seconds: int | None = Field(default=None, description="How long scoring it took, without fetching the data.")
    parameters: dict[str, Any] | None = Field(
        default=None,
        max_length=20,
        description="What it tried; of the best only, the artifact has all.",
    )
    message: Annotated[str, StringConstraints(max_length=300)] | None = Field(
        default=None, description="Why it failed; of the first few that did."
    )


class BestTrial(Observed):
    """The trial whose parameters the model has."""

    trial: int = Field(description="Number of the trial, from 0.")
    score: float = Field(description="Mean of the metric over the folds.")
    metric: Short = Field(description="Name of the metric.")
    estimator: Short | None = Field(default=None, description="With AutoML: the estimator it tried.")
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=20, description="What it tried.")


class TuningStatus(Observed):
    """How the search is going."""

    state: Literal["Running", "Finished"] = Field(default="Running", description="Whether trials are still awaited.")
    attempt: int = Field(default=0, description="Number of Jobs started for the search; another one runs lost trials.")
    job: Short | None = Field(default=None, description="Name of the Indexed Job that runs the trials.")
    metric: Short | None = Field(default=None, description="What trials are compared by, once known.")
    rung: int = Field(default=0, description="Rung of successive halving that is under way, from 0.")
    candidates: list[int] | None = Field(
        default=None, max_length=_MAX_ROWS, description="Trials that take part in it; absent: all."
    )
    leaders: list[int] | None = Field(
        default=None,
        max_length=contract.LEADERS,
        description="With AutoML: trials that vote together on the last rung, the best first.",
    )
    weights: list[int] | None = Field(
        default=None,
        max_length=contract.LEADERS,
        description="With AutoML: how many votes each of them has, once selected.",
    )
    total: int = Field(default=0, description="Number of trials planned.")
    succeeded: int = Field(default=0, description="Number of trials with a score.")
    failed: int = Field(default=0, description="Number of trials that failed.")
    stopped: Literal["AllTrialsEnded", "EarlyStopped", "BudgetReached"] | None = Field(
        default=None, description="Why the search ended."
    )
    reproducible: bool | None = Field(
        default=None,
        description="False: spec.tuning.maxSeconds cut the search, and another run may find another best trial.",
    )
    data_digest: Digest | None = Field(default=None, description="Digest of the data the trials saw.")
    started_at: datetime | None = Field(default=None, description="When the search started.")
    finished_at: datetime | None = Field(default=None, description="When the search ended.")
    trials: list[Trial] = Field(
        default_factory=list[Trial],
        max_length=_MAX_ROWS,
        description="The trials that ended.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["trial"]},
    )
