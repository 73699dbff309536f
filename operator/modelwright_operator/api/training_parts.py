"""The parts of a TrainingJob's spec: data, columns, trainer, evaluation and storage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.capture import CapturedData
from modelwright_operator.api.meta import (
    DNS_LABEL,
    Digest,
    Model,
    ObjectName,
    Resources,
    exactly_one,
    rules,
)
from modelwright_operator.api.own_code import OwnCode
from modelwright_operator.api.stores import DATA_URI, STORE_CONDITIONS, STORE_RULES, PlaceUri, Store
from modelwright_training.contract import FAIRNESS_METRICS, METRICS, TIMED_METRICS, UNBOUNDED_METRICS, GateMetricName

Column = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Limit = Annotated[float, Field(ge=-1e15, le=1e15)]
DataName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=DNS_LABEL)]


class Source(Model):
    """The code a run belongs to; recorded in the ModelVersion."""

    repository: Annotated[str, StringConstraints(max_length=512, pattern="^(https|ssh|git)://.+$")] = Field(
        description="URL of the repository."
    )
    commit: Annotated[str, StringConstraints(max_length=64, pattern="^[0-9a-f]{7,64}$")] = Field(
        description="Commit, in hex."
    )


class Data(Store):
    """A table to learn from, read in the job's pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (exactly_one("uri", "captured"), "give each data set either uri or captured"),
            (
                (
                    "has(self.uri) || [has(self.endpoint), has(self.region), has(self.secretName), has(self.digest)]"
                    ".filter(x, x).size() == 0"
                ),
                "endpoint, region, secretName and digest go with uri: of captured rows the Deployment says them",
            ),
            *((f"!has(self.uri) || {rule}", message) for rule, message in STORE_CONDITIONS),
        )
    )

    name: DataName = Field(description="Name of the data set in this job.")
    uri: Annotated[str, StringConstraints(max_length=1024, pattern=f"^({DATA_URI})$")] | None = Field(
        default=None,
        description="pvc://CLAIM/PATH, s3://, gs:// or az://BUCKET/KEY (* and ? match files), https://HOST/PATH, or "
        "sklearn://NAME (bundled with scikit-learn); files are .csv, .parquet or .arrow.",
    )
    captured: CapturedData | None = Field(
        default=None, description="Rows that a Deployment captured, with the labels that came back for them."
    )
    digest: Digest | None = Field(
        default=None, description="sha256 the data must have; the digest found is recorded in any case."
    )


class Columns(Model):
    """Which columns are what."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    "(!has(self.time) || !has(self.group) || self.time != self.group) && "
                    "(!has(self.time) || !has(self.weight) || self.time != self.weight) && "
                    "(!has(self.group) || !has(self.weight) || self.group != self.weight)"
                ),
                "columns.time, columns.group and columns.weight must be different columns",
            ),
            (
                (
                    "!has(self.categorical) || !self.categorical.exists(c, (has(self.time) && c == self.time) || "
                    "(has(self.group) && c == self.group) || (has(self.weight) && c == self.weight))"
                ),
                "columns.categorical names the column of time, group or weight, which is no feature: remove it there",
            ),
        )
    )

    drop: list[Column] | None = Field(default=None, max_length=500, description="Columns to leave out.")
    categorical: list[Column] | None = Field(
        default=None, max_length=500, description="Numeric columns to treat as categories; text always is."
    )
    time: Column | None = Field(
        default=None,
        description="Column of timestamps, dates or numbers that orders the rows; never a feature. With "
        "holdoutPercent the newest rows are held out.",
    )
    group: Column | None = Field(
        default=None,
        description="Column that says which rows belong together, such as a customer; never a feature. With "
        "holdoutPercent no group has rows on both sides.",
    )
    weight: Column | None = Field(
        default=None,
        description="Column of numbers, 0 or more: how much a row counts in the fit; never a feature. Metrics count "
        "each row once.",
    )


class ColumnSchema(Model):
    """What a column of the data must be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.categories) || self.type in ['Text', 'Integer']",
                "categories are for the types Text and Integer: remove them, or change type",
            ),
            (
                "!(has(self.min) || has(self.max)) || self.type in ['Number', 'Integer']",
                "min and max are for the types Number and Integer: remove them, or change type",
            ),
            ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be above max"),
        )
    )

    name: Column = Field(description="Name of the column.")
    type: Literal["Number", "Integer", "Boolean", "Text", "Date", "Timestamp"] = Field(
        description="Type of its values; whole numbers are Numbers as well."
    )
    nullable: bool = Field(default=False, description="True: values may be missing (null, NaN, the empty text).")
    categories: list[Annotated[str, StringConstraints(max_length=128)]] | None = Field(
        default=None, min_length=1, max_length=100, description="The only values it may have; whole numbers in digits."
    )
    min: float | None = Field(default=None, description="Least value it may have, in the column's unit.")
    max: float | None = Field(default=None, description="Greatest value it may have, in the column's unit.")


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
        description='Keyword arguments of the estimator; write Python\'s None as the text "None", estimators inside it'
        " as objects with estimator and parameters.",
    )
    preprocessing: Literal["Auto", "None"] = Field(
        default="Auto",
        description="Auto: impute, scale and encode columns as the estimator needs; None: numeric columns as they are.",
    )


class Trainer(Model):
    """How to train: exactly one of its fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (exactly_one("sklearn", "container"), "give exactly one of sklearn and container as the trainer")
        )
    )

    sklearn: Sklearn | None = Field(default=None, description="A scikit-learn estimator.")
    container: OwnCode | None = Field(
        default=None,
        description="An image of yours that trains: it reads /workspace/data/train.parquet, which has no row of the "
        "holdout, and writes to /workspace/model a fitted estimator, model.joblib, or an ONNX model, model.onnx.",
    )


class Latency(Model):
    """How the finished model is timed: as a Deployment with the same resources and threads would run it."""

    resources: Resources | None = Field(
        default=None,
        description="Compute of the container that times the model; absent: a model server's default, which has no "
        "CPU limit.",
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Threads of one inference.")
    rows: Annotated[int, Field(ge=1, le=4096)] = Field(default=1, description="Rows in each call.")


class Champion(Model):
    """The model to compare with: exactly one of its fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (exactly_one("deployment", "version"), "give exactly one of deployment and version as the champion")
        )
    )

    deployment: ObjectName | None = Field(
        default=None,
        description="Deployment of this namespace: what it serves when the attempt starts. If it serves nothing yet, "
        "or does not exist, there is no champion, and gates on regression pass.",
    )
    version: ObjectName | None = Field(default=None, description="ModelVersion of this namespace, which must exist.")


class Evaluation(Model):
    """How the model is judged: on which rows (exactly one of holdout and holdoutPercent), and what is measured."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (exactly_one("holdout", "holdoutPercent"), "give exactly one of holdout and holdoutPercent")
        )
    )

    holdout: DataName | None = Field(default=None, description="The data set, of spec.data, kept for evaluation.")
    holdout_percent: Annotated[int, Field(ge=1, le=90)] | None = Field(
        default=None,
        description="Percent of the rows kept for evaluation: the newest by columns.time, else whole groups by "
        "columns.group, else drawn by the seed, of each class alike.",
    )
    slices: list[Column] | None = Field(
        default=None,
        max_length=10,
        description="Columns by whose groups the holdout is measured too; they need not be features. Numbers are cut "
        "at the quartiles of the training rows.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    min_slice_rows: Annotated[int, Field(ge=30, le=1000000)] | None = Field(
        default=None, description="Rows of the holdout that a group must have to be measured; 200 by default."
    )
    latency: Latency | None = Field(
        default=None,
        description="Time the ONNX model, in a container of its own, and give latencyP50Milliseconds, "
        "latencyP99Milliseconds (of a call, best of three runs) and sizeBytes (of the ONNX file); {} takes the "
        "defaults. Absent: not timed, unless a gate needs it.",
    )
    champion: Champion | None = Field(
        default=None,
        description="The model that answers the same holdout, for gates with maxRegression; the evidence is in the "
        "artifact's report.json.",
    )


_FRACTIONS = "[has(self.min) ? self.min : 0.0, has(self.max) ? self.max : 0.0].all(x, x >= 0.0 && x <= 1.0)"


class Gate(Model):
    """A limit that one metric must keep to: exactly one of min, max and maxRegression."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (exactly_one("min", "max", "maxRegression"), "a gate has exactly one of min, max and maxRegression"),
            ("!has(self.confidence) || has(self.maxRegression)", "confidence goes with maxRegression only"),
            (
                f"!has(self.maxRegression) || (self.metric in {list(METRICS)} && !has(self.slice))",
                "maxRegression is for metrics of the whole holdout: give this one a min or max",
            ),
            (
                f"self.metric in {sorted(UNBOUNDED_METRICS)} || {_FRACTIONS}",
                "this metric lies between 0 and 1: write its min or max as a fraction",
            ),
            (
                f"has(self.slice) || !(self.metric in {list(FAIRNESS_METRICS)})",
                "this metric compares groups: name their slice, one of spec.evaluation.slices",
            ),
            (
                f"!has(self.slice) || !(self.metric in {list(TIMED_METRICS)})",
                "this metric is of the model, not of rows: it has no slice",
            ),
        )
    )

    metric: GateMetricName = Field(
        description="The metric of the ONNX model: of the job's task, measured on the holdout, or one of "
        "evaluation.latency."
    )
    min: Limit | None = Field(default=None, description="Least value that passes, in the metric's own unit.")
    max: Limit | None = Field(default=None, description="Greatest value that passes, in the metric's own unit.")
    max_regression: Annotated[float, Field(ge=0, le=1e15)] | None = Field(
        default=None,
        description="How much worse than the champion's the metric may be on the same holdout, in its own unit; for "
        "some lower is worse, for some higher. Needs evaluation.champion; without a champion yet, the gate passes.",
    )
    confidence: Annotated[float, Field(ge=0.5, le=0.999)] | None = Field(
        default=None,
        description="Let not the measured regression but its one-sided upper limit at this confidence keep to "
        "maxRegression. Absent: the measured one.",
    )
    slice: Column | None = Field(
        default=None,
        description="One of spec.evaluation.slices: every measured group of it must keep to the limit, or, for "
        "differences and ratios, all of them together. Absent: the whole holdout.",
    )


class Storage(Store):
    """Where models are published."""

    model_config = ConfigDict(json_schema_extra=STORE_RULES)

    uri: PlaceUri = Field(
        description="pvc://CLAIM/PATH, or s3://, gs:// or az://BUCKET/KEY; the claim or bucket must exist."
    )
