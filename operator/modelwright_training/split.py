"""Which rows are trained on and which are held out: pure functions of the rows' roles, the share and the seed.

With a time column the newest rows are held out, so that the model is judged on what came after all it has seen. With a
group column no group has rows on both sides. With both, the newest rows are held out and the training rows of their
groups are left out of the run: both promises hold. Otherwise rows are drawn, of each class alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from modelwright_training.contract import JobConfig, Reason, Task
from modelwright_training.errors import StageError
from modelwright_training.roles import Roles

_DRAWS = 20  # of groups; the one whose classes are most alike on both sides is taken

Indices = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Split:
    """Sorted row numbers of the two parts; `purged` rows are in neither, since their groups are held out."""

    train: Indices
    holdout: Indices
    purged: int = 0


def split(target: Array, task: Task, roles: Roles, job: JobConfig) -> Split:
    """Split rows by time if there is one, else by group if there is one, else at random.

    Raises:
        StageError: DataInvalid, when there is but one time or group, or no group is left to train on.

    """
    percent, columns = job.evaluation.holdout_percent, job.columns
    if roles.time is not None:
        held = newest_rows(roles.time, percent, f"column {columns.time!r} (columns.time)")
    elif roles.group is not None:
        if not roles.group.any():
            _refuse(
                f"column {columns.group!r} (columns.group) is the same in every row, so there is but one group; remove"
                " columns.group"
            )
        held = group_rows(roles.group, _strata(target, task), percent, job.seed)
    else:
        held = holdout_rows(target, task, percent, job.seed)
    kept = np.ones(len(target), dtype=bool)
    kept[held] = False
    if roles.time is None or roles.group is None:
        return Split(np.flatnonzero(kept), held)
    before = int(kept.sum())
    kept &= ~np.isin(roles.group, np.unique(roles.group[held]))
    if not kept.any():
        _refuse(
            f"every group of column {columns.group!r} (columns.group) has rows among the newest {percent} %, so none is"
            " left to train on; remove columns.group to judge known groups in the future, or columns.time to judge"
            " unknown groups"
        )
    return Split(np.flatnonzero(kept), held, before - int(kept.sum()))


def holdout_rows(target: Array, task: Task, percent: int, seed: int) -> Indices:
    """Return the sorted rows held out; every other row is trained on.

    Classification is stratified: of each class `percent` % of its rows, but at least one, and never all of them
    (so a class needs two rows). Regression draws `percent` % of all rows by the same rule.
    """
    random = np.random.default_rng(seed)
    strata = _strata(target, task)
    drawn = [_draw(np.flatnonzero(strata == stratum), percent, random) for stratum in range(int(strata.max()) + 1)]
    return np.sort(np.concatenate(drawn))


def newest_rows(time: Array, percent: int, subject: str) -> Indices:
    """Return the sorted rows of the newest `percent` %; rows of one time stay together, on the side that comes closer.

    Raises:
        StageError: DataInvalid, when all rows have one time.

    """
    ordered = np.sort(time)
    wanted = _count(len(ordered), percent)
    cut = ordered[len(ordered) - wanted]
    sizes = [int(np.sum(time >= cut)), int(np.sum(time > cut))]
    possible = [size for size in sizes if 0 < size < len(ordered)]
    if not possible:
        _refuse(f"{subject} is {cut} in every row, so none is newer; remove columns.time, or give evaluation.holdout")
    size = min(possible, key=lambda found: abs(found - wanted))
    return np.flatnonzero(time >= ordered[len(ordered) - size])


def group_rows(group: Indices, strata: Indices, percent: int, seed: int) -> Indices:
    """Return the sorted rows of groups drawn by the seed until they come closest to `percent` % of the rows.

    Of several draws the first is taken whose strata are most alike on both sides. There must be two groups at least.
    """
    random = np.random.default_rng(seed)
    draws = _draw_groups(np.bincount(group), _count(len(group), percent), random)
    return np.flatnonzero(min((chosen[group] for chosen in draws), key=lambda held: _unlike(strata, held)))


def _strata(target: Array, task: Task) -> Indices:
    """Return the number of each row's class; a regression's rows are all of one kind."""
    if task is Task.REGRESSION:
        return np.zeros(len(target), dtype=np.int64)
    return np.unique(target, return_inverse=True)[1]


def _draw_groups(sizes: Indices, wanted: int, random: np.random.Generator) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield for each group whether it is held out."""
    for _ in range(_DRAWS):
        order = random.permutation(len(sizes))
        reached = np.cumsum(sizes[order])[:-1]
        chosen = np.zeros(len(sizes), dtype=bool)
        chosen[order[: int(np.argmin(np.abs(reached - wanted))) + 1]] = True
        yield chosen


def _unlike(strata: Indices, held: npt.NDArray[np.bool_]) -> float:
    """Return the total variation distance between the two sides' shares of the strata, 0 to 1."""
    shares = [np.bincount(strata[side], minlength=int(strata.max()) + 1) / side.sum() for side in (held, ~held)]
    return float(np.abs(shares[0] - shares[1]).sum()) / 2


def _draw(rows: Indices, percent: int, random: np.random.Generator) -> Indices:
    return random.permutation(rows)[: _count(len(rows), percent)]


def _count(rows: int, percent: int) -> int:
    """Return `percent` % of the rows, at least one, never all."""
    return min(max((rows * percent + 50) // 100, 1), rows - 1)


def _refuse(problem: str) -> NoReturn:
    raise StageError(Reason.DATA_INVALID, problem)
