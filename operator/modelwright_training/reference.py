# pyright: basic
# (what is summarised has the trainer's own loose types)
"""The artifact's baseline.json: what live traffic will be compared with.

Features are summarised from the newest training rows, on the columns and in the types that requests have; predictions
from the holdout, since a model is too sure of rows it was trained on, and as the ONNX model gives them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_drift import counts, document, summary
from modelwright_drift.baseline import MAX_FEATURES, WARN_BELOW, Baseline, Feature, Numeric
from modelwright_training.contract import Schema, Task
from modelwright_training.dataset import Dataset
from modelwright_training.features import Kind, Values
from modelwright_training.runtime import Runtime

NEWEST_PERCENT = 25
LEAST_ROWS = 2000
MAX_PREDICTED = 100_000  # rows of the holdout: enough to compare with, and bounded time for slow models

_NUMPY = {Kind.FLOAT: np.float32, Kind.INTEGER: np.int64, Kind.BOOLEAN: np.bool_}


def write(folder: Path, data: Dataset, runtime: Runtime, schema: Schema) -> list[str]:
    """Write the file, and return what people should know about it."""
    baseline = make(data, runtime, schema)
    (folder / document.NAME).write_bytes(document.dump(baseline))
    return warnings(baseline, len(data.features.all))


def make(data: Dataset, runtime: Runtime, schema: Schema) -> Baseline:
    """Summarise the features of the newest training rows, and predictions of at most 100 000 rows held out.

    With a time column: the newest 25 % of the training rows, but 2 000 if there are; and how much they, and the
    predictions, depend on their neighbours in time. Without: all, taken as independent.
    """
    ordered = data.train.roles.time is not None
    held = data.holdout.newest(100, 0)
    count = min(len(held), MAX_PREDICTED)
    sample = held.take(np.arange(count) * len(held) // count)
    features = _features(data.train.newest(NEWEST_PERCENT, LEAST_ROWS).values, ordered=ordered)
    outputs = runtime.predict(sample.values)
    prediction = _prediction(outputs, schema, ordered=ordered)
    return Baseline(features, prediction, _right(outputs, prediction, sample.target))


def warnings(baseline: Baseline, columns: int) -> list[str]:
    """Say what monitoring with this baseline will not see."""
    found: list[str] = []
    if baseline.rows < WARN_BELOW:
        found.append(
            f"baseline: {baseline.rows} rows; with fewer than {WARN_BELOW} monitoring finds only large drift, whatever"
            " the traffic"
        )
    if columns > len(baseline.features):
        found.append(f"baseline: monitoring will see the first {len(baseline.features)} of {columns} columns only")
    return found


def _features(values: Values, *, ordered: bool) -> tuple[Feature, ...]:
    found = values.features
    numbers = {feature.column: index for index, feature in enumerate(found.numeric)}
    texts = {feature.column: index for index, feature in enumerate(found.categorical)}
    summaries: list[Feature] = []
    for feature in found.all[:MAX_FEATURES]:
        kind = Kind.FLOAT if found.is_matrix else feature.kind
        if feature.categorical:
            column = values.texts[:, texts[feature.column]]
            summaries.append(summary.categorical(feature.column, kind, column, ordered=ordered))
        else:
            received: npt.NDArray[Any] = values.numbers[:, numbers[feature.column]].astype(_NUMPY[kind])
            summaries.append(summary.numeric(feature.column, kind, received, ordered=ordered))
    return tuple(summaries)


def _right(
    outputs: list[npt.NDArray[Any]], prediction: tuple[Feature, ...], truth: npt.NDArray[Any]
) -> tuple[int, ...]:
    """Return how many of the rows in each bin of the score have the label that is true, where there is a score."""
    score = prediction[-1]
    if len(prediction) == 1 or not isinstance(score, Numeric):
        return ()
    hits = np.array([*map(str, outputs[0].tolist())]) == np.array([*map(str, truth.tolist())])
    found = counts.count_numbers(score, outputs[1][hits, 1])
    return tuple(found[: len(score.counts)].tolist())


def _prediction(outputs: list[npt.NDArray[Any]], schema: Schema, *, ordered: bool) -> tuple[Feature, ...]:
    """Summarise the number of a regression; the label, and of two classes the second one's probability."""
    first = schema.outputs[0]
    if schema.task is Task.REGRESSION:
        return (summary.numeric(first.name, first.datatype, outputs[0][:, 0], ordered=ordered, computed=True),)
    label = summary.categorical(first.name, first.datatype, map(str, outputs[0].tolist()), ordered=ordered)
    if len(outputs) < 2 or outputs[1].shape[1] != 2:  # noqa: PLR2004 - probabilities of two classes
        return (label,)
    scores = schema.outputs[1]
    name = f"{scores.name}[{(scores.columns or ('', '1'))[1]}]"
    return (label, summary.numeric(name, scores.datatype, outputs[1][:, 1], ordered=ordered, computed=True))
