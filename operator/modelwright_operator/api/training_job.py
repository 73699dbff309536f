"""TrainingJob: a run that turns data into a validated ONNX model; with `suspend: true`, a template that waits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.meta import (
    DNS_LABEL,
    PVC_URI,
    Digest,
    Model,
    ModelName,
    Observed,
    Pod,
    Resource,
    Resources,
    Short,
    Status,
    StorageUri,
    Text,
    exactly_one,
    immutable,
    rules,
)

Column = Annotated[str, StringConstraints(min_length=1, max_length=128)]
DataName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=DNS_LABEL)]


class Source(Model):
    """The code a run belongs to; recorded in the ModelVersion."""

    repository: Annotated[str, StringConstraints(max_length=512, pattern="^(https|ssh|git)://.+$")] = Field(
        description="URL of the repository."
    )
    commit: Annotated[str, StringConstraints(max_length=64, pattern="^[0-9a-f]{7,64}$")] = Field(
        description="Commit, in hex."
    )


class Data(Model):
    """A table to learn from, read in the job's pod."""

    name: DataName = Field(description="Name of the data set in this job.")
    uri: Annotated[str, StringConstraints(max_length=1024, pattern=f"^(sklearn://[a-z_]+|{PVC_URI})$")] = Field(
        description="sklearn://NAME (a data set bundled with scikit-learn) or pvc://CLAIM/PATH "
        "(CSV or Parquet; * and ? match files)."
    )
    digest: Digest | None = Field(
        default=None, description="sha256 the data must have; the digest found is recorded in any case."
    )


class Columns(Model):
    """Which columns are what."""

    drop: list[Column] | None = Field(default=None, max_length=500, description="Columns to leave out.")
    categorical: list[Column] | None = Field(
        default=None, max_length=500, description="Numeric columns to treat as categories; text always is."
    )


class Sklearn(Model):
    """A scikit-learn estimator, trained by Modelwright's own image."""

    estimator: Annotated[
        str, StringConstraints(max_length=200, pattern=r"^sklearn\.([a-z][a-z0-9_]*\.)+[A-Z][A-Za-z0-9]*$")
    ] = Field(
        description="Import path of a classifier or regressor, for example sklearn.linear_model.LogisticRegression."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        max_length=50,
        description='Keyword arguments of the estimator; write Python\'s None as the text "None".',
    )
    preprocessing: Literal["Auto", "None"] = Field(
        default="Auto",
        description="Auto: impute, scale and encode columns as the estimator needs; None: numeric columns as they are.",
    )


class Trainer(Model):
    """How to train: exactly one of its fields."""

    sklearn: Sklearn = Field(description="A scikit-learn estimator.")


class Evaluation(Model):
    """Which rows judge the model: exactly one of the two."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (exactly_one("holdout", "holdoutPercent"), "give exactly one of holdout and holdoutPercent")
        )
    )

    holdout: DataName | None = Field(default=None, description="The data set, of spec.data, kept for evaluation.")
    holdout_percent: Annotated[int, Field(ge=1, le=90)] | None = Field(
        default=None, description="Percent of the rows kept for evaluation: stratified for classes, seeded."
    )


class Storage(Model):
    """Where models are published."""

    uri: StorageUri = Field(description="pvc://CLAIM/PATH; the claim must exist in this namespace.")


class TrainingJobSpec(Model):
    """A run: its data, trainer, evaluation and destination."""

    model: ModelName = Field(description="Name of the model this job makes a version of.")
    source: Source | None = Field(default=None, description="The code this run belongs to.")
    data: list[Data] = Field(
        min_length=1,
        max_length=20,
        description="Tables to learn from; those not held out are stacked.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    target: Column = Field(description="Column to predict (sklearn:// data sets call it target).")
    task: Literal["Auto", "Classification", "Regression"] = Field(
        default="Auto", description="Auto: what the estimator is, a classifier or a regressor."
    )
    columns: Columns | None = Field(default=None, description="Which columns are what; absent: found from the data.")
    trainer: Trainer = Field(description="How to train.")
    evaluation: Evaluation = Field(
        default_factory=lambda: Evaluation(holdout_percent=25),
        description="Which rows judge the model; 25 percent by default.",
        json_schema_extra={"default": {"holdoutPercent": 25}},
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
    pod: Pod | None = Field(default=None, description="Settings of the pods.")
    storage: Storage | None = Field(default=None, description="Where to publish; absent: the operator's default.")
    suspend: bool = Field(default=False, description="True: do not run, or stop the running attempt.")
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31536000)] = Field(
        default=86400, description="Seconds until the batch Job and its pods are removed; the TrainingJob stays."
    )


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
        )["x-kubernetes-validations"],
    ]
}


class StageStatus(Observed):
    """One stage of the current attempt."""

    name: Short = Field(description="fetch, train, evaluate or publish.")
    state: Literal["Waiting", "Running", "Succeeded", "Failed"] = Field(description="How far the stage is.")
    exit_code: int | None = Field(default=None, description="Exit code of the stage's container, once it ended.")
    message: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="What a failed stage reported, or the end of its log."
    )
    started_at: datetime | None = Field(default=None, description="When the stage started.")
    finished_at: datetime | None = Field(default=None, description="When the stage ended.")


class Metric(Observed):
    """A figure measured on the holdout."""

    name: Short = Field(description="Name of the metric, for example accuracy or roc_auc.")
    value: float = Field(description="Its value.")
    dataset: Short = Field(default="holdout", description="Rows it was measured on.")


class DataDigest(Observed):
    """What a data set turned out to be."""

    name: Short = Field(description="Name of the data set in the job.")
    uri: Text = Field(description="Where it was read from.")
    digest: Digest = Field(description="sha256 of what was read.")
    rows: int | None = Field(default=None, description="Number of rows read.")


class Resolved(Observed):
    """What this run was made of, for reproduction."""

    data: list[DataDigest] = Field(default_factory=list[DataDigest], max_length=20, description="Digests of the data.")
    image: Text | None = Field(default=None, description="Image of the training stages.")
    parameters_digest: Digest | None = Field(
        default=None, description="Digest of trainer, columns, evaluation, task, target and seed."
    )


class PublishedArtifact(Observed):
    """The published model."""

    uri: Text = Field(description="Directory of the artifact.")
    digest: Digest = Field(description="sha256 of the artifact's manifest.")
    size_bytes: int = Field(description="Size of the artifact in bytes.")


class TrainingJobStatus(Status):
    """How the run is going."""

    attempt: int = Field(default=0, description="Number of the current attempt, from 1; 0: none was started.")
    job: Short | None = Field(default=None, description="Name of the batch Job of the current attempt.")
    stage: Short | None = Field(default=None, description="The stage that is running or failed.")
    stages: list[StageStatus] = Field(
        default_factory=list[StageStatus], max_length=16, description="The stages of the attempt."
    )
    task: Short | None = Field(default=None, description="Classification or Regression, once known.")
    metrics: list[Metric] = Field(default_factory=list[Metric], max_length=64, description="Figures on the holdout.")
    resolved: Resolved | None = Field(default=None, description="What this run was made of.")
    artifact: PublishedArtifact | None = Field(default=None, description="The published model.")
    model_version: Short | None = Field(default=None, description="The ModelVersion made, or reproduced.")
    reproduced: bool = Field(default=False, description="True: the model equals a version that existed before.")
    started_at: datetime | None = Field(default=None, description="When the first attempt started.")
    finished_at: datetime | None = Field(default=None, description="When the run ended.")


class TrainingJob(Resource):
    """A run that turns data into a validated ONNX model and a ModelVersion."""

    spec: TrainingJobSpec
    status: TrainingJobStatus = Field(default_factory=TrainingJobStatus)
