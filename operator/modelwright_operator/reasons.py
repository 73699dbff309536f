"""The closed set of condition reasons; docs/reference/reasons.md has a line for each (a test holds them together)."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition has its status."""

    # every kind
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    FORBIDDEN = "Forbidden"
    CHILD_REJECTED = "ChildRejected"

    # what keeps a pod from running
    PENDING = "Pending"
    UNSCHEDULABLE = "Unschedulable"
    VOLUME_CLAIM_NOT_FOUND = "VolumeClaimNotFound"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105  # a reason
    STORAGE_NOT_SHARED = "StorageNotShared"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_INVALID = "ContainerConfigInvalid"
    CRASH_LOOPING = "CrashLooping"
    OUT_OF_MEMORY = "OutOfMemory"
    POD_REJECTED = "PodRejected"
    QUOTA_EXCEEDED = "QuotaExceeded"

    # TrainingJob
    SUSPENDED = "Suspended"
    QUEUED = "Queued"
    RUNNING = "Running"
    RETRYING = "Retrying"
    SUCCEEDED = "Succeeded"
    REPRODUCED = "Reproduced"
    DATA_NOT_FOUND = "DataNotFound"
    DATA_INVALID = "DataInvalid"
    DATA_DIGEST_MISMATCH = "DataDigestMismatch"
    FEATURES_INVALID = "FeaturesInvalid"
    PREPARE_FAILED = "PrepareFailed"
    PREPARED_DATA_INVALID = "PreparedDataInvalid"
    TARGET_INVALID = "TargetInvalid"
    ESTIMATOR_INVALID = "EstimatorInvalid"
    GATE_INVALID = "GateInvalid"
    GATES_NOT_PASSED = "GatesNotPassed"
    TUNING_INVALID = "TuningInvalid"
    TRIALS_FAILED = "TrialsFailed"
    TRAINING_FAILED = "TrainingFailed"
    MODEL_INVALID = "ModelInvalid"
    CONVERSION_FAILED = "ConversionFailed"
    PARITY_FAILED = "ParityFailed"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    STORAGE_FORBIDDEN = "StorageForbidden"
    RESULT_TOO_LARGE = "ResultTooLarge"
    RESULT_MISSING = "ResultMissing"
    STAGE_FAILED = "StageFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    JOB_DELETED = "JobDeleted"
    POD_LOST = "PodLost"
    DISRUPTED = "Disrupted"
    NODE_LOST = "NodeLost"
    EVICTED = "Evicted"

    # ModelVersion
    VERIFYING = "Verifying"
    VERIFIED = "Verified"
    PUBLISHED_BY_TRAINING_JOB = "PublishedByTrainingJob"
    AWAITING_TRAINING_JOB = "AwaitingTrainingJob"
    ARTIFACT_NOT_FOUND = "ArtifactNotFound"
    ARTIFACT_INVALID = "ArtifactInvalid"
    DIGEST_MISMATCH = "DigestMismatch"
    MODEL_REJECTED = "ModelRejected"
    IN_USE = "InUse"
    NOT_IN_USE = "NotInUse"
    RETIRED = "Retired"
    CLEANUP_FAILED = "CleanupFailed"

    # Deployment
    VERSION_NOT_FOUND = "VersionNotFound"
    VERSION_NOT_VERIFIED = "VersionNotVerified"
    NO_VERSION = "NoVersion"
    ROLLING_OUT = "RollingOut"
    SCALING = "Scaling"
    AVAILABLE = "Available"
    UNAVAILABLE = "Unavailable"
    SCALED_TO_ZERO = "ScaledToZero"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    MODEL_MISMATCH = "ModelMismatch"
    SCHEMA_MISMATCH = "SchemaMismatch"
    GATEWAY_API_MISSING = "GatewayAPIMissing"
    ROUTE_PENDING = "RoutePending"
    ROUTE_NOT_ACCEPTED = "RouteNotAccepted"
    ROLLOUT_STARTED = "RolloutStarted"
    STEP_STARTED = "StepStarted"
    STEP_HOLDING = "StepHolding"
    APPROVAL_REQUIRED = "ApprovalRequired"
    PAUSED = "Paused"
    PROMOTING = "Promoting"
    PROMOTED = "Promoted"
    PROMOTED_BY_HAND = "PromotedByHand"
    STABLE_UNAVAILABLE = "StableUnavailable"
    SUPERSEDED = "Superseded"
    WITHDRAWN = "Withdrawn"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"
    CANARY_CRASHED = "CanaryCrashed"
    CANARY_HEALTHY = "CanaryHealthy"
    INCONCLUSIVE = "Inconclusive"
    AUTOSCALED = "Autoscaled"
    AUTOSCALER_PENDING = "AutoscalerPending"
    AUTOSCALER_CONFLICT = "AutoscalerConflict"
    CPU_REQUEST_MISSING = "CPURequestMissing"
    METRICS_UNAVAILABLE = "MetricsUnavailable"

    # the verdict on a canary
    CANARY_BROKEN = "CanaryBroken"
    CANARY_WORSE = "CanaryWorse"
    PREDICTIONS_DISAGREE = "PredictionsDisagree"
    TRAFFIC_SHARE_MISMATCH = "TrafficShareMismatch"
    NO_TRAFFIC = "NoTraffic"
    INSUFFICIENT_SAMPLES = "InsufficientSamples"
    COLLECTING_EVIDENCE = "CollectingEvidence"
    CANARY_NOT_WORSE = "CanaryNotWorse"
    FEW_BAD_ANSWERS = "FewBadAnswers"
    CHECK_FAILED = "CheckFailed"
    CHECKS_PASSED = "ChecksPassed"
    METRIC_INVALID = "MetricInvalid"
    METRIC_UNAVAILABLE = "MetricUnavailable"


def reported(text: str, otherwise: Reason) -> Reason:
    """Return the reason a pod reported, if it is one of ours: pods run foreign code and may write anything."""
    try:
        return Reason(text)
    except ValueError:
        return otherwise
