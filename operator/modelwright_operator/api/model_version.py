"""ModelVersion: one immutable, digest-pinned model; made by a TrainingJob or applied from git to import one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.features import FeaturesReference
from modelwright_operator.api.governance import Approval, Card, VersionEvent
from modelwright_operator.api.meta import (
    Digest,
    Model,
    ModelName,
    Observed,
    Resource,
    Short,
    Status,
    Text,
    immutable,
)
from modelwright_operator.api.stores import STORE_RULES, PlaceUri, Store
from modelwright_operator.api.training_parts import Source


class Artifact(Store):
    """Where the model lies, and what it must be."""

    model_config = ConfigDict(json_schema_extra=STORE_RULES)

    uri: PlaceUri = Field(
        description="Directory of the artifact: pvc://CLAIM/PATH in this namespace, or s3://, gs:// or az://BUCKET/KEY."
    )
    digest: Digest = Field(description="sha256 of the artifact's manifest.json, which lists every file's own digest.")


class Tensor(Model):
    """One input or output, in terms of the Open Inference Protocol."""

    name: Short = Field(description="Name of the tensor.")
    datatype: Annotated[str, StringConstraints(max_length=16, pattern="^[A-Z0-9]+$")] = Field(
        description="Datatype of the Open Inference Protocol, for example FP32 or BYTES."
    )
    shape: list[int] = Field(max_length=4, description="Shape; -1 stands for the number of rows.")
    columns: list[Annotated[str, StringConstraints(max_length=128)]] | None = Field(
        default=None, max_length=1000, description="Names of the columns of a matrix, in order."
    )
    nullable: bool | None = Field(
        default=None, description="Whether values may be missing: requests say null; absent means no."
    )


class Schema(Model):
    """Inputs and outputs of the model."""

    inputs: list[Tensor] = Field(max_length=1000, description="What the model takes.")
    outputs: list[Tensor] = Field(max_length=16, description="What the model answers.")
    task: Literal["Classification", "Regression"] | None = Field(default=None, description="What the model does.")


class VersionMetric(Model):
    """A figure measured when the model was made."""

    name: Short = Field(description="Name of the metric.")
    value: float = Field(description="Its value.")
    low: float | None = Field(default=None, description="Lower limit of its 95 percent confidence interval.")
    high: float | None = Field(default=None, description="Upper limit of its 95 percent confidence interval.")
    dataset: Short = Field(
        default="holdout", description="Rows it was measured on; latency: timed calls of the finished model."
    )


class JobReference(Model):
    """A TrainingJob of this namespace."""

    name: Short = Field(description="Its name.")
    uid: Short = Field(description="Its uid.")


class DataReference(Model):
    """Data the model was made from."""

    name: Short = Field(description="Name of the data set in the job.")
    uri: Text = Field(description="Where it was read from.")
    digest: Digest = Field(description="sha256 of what was read.")
    rows: int | None = Field(default=None, description="Number of rows read.")


class PreparedReference(Model):
    """A table that the prepare stage made, and the model was made from."""

    name: Short = Field(description="Name of the data set in the job.")
    digest: Digest = Field(description="sha256 of the file.")
    rows: int | None = Field(default=None, description="Number of rows in it.")


class OwnImageReference(Model):
    """An image of the user's that a stage ran in."""

    stage: Short = Field(description="The stage: prepare or train.")
    image: Text = Field(description="The image by its digest, as the node reported it.")


class Provenance(Model):
    """How the model came to be."""

    training_job: JobReference | None = Field(default=None, description="The TrainingJob that made it.")
    requested_by: Short | None = Field(default=None, description="Who asked for the run, as the TrainingJob says.")
    source: Source | None = Field(default=None, description="The code the run belonged to.")
    data: list[DataReference] | None = Field(default=None, max_length=20, description="Data it was made from.")
    features: FeaturesReference | None = Field(default=None, description="What a feature store added to the rows.")
    prepared: list[PreparedReference] | None = Field(
        default=None, max_length=20, description="What the prepare stage, else the features stage, made of the data."
    )
    image: Text | None = Field(default=None, description="Image of the training stages.")
    image_digest: Digest | None = Field(default=None, description="Digest of that image, as the node ran it.")
    own_images: list[OwnImageReference] | None = Field(
        default=None, max_length=4, description="Images of the user's that stages ran in."
    )
    parameters_digest: Digest | None = Field(
        default=None, description="Digest of trainer, features, prepare, columns, evaluation, task, target and seed."
    )
    seed: int | None = Field(default=None, description="Seed of the run.")
    trials: int | None = Field(default=None, description="Trials of the search that the model's parameters came from.")


class ModelVersionSpec(Model):
    """What the version is."""

    model: ModelName = Field(description="Name of the model this is a version of.")
    artifact: Artifact = Field(description="Where the model lies, and its digest.")
    schema_: Schema | None = Field(
        default=None, alias="schema", description="Inputs and outputs; absent on import: found by the verification."
    )
    metrics: list[VersionMetric] | None = Field(
        default=None, max_length=64, description="Figures measured when the model was made."
    )
    provenance: Provenance | None = Field(default=None, description="How the model came to be.")
    card: Card | None = Field(default=None, description="Who answers for the model, and what it is for.")
    approval: Approval | None = Field(
        default=None,
        description="Whether the version may serve. Where the chart's policy is installed, setting, changing or "
        "removing it needs the verb approve on modelversions.",
    )
    archived: bool | None = Field(
        default=None, description="True: no Deployment turns to this version any more; those that serve it go on."
    )


ModelVersionSpec.model_config["json_schema_extra"] = immutable(
    ModelVersionSpec,
    mutable=("approval", "archived"),
    advice="a ModelVersion never changes; create another one",
)


class Verification(Observed):
    """How the artifact was checked against its digest."""

    job: Short | None = Field(default=None, description="The batch Job that checks, or checked, the artifact.")
    attempt: Short | None = Field(
        default=None, description="Names the attempt: the annotation modelwright.dev/retry starts another."
    )
    key_id: Annotated[str, StringConstraints(max_length=64, pattern="^[0-9a-f]{64}$")] | None = Field(
        default=None,
        description="sha256 of the PEM text of the trusted key that signed the artifact; absent: none did.",
    )


class Retention(Observed):
    """What is ahead of a version that is not among those that are kept."""

    remove_at: datetime = Field(
        description="When the version and its files are removed, unless it is used or made once more before."
    )
    retired_at: datetime | None = Field(default=None, description="When it was taken out of use to be removed.")
    job: Short | None = Field(
        default=None, description="The batch Job that removes its files; from then on it is lost."
    )
    attempt: Short | None = Field(
        default=None, description="Names the attempt: the annotation modelwright.dev/retry starts another."
    )


class ModelVersionStatus(Status):
    """What is known of the version."""

    verification: Verification | None = Field(default=None, description="How the artifact was checked.")
    schema_: Schema | None = Field(
        default=None, alias="schema", description="Inputs and outputs found in the artifact."
    )
    size_bytes: int | None = Field(default=None, description="Size of the artifact in bytes.")
    retention: Retention | None = Field(
        default=None, description="When and how the version is removed; absent: it is kept."
    )
    used_by: list[Short] = Field(
        default_factory=list, max_length=50, description="Deployments that use this version (50 at most)."
    )
    history: list[VersionEvent] = Field(
        default_factory=list[VersionEvent],
        max_length=50,
        description="What happened to the version, the last 50 at most: verified, approved, rejected, used.",
    )


class ModelVersion(Resource):
    """One immutable, digest-pinned model."""

    spec: ModelVersionSpec
    status: ModelVersionStatus = Field(default_factory=ModelVersionStatus)
