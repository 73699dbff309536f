# pyright: basic
# (pyarrow comes without types.)
"""From the job's data sets to rows to train on and rows held out, the same in every process.

`load` reads the sources itself: what a client needs to rebuild exactly the holdout of a finished job.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelwright_training import features, sources, split, target
from modelwright_training.contract import JobConfig, Reason, Rows, Task
from modelwright_training.errors import StageError
from modelwright_training.features import Features, Values


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of features and what they should be predicted as."""

    values: Values
    target: target.Target

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything a model is trained and tested on."""

    task: Task
    features: Features
    train: Part
    holdout: Part

    @property
    def rows(self) -> Rows:
        """How many rows each part has."""
        return Rows(len(self.train), len(self.holdout))


def load(job: JobConfig, task: Task, store_root: Path = Path("/stores")) -> Dataset:
    """Read the job's sources, in a process that is not the training pod.

    Raises:
        StageError: whatever is wrong with the data.

    """
    return prepare(job, task, {source.name: sources.read(source, store_root).table for source in job.data})


def load_holdout(job: JobConfig, task: Task, store_root: Path = Path("/stores")) -> Part:
    """Return exactly the rows a job of this configuration holds out.

    `part.values.feed()` is what the server is sent, `part.values.native()` what the scikit-learn pipeline takes.
    """
    return load(job, task, store_root).holdout


def prepare(job: JobConfig, task: Task, tables: Mapping[str, Any]) -> Dataset:
    """Decide features and target, and split.

    Raises:
        StageError: DataInvalid or TargetInvalid, naming the column.

    """
    names = [source.name for source in job.data]
    testing = job.evaluation.holdout
    training = [name for name in names if name != testing]
    order = [*training, *([testing] if testing else [])]
    table = _joined(order, tables)
    labels = target.extract(table, job.target, task)
    found = features.infer(table, job.columns, job.target)
    values = features.extract(table, found)
    count = sum(tables[name].num_rows for name in training)
    target.check_trainable(labels[:count], job.target, task)
    if testing:
        held = np.arange(count, len(labels))
    else:
        held = split.holdout_rows(labels, task, job.evaluation.holdout_percent, job.seed)
    kept = np.setdiff1d(np.arange(len(labels)), held)
    dataset = Dataset(task, found, _part(values, labels, kept), _part(values, labels, held))
    features.check_trainable(dataset.train.values)
    if testing and task is Task.CLASSIFICATION:
        target.check_holdout(dataset.train.target, dataset.holdout.target, job.target)
    return dataset


def _part(values: Values, labels: target.Target, rows: Any) -> Part:  # noqa: ANN401 - an array
    return Part(values.take(rows), labels[rows])


def _joined(names: list[str], tables: Mapping[str, Any]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Put the data sets under each other; they must have the same columns."""
    first = tables[names[0]]
    for name in names:
        if odd := sorted(set(first.column_names) ^ set(tables[name].column_names)):
            message = f"data sets {names[0]!r} and {name!r} differ: only one has the column {odd[0]!r}"
            raise StageError(Reason.DATA_INVALID, message)
    try:
        return pa.concat_tables(
            [tables[name].select(first.column_names) for name in names], promote_options="permissive"
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        message = f"data sets {', '.join(names)} have columns that differ in type: {error}"
        raise StageError(Reason.DATA_INVALID, message) from error
