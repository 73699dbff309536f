"""Names and limits that the operator and the training pod share."""

from enum import IntEnum, StrEnum
from typing import Final

ENV_JOB: Final = "MODELWRIGHT_TRAINING_JOB"  # JSON of a JobConfig
ENV_WORKSPACE: Final = "MODELWRIGHT_WORKSPACE"
ENV_ARTIFACT_DIR: Final = "MODELWRIGHT_ARTIFACT_DIR"
ENV_MEASURES_DIR: Final = "MODELWRIGHT_MEASURES_DIR"
ENV_STORES_DIR: Final = "MODELWRIGHT_STORES_DIR"
ENV_HANDOVER_DIR: Final = "MODELWRIGHT_HANDOVER_DIR"
ENV_SIGNING_DIR: Final = "MODELWRIGHT_SIGNING_DIR"
ENV_CLEANUP_URI: Final = "MODELWRIGHT_CLEANUP_URI"  # the artifact a clean-up Job removes
ENV_CLEANUP_DIGEST: Final = "MODELWRIGHT_CLEANUP_DIGEST"
ENV_CLEANUP_ENDPOINT: Final = "MODELWRIGHT_CLEANUP_ENDPOINT"  # of its object store, where that is not the cloud's own
ENV_CLEANUP_REGION: Final = "MODELWRIGHT_CLEANUP_REGION"
ENV_CLEANUP_SECRET: Final = "MODELWRIGHT_CLEANUP_SECRET"  # noqa: S105  # name of the Secret whose values are there
ENV_TERMINATION_LOG: Final = "MODELWRIGHT_TERMINATION_LOG"
ENV_INDEX: Final = "JOB_COMPLETION_INDEX"  # which Kubernetes sets in the pods of an Indexed Job

DEFAULT_WORKSPACE: Final = "/workspace"
DEFAULT_ARTIFACT_DIR: Final = "/artifact"
DEFAULT_MEASURES_DIR: Final = "/measures"
DEFAULT_STORES_DIR: Final = "/stores"
DEFAULT_HANDOVER_DIR: Final = "/handover"
DEFAULT_SIGNING_DIR: Final = "/signing"
KEY_FILE: Final = "signing.key"  # of the Secret that is mounted there
DEFAULT_TERMINATION_LOG: Final = "/dev/termination-log"

MESSAGE_LIMIT: Final = 1536  # bytes of a termination message: the kubelet shares 12 KiB among a pod's containers
FAILURE_TEXT_LIMIT: Final = 600  # bytes of a failure's text for people


class Stage(StrEnum):
    """A container of the training pod (see `STAGES`), or of a trial's, which fetches as well."""

    FETCH = "fetch"
    FEATURES = "features"  # joins a feature store's features to the rows; has an image of its own
    PREPARE = "prepare"  # the user's own image
    SPLIT = "split"  # takes in what features and prepare left, and hands the rows to train on to an own image
    TRAIN = "train"  # ours, or the user's own image
    EVALUATE = "evaluate"
    LATENCY = "latency"
    PUBLISH = "publish"
    TRIAL = "trial"


STAGES: Final = (
    Stage.FETCH,
    Stage.FEATURES,
    Stage.PREPARE,
    Stage.SPLIT,
    Stage.TRAIN,
    Stage.EVALUATE,
    Stage.LATENCY,
    Stage.PUBLISH,
)
"""The stages of the training pod, in order: all but the last are init containers. See `JobConfig.stages`."""


class ExitCode(IntEnum):
    """How a stage ends."""

    DONE = 0
    RETRYABLE = 1  # anything unexpected: memory, node, storage
    PERMANENT = 2  # a retry cannot mend it
    TRIAL_FAILED = 3  # nor this, but other parameters may


class Reason(StrEnum):
    """Why a stage failed; the operator's reasons contain all of these."""

    DATA_NOT_FOUND = "DataNotFound"
    DATA_INVALID = "DataInvalid"
    DATA_DIGEST_MISMATCH = "DataDigestMismatch"
    FEATURES_INVALID = "FeaturesInvalid"
    PREPARED_DATA_INVALID = "PreparedDataInvalid"
    TARGET_INVALID = "TargetInvalid"
    ESTIMATOR_INVALID = "EstimatorInvalid"
    GATE_INVALID = "GateInvalid"
    TUNING_INVALID = "TuningInvalid"
    TRAINING_FAILED = "TrainingFailed"
    MODEL_INVALID = "ModelInvalid"
    CONVERSION_FAILED = "ConversionFailed"
    PARITY_FAILED = "ParityFailed"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    STORAGE_FORBIDDEN = "StorageForbidden"
    ARTIFACT_INVALID = "ArtifactInvalid"
    RESULT_TOO_LARGE = "ResultTooLarge"
    SIGNING_KEY_INVALID = "SigningKeyInvalid"


class Task(StrEnum):
    """What the model predicts; `Auto` is resolved from the target by the train stage."""

    AUTO = "Auto"
    CLASSIFICATION = "Classification"
    REGRESSION = "Regression"


class Preprocessing(StrEnum):
    """What is put before the estimator; `None` (the text) hands it the numbers as they are."""

    AUTO = "Auto"
    NONE = "None"
