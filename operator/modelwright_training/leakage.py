# pyright: basic
# (scikit-learn comes without types.)
"""Features that give the target away: copies of it are refused, those that predict it all alone are suspicious.

A copy is a feature whose values and the target's stand for each other one to one, where values recur; or, in a
regression, a linear function of the target. A feature is suspicious when a small tree on it alone predicts rows it has
not seen nearly without error: often a column that is known only after the event.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import r2_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelwright_training.contract import Reason, Task
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError

SUSPICIOUS = 0.99  # balanced accuracy, or r2, of one feature alone
MIN_ROWS = 200  # with fewer, chance does as well
_SAMPLE = 4_000  # rows: a few milliseconds a feature
_GLANCE = 1_000
_LEAVES = 32
_LINEAR = 1e-6  # standard deviations of the target that a linear copy may be off: what rounding to float32 costs
_SHOWN, _LETTERS = 3, 40  # so that it fits a termination message

Array = npt.NDArray[Any]


def check(data: Dataset) -> tuple[str, ...]:
    """Refuse copies of the target; return a sentence about what is suspicious, if anything is.

    Raises:
        StageError: DataInvalid, naming the column.

    """
    part = data.train
    numbers = [(f.column, part.values.numbers[:, index]) for index, f in enumerate(part.values.features.numeric)]
    texts = [(f.column, part.values.texts[:, index]) for index, f in enumerate(part.values.features.categorical)]
    for column, values in [*numbers, *texts]:
        if _is_copy(values, part.target, data.task):
            message = (
                f"column {column!r} is the target in other words: each of its values stands for one of the target's and"
                " back; the model would learn nothing else. Add it to columns.drop"
            )
            raise StageError(Reason.DATA_INVALID, message)
    if len(part) < MIN_ROWS:
        return ()
    rows = np.random.default_rng(0).permutation(len(part))[:_SAMPLE]
    scored = {column: _score(values[rows], part.target[rows], data.task) for column, values in [*numbers, *texts]}
    found = sorted((column for column, score in scored.items() if score >= SUSPICIOUS), key=lambda name: -scored[name])
    if not found:
        return ()
    some = ", ".join(repr(name[:_LETTERS]) for name in found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    each = "each of the columns" if len(found) > 1 else "the column"
    return (f"{each} {some} predicts the target alone: is it known only afterwards? If so, add it to columns.drop",)


def between_parts(data: Dataset) -> tuple[str, ...]:
    """Return sentences about groups and times that the two parts share, and rows that a split left out for that."""
    said: list[str] = []
    if data.purged:
        said.append(f"training rows left out, since their groups are among the newest held out: {data.purged}")
    train, holdout = data.train.roles, data.holdout.roles
    shared = 0 if train.group is None or holdout.group is None else int(np.isin(holdout.group, train.group).sum())
    if shared:
        said.append(f"{shared} of {len(data.holdout)} holdout rows are of groups that are trained on as well")
    if train.time is not None and holdout.time is not None:
        older = int(np.sum(holdout.time <= train.time.max()))
        if older:
            said.append(f"{older} of {len(data.holdout)} holdout rows are no newer than all training rows")
    return tuple(said)


def _is_copy(values: Array, target: Array, task: Task) -> bool:
    if task is Task.REGRESSION:
        return values.dtype.kind == "f" and _is_linear(values, target)
    if values.dtype.kind == "f" and np.isnan(values).any():
        return False
    # Most features are no copies, which few rows show: only then are all looked at.
    few = slice(None, None, max(len(values) // _GLANCE, 1))
    return _one_to_one(values[few], target[few]) and _one_to_one(values, target)


def _one_to_one(values: Array, target: Array) -> bool:
    known, codes = np.unique(values, return_inverse=True)
    labels, wanted = np.unique(target, return_inverse=True)
    return len(known) == len(labels) == len(np.unique(codes * len(labels) + wanted))


def _is_linear(values: Array, target: Array) -> bool:
    """Tell whether the target is a + b x, but for rounding to float32."""
    spread, deviation = float(np.std(values)), float(np.std(target))
    if not np.isfinite(spread) or spread == 0:
        return False
    known, wanted = (values - values.mean()) / spread, (target - target.mean()) / deviation
    slope = float(np.mean(known * wanted))
    lost = _LINEAR * (1 + float(np.abs(values).max()) / spread)
    return bool(np.abs(wanted - slope * known).max() <= lost)


def _score(values: Array, target: Array, task: Task) -> float:
    """Fit a small tree on every other row, and judge it on the rest: balanced accuracy or r2."""
    if values.dtype.kind == "f":
        matrix = np.nan_to_num(values, nan=float(np.nanmin(values)) - 1 if not np.isnan(values).all() else 0.0)
    else:
        matrix = np.unique(values, return_inverse=True)[1].astype(np.float64)
    matrix = matrix.reshape(-1, 1)
    seen, unseen = slice(0, None, 2), slice(1, None, 2)
    if task is Task.REGRESSION:
        tree: Any = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, min_samples_leaf=5, random_state=0)
        return float(r2_score(target[unseen], tree.fit(matrix[seen], target[seen]).predict(matrix[unseen])))
    tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, random_state=0)
    right = tree.fit(matrix[seen], target[seen]).predict(matrix[unseen]) == target[unseen]
    labels = np.unique(target[unseen])
    return float(np.mean([right[target[unseen] == label].mean() for label in labels])) if len(labels) > 1 else 0.0
