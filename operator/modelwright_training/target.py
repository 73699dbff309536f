# pyright: basic
# (pyarrow comes without types.)
"""The target column: labels for classification, numbers for regression."""

import difflib
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelwright_training.contract import Reason, Task
from modelwright_training.errors import StageError

MAX_CLASSES = 1000
MAX_LABEL = 128  # characters, as in a ModelVersion
Target = npt.NDArray[Any]


def extract(table: Any, name: str, task: Task) -> Target:  # noqa: ANN401 - Arrow has no types
    """Read the target: int64 or str (object) labels, or float64 numbers.

    Booleans become the labels 0 and 1; fractions that are all whole become whole numbers.

    Raises:
        StageError: TargetInvalid, saying what is wrong with the column.

    """
    if name not in table.column_names:
        near = difflib.get_close_matches(name, table.column_names) or table.column_names
        _refuse(f"target {name!r} is not a column of the data; did you mean {', '.join(near[:10])}?")
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type) or column.null_count == len(column):
        _refuse(f"target {name!r} is empty: no row has a value")
    missing = column.null_count
    if pa.types.is_floating(column.type):
        missing += int(np.isnan(column.to_numpy()).sum()) - column.null_count
    if pa.types.is_string(column.type):
        missing += column.to_pylist().count("")
    if missing:
        _refuse(f"target {name!r} is missing in {missing} of {len(column)} rows; remove these rows or label them")
    return _labels(name, column) if task is Task.CLASSIFICATION else _numbers(name, column)


def check_trainable(target: Target, name: str, task: Task, *, drawn: bool) -> None:
    """Refuse a target that cannot be learned and, where the holdout is `drawn` of each class, tested.

    Raises:
        StageError: TargetInvalid, naming the class or value.

    """
    values, counts = np.unique(target, return_counts=True)
    if len(values) == 1:
        _refuse(
            f"target {name!r} has the one value {str(values[0])!r} in every training row; there is nothing to learn"
        )
    if task is Task.REGRESSION:
        return
    if len(values) > MAX_CLASSES:
        _refuse(f"target {name!r} has {len(values)} classes, more than {MAX_CLASSES}; use a regressor, or group them")
    if long := [value for value in map(str, values) if len(value) > MAX_LABEL or not value.isprintable()]:
        _refuse(
            f"target {name!r} has the class {long[0][:MAX_LABEL]!r}, which has control characters or over {MAX_LABEL}"
            " letters; rename it"
        )
    if drawn and (single := [str(value) for value, count in zip(values, counts, strict=True) if count == 1]):
        some = ", ".join(single[:5]) + (", …" if len(single) > 5 else "")  # noqa: PLR2004 - enough to find them
        _refuse(
            f"target {name!r} has classes with a single row ({some}), which cannot be both trained on and tested;"
            " add rows, merge these classes, or use a regressor"
        )


def check_holdout(train: Target, holdout: Target, name: str) -> None:
    """Refuse labels in the holdout that the training data lack.

    Raises:
        StageError: TargetInvalid, naming the label.

    """
    if unseen := sorted(set(holdout) - set(train)):
        _refuse(
            f"target {name!r} has the class {unseen[0]!r} in the holdout but not in the training data; add rows of it,"
            " or leave it out"
        )


def positive(classes: Target, given: str | None, name: str, task: Task) -> int | str | None:
    """Return which of two classes (sorted, as in the training data) is the positive one; None unless there are two.

    The text given may be a truth value's (for the classes 0 and 1) or a whole number's; without one it is the second.

    Raises:
        StageError: TargetInvalid, when a label is given that is no class, or no class could be.

    """
    if given is None:
        return _plain(classes[1]) if task is Task.CLASSIFICATION and len(classes) == 2 else None  # noqa: PLR2004 - binary
    if task is Task.REGRESSION:
        _refuse(f"positiveLabel is {given!r}, but a regressor has no classes; remove positiveLabel")
    known = ", ".join(map(str, classes[:10])) + (", …" if len(classes) > 10 else "")  # noqa: PLR2004 - enough of them
    if len(classes) != 2:  # noqa: PLR2004 - binary
        _refuse(f"positiveLabel needs two classes, but target {name!r} has {len(classes)} ({known}); remove it")
    said = {given} if classes.dtype.kind == "O" else _as_number(given)
    if not (found := [label for label in classes if label in said]):
        _refuse(f"positiveLabel is {given!r}, but the classes of target {name!r} are {known}; name one of them")
    return _plain(found[0])


def _plain(label: Any) -> int | str:  # noqa: ANN401 - a NumPy scalar or a text
    return label if isinstance(label, str) else int(label)


def _as_number(text: str) -> set[float]:
    """Return the whole number a text stands for; that of true is 1, as `extract` has it."""
    words = {"true": 1.0, "false": 0.0}
    try:
        return {words[text.lower()] if text.lower() in words else float(text)}
    except ValueError:
        return set()


def _labels(name: str, column: Any) -> Target:  # noqa: ANN401 - Arrow has no types
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.array(column.to_pylist(), dtype=object)
    elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            _refuse(f"target {name!r} has fractions, so its values are no classes ({error}); use a regressor")
    else:
        _refuse(f"target {name!r} has the type {kind}; a class is a text, a whole number or true/false")
    labels: Target = column.to_numpy()
    return labels


def _numbers(name: str, column: Any) -> Target:  # noqa: ANN401 - Arrow has no types
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        example = column[0].as_py()
        _refuse(
            f"target {name!r} is not numeric (type {kind}, such as {example!r}), but a regressor predicts numbers;"
            " use a classifier, or another target"
        )
    numbers: Target = pc.cast(column, pa.float64(), safe=False).to_numpy()
    if not np.isfinite(numbers).all():
        _refuse(f"target {name!r} has infinite values; remove these rows")
    return numbers


def _refuse(problem: str) -> NoReturn:
    raise StageError(Reason.TARGET_INVALID, problem)
