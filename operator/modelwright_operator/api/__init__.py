"""What users write and read: the three kinds as frozen pydantic models, and the CRDs generated from them.

Import this package as a whole (`from modelwright_operator import api`): `api.Deployment` is ours, Kubernetes' own is
always called a workload.
"""

from modelwright_operator.api.deployment import (
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    ModelReference,
    Revision,
)
from modelwright_operator.api.features import Feast, FeatureSource, FeaturesReference, JoinedFeatures
from modelwright_operator.api.meta import (
    Condition,
    Metadata,
    Pod,
    Resource,
    ResourceList,
    Resources,
    Status,
    Toleration,
    Unreadable,
)
from modelwright_operator.api.model_version import (
    Artifact,
    DataReference,
    JobReference,
    ModelVersion,
    ModelVersionSpec,
    ModelVersionStatus,
    OwnImageReference,
    PreparedReference,
    Provenance,
    Retention,
    Schema,
    Tensor,
    VersionMetric,
)
from modelwright_operator.api.own_code import OwnCode
from modelwright_operator.api.stores import Store
from modelwright_operator.api.training_job import TrainingJob, TrainingJobSpec
from modelwright_operator.api.training_parts import ColumnSchema, Gate, Latency, Storage, Trainer
from modelwright_operator.api.training_status import (
    ChampionStatus,
    DataDigest,
    GateStatus,
    OwnImage,
    PreparedDigest,
    Progress,
    PublishedArtifact,
    Resolved,
    StageStatus,
    TrainingJobStatus,
)
from modelwright_operator.api.tuning import BestTrial, Trial, Tuning, TuningStatus

__all__ = [
    "Artifact",
    "BestTrial",
    "ChampionStatus",
    "ColumnSchema",
    "Condition",
    "DataDigest",
    "DataReference",
    "Deployment",
    "DeploymentSpec",
    "DeploymentStatus",
    "Feast",
    "FeatureSource",
    "FeaturesReference",
    "Gate",
    "GateStatus",
    "JobReference",
    "JoinedFeatures",
    "Latency",
    "Metadata",
    "ModelReference",
    "ModelVersion",
    "ModelVersionSpec",
    "ModelVersionStatus",
    "OwnCode",
    "OwnImage",
    "OwnImageReference",
    "Pod",
    "PreparedDigest",
    "PreparedReference",
    "Progress",
    "Provenance",
    "PublishedArtifact",
    "Resolved",
    "Resource",
    "ResourceList",
    "Resources",
    "Retention",
    "Revision",
    "Schema",
    "StageStatus",
    "Status",
    "Storage",
    "Store",
    "Tensor",
    "Toleration",
    "Trainer",
    "TrainingJob",
    "TrainingJobSpec",
    "TrainingJobStatus",
    "Trial",
    "Tuning",
    "TuningStatus",
    "Unreadable",
    "VersionMetric",
]
