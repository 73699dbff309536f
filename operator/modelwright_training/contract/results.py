"""What a stage leaves in its termination message."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from modelwright_training.contract.checks import check_counts, check_digest
from modelwright_training.contract.gates import GateResult
from modelwright_training.contract.names import MESSAGE_LIMIT, Reason, Stage, Task
from modelwright_training.strict_json import StrictJsonError, decode, loads


@dataclass(frozen=True, slots=True)
class FetchedData:
    """One data set as it was read: digest of its source bytes, number of rows."""

    name: str
    digest: str
    rows: int

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        check_digest(self.digest)
        check_counts(self.rows)


@dataclass(frozen=True, slots=True)
class FetchResult:
    """Every data set was read."""

    data: tuple[FetchedData, ...]
    stage: Stage = Stage.FETCH


@dataclass(frozen=True, slots=True)
class FeaturesResult:
    """Features were joined to every row.

    `names` are the first of `count` features, as many as fit; `registry` and `sources` are digests of the feature
    store's registry and of the files that were read; `feast` is the library's version.
    """

    names: tuple[str, ...]
    count: int
    registry: str
    sources: str
    feast: str
    stage: Stage = Stage.FEATURES

    def __post_init__(self) -> None:
        """Refuse digests that are none."""
        check_digest(self.registry)
        check_digest(self.sources)
        check_counts(self.count)


@dataclass(frozen=True, slots=True)
class SplitResult:
    """What the features or prepare stage left was taken in: digest of each table's file, number of rows.

    `warnings` are sentences about the data, of jobs that train in the user's own image.
    """

    data: tuple[FetchedData, ...]
    warnings: tuple[str, ...] = field(default=(), metadata={"omit": True})
    stage: Stage = Stage.SPLIT


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows were trained and tested on."""

    train: int
    holdout: int

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        check_counts(self.train, self.holdout)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """An estimator was fitted; `task` is never Auto. `warnings` are sentences about the data, few and short."""

    task: Task
    rows: Rows
    warnings: tuple[str, ...] = field(default=(), metadata={"omit": True})
    stage: Stage = Stage.TRAIN


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial's score on a rung: the mean of `metric` over the folds, which deviate from it by `deviation`.

    `data` is the digest of all the data the pod fetched. `weights` are the votes of each leader, where leaders vote.
    """

    trial: int
    metric: str
    score: float
    deviation: float
    data: str
    rung: int = 0
    weights: tuple[int, ...] = field(default=(), metadata={"omit": True})
    stage: Stage = Stage.TRIAL

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        check_digest(self.data)
        check_counts(self.trial, self.rung, *self.weights)
        if self.weights and not any(self.weights):
            message = "somebody must have a vote"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Metric:
    """One number measured with the ONNX model's predictions, and the limits of its 95 % interval, if there is one."""

    name: str
    value: float
    low: float | None = field(default=None, metadata={"omit": True})
    high: float | None = field(default=None, metadata={"omit": True})

    def __post_init__(self) -> None:
        """Refuse half an interval, and one that leaves out its value."""
        if (self.low is None) != (self.high is None):
            message = "a metric has both limits or none"
            raise ValueError(message)
        if self.low is not None and self.high is not None and not self.low <= self.value <= self.high:
            message = "a metric lies within its limits"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX is from scikit-learn: rows compared and the largest difference (see `parity`)."""

    rows: int
    max_difference: float

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        check_counts(self.rows)


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """The estimator was converted, agrees with scikit-learn, was measured and judged by the gates.

    `parity` is None for a graph of the user's own that there is nothing to compare with.
    """

    task: Task
    rows: Rows
    metrics: tuple[Metric, ...]
    parity: Parity | None
    gates: tuple[GateResult, ...] = field(default=(), metadata={"omit": True})
    champion_problem: str | None = field(default=None, metadata={"omit": True})  # why it is not comparable
    warnings: tuple[str, ...] = field(default=(), metadata={"omit": True})
    stage: Stage = Stage.EVALUATE


@dataclass(frozen=True, slots=True)
class LatencyResult:
    """How fast the model answers, in milliseconds a call, and how large its file is, in bytes."""

    p50_milliseconds: float
    p99_milliseconds: float
    size_bytes: int
    gates: tuple[GateResult, ...] = field(default=(), metadata={"omit": True})
    stage: Stage = Stage.LATENCY

    def __post_init__(self) -> None:
        """Refuse negative counts and times."""
        check_counts(self.size_bytes)
        if not 0 <= self.p50_milliseconds <= self.p99_milliseconds:
            message = "percentiles of a duration must be ascending and not negative"
            raise ValueError(message)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The figures under the names by which they are reported."""
        return (
            Metric("latencyP50Milliseconds", self.p50_milliseconds),
            Metric("latencyP99Milliseconds", self.p99_milliseconds),
            Metric("sizeBytes", float(self.size_bytes)),
        )


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
        check_digest(self.digest)
        check_counts(self.size_bytes)


@dataclass(frozen=True, slots=True)
class Failure:
    """A stage gave up, and says why and what to do next."""

    stage: Stage
    reason: Reason
    message: str


Result = (
    FetchResult
    | FeaturesResult
    | SplitResult
    | TrainResult
    | EvaluateResult
    | LatencyResult
    | PublishResult
    | TrialResult
)

_RESULTS: Final[Mapping[Stage, type[Result]]] = {
    Stage.FETCH: FetchResult,
    Stage.FEATURES: FeaturesResult,
    Stage.SPLIT: SplitResult,
    Stage.TRAIN: TrainResult,
    Stage.EVALUATE: EvaluateResult,
    Stage.LATENCY: LatencyResult,
    Stage.PUBLISH: PublishResult,
    Stage.TRIAL: TrialResult,
}


def parse_message(text: str, stage: Stage) -> Result | Failure | None:
    """Read a termination message that a pod, which is not to be trusted, left behind.

    None is returned for everything that is not exactly a message of this stage, such as the log's tail after a crash.
    """
    if len(text.encode(errors="replace")) > MESSAGE_LIMIT or stage not in _RESULTS:
        return None
    try:
        parsed = loads(text)
        message = decode(Failure, parsed) if _has_reason(parsed) else decode(_RESULTS[stage], parsed)
    except StrictJsonError:
        return None
    return message if message.stage is stage else None


def _has_reason(parsed: object) -> bool:
    return isinstance(parsed, dict) and "reason" in parsed
