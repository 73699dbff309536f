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
from modelwright_operator.api.meta import Condition, Metadata, Resource, ResourceList, Resources, Status, Unreadable
from modelwright_operator.api.model_version import (
    Artifact,
    ModelVersion,
    ModelVersionSpec,
    ModelVersionStatus,
    Provenance,
)
from modelwright_operator.api.training_job import (
    StageStatus,
    TrainingJob,
    TrainingJobSpec,
    TrainingJobStatus,
)

__all__ = [
    "Artifact",
    "Condition",
    "Deployment",
    "DeploymentSpec",
    "DeploymentStatus",
    "Metadata",
    "ModelReference",
    "ModelVersion",
    "ModelVersionSpec",
    "ModelVersionStatus",
    "Provenance",
    "Resource",
    "ResourceList",
    "Resources",
    "Revision",
    "StageStatus",
    "Status",
    "TrainingJob",
    "TrainingJobSpec",
    "TrainingJobStatus",
    "Unreadable",
]
