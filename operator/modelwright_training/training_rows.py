# pyright: basic
# (pyarrow comes without types.)
"""What a user's own training image gets: the rows to train on, as the model will see them, and what their columns are.

Features come in the order in which the model takes them, numbers as float64 that are rounded to float32 (see
`features`), categories as texts; then the target as metrics see it, then time, group and weight.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelwright_training import handover
from modelwright_training.contract import TRAIN_COLUMNS, TRAIN_TABLE, JobConfig, Task
from modelwright_training.dataset import Dataset


def write(folder: Path, job: JobConfig, data: Dataset) -> None:
    """Write `train.parquet` and `columns.json`."""
    handover.write(folder, TRAIN_TABLE, table(job, data))
    text = json.dumps(columns(job, data), indent=2, allow_nan=False) + "\n"
    (folder / TRAIN_COLUMNS).write_text(text, encoding="utf-8")


def table(job: JobConfig, data: Dataset) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return the rows; a number that is missing is null, a text that is missing is empty."""
    values, found = data.train.values, dict[str, Any]()
    numbers = {feature.column: index for index, feature in enumerate(values.features.numeric)}
    texts = {feature.column: index for index, feature in enumerate(values.features.categorical)}
    for feature in values.features.all:
        if feature.categorical:
            found[feature.column] = pa.array(values.texts[:, texts[feature.column]], pa.string())
        else:
            rounded = values.numbers[:, numbers[feature.column]].astype(np.float32).astype(np.float64)
            found[feature.column] = pa.array(rounded, from_pandas=True)
    found[job.target] = pa.array(data.train.target)
    known = {role: getattr(data.train.roles, role) for role in job.columns.roles}
    found |= {name: pa.array(known[role]) for role, name in job.columns.roles.items()}
    return pa.table(found)


def columns(job: JobConfig, data: Dataset) -> dict[str, Any]:
    """Return what the columns are; classes are in the order of the model's probabilities."""
    types = [(feature.column, "Text" if feature.categorical else "Number") for feature in data.features.all]
    found = {"features": [{"name": name, "type": kind} for name, kind in types], "target": job.target}
    classes = [] if data.classes is None else data.classes.tolist()
    told = {"classes": classes, "positive": data.positive} if data.task is Task.CLASSIFICATION else {}
    return {**found, **told, **job.columns.roles}
