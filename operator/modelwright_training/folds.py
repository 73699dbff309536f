"""How the training rows are dealt out for cross-validation: as the holdout was, so that scores promise the same.

With a time column each fold is predicted by what came before it alone. With a group column no group is on both sides.
With both, the rows of a fold's groups are left out of what it is predicted by. Otherwise rows are drawn, of each class
alike.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_training.contract import JobConfig, Reason, Task
from modelwright_training.dataset import Part
from modelwright_training.errors import StageError

Indices = npt.NDArray[np.int64]


def folds(part: Part, task: Task, job: JobConfig, count: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield for each fold the rows to fit on and those to measure on, both sorted; fewer where there are no more.

    Raises:
        StageError: DataInvalid, when there are too few times or groups for two sides.

    """
    time, group = part.roles.time, part.roles.group
    if time is not None:
        yield from _forward(time, group, job, count)
        return
    if group is not None:
        fold = _of_groups(group, count, job.seed)
        if not fold.any():
            _refuse(f"column {job.columns.group!r} (columns.group) is the same in all training rows")
    else:
        fold = _of_rows(part.target, task, count, job.seed)
    for index in range(int(fold.max()) + 1):
        yield np.flatnonzero(fold != index), np.flatnonzero(fold == index)


def _of_rows(target: npt.NDArray[Any], task: Task, count: int, seed: int) -> Indices:
    """Deal rows, shuffled by the seed, out in turn, class by class."""
    shuffled = np.random.default_rng(seed).permutation(len(target))
    classes = np.unique(target, return_inverse=True)[1] if task is Task.CLASSIFICATION else np.zeros(len(target), int)
    fold = np.empty(len(target), dtype=np.int64)
    fold[shuffled[np.argsort(classes[shuffled], kind="stable")]] = np.arange(len(target)) % count
    return fold


def _of_groups(group: Indices, count: int, seed: int) -> Indices:
    """Put groups, shuffled by the seed and the largest first, into the fold that has the fewest rows."""
    names, numbers = np.unique(group, return_inverse=True)
    sizes = np.bincount(numbers)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    rows = np.zeros(min(count, len(names)), dtype=np.int64)
    fold_of = np.empty(len(names), dtype=np.int64)
    for name in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[name] = np.argmin(rows)
        rows[fold_of[name]] += sizes[name]
    return fold_of[numbers]


def _forward(
    time: npt.NDArray[Any], group: Indices | None, job: JobConfig, count: int
) -> Iterator[tuple[Indices, Indices]]:
    """Cut the rows into `count` + 1 spans of time, of one size; rows of one time stay together."""
    ordered = np.sort(time)
    cuts = np.unique(ordered[[len(ordered) * index // (count + 1) for index in range(1, count + 1)]])
    span = np.searchsorted(cuts, time, side="right")
    used = False
    for index in range(1, len(cuts) + 1):
        kept, tested = span < index, span == index
        if group is not None:
            kept &= ~np.isin(group, np.unique(group[tested]))
        if kept.any() and tested.any():
            used = True
            yield np.flatnonzero(kept), np.flatnonzero(tested)
    if not used:
        _refuse(f"column {job.columns.time!r} (columns.time) has too few times, or groups that begin anew with them,")


def _refuse(problem: str) -> None:
    message = f"{problem} so that nothing can be cross-validated; leave tuning out, or the column's role"
    raise StageError(Reason.DATA_INVALID, message)
