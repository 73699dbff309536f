"""How good a model has to be by the labels that come back, and how good it is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from modelwright_operator.api.meta import Model, Observed, Short, exactly_one, rules
from modelwright_server.contract import monitoring

_LEAST = ["accuracy", "roc_auc"]
_MOST = ["rmse", "mae"]


class Quality(Model):
    """What a model must reach by the labels that are posted to port 8083 of its pods."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (exactly_one("min", "max"), "spec.monitoring.quality has exactly one of min and max"),
            (
                f"has(self.min) == (self.metric in {_LEAST})",
                f"spec.monitoring.quality: {' and '.join(_LEAST)} have a min, {' and '.join(_MOST)} a max",
            ),
        )
    )

    metric: Literal["accuracy", "roc_auc", "rmse", "mae"] = Field(
        description="The metric: accuracy of classes, roc_auc of two classes, rmse or mae of numbers."
    )
    min: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Value below which the model counts as degraded; accuracy and roc_auc only."
    )
    max: Annotated[float, Field(ge=0, le=1_000_000_000_000)] | None = Field(
        default=None, description="Value above which the model counts as degraded, in its own unit; rmse and mae only."
    )
    max_label_delay_seconds: Annotated[int, Field(ge=3600, le=63_072_000)] = Field(
        default=1_209_600,
        description="Seconds from a prediction after which its label does not count any more; the verdict is on all "
        "predictions that are no older.",
    )
    min_labels: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        default=100, description="Number of labels below which nothing is said."
    )


class Cohort(Observed):
    """What one version predicted on one day, or on several where labels may take longer than 30 days."""

    version: Short = Field(description="First ten digits of the version's digest, as in prediction ids.")
    day: Short = Field(description="The first day, UTC.")
    value: float | None = Field(default=None, description="The metric by the labels of these predictions.")
    low: float | None = Field(default=None, description="Lower limit of its interval of 95 % confidence.")
    high: float | None = Field(default=None, description="Upper limit of that interval.")
    predictions: int = Field(default=0, ge=0, description="Rows that were predicted.")
    labels: int = Field(default=0, ge=0, description="How many of them have a label.")
    counts: dict[Short, float] = Field(
        default_factory=dict[str, float],
        max_length=16,
        description="What metrics are computed from: labels correct, foreign (no class of the model) and measured (of "
        "numbers), sums of delaySeconds and of errors absolute, squared and fourth powers.",
    )
    negatives: list[int] = Field(
        default_factory=list[int],
        max_length=monitoring.SCORE_BINS,
        description="Labels of the first class by bins of the score; with metric roc_auc.",
    )
    positives: list[int] = Field(
        default_factory=list[int],
        max_length=monitoring.SCORE_BINS,
        description="Labels of the second class by the same bins.",
    )


class LabelMark(Observed):
    """Up to where a pod's labels are in the figures."""

    pod: Short = Field(description="Number of the sidecar.")
    part: int = Field(default=0, ge=0, description="Number of its last part that is in them.")
    at: int = Field(default=0, ge=0, description="When that was, in seconds since 1970.")


class QualityStatus(Observed):
    """How good the version that clients reach is, by the labels that came back."""

    metric: Short = Field(default="", description="The metric.")
    version: Short = Field(default="", description="Name of the ModelVersion.")
    updated_at: datetime | None = Field(default=None, description="When these figures were written.")
    value: float | None = Field(default=None, description="The metric by all labels that count for the verdict.")
    low: float | None = Field(default=None, description="Lower limit of its interval of 95 % confidence.")
    high: float | None = Field(default=None, description="Upper limit of that interval.")
    labels: int = Field(default=0, ge=0, description="Number of these labels.")
    predictions: int = Field(default=0, ge=0, description="Number of the predictions that could have one.")
    coverage: float = Field(default=0, ge=0, description="Share of these predictions that have a label, 0 to 1.")
    foreign: int = Field(default=0, ge=0, description="Labels that are no class of the model; they count as wrong.")
    mean_delay_seconds: int | None = Field(
        default=None, description="Seconds from prediction to label, in the mean of these labels."
    )
    cohorts: list[Cohort] = Field(
        default_factory=list[Cohort],
        max_length=monitoring.MOST_COHORTS,
        description="The same by version and day of the prediction, oldest first.",
    )
    pods: list[LabelMark] = Field(
        default_factory=list[LabelMark],
        max_length=monitoring.MOST_MARKS,
        description="Up to where each pod's labels are in the figures, so that none is counted twice.",
    )
