"""What the sidecars of serving pods found in live traffic; they write it, the operator reads and ages it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelwright_operator.api.meta import Observed, Short, Text
from modelwright_operator.api.quality import QualityStatus
from modelwright_server.contract import monitoring

FeatureName = Annotated[str, StringConstraints(max_length=256)]


class WindowStatus(Observed):
    """The window that was closed last."""

    sequence: int = Field(default=0, ge=0, description="Its number; grows by one with each window.")
    rows: int = Field(default=0, ge=0, description="Rows that were counted in it.")
    started_at: datetime | None = Field(default=None, description="When it began.")
    closed_at: datetime | None = Field(default=None, description="When it was closed.")
    closed_by: Short = Field(default="", description="Name of the pod that closed it.")
    missing: list[Short] = Field(
        default_factory=list[Short],
        max_length=monitoring.MOST_MISSING,
        description="Addresses of the replicas that did not report; their rows are in the next window.",
    )


class Coverage(Observed):
    """Whose rows are in a window."""

    replicas: int = Field(default=0, ge=0, description="Number of replicas.")
    reported: int = Field(default=0, ge=0, description="How many of them reported their rows.")


class MonitoringTotal(Observed):
    """All windows of a version together."""

    windows: int = Field(default=0, ge=0, description="Number of windows.")
    rows: int = Field(default=0, ge=0, description="Rows that were counted.")
    lost: int = Field(default=0, ge=0, description="Answered rows that could not be counted.")


class QualityShare(Observed):
    """A share of values that the baseline does not explain."""

    share: Literal["missing", "outOfRange", "unseen"] = Field(description="Which values.")
    live: float = Field(description="Their share of the window's rows, 0 to 1.")
    expected: float = Field(description="Their share of the baseline's rows, 0 to 1.")


class Figures(Observed):
    """How far a feature, or a prediction, is from the baseline."""

    name: FeatureName = Field(description="Name of the column or output.")
    psi: float = Field(default=0, description="Population stability index against the baseline.")
    p_value: float = Field(default=1, description="Probability of so much beyond drift.toleratedPSI by chance.")
    flagged: bool = Field(default=False, description="Whether it drifted in this window.")


class FeatureStatus(Figures):
    """The same, with all that is known."""

    psi_debiased: float = Field(default=0, description="The index, less what chance alone gives.")
    psi_lower: float = Field(default=0, description="What it is at least, as far as drift.alpha lets one say.")
    quality: list[QualityShare] = Field(
        default_factory=list[QualityShare], max_length=3, description="Shares that the baseline does not explain."
    )


class WindowFlags(Observed):
    """What one of the last windows showed."""

    sequence: int = Field(description="Number of the window.")
    drift: bool = Field(default=False, description="Whether a feature drifted.")
    prediction: bool = Field(default=False, description="Whether the predictions drifted.")
    quality: bool = Field(default=False, description="Whether the data was broken.")
    names: list[FeatureName] = Field(
        default_factory=list[FeatureName], max_length=5, description="Features that drifted, the clearest first."
    )


class EstimatedAccuracy(Observed):
    """What accuracy to expect without labels, from the scores of the window's rows; nothing is decided on it."""

    value: float = Field(description="The estimate, 0 to 1.")
    low: float = Field(description="Where an interval of 95 % for chance begins.")
    high: float = Field(description="Where it ends.")
    holdout: float = Field(description="Accuracy on the rows held out in training, for comparison.")
    rows: int = Field(ge=0, description="Rows of the window that it is of.")
    assumes: Literal["NoConceptDrift"] = Field(
        description="What must hold: rows of equal score are predicted right as often as in training, so that only the "
        "rows changed and not what they mean."
    )


class TrackMonitoring(Observed):
    """The windows of one track's pods."""

    window: WindowStatus | None = Field(default=None, description="The window that was closed last.")
    version: Short | None = Field(default=None, description="Name of the ModelVersion that answered its rows.")
    digest: Short | None = Field(default=None, description="Digest of that version, whose baseline it is.")
    revision: Short | None = Field(default=None, description="Hash of everything its pods run.")
    coverage: Coverage | None = Field(default=None, description="Whose rows are in the window.")
    lost: int = Field(default=0, ge=0, description="Answered rows of the window that could not be counted.")
    total: MonitoringTotal | None = Field(default=None, description="All windows of this version together.")
    estimated_accuracy: EstimatedAccuracy | None = Field(
        default=None,
        description="What accuracy to expect of a classifier of two classes, without labels; absent while data is "
        "broken or rows are few.",
    )
    recent: list[WindowFlags] = Field(
        default_factory=list[WindowFlags],
        max_length=monitoring.MOST_RECENT,
        description="What the last windows with enough rows showed, oldest first.",
    )


class TrackFinding(Observed):
    """What would be a condition, were it not the canary's."""

    type: Short = Field(description="Name of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    message: Text = Field(default="", description="The same in words.")


class CanaryMonitoring(TrackMonitoring):
    """The windows of the pods that are tried."""

    features: list[Figures] = Field(
        default_factory=list[Figures],
        max_length=monitoring.MOST_FEATURES,
        description="The features that are furthest from the baseline.",
    )
    prediction: list[Figures] = Field(default_factory=list[Figures], max_length=2, description="The predictions.")
    findings: list[TrackFinding] = Field(
        default_factory=list[TrackFinding], max_length=5, description="What follows for the canary."
    )


class MonitoringStatus(TrackMonitoring):
    """What the sidecars found; at the top the pods that clients reach."""

    quality: QualityStatus | None = Field(
        default=None, description="How good the version that clients reach is, by the labels that came back."
    )
    features: list[FeatureStatus] = Field(
        default_factory=list[FeatureStatus],
        max_length=monitoring.MOST_FEATURES,
        description="The features that are furthest from the baseline.",
    )
    prediction: list[Figures] = Field(
        default_factory=list[Figures],
        max_length=2,
        description="The predictions: label and probability of the second of two classes, label, or number.",
    )
    canary: CanaryMonitoring | None = Field(default=None, description="The same of the pods that are tried.")
