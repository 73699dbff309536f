"""Features that a feature store adds to the rows of a TrainingJob."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.meta import Digest, Model, Observed, Short, exactly_one, rules
from modelwright_operator.api.stores import STORE_RULES, PlaceUri, Store

Reference = Annotated[str, StringConstraints(min_length=3, max_length=256, pattern="^[^:@]+:[^:@]+$")]


class Feast(Store):
    """A Feast repository whose offline store are Parquet files within it, and what is wanted of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                *STORE_RULES["x-kubernetes-validations"],
                *rules((exactly_one("service", "features"), "give exactly one of service and features"))[
                    "x-kubernetes-validations"
                ],
            ]
        }
    )

    uri: PlaceUri = Field(
        description="Folder of the repository's feature_store.yaml, registry file and data: pvc://CLAIM/PATH, or "
        "s3://, gs:// or az://BUCKET/KEY. No code in it is run."
    )
    timestamp: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="Column of the data with each row's time: features are as they were then. Timestamps, dates or "
        "texts in ISO 8601, UTC unless they say otherwise; no feature itself."
    )
    service: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = Field(
        default=None, description="Feature service whose features are joined to the rows."
    )
    features: list[Reference] | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Features joined to the rows, each as VIEW:FEATURE.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    full_feature_names: bool = Field(
        default=False, description="Name the columns VIEW__FEATURE instead of FEATURE, so that views do not collide."
    )


class FeatureSource(Model):
    """A feature store."""

    feast: Feast = Field(description="A Feast repository; the join keys of its views must be columns of the data.")


class JoinedFeatures(Observed):
    """What a feature store added to the rows of a run."""

    names: list[Short] = Field(
        default_factory=list[Short], max_length=100, description="The first features, in order; the artifact has all."
    )
    count: int = Field(description="Number of features.")
    registry_digest: Digest = Field(description="sha256 of the registry's file.")
    sources_digest: Digest = Field(description="Digest over the files that the features were read from.")
    feast_version: Short = Field(description="Release of Feast that joined them.")


class FeaturesReference(Model):
    """What a feature store added to the rows a version was made from."""

    names: list[Short] | None = Field(
        default=None, max_length=100, description="The first features, in order; the artifact has all."
    )
    count: int = Field(description="Number of features.")
    registry_digest: Digest = Field(description="sha256 of the registry's file.")
    sources_digest: Digest = Field(description="Digest over the files that the features were read from.")
    feast_version: Short = Field(description="Release of Feast that joined them.")


TIMESTAMP_RULE = (
    "!has(self.features) || self.features.feast.timestamp != self.target",
    "spec.features.feast.timestamp must be another column than spec.target",
)
