"""What the operator and the training pod agree on: environment, stages, exit codes, JSON and messages.

Only the standard library is imported here, since the operator imports this module.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from modelwright_training.strict_json import JsonValue, StrictJsonError, decode, dumps, loads

ENV_JOB: Final = "MODELWRIGHT_TRAINING_JOB"  # JSON of a JobConfig
ENV_WORKSPACE: Final = "MODELWRIGHT_WORKSPACE"
ENV_ARTIFACT_DIR: Final = "MODELWRIGHT_ARTIFACT_DIR"
ENV_STORES_DIR: Final = "MODELWRIGHT_STORES_DIR"
ENV_TERMINATION_LOG: Final = "MODELWRIGHT_TERMINATION_LOG"

DEFAULT_WORKSPACE: Final = "/workspace"
DEFAULT_ARTIFACT_DIR: Final = "/artifact"
DEFAULT_STORES_DIR: Final = "/stores"
DEFAULT_TERMINATION_LOG: Final = "/dev/termination-log"

MESSAGE_LIMIT: Final = 1536  # bytes of a termination message: the kubelet shares 12 KiB among a pod's containers
FAILURE_TEXT_LIMIT: Final = 600  # bytes of a failure's text for people
PROGRESS_PREFIX: Final = "progress: "  # a log line `progress: {"percent": 40, "message": "…"}`

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SEED_LIMIT = 2**32  # NumPy's seeds


class Stage(StrEnum):
    """A container of the training pod; all but the last are init containers, in this order."""

    FETCH = "fetch"
    TRAIN = "train"
    EVALUATE = "evaluate"
    PUBLISH = "publish"


class ExitCode(IntEnum):
    """How a stage ends."""

    DONE = 0
    RETRYABLE = 1  # anything unexpected: memory, node, storage
    PERMANENT = 2  # a retry cannot mend it


class Reason(StrEnum):
    """Why a stage failed; the operator's reasons contain all of these."""

    DATA_NOT_FOUND = "DataNotFound"
    DATA_INVALID = "DataInvalid"
    DATA_DIGEST_MISMATCH = "DataDigestMismatch"
    TARGET_INVALID = "TargetInvalid"
    ESTIMATOR_INVALID = "EstimatorInvalid"
    TRAINING_FAILED = "TrainingFailed"
    CONVERSION_FAILED = "ConversionFailed"
    PARITY_FAILED = "ParityFailed"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    ARTIFACT_INVALID = "ArtifactInvalid"
    RESULT_TOO_LARGE = "ResultTooLarge"


class Task(StrEnum):
    """What the model predicts; `Auto` is resolved from the target by the train stage."""

    AUTO = "Auto"
    CLASSIFICATION = "Classification"
    REGRESSION = "Regression"


class Preprocessing(StrEnum):
    """What is put before the estimator; `None` (the text) hands it the numbers as they are."""

    AUTO = "Auto"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class DataSource:
    """One named data set: `sklearn://NAME` or `pvc://claim/path`; `digest` is checked if given."""

    name: str
    uri: str
    digest: str | None

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        _check_digest(self.digest)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are left out, and which are categories although they look like numbers."""

    drop: tuple[str, ...]
    categorical: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SklearnTrainer:
    """The estimator's import path under `sklearn.` and its keyword arguments; the text "None" stands for None."""

    estimator: str
    parameters: Mapping[str, JsonValue]
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class Trainer:
    """Exactly one way to train."""

    sklearn: SklearnTrainer


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The holdout: a data set's name, or else a share of the training data in percent (1 to 90)."""

    holdout: str | None
    holdout_percent: int

    def __post_init__(self) -> None:
        """Refuse a share that leaves nothing to train or to test on."""
        if not 1 <= self.holdout_percent <= 90:  # noqa: PLR2004 - the docstring says it
            message = "holdoutPercent must be between 1 and 90"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the artifact goes: `pvc://claim/path/`."""

    uri: str


@dataclass(frozen=True, slots=True)
class Source:
    """Which code this run belongs to; only recorded."""

    repository: str | None
    commit: str | None


@dataclass(frozen=True, slots=True)
class JobConfig:
    """Everything the training pod knows about its TrainingJob."""

    namespace: str
    training_job: str
    uid: str
    model: str
    data: tuple[DataSource, ...]
    target: str
    task: Task
    columns: Columns
    trainer: Trainer
    evaluation: Evaluation
    seed: int
    storage: Storage
    source: Source

    def __post_init__(self) -> None:
        """Refuse what no single field shows."""
        names = [source.name for source in self.data]
        if not names or len(set(names)) != len(names):
            message = "data must have at least one entry, with distinct names"
            raise ValueError(message)
        if self.evaluation.holdout is not None and self.evaluation.holdout not in names:
            message = f"evaluation.holdout names no data set; there are {', '.join(names)}"
            raise ValueError(message)
        if names == [self.evaluation.holdout]:
            message = "evaluation.holdout names the only data set; nothing is left to train on"
            raise ValueError(message)
        if not 0 <= self.seed < _SEED_LIMIT:
            message = f"seed must be between 0 and {_SEED_LIMIT - 1}"
            raise ValueError(message)

    def to_json(self) -> str:
        """Canonical JSON, for the environment variable."""
        return dumps(self)

    @classmethod
    def from_json(cls, text: str) -> "JobConfig":
        """Parse the environment variable.

        Raises:
            StrictJsonError: naming the key that is unknown, missing or of a wrong type.

        """
        return decode(cls, loads(text))


@dataclass(frozen=True, slots=True)
class FetchedData:
    """One data set as it was read: digest of its source bytes, number of rows."""

    name: str
    digest: str
    rows: int

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        _check_digest(self.digest)
        _check_counts(self.rows)


@dataclass(frozen=True, slots=True)
class FetchResult:
    """Every data set was read."""

    data: tuple[FetchedData, ...]
    stage: Stage = Stage.FETCH


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows were trained and tested on."""

    train: int
    holdout: int

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        _check_counts(self.train, self.holdout)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """An estimator was fitted; `task` is never Auto."""

    task: Task
    rows: Rows
    stage: Stage = Stage.TRAIN


@dataclass(frozen=True, slots=True)
class Metric:
    """One number measured on the holdout with the ONNX model's predictions."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX is from scikit-learn: rows compared and the largest difference (see `parity`)."""

    rows: int
    max_difference: float

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        _check_counts(self.rows)


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """The estimator was converted, agrees with scikit-learn and was measured."""

    task: Task
    rows: Rows
    metrics: tuple[Metric, ...]
    parity: Parity
    stage: Stage = Stage.EVALUATE


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of the model.

    `columns` name the second axis; `nullable` inputs may have missing values, which the graph gets as NaN.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    columns: tuple[str, ...] | None = field(default=None, metadata={"omit": True})
    nullable: bool | None = field(default=None, metadata={"omit": True})  # never False: what is not, says nothing


@dataclass(frozen=True, slots=True)
class Schema:
    """The model's inputs and outputs, as in the artifact's schema.json."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    task: Task


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The artifact is at `uri`; `reused` if it already was. `schema` is left out when it would not fit."""

    uri: str
    digest: str
    size_bytes: int
    reused: bool
    schema: Schema | None = field(default=None, metadata={"omit": True})
    stage: Stage = Stage.PUBLISH

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        _check_digest(self.digest)
        _check_counts(self.size_bytes)


@dataclass(frozen=True, slots=True)
class Failure:
    """A stage gave up, and says why and what to do next."""

    stage: Stage
    reason: Reason
    message: str


Result = FetchResult | TrainResult | EvaluateResult | PublishResult

_RESULTS: Final[Mapping[Stage, type[Result]]] = {
    Stage.FETCH: FetchResult,
    Stage.TRAIN: TrainResult,
    Stage.EVALUATE: EvaluateResult,
    Stage.PUBLISH: PublishResult,
}


def parse_message(text: str, stage: Stage) -> Result | Failure | None:
    """Read a termination message that a pod, which is not to be trusted, left behind.

    None is returned for everything that is not exactly a message of this stage, such as the log's tail after a crash.
    """
    if len(text.encode(errors="replace")) > MESSAGE_LIMIT:
        return None
    try:
        parsed = loads(text)
        message = decode(Failure, parsed) if _has_reason(parsed) else decode(_RESULTS[stage], parsed)
    except StrictJsonError:
        return None
    return message if message.stage is stage else None


def _has_reason(parsed: object) -> bool:
    return isinstance(parsed, dict) and "reason" in parsed


def _check_digest(digest: str | None) -> None:
    if digest is not None and not _DIGEST.fullmatch(digest):
        message = "digest must be sha256: and 64 hexadecimal digits"
        raise ValueError(message)


def _check_counts(*counts: int) -> None:
    if min(counts) < 0:
        message = "a count must not be negative"
        raise ValueError(message)
