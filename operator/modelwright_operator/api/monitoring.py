"""What is watched of live traffic, and what counts as drift."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from modelwright_operator.api.capture import Capture, PayloadLog
from modelwright_operator.api.meta import Model, rules
from modelwright_operator.api.quality import Quality


class MonitoringWindow(Model):
    """How many rows are judged together."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.minSeconds <= self.maxSeconds",
                "spec.monitoring.window.minSeconds is above spec.monitoring.window.maxSeconds",
            )
        )
    )

    rows: Annotated[int, Field(ge=50, le=10_000_000)] = Field(
        default=2000, description="Rows of all replicas together with which a window closes."
    )
    min_seconds: Annotated[int, Field(ge=5, le=86400)] = Field(
        default=60, description="Seconds that a window lasts at least, however many rows there are."
    )
    max_seconds: Annotated[int, Field(ge=5, le=604800)] = Field(
        default=3600, description="Seconds after which a window closes with fewer rows, unless it has none."
    )


class Drift(Model):
    """When a feature, or what the model predicts, counts as drifted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.flagged <= self.of", "spec.monitoring.drift.flagged is above spec.monitoring.drift.of")
        )
    )

    alpha: Annotated[float, Field(ge=0.0001, le=0.1)] = Field(
        default=0.001, description="Probability of a false alarm in a window, over all features together."
    )
    tolerated_psi: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.02,
        alias="toleratedPSI",
        description="Population stability index that nobody needs to hear of, however certain it is.",
    )
    min_rows: Annotated[int, Field(ge=50, le=10_000_000)] = Field(
        default=500, description="Rows of a window below which nothing is said of it."
    )
    flagged: Annotated[int, Field(ge=1, le=10)] = Field(
        default=2, description="Number of windows, of the last ones, that must have drifted."
    )
    of: Annotated[int, Field(ge=1, le=10)] = Field(default=3, description="Number of these last windows.")


class Monitoring(Model):
    """What is watched of live traffic."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.drift) ? self.drift.minRows : 500) <= (has(self.window) ? self.window.rows : 2000)",
                "spec.monitoring.drift.minRows is above spec.monitoring.window.rows: no window would have enough",
            )
        )
    )

    window: MonitoringWindow = Field(default_factory=MonitoringWindow, description="How many rows are judged together.")
    drift: Drift = Field(default_factory=Drift, description="When features and predictions count as drifted.")
    quality: Quality | None = Field(
        default=None, description="How good the model must be by the labels that come back; absent: none are taken."
    )
    capture: Capture | None = Field(
        default=None, description="Which requests and predictions are kept, and where; absent: none."
    )
    payload_log: PayloadLog | None = Field(
        default=None, description="Where requests and responses go as CloudEvents; absent: nowhere."
    )
    max_model_age_seconds: Annotated[int, Field(ge=60, le=315_360_000)] | None = Field(
        default=None,
        description="Seconds after which the version that answers is stale, counted from the ModelVersion's creation; "
        "absent: never.",
    )
