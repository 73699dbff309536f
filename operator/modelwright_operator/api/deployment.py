"""Deployment: serves a version of a model and replaces it by the next one without a failed request."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from modelwright_operator.api.access import Access
from modelwright_operator.api.meta import (
    Digest,
    Model,
    ModelName,
    ObjectName,
    Observed,
    Pod,
    Resource,
    Resources,
    Short,
    Status,
    Text,
    rules,
)
from modelwright_operator.api.monitoring import Monitoring
from modelwright_operator.api.monitoring_status import MonitoringStatus
from modelwright_operator.api.retraining import NEEDS_AGE, NEEDS_MONITORING, NEEDS_QUALITY, Retraining, RetrainingStatus
from modelwright_operator.api.rollout import Rollout, Traffic
from modelwright_operator.api.rollout_status import HistoryEntry, Rejection, RolloutStatus, TrafficStatus


class ModelReference(Model):
    """Which version to serve: one by name, or a model's newest."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.version) != has(self.name)", "give either spec.model.version, or spec.model.name with follow"),
            ("has(self.name) == has(self.follow)", "spec.model.name and spec.model.follow go together"),
        )
    )

    version: ObjectName | None = Field(default=None, description="Name of the ModelVersion to serve.")
    name: ModelName | None = Field(default=None, description="Model whose versions are followed.")
    follow: Literal["Latest", "LatestApproved"] | None = Field(
        default=None,
        description="Latest: serve the newest verified version, and each newer one once it is ready. LatestApproved: "
        "the newest that is verified and approved.",
    )


class Batching(Model):
    """How requests that arrive together share one call of the model."""

    max_rows: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=512,
        description="Most rows of several requests in one call of the model; 1 gives each request a call of its own. "
        "No request waits for others to come.",
    )


class Server(Model):
    """The model server's container."""

    resources: Resources | None = Field(default=None, description="Compute of the server, all its processes together.")
    batching: Batching = Field(
        default_factory=Batching, description="How requests that arrive together share one call of the model."
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Threads of one inference.")
    processes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1,
        description="Processes that share the pod's ports, each with the model in memory: one for each core it may "
        "use, divided by threads.",
    )
    access_log: bool = Field(default=False, description="Log each answered request as a line of JSON.")


class Autoscaling(Model):
    """How many pods serve, by how busy they are."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.minReplicas <= self.maxReplicas",
                "spec.autoscaling.minReplicas is above spec.autoscaling.maxReplicas",
            )
        )
    )

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="Number of pods, at least.")
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="Number of pods, at most.")
    target_cpu_percent: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=70,
        alias="targetCPUPercent",
        description="CPU time that the servers should use, in percent of what spec.server.resources requests for them.",
    )


class DeploymentSpec(Model):
    """What to serve and how."""

    model_config = ConfigDict(json_schema_extra=rules(NEEDS_MONITORING, NEEDS_AGE, NEEDS_QUALITY))

    model: ModelReference = Field(description="Which version to serve.")
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1, description="Number of serving pods; ignored with spec.autoscaling."
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Let the number of serving pods follow their use of CPU; absent: spec.replicas has it.",
    )
    server: Server = Field(default_factory=Server, description="The model server's container.")
    pod: Pod | None = Field(default=None, description="Settings of the pods.")
    access: Access | None = Field(default=None, description="Who may open connections to the pods.")
    traffic: Traffic = Field(
        default_factory=Traffic, description="Which requests go to the next version while it is tried."
    )
    rollout: Rollout | None = Field(
        default=None,
        description="How the next version takes over, step by step; absent: at once, as soon as it is ready.",
    )
    monitoring: Monitoring | None = Field(default=None, description="What is watched of live traffic; absent: nothing.")
    retraining: Retraining | None = Field(
        default=None, description="When the model is trained anew; absent: by other means only."
    )
    progress_deadline_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=600,
        description="Seconds after which a version that is not ready is reported as stalled, or in a rollout rolled "
        "back.",
    )


class Revision(Observed):
    """What one set of pods runs."""

    revision: Short = Field(description="Hash of everything the pods run.")
    version: Short = Field(description="Name of the ModelVersion.")
    model: Short = Field(description="Name of the model, as it stands in request paths.")
    digest: Digest = Field(description="Digest of the model.")
    version_created_at: datetime | None = Field(
        default=None, description="When the ModelVersion was created: following never goes back behind it."
    )
    image: Text | None = Field(
        default=None,
        description="Serving image that the revision was made to upgrade to; absent: to none in particular.",
    )


class ServingImage(Observed):
    """The image of the serving pods."""

    image: Text = Field(description="Image of the pods that answer.")
    available: Text | None = Field(
        default=None, description="The operator's newer one, which upgrade-serving rolls out; absent: they run it."
    )


class Announced(Observed):
    """A condition of the sidecars as it was last told of."""

    type: Short = Field(description="Name of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")


class DeploymentStatus(Status):
    """What is served."""

    url: Text | None = Field(default=None, description="Base URL of the Open Inference Protocol, inside the cluster.")
    replicas: int = Field(default=0, description="Number of serving pods of the stable track.")
    ready_replicas: int = Field(default=0, description="How many of them are ready.")
    selector: Text | None = Field(default=None, description="Label selector of the pods that answer, for autoscalers.")
    serving: ServingImage | None = Field(default=None, description="Image of the serving pods; absent: there are none.")
    stable: Revision | None = Field(default=None, description="What answers requests.")
    canary: Revision | None = Field(default=None, description="What is being brought up to replace it.")
    previous: Revision | None = Field(default=None, description="What answered before.")
    traffic: TrafficStatus | None = Field(default=None, description="How requests are spread.")
    rollout: RolloutStatus | None = Field(default=None, description="The rollout under way, or the last one.")
    rejected: list[Rejection] = Field(
        default_factory=list[Rejection], max_length=20, description="Revisions that were rolled back, oldest first."
    )
    retraining: RetrainingStatus | None = Field(default=None, description="How the model is trained anew.")
    history: list[HistoryEntry] = Field(
        default_factory=list[HistoryEntry], max_length=50, description="What happened, oldest first."
    )
    monitoring: MonitoringStatus | None = Field(
        default=None, description="What the sidecars of its pods found in live traffic; they write it."
    )
    announced: list[Announced] = Field(
        default_factory=list[Announced],
        max_length=5,
        description="What the operator last told of the sidecars' conditions, by an event and a line of history.",
    )


class Deployment(Resource):
    """Serves a version of a model."""

    spec: DeploymentSpec
    status: DeploymentStatus = Field(default_factory=DeploymentStatus)
