# pyright: basic
# (NumPy's own types.)
"""Permutation importance: how much worse the ONNX model does on the holdout when one column is shuffled (Breiman 2001).

The loss is log_loss where there are probabilities, otherwise the share of wrong labels; for a regression rmse. It goes
to the report, not under the digest: it looks at some thousand rows, and stops when its time is over.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelwright_training import answers, classification, regression
from modelwright_training.dataset import Dataset
from modelwright_training.features import Values
from modelwright_training.measure import Answers, rounded
from modelwright_training.regression import Regressed
from modelwright_training.runtime import Runtime

MAX_ROWS: Final = 2000
REPEATS: Final = 5
MAX_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Importance:
    """How much the loss grows by when a column is shuffled: mean and standard deviation of the repeats."""

    column: str
    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Importances:
    """The columns measured, most important first; `skipped` were not, since time was over."""

    loss: str
    value: float
    rows: int
    repeats: int
    columns: tuple[Importance, ...]
    skipped: tuple[str, ...]


def measure(
    runtime: Runtime,
    data: Dataset,
    classes: npt.NDArray[Any] | None,
    seed: int,
    clock: Callable[[], float] = time.monotonic,
) -> Importances:
    """Shuffle one column after the other in rows of the holdout that the seed draws.

    Each column has draws of its own: what is measured of one does not depend on the others, nor on the time.
    """
    part = data.holdout.take(np.sort(np.random.default_rng(seed).permutation(len(data.holdout))[:MAX_ROWS]))
    deadline = clock() + MAX_SECONDS
    name, before = _loss(answers.given(runtime, data, part, classes))
    found: list[Importance] = []
    columns = [feature.column for feature in data.features.all]
    for place, column in enumerate(columns):
        if clock() > deadline:
            break
        random = np.random.default_rng([seed, place])
        worse: list[float] = []
        for _ in range(REPEATS):
            shuffled = replace(part, values=_shuffled(part.values, column, random))
            worse.append(_loss(answers.given(runtime, data, shuffled, classes))[1] - before)
        found.append(Importance(column, rounded(float(np.mean(worse))), rounded(float(np.std(worse)))))
    ranked = tuple(sorted(found, key=lambda item: -item.mean))
    return Importances(name, rounded(before), len(part), REPEATS, ranked, tuple(columns[len(found) :]))


def _loss(rows: Answers) -> tuple[str, float]:
    """Return what is measured, and its value."""
    if isinstance(rows, Regressed):
        return "rmse", regression.rmse(rows).value
    if (estimate := classification.log_loss(rows)) is not None:
        return "log_loss", estimate.value
    return "error_rate", 1 - classification.accuracy(rows).value


def _shuffled(values: Values, column: str, random: np.random.Generator) -> Values:
    order = random.permutation(len(values))
    for name, features in (("numbers", values.features.numeric), ("texts", values.features.categorical)):
        names = [feature.column for feature in features]
        if column in names:
            changed = getattr(values, name).copy()
            changed[:, names.index(column)] = changed[order, names.index(column)]
            return replace(values, **{name: changed})
    message = f"{column!r} is no feature"
    raise ValueError(message)
