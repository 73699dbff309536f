"""Which rows are held out: a pure function of target, share and seed."""

from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_training.contract import Task


def holdout_rows(target: npt.NDArray[Any], task: Task, percent: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the sorted rows held out; every other row is trained on.

    Classification is stratified: of each class `percent` % of its rows, but at least one, and never all of them
    (so a class needs two rows). Regression draws `percent` % of all rows by the same rule.
    """
    random = np.random.default_rng(seed)
    strata = np.unique(target, return_inverse=True)[1] if task is Task.CLASSIFICATION else np.zeros(len(target), int)
    drawn = [_draw(np.flatnonzero(strata == stratum), percent, random) for stratum in range(int(strata.max()) + 1)]
    return np.sort(np.concatenate(drawn))


def _draw(rows: npt.NDArray[np.int64], percent: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    count = min(max((len(rows) * percent + 50) // 100, 1), len(rows) - 1)
    return random.permutation(rows)[:count]
