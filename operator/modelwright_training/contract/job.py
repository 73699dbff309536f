"""The job as its pod is told of it, in one environment variable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelwright_training.contract.access import StoreAccess
from modelwright_training.contract.champion import Champion
from modelwright_training.contract.checks import check_digest
from modelwright_training.contract.feature_store import FROM_FEATURES, FeatureSource
from modelwright_training.contract.gates import Gate
from modelwright_training.contract.names import STAGES, Preprocessing, Stage, Task
from modelwright_training.contract.own_code import FROM_PREPARE, OwnCode
from modelwright_training.contract.table import ColumnSchema
from modelwright_training.contract.tuning import Tuning
from modelwright_training.strict_json import JsonValue, decode, dumps, loads

_SEED_LIMIT = 2**32  # NumPy's seeds


@dataclass(frozen=True, slots=True)
class Captured:
    """Rows that a Deployment captured lie at the address: their labels become the column `label`.

    `time` is the column that the time of prediction becomes, absent for none.
    """

    label: str
    time: str | None = field(default=None, metadata={"omit": True})


@dataclass(frozen=True, slots=True)
class DataSource:
    """One named data set at an address (see `modelwright_training.sources`); `digest` is checked if given."""

    name: str
    uri: str
    digest: str | None
    access: StoreAccess | None = field(default=None, metadata={"omit": True})
    captured: Captured | None = field(default=None, metadata={"omit": True})

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        check_digest(self.digest)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are left out, which are categories although they look like numbers, and which have a role.

    `time` orders the rows, `group` says which belong together, `weight` how much a row counts in the fit; none of the
    three is a feature.
    """

    drop: tuple[str, ...]
    categorical: tuple[str, ...]
    time: str | None = field(default=None, metadata={"omit": True})
    group: str | None = field(default=None, metadata={"omit": True})
    weight: str | None = field(default=None, metadata={"omit": True})

    @property
    def roles(self) -> Mapping[str, str]:
        """The columns that have a role, by the role's name."""
        named = {"time": self.time, "group": self.group, "weight": self.weight}
        return {role: column for role, column in named.items() if column is not None}


@dataclass(frozen=True, slots=True)
class SklearnTrainer:
    """The estimator's import path under `sklearn.` and its keyword arguments; the text "None" stands for None."""

    estimator: str
    parameters: Mapping[str, JsonValue]
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True)
class Trainer:
    """Exactly one way to train: with an estimator of scikit-learn, or in the user's own image."""

    sklearn: SklearnTrainer | None = field(default=None, metadata={"omit": True})
    container: OwnCode | None = field(default=None, metadata={"omit": True})

    def __post_init__(self) -> None:
        """Refuse none, and both."""
        if (self.sklearn is None) == (self.container is None):
            message = "trainer has exactly one of sklearn and container"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The holdout: a data set's name, or else a share of the training data in percent (1 to 90).

    `slices` are columns; each of their groups is measured that has at least `min_slice_rows` rows held out.
    """

    holdout: str | None
    holdout_percent: int
    slices: tuple[str, ...] = field(default=(), metadata={"omit": True})
    min_slice_rows: int | None = field(default=None, metadata={"omit": True})  # given where there are slices

    def __post_init__(self) -> None:
        """Refuse a share that leaves nothing to train or to test on."""
        if not 1 <= self.holdout_percent <= 90:  # noqa: PLR2004 - the docstring says it
            message = "holdoutPercent must be between 1 and 90"
            raise ValueError(message)
        if len(set(self.slices)) != len(self.slices):
            message = "slices must be different columns"
            raise ValueError(message)
        if bool(self.slices) != (self.min_slice_rows is not None) or (self.min_slice_rows or 1) < 1:
            message = "slices and minSliceRows, at least 1, go together"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Latency:
    """How the finished model is timed: threads of one call (1 to 64), rows in each (1 to 4096)."""

    threads: int
    rows: int

    def __post_init__(self) -> None:
        """Refuse calls that a server would not make."""
        if not (1 <= self.threads <= 64 and 1 <= self.rows <= 4096):  # noqa: PLR2004 - the docstring says it
            message = "threads must be between 1 and 64, rows between 1 and 4096"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the artifact goes: a place on a claim, or in an object store."""

    uri: str
    access: StoreAccess | None = field(default=None, metadata={"omit": True})


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
    gates: tuple[Gate, ...] = field(default=(), metadata={"omit": True})
    schema: tuple[ColumnSchema, ...] | None = field(default=None, metadata={"omit": True})  # what the data must be
    positive_label: str | None = field(default=None, metadata={"omit": True})  # of two classes; absent: the second
    tuning: Tuning | None = field(default=None, metadata={"omit": True})
    latency: Latency | None = field(default=None, metadata={"omit": True})
    prepare: OwnCode | None = field(default=None, metadata={"omit": True})
    champion: Champion | None = field(default=None, metadata={"omit": True})
    features: FeatureSource | None = field(default=None, metadata={"omit": True})
    signing: str | None = field(default=None, metadata={"omit": True})  # the Secret with the key; absent: not signed

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
        taken = [*self.columns.roles.values(), self.target]
        if len(set(taken)) != len(taken):
            message = "target, columns.time, columns.group and columns.weight must be different columns"
            raise ValueError(message)
        if self.features is not None and self.features.feast.timestamp == self.target:
            message = "features.feast.timestamp must be another column than the target"
            raise ValueError(message)
        unknown = {gate.slice for gate in self.gates if gate.slice is not None} - set(self.evaluation.slices)
        if unknown:
            message = f"gates name the slice {min(unknown)!r}, which is not in evaluation.slices"
            raise ValueError(message)
        if self.trainer.container is not None and (self.task is Task.AUTO or self.tuning is not None):
            message = "trainer.container needs a task, and does not go with tuning"
            raise ValueError(message)
        if not 0 <= self.seed < _SEED_LIMIT:
            message = f"seed must be between 0 and {_SEED_LIMIT - 1}"
            raise ValueError(message)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that this job has, in order."""
        left_out: set[Stage] = {Stage.LATENCY} if self.latency is None else set()
        if self.features is None:
            left_out.add(Stage.FEATURES)
        if self.prepare is None:
            left_out.add(Stage.PREPARE)
        if self.handed_back is None and self.trainer.container is None:
            left_out.add(Stage.SPLIT)
        return tuple(stage for stage in STAGES if stage not in left_out)

    @property
    def handed_back(self) -> str | None:
        """The handover folder that split takes the tables from, the last one written; None: fetch's own are used."""
        if self.prepare is not None:
            return FROM_PREPARE
        return FROM_FEATURES if self.features is not None else None

    @property
    def sklearn(self) -> SklearnTrainer:
        """The estimator of scikit-learn.

        Raises:
            ValueError: the job trains in the user's own image.

        """
        if self.trainer.sklearn is None:
            message = "this job trains in an image of the user's, and names no estimator"
            raise ValueError(message)
        return self.trainer.sklearn

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
