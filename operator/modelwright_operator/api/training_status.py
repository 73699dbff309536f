"""How a TrainingJob is going: the parts of its status."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelwright_operator.api.features import JoinedFeatures
from modelwright_operator.api.meta import Digest, Observed, Short, Status, Text
from modelwright_operator.api.tuning import BestTrial, TuningStatus


class StageStatus(Observed):
    """One stage of the current attempt."""

    name: Short = Field(description="fetch, features, prepare, split, train, evaluate, latency or publish.")
    state: Literal["Waiting", "Running", "Succeeded", "Failed"] = Field(description="How far the stage is.")
    exit_code: int | None = Field(default=None, description="Exit code of the stage's container, once it ended.")
    message: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        default=None, description="What a failed stage reported, or the end of its log."
    )
    started_at: datetime | None = Field(default=None, description="When the stage started.")
    finished_at: datetime | None = Field(default=None, description="When the stage ended.")


class Progress(Observed):
    """How far the run is: its search, then the current attempt."""

    percent: Annotated[int, Field(ge=0, le=100)] = Field(
        description="Percent that is done, over the search and all stages; 100 only when the model was published."
    )
    eta_seconds: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Seconds the attempt may still take at its pace so far, rounded up; absent: not known, or ended.",
    )
    message: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        default=None, description="What the running stage says it does."
    )


class Metric(Observed):
    """A figure measured on the holdout, or on the finished model."""

    name: Short = Field(description="Name of the metric, for example accuracy or roc_auc.")
    value: float = Field(description="Its value.")
    low: float | None = Field(default=None, description="Lower limit of its 95 percent confidence interval.")
    high: float | None = Field(default=None, description="Upper limit of its 95 percent confidence interval.")
    dataset: Short = Field(
        default="holdout", description="holdout: measured on these rows; latency: by the stage of that name."
    )


class GateStatus(Observed):
    """What became of a gate."""

    metric: Short = Field(description="The metric.")
    min: float | None = Field(default=None, description="Least value that passes.")
    max: float | None = Field(default=None, description="Greatest value that passes.")
    slice: Short | None = Field(
        default=None, description="The slice whose groups were judged; absent: the whole holdout."
    )
    max_regression: float | None = Field(default=None, description="Greatest regression that passes.")
    confidence: float | None = Field(default=None, description="Confidence of the regression's upper limit.")
    observed: float | None = Field(
        default=None,
        description="The value judged; absent: there was none. With maxRegression: how much worse than the champion's, "
        "negative if better.",
    )
    group: Short | None = Field(default=None, description="The group that has this value, the worst of its slice.")
    limit: float | None = Field(default=None, description="The regression's upper confidence limit, which was judged.")
    required_rows: int | None = Field(
        default=None, description="How large a holdout would let the limit pass, were the regression as observed."
    )
    verdict: Short = Field(
        description="Passed, Failed, NotMeasured (which does not pass), NoChampion (which passes) or "
        "ChampionNotComparable (which does not)."
    )


class DataDigest(Observed):
    """What a data set turned out to be."""

    name: Short = Field(description="Name of the data set in the job.")
    uri: Text = Field(description="Where it was read from.")
    digest: Digest = Field(description="sha256 of what was read.")
    rows: int | None = Field(default=None, description="Number of rows read.")


class PreparedDigest(Observed):
    """What the features or prepare stage made of a data set."""

    name: Short = Field(description="Name of the data set in the job.")
    digest: Digest = Field(description="sha256 of the file it wrote.")
    rows: int | None = Field(default=None, description="Number of rows in it.")


class OwnImage(Observed):
    """An image of the user's that a stage ran in."""

    stage: Short = Field(description="The stage.")
    image: Text = Field(description="The image by its digest, as the node reports it.")


class ChampionStatus(Observed):
    """The model an attempt is compared with."""

    version: Short = Field(description="Name of the ModelVersion.")
    uri: Text = Field(description="Directory of its artifact.")
    digest: Digest = Field(description="Its digest.")


class Resolved(Observed):
    """What this run was made of, for reproduction."""

    data: list[DataDigest] = Field(default_factory=list[DataDigest], max_length=20, description="Digests of the data.")
    features: JoinedFeatures | None = Field(default=None, description="What spec.features added to the rows.")
    prepared: list[PreparedDigest] | None = Field(
        default=None, max_length=20, description="Digests of what the prepare stage, else the features stage, wrote."
    )
    image: Text | None = Field(default=None, description="Image of the training stages.")
    image_digest: Digest | None = Field(default=None, description="Digest of that image, as the node ran it.")
    own_images: list[OwnImage] | None = Field(
        default=None, max_length=4, description="Your own images, as they were pulled."
    )
    parameters_digest: Digest | None = Field(
        default=None, description="Digest of trainer, features, prepare, columns, evaluation, task, target and seed."
    )
    champion: ChampionStatus | None = Field(
        default=None, description="The model this attempt is compared with; absent: none."
    )


class Differs(Observed):
    """Why the model is not one that existed before, although parameters and seed are the same."""

    version: Short = Field(description="The newest version with the same parameters and seed, but another digest.")
    what: list[Short] = Field(
        default_factory=list[Short],
        max_length=32,
        description="What differs from it: data/NAME, features, image or source; empty: nothing that is recorded.",
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
    progress: Progress | None = Field(default=None, description="How far the attempt is; absent: no stage has begun.")
    tuning: TuningStatus | None = Field(default=None, description="The search for parameters, if there is one.")
    best_trial: BestTrial | None = Field(default=None, description="The trial whose parameters the model has.")
    task: Short | None = Field(default=None, description="Classification or Regression, once known.")
    metrics: list[Metric] = Field(default_factory=list[Metric], max_length=64, description="Figures of the model.")
    gates: list[GateStatus] = Field(
        default_factory=list[GateStatus], max_length=16, description="Verdict of each gate."
    )
    warnings: list[Text] = Field(
        default_factory=list[Text], max_length=8, description="What is odd about the data, and what to do about it."
    )
    resolved: Resolved | None = Field(default=None, description="What this run was made of.")
    artifact: PublishedArtifact | None = Field(default=None, description="The published model.")
    model_version: Short | None = Field(default=None, description="The ModelVersion made, or reproduced.")
    reproduced: bool = Field(default=False, description="True: the model equals a version that existed before.")
    differs: Differs | None = Field(
        default=None, description="What differs from a version before; absent: reproduced, or nothing to compare with."
    )
    started_at: datetime | None = Field(default=None, description="When the first attempt started.")
    finished_at: datetime | None = Field(default=None, description="When the run ended.")
