"""When a Deployment has its model trained anew, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from modelwright_operator.api.meta import DNS_LABEL, Model, Observed, Short, Text

MOST_PER_WEEK: Final = 50
_TRIGGERED: Final = "!has(self.retraining) || !has(self.retraining.triggers)"
NEEDS_AGE: Final = (
    (
        f"{_TRIGGERED} || !('Age' in self.retraining.triggers)"
        " || (has(self.monitoring) && has(self.monitoring.maxModelAgeSeconds))"
    ),
    "spec.retraining.triggers has Age, which needs spec.monitoring.maxModelAgeSeconds to tell when the model is stale",
)
NEEDS_MONITORING: Final = (
    f"{_TRIGGERED} || has(self.monitoring) || self.retraining.triggers.all(t, t == 'Age')",
    "spec.retraining.triggers has what only spec.monitoring can find: give that, or leave the trigger out",
)
NEEDS_QUALITY: Final = (
    (
        f"{_TRIGGERED} || !('Quality' in self.retraining.triggers)"
        " || (has(self.monitoring) && has(self.monitoring.quality))"
    ),
    "spec.retraining.triggers has Quality, which needs spec.monitoring.quality to tell what is not good enough",
)
_CRON: Final = r"^[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$"

TriggerName = Literal["DataDrift", "PredictionDrift", "Quality", "Age"]
Outcome = Literal[
    "Running",
    "RollingOut",
    "Promoted",
    "Rejected",
    "RolledBack",
    "NoNewData",
    "UpdateAvailable",
    "Superseded",
    "Failed",
]


class Retraining(Model):
    """When the model is trained anew, from what, and how often at most."""

    training_job: Annotated[str, StringConstraints(min_length=1, max_length=57, pattern=DNS_LABEL)] = Field(
        description="TrainingJob of this namespace to run again: one with spec.suspend true, which waits as a "
        "template, or one that completed. Each run is a new TrainingJob made from its spec."
    )
    triggers: list[TriggerName] = Field(
        default_factory=list[TriggerName],
        max_length=4,
        description="Conditions that start a run: DataDriftDetected, PredictionDriftDetected, ModelQualityDegraded "
        "(Quality) and ModelStale (Age).",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    schedule: Annotated[str, StringConstraints(max_length=100, pattern=_CRON)] | None = Field(
        default=None,
        description="When to train whatever was seen, as a cron expression of five fields in UTC, for example "
        '"0 3 * * 0"; absent: never.',
    )
    cooldown_seconds: Annotated[int, Field(ge=10, le=7_776_000)] = Field(
        default=86_400,
        description="Seconds after the end of a run before the next may start; twice as many after a model that was "
        "not good enough.",
    )
    max_per_week: Annotated[int, Field(ge=1, le=MOST_PER_WEEK)] = Field(
        default=3, description="Runs within seven days, at most; those that found no new data do not count."
    )
    history_limit: Annotated[int, Field(ge=1, le=50)] = Field(
        default=3, description="How many finished runs are kept as TrainingJobs; their versions stay in any case."
    )


class RetrainingRun(Observed):
    """A run, from its start to what became of the version it made."""

    name: Short = Field(description="Name of the TrainingJob.")
    episode: int = Field(description="Number of the episode that it belongs to.")
    triggers: list[Short] = Field(
        default_factory=list[Short], max_length=8, description="What called for it: triggers, Schedule, ByHand."
    )
    champion: Short = Field(description="Name of the ModelVersion that answered when it started.")
    reference: Short = Field(
        default="", description="Hash of spec.model, spec.retraining and the template at its start."
    )
    started_at: datetime = Field(description="When it started.")
    finished_at: datetime | None = Field(default=None, description="When its outcome was known.")
    outcome: Outcome = Field(description="What became of it.")
    version: Short | None = Field(default=None, description="Name of the ModelVersion it made.")
    message: Text = Field(default="", description="The outcome in words.")
    recovered_at: datetime | None = Field(
        default=None, description="When the version it led to had been free for long of what called for the run."
    )


class RetrainingBlock(Observed):
    """What keeps a run from starting."""

    reason: Short = Field(description="What it is: a reason.")
    message: Text = Field(default="", description="What to do about it.")


class ServedSince(Observed):
    """The version that answers, and since when, as far as that was seen."""

    version: Short = Field(description="Name of the ModelVersion.")
    since: datetime | None = Field(
        default=None, description="When it took over; absent: it answered before there was spec.retraining."
    )


class RetrainingStatus(Observed):
    """Whether the model is, was or may be trained anew."""

    episode: int = Field(default=0, description="Number of the last episode; each has exactly one run.")
    pending: list[Short] = Field(
        default_factory=list[Short], max_length=8, description="What calls for a run now: triggers, Schedule, ByHand."
    )
    last_run: RetrainingRun | None = Field(default=None, description="The run under way, or the last one.")
    runs: list[datetime] = Field(
        default_factory=list[datetime],
        max_length=MOST_PER_WEEK,
        description="When the last runs started that count for spec.retraining.maxPerWeek, oldest first.",
    )
    next_allowed_at: datetime | None = Field(
        default=None, description="When cooldown and weekly budget let the next run start."
    )
    blocked: RetrainingBlock | None = Field(default=None, description="What keeps a run from starting, if anything.")
    schedule: Short | None = Field(default=None, description="The spec.retraining.schedule that was looked at last.")
    next_scheduled_at: datetime | None = Field(default=None, description="When that calls for the next run.")
    request: Short | None = Field(
        default=None, description="The last value of the annotation modelwright.dev/retrain that a run was started for."
    )
    serving: ServedSince | None = Field(default=None, description="What answers, and since when.")
