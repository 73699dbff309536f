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
import numpy.typing as npt

from modelwright_training import features, roles, slices, sources, split, table_schema, target
from modelwright_training import tables as tabular
from modelwright_training.contract import JobConfig, Rows, Task
from modelwright_training.features import Features, Values
from modelwright_training.roles import Roles
from modelwright_training.slices import Slice
from modelwright_training.split import Split


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of features and what they should be predicted as, with the time, group and weight they have."""

    values: Values
    target: target.Target
    roles: Roles

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: npt.NDArray[np.int64]) -> "Part":
        """Return some of the rows."""
        return Part(self.values.take(rows), self.target[rows], self.roles.take(rows))

    def newest(self, percent: int, at_least: int) -> "Part":
        """Return the newest `percent` % of the rows, but `at_least` so many if there are, oldest first.

        All rows, as they stand, where the job names no time column.
        """
        if self.roles.time is None:
            return self
        count = min(max(len(self) * percent // 100, at_least), len(self))
        rows = np.argsort(self.roles.time, kind="stable")[len(self) - count :]
        return self.take(rows)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything a model is trained and tested on.

    `columns` are the schema of all rows, as it was found, in the terms of `spec.schema`.
    `classes` are those of the training rows, sorted, None for a regression; `positive` is one of two, else None.
    `slices` group the rows of the holdout.
    `purged` rows are in neither part: those training rows whose groups are among the newest rows held out.
    """

    task: Task
    features: Features
    train: Part
    holdout: Part
    columns: tuple[Mapping[str, Any], ...]
    classes: target.Target | None = None
    positive: int | str | None = None
    purged: int = 0
    slices: tuple[Slice, ...] = ()

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
    named = {f"data set {name!r}": tables[name] for name in order}
    for subject, part in named.items():
        table_schema.enforce(part, job.schema or (), subject)
    table = tabular.joined(named)
    labels = target.extract(table, job.target, task)
    found = features.infer(table, job.columns, job.target)
    known = roles.read(table, job.columns)
    count = sum(tables[name].num_rows for name in training)
    drawn = not testing and not {"time", "group"} & job.columns.roles.keys()
    target.check_trainable(labels[:count], job.target, task, drawn=drawn)
    given = Split(np.arange(count), np.arange(count, len(labels)))
    parts = given if testing else split.split(labels, task, known, job)
    train, holdout = (
        Part(features.extract(table, found, rows), labels[rows], known.take(rows))
        for rows in (parts.train, parts.holdout)
    )
    features.check_trainable(train.values)
    roles.check_trainable(train.roles.weight, job.columns)
    target.check_trainable(train.target, job.target, task, drawn=False)
    classes = None
    if task is Task.CLASSIFICATION:
        target.check_holdout(train.target, holdout.target, job.target)
        classes = np.unique(train.target)
    positive = target.positive(np.array([]) if classes is None else classes, job.positive_label, job.target, task)
    sliced = slices.read(table, job.evaluation.slices, parts.train, parts.holdout)
    columns = tuple(table_schema.found(table, job, found))
    return Dataset(task, found, train, holdout, columns, classes, positive, parts.purged, sliced)
