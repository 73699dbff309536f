"""TrainingJob: a run that turns data into a validated ONNX model; with `suspend: true`, a template that waits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelwright_operator.api.features import TIMESTAMP_RULE, FeatureSource
from modelwright_operator.api.governance import Card
from modelwright_operator.api.meta import Model, ModelName, Pod, Resource, Resources, Short, immutable, rules
from modelwright_operator.api.own_code import OwnCode
from modelwright_operator.api.scheduling import Scheduling
from modelwright_operator.api.stores import Signing
from modelwright_operator.api.training_parts import (
    Column,
    Columns,
    ColumnSchema,
    Data,
    Evaluation,
    Gate,
    Source,
    Storage,
    Trainer,
)
from modelwright_operator.api.training_status import TrainingJobStatus
from modelwright_operator.api.tuning import Tuning
from modelwright_training.contract import (
    FAIRNESS_METRICS,
    LABEL_METRICS,
    PROBABILITY_METRICS,
    REGRESSION_METRICS,
    TIMED_METRICS,
)


class TrainingJobSpec(Model):
    """A run: its data, trainer, evaluation and destination."""

    model: ModelName = Field(description="Name of the model this job makes a version of.")
    requested_by: Short | None = Field(
        default=None,
        description="Who asks for the run. The chart's four-eyes policy requires it to be the requester's own user "
        "name, and that somebody else approves what the run makes.",
    )
    source: Source | None = Field(default=None, description="The code this run belongs to.")
    data: list[Data] = Field(
        min_length=1,
        max_length=20,
        description="Tables to learn from; those not held out are stacked.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    target: Column = Field(description="Column to predict (sklearn:// data sets call it target).")
    task: Literal["Auto", "Classification", "Regression"] = Field(
        default="Auto",
        description="Auto: what the estimator is, a classifier or a regressor; trainer.container needs another.",
    )
    positive_label: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        default=None,
        description='Of two classes the one that metrics are about, as text: "yes", "1", "true". Absent: the second in '
        "sorted order. The probabilities come in sorted order in any case.",
    )
    columns: Columns | None = Field(default=None, description="Which columns are what; absent: found from the data.")
    features: FeatureSource | None = Field(
        default=None, description="A feature store whose features are joined to the rows, as of each row's time."
    )
    prepare: OwnCode | None = Field(
        default=None,
        description="An image of yours that turns the tables of spec.data, with the features of spec.features, into "
        "those to learn from: it reads "
        "/workspace/data/NAME.parquet and writes /workspace/prepared/NAME.parquet for each.",
    )
    schema_: list[ColumnSchema] | None = Field(
        default=None,
        alias="schema",
        max_length=300,
        description="What columns of the data must be, in every data set; columns not named may be anything.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    trainer: Trainer | None = Field(default=None, description="How to train; absent with tuning.algorithm AutoML only.")
    tuning: Tuning | None = Field(default=None, description="Search for the trainer's parameters; absent: as given.")
    evaluation: Evaluation = Field(
        default_factory=lambda: Evaluation(holdout_percent=25),
        description="Which rows judge the model; 25 percent by default.",
        json_schema_extra={"default": {"holdoutPercent": 25}},
    )
    gates: list[Gate] | None = Field(
        default=None,
        max_length=16,
        description="What the model must reach on the holdout to become a version; absent: nothing.",
    )
    seed: Annotated[int, Field(ge=0, le=2147483647)] = Field(
        default=0, description="Seed of every random choice: same data and seed, same model digest."
    )
    resources: Resources | None = Field(default=None, description="Compute of the training stages.")
    retry_limit: Annotated[int, Field(ge=0, le=10)] = Field(
        default=2, description="How often a run that failed for no lasting reason is started again."
    )
    active_deadline_seconds: Annotated[int, Field(ge=1, le=2592000)] = Field(
        default=86400, description="Longest time of one attempt, in seconds."
    )
    scheduling: Scheduling | None = Field(
        default=None, description="Who decides when the job may run; absent: it runs at once."
    )
    pod: Pod | None = Field(default=None, description="Settings of the pods.")
    storage: Storage | None = Field(default=None, description="Where to publish; absent: the operator's default.")
    signing: Signing | None = Field(
        default=None, description="What the model is signed with; absent: the operator's default, if it has one."
    )
    card: Card | None = Field(
        default=None, description="Who answers for the model, and what it is for; the version says it, too."
    )
    suspend: bool = Field(default=False, description="True: do not run, or stop the running attempt.")
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31536000)] = Field(
        default=86400, description="Seconds until the batch Job and its pods are removed; the TrainingJob stays."
    )


_KINDS = (
    ("Regression", "Regressor", REGRESSION_METRICS),
    ("Classification", "Classifier", (*LABEL_METRICS, *PROBABILITY_METRICS, *FAIRNESS_METRICS)),
)
_SLICES = "has(self.evaluation.slices) && g.slice in self.evaluation.slices"
_SLICED = f"!has(self.gates) || self.gates.all(g, !has(g.slice) || ({_SLICES}))"
_TIMED = list(TIMED_METRICS)
_SKLEARN = "has(self.trainer) && has(self.trainer.sklearn)"
_CONTAINER = "(has(self.trainer) && has(self.trainer.container))"
_SAME = f"self.task == '{{}}' || ({_SKLEARN} && self.trainer.sklearn.estimator.endsWith('{{}}'))"
_AUTO = "(has(self.tuning) && self.tuning.algorithm == 'AutoML')"
_GATES = [
    (
        f"!has(self.gates) || self.gates.all(g, g.metric in {[*metrics, *_TIMED]}) || !({_SAME.format(task, suffix)})",
        f"spec.gates has a metric that {task.lower()} does not: it has {', '.join(metrics)}",
    )
    for task, suffix, metrics in _KINDS
]
_TUNING = [
    (
        (
            "!has(self.tuning) || !has(self.tuning.metric)"
            f" || self.tuning.metric in {list(metrics)} || !({_SAME.format(task, suffix)})"
        ),
        f"spec.tuning.metric is none that {task.lower()} has: it has {', '.join(metrics)}",
    )
    for task, suffix, metrics in _KINDS
]
_AUTOML = [
    (
        f"has(self.trainer) != {_AUTO}",
        "spec.trainer says how to train: give it, unless spec.tuning.algorithm is AutoML, which finds out",
    ),
    (f"self.task != 'Auto' || !{_AUTO}", "spec.task must be Classification or Regression for AutoML"),
]
_OWN_TRAINER = [
    (
        f"!{_CONTAINER} || self.task != 'Auto'",
        "spec.task must be Classification or Regression with spec.trainer.container",
    ),
    (
        f"!{_CONTAINER} || !has(self.tuning)",
        "spec.tuning searches for parameters of trainer.sklearn: remove it, your image can search by itself",
    ),
]
TrainingJobSpec.model_config["json_schema_extra"] = {
    "x-kubernetes-validations": [
        *immutable(
            TrainingJobSpec,
            mutable=("suspend", "ttlSecondsAfterFinished"),
            advice="a TrainingJob is one run; create another one",
        )["x-kubernetes-validations"],
        *rules(
            (
                "!has(self.evaluation.holdout) || self.data.exists(d, d.name == self.evaluation.holdout)",
                "spec.evaluation.holdout must be the name of a data set in spec.data",
            ),
            (
                "!has(self.evaluation.holdout) || self.data.size() > 1",
                "spec.evaluation.holdout leaves no data to train on: add a data set to spec.data",
            ),
            (
                "!has(self.scheduling) || !has(self.tuning)",
                "spec.scheduling.queueName does not go with spec.tuning: a search's Jobs are not queued; leave one out",
            ),
            *_GATES,
            (
                _SLICED,
                "a slice in spec.gates must be one of spec.evaluation.slices",
            ),
            (
                "!has(self.gates) || has(self.evaluation.champion) || !self.gates.exists(g, has(g.maxRegression))",
                "spec.gates has maxRegression, which needs spec.evaluation.champion to compare with",
            ),
            (
                (
                    "!has(self.columns) || ((!has(self.columns.time) || self.columns.time != self.target) && "
                    "(!has(self.columns.group) || self.columns.group != self.target) && "
                    "(!has(self.columns.weight) || self.columns.weight != self.target))"
                ),
                "spec.columns names the target as time, group or weight: these must be other columns",
            ),
            (
                "!has(self.schema) || self.schema.map(c, has(c.categories) ? c.categories.size() : 0).sum() <= 500",
                "spec.schema has more than 500 categories: name only those that matter",
            ),
            (
                "!has(self.positiveLabel) || self.task != 'Regression'",
                "spec.positiveLabel is for classification: remove it, or change spec.task",
            ),
            *_TUNING,
            *_AUTOML,
            *_OWN_TRAINER,
            TIMESTAMP_RULE,
        )["x-kubernetes-validations"],
    ]
}


class TrainingJob(Resource):
    """A run that turns data into a validated ONNX model and a ModelVersion."""

    spec: TrainingJobSpec
    status: TrainingJobStatus = Field(default_factory=TrainingJobStatus)
