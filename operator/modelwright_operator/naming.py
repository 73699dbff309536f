"""Every name the operator gives: API group, labels, annotations, child names, hashes.

Names are deterministic, so that a crash between two writes repeats a step under the same name instead of doing it
twice.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from modelwright_operator.raw import is_list, is_map

GROUP: Final = "modelwright.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
FIELD_MANAGER: Final = "modelwright"
CATEGORY: Final = "mlops"

TRAINING_JOB: Final = "TrainingJob"
MODEL_VERSION: Final = "ModelVersion"
DEPLOYMENT: Final = "Deployment"

TRAINING_JOBS: Final = "trainingjobs"
MODEL_VERSIONS: Final = "modelversions"
DEPLOYMENTS: Final = "modeldeployments"
JOBS: Final = "jobs"
PODS: Final = "pods"
WORKLOADS: Final = "deployments"
SERVICES: Final = "services"
DISRUPTION_BUDGETS: Final = "poddisruptionbudgets"
AUTOSCALERS: Final = "horizontalpodautoscalers"
NETWORK_POLICIES: Final = "networkpolicies"
SERVICE_ACCOUNTS: Final = "serviceaccounts"
ROLE_BINDINGS: Final = "rolebindings"
HTTP_ROUTES: Final = "httproutes"

PLURALS: Final = {TRAINING_JOB: TRAINING_JOBS, MODEL_VERSION: MODEL_VERSIONS, DEPLOYMENT: DEPLOYMENTS}
RESOURCES: Final = {
    TRAINING_JOBS: (API_VERSION, TRAINING_JOB),
    MODEL_VERSIONS: (API_VERSION, MODEL_VERSION),
    DEPLOYMENTS: (API_VERSION, DEPLOYMENT),
    JOBS: ("batch/v1", "Job"),
    PODS: ("v1", "Pod"),
    WORKLOADS: ("apps/v1", "Deployment"),
    SERVICES: ("v1", "Service"),
    DISRUPTION_BUDGETS: ("policy/v1", "PodDisruptionBudget"),
    AUTOSCALERS: ("autoscaling/v2", "HorizontalPodAutoscaler"),
    NETWORK_POLICIES: ("networking.k8s.io/v1", "NetworkPolicy"),
}
"""Everything the operator watches: plural (unique among these) → API version and kind."""
OPTIONAL: Final = {HTTP_ROUTES: ("gateway.networking.k8s.io/v1", "HTTPRoute")}
"""What it has children of where the API server knows the kind: listed every few seconds, as long as there is need."""
CHILDREN: Final = {**RESOURCES, **OPTIONAL}
"""Everything that is kept in the store."""
KNOWN: Final = {
    **CHILDREN,
    SERVICE_ACCOUNTS: ("v1", "ServiceAccount"),
    ROLE_BINDINGS: ("rbac.authorization.k8s.io/v1", "RoleBinding"),
}
"""Everything it reads or writes by name, too."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_OWNER_KIND: Final = f"{GROUP}/kind"
LABEL_OWNER_NAME: Final = f"{GROUP}/name"
LABEL_REVISION: Final = f"{GROUP}/revision"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"  # by which Kueue knows what it may hold back
LABEL_MODEL: Final = f"{GROUP}/model"
LABEL_SEARCH: Final = f"{GROUP}/search"
LABEL_EPISODE: Final = f"{GROUP}/episode"
MANAGED_BY: Final = "modelwright"
MANAGED_SELECTOR: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"

ANNOTATION_APPLIED: Final = f"{GROUP}/applied-hash"
"""Hash of the manifest as we last applied it: tells a removal from a default of the API server."""
ANNOTATION_TEMPLATE: Final = f"{GROUP}/template"
"""The pod template as first rendered: an upgraded operator repairs with it and never re-renders running pods."""
ANNOTATION_SERVING_IMAGE: Final = f"{GROUP}/serving-image"
"""Names the operator's serving image: a Deployment that runs another rolls it out."""
ANNOTATION_RETRY: Final = f"{GROUP}/retry"
"""Set by people, to any new value: verify a ModelVersion once more."""
ANNOTATION_RETRAIN: Final = f"{GROUP}/retrain"
"""Set by people, to any new value: train the model of a Deployment anew."""
ANNOTATION_EPISODE: Final = f"{GROUP}/episode"
"""What a run was started for, on the TrainingJob: a crash between that and the status loses nothing."""

SERVER_CONTAINER: Final = "server"
FETCH_CONTAINER: Final = "fetch"
MONITOR_CONTAINER: Final = "monitor"
CAPTURE_CONTAINER: Final = "capture"
VERIFY_CONTAINER: Final = "verify"

MONITOR_ACCOUNT: Final = "modelwright-monitor"
"""The ServiceAccount of serving pods, one in each namespace; only the sidecar holds its token."""

_SHORT: Final = 10


def _canonical(value: object) -> object:
    """Make equal what the API server stores equally: 1.0 and 1, and maps in any order."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if is_map(value):
        return {str(key): _canonical(item) for key, item in value.items()}
    if is_list(value):
        return [_canonical(item) for item in value]
    return value


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value.

    Raises:
        ValueError: for NaN and infinities, which are not JSON.
    """
    return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def unordered(value: object) -> object:
    """Return the value with every list sorted, for hashes that should not tell one order from another."""
    if is_map(value):
        return {key: unordered(item) for key, item in value.items()}
    if is_list(value):
        return sorted((unordered(item) for item in value), key=canonical_json)
    return value


def full_hash(value: object) -> str:
    """Return `sha256:<64 hex>` of the value's canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()


def short_hash(*parts: object) -> str:
    """Return 10 hex digits that name a child."""
    return hashlib.sha256(canonical_json(list(parts)).encode()).hexdigest()[:_SHORT]


def job_name(owner: str, uid: str, attempt: str) -> str:
    """Return the name of the batch Job of one attempt (at most 57 characters: pods add to it)."""
    return f"{owner[:46].rstrip('-')}-{short_hash(uid, attempt)}"


def version_name(model: str, digest: str) -> str:
    """Return the name of the ModelVersion of an artifact.

    >>> version_name("churn", "sha256:9f2c41ab07aa")
    'churn-9f2c41ab07'
    """
    return f"{model}-{digest.removeprefix('sha256:')[:_SHORT]}"


def workload_name(deployment: str, revision: str) -> str:
    """Return the name of the apps/v1 workload that runs one revision."""
    return f"{deployment}-{revision}"


def canary_name(deployment: str) -> str:
    """Return the name of the Service of the pods that are tried."""
    return f"{deployment}-canary"


def run_name(deployment: str, uid: str, episode: int) -> str:
    """Return the name of the TrainingJob that trains the model of a Deployment anew, one for each episode."""
    return f"{deployment}-retrain-{short_hash(uid, episode)}"


def owner_labels(kind: str, name: str) -> dict[str, str]:
    """Return the labels every child carries; owners are found by them, ownership itself is the owner's uid."""
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_OWNER_KIND: kind, LABEL_OWNER_NAME: name}
