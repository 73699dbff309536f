# pyright: basic
# (scikit-learn comes without types.)
"""Whether the ONNX model answers as scikit-learn does: a hard gate, since converters go wrong without saying so.

Compared are the holdout (topped up with training rows to 1 000) and made-up rows on the edges, on numbers rounded to
float32 as in training and serving. Real rows are also asked about unrounded. That comparison is reported but no gate: a
tree's threshold may be a value of the data, and then rounding that very value moves its row to the other side, whatever
the converter does. What rounding loses is refused earlier, by `features.check_trainable`.

Probabilities may differ by 1e-4, one row in a thousand (and edge rows) by 1e-2; labels only where the two best are
within 2e-5. Regressions may differ by 1e-3 standard deviations of the target, edge rows also by 1e-5 of their value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_training import edges
from modelwright_training.contract import Parity, Reason, Task
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError
from modelwright_training.features import Values
from modelwright_training.runtime import Runtime

MIN_ROWS = 1000
MAX_ROWS = 20_000
CLOSE = 1e-4
NEVER_BEYOND = 1e-2
SHARE_CLOSE = 0.999
TIE = 2e-5
REGRESSION = 1e-3
REGRESSION_RELATIVE = 1e-5
GIVEN = ("holdout", "training")  # groups of real rows; the others are made up
_COLUMNS_NAMED = 3

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one side says: labels [n] or numbers [n], and for classes their scores [n, classes]."""

    said: Array
    probabilities: Array | None
    margins: Array | None  # how far the best class is ahead; only scikit-learn's are asked for

    def take(self, rows: npt.NDArray[np.int64]) -> "Answers":
        """Return some of the rows."""
        scored = (None if part is None else part[rows] for part in (self.probabilities, self.margins))
        return Answers(self.said[rows], *scored)


@dataclass(frozen=True, slots=True)
class Finding:
    """One group of rows, compared one way."""

    group: str
    rounded: bool
    rows: int
    max_difference: float
    worst_row: int
    passed: bool


@dataclass(frozen=True, slots=True)
class Report:
    """All comparisons, and the groups that scikit-learn itself refuses, or that the model is not to be asked about."""

    findings: tuple[Finding, ...]
    refused: tuple[str, ...]

    @property
    def nullable(self) -> bool:
        """Whether both were seen to agree on missing numbers."""
        return edges.MISSING in {finding.group for finding in self.findings}

    @property
    def summary(self) -> Parity:
        """Rows compared, and their largest difference on rounded numbers."""
        rounded = [finding for finding in self.findings if finding.rounded]
        return Parity(sum(f.rows for f in rounded), max(f.max_difference for f in rounded))


def check(fitted: Any, runtime: Runtime, data: Dataset, *, missing: bool | None) -> Report:  # noqa: ANN401 - any pipeline
    """Compare on all groups of rows; on made-up missing numbers only if the model is to be asked about such rows.

    Where nobody knows (`missing` is None), it is to be asked about them if it agrees.

    Raises:
        StageError: ParityFailed, naming the row, its columns and the difference.

    """
    deviation = float(np.std(data.train.target)) if data.task is Task.REGRESSION else 0.0
    findings: list[Finding] = []
    refused: list[str] = []
    made_up = [item for item in edges.groups(data.train.values) if missing is not False or item[0] != edges.MISSING]
    for group, values in [*_samples(data), *made_up]:
        rows = values.native()
        if (native := _answers(fitted, rows, data.task, given=group in GIVEN)) is None:
            refused.append(group)
            continue
        said = served(runtime, values, data.task)
        differences = compare(native, said, deviation, edge=group not in GIVEN)
        judged = judged_as(group, differences, rounded=True)
        if not judged.passed and group == edges.MISSING and missing is None:
            refused.append(group)
            continue
        findings.append(judged)
        if not findings[-1].passed:
            raise _failed(findings[-1], differences, values, fitted)
        if group in GIVEN:
            unrounded = _native(fitted, values.native(rounded=False), data.task)
            findings.append(judged_as(group, compare(unrounded, said, deviation, edge=False), rounded=False))
    return Report(tuple(findings), tuple(refused))


@dataclass(frozen=True, slots=True)
class Differences:
    """Per row: the difference, and whether it is too large, or the label another one without a tie."""

    size: npt.NDArray[np.float64]
    far: npt.NDArray[np.bool_]
    unlike: npt.NDArray[np.bool_]


def compare(native: Answers, served: Answers, deviation: float, *, edge: bool) -> Differences:
    """Compare two sets of answers; `deviation` is that of a regression's target, whose differences are in its units."""
    if native.said.dtype.kind == "f":
        error = np.abs(native.said - served.said.astype(np.float64))
        allowed = REGRESSION * deviation + (REGRESSION_RELATIVE * np.abs(native.said) if edge else 0.0)
        size = np.nan_to_num(error / deviation, nan=np.inf)
        return Differences(size, ~(error <= allowed), np.zeros(len(size), dtype=bool))
    unlike = native.said != served.said
    if native.margins is not None:
        unlike &= native.margins > TIE
    size = unlike.astype(np.float64)
    if native.probabilities is not None and served.probabilities is not None:
        size = np.abs(native.probabilities - served.probabilities).max(axis=1)
        size = np.nan_to_num(size, nan=np.inf)
    return Differences(size, size > (NEVER_BEYOND if edge else CLOSE), unlike)


def judged_as(group: str, differences: Differences, *, rounded: bool) -> Finding:
    """Pass a group: labels alike, nothing beyond the outer limit, nearly all rows within the inner one."""
    worst = int(np.argmax(np.where(differences.unlike, np.inf, differences.size)))
    passed = not differences.unlike.any() and not differences.far.any()
    if not passed and group in GIVEN and not differences.unlike.any():
        few = np.mean(differences.far) <= 1 - SHARE_CLOSE
        passed = bool(few and differences.size.max() <= NEVER_BEYOND)
    size = len(differences.size)
    return Finding(group, rounded, size, float(differences.size.max()), worst, bool(passed))


def _samples(data: Dataset) -> Iterator[tuple[str, Values]]:
    """Yield the holdout, at most MAX_ROWS of it, evenly spread, and training rows if it has fewer than MIN_ROWS."""
    holdout, train = data.holdout.values, data.train.values
    yield "holdout", holdout.take(spread(len(holdout), MAX_ROWS))
    if len(holdout) < MIN_ROWS:
        yield "training", train.take(spread(len(train), MIN_ROWS - len(holdout)))


def spread(rows: int, count: int) -> npt.NDArray[np.int64]:
    """Return at most `count` of the rows' numbers, evenly spread."""
    count = min(count, rows)
    return np.arange(count) * rows // count


def _answers(fitted: Any, rows: Any, task: Task, *, given: bool) -> Answers | None:  # noqa: ANN401 - any pipeline
    """Ask scikit-learn; None if it refuses rows that we made up."""
    try:
        return _native(fitted, rows, task)
    except MemoryError:
        raise
    except Exception as error:
        if not given:
            return None
        said = " ".join(str(error).split())[:300]
        message = f"{_name(fitted)} cannot predict the data it was given ({said}); change the trainer"
        raise StageError(Reason.TRAINING_FAILED, message) from error


def _native(fitted: Any, rows: Any, task: Task) -> Answers:  # noqa: ANN401 - any pipeline, its rows
    said = np.asarray(fitted.predict(rows))
    if task is Task.REGRESSION:
        return Answers(said.astype(np.float64).reshape(len(rows)), None, None)
    if hasattr(fitted, "predict_proba"):
        probabilities = np.asarray(fitted.predict_proba(rows))
        ranked = np.sort(probabilities, axis=1)
        return Answers(said, probabilities, ranked[:, -1] - ranked[:, -2])
    if not hasattr(fitted, "decision_function"):
        return Answers(said, None, None)
    scores = np.asarray(fitted.decision_function(rows))
    scores = scores / max(1.0, float(np.abs(scores).max()))
    if scores.ndim == 1:
        return Answers(said, None, np.abs(scores))
    ranked = np.sort(scores, axis=1)
    return Answers(said, None, ranked[:, -1] - ranked[:, -2])


def served(runtime: Runtime, values: Values, task: Task) -> Answers:
    """Ask the graph."""
    outputs = runtime.predict(values)
    if task is Task.REGRESSION:
        return Answers(outputs[0].reshape(len(values)), None, None)
    return Answers(outputs[0], outputs[1] if len(outputs) > 1 else None, None)


def _failed(finding: Finding, differences: Differences, values: Values, fitted: Any) -> StageError:  # noqa: ANN401
    bad = int(np.sum(differences.far | differences.unlike))
    row = f"{finding.group} row {finding.worst_row}{_columns(values, finding)}"
    what = (
        "gives another label" if differences.unlike[finding.worst_row] else f"differs by {finding.max_difference:.3g}"
    )
    advice = f"the converter of {_name(fitted)} is wrong for these parameters or data: choose others"
    message = f"the ONNX model {what} on {row} ({bad} of {finding.rows} rows are too far from scikit-learn); {advice}"
    return StageError(Reason.PARITY_FAILED, message)


def _name(fitted: Any) -> str:  # noqa: ANN401 - any pipeline
    return type(fitted.steps[-1][1]).__name__


def _columns(values: Values, finding: Finding) -> str:
    """Name the columns that stand out in the row: missing ones, then those furthest from their mean."""
    names = [feature.column for feature in values.features.numeric]
    if not names:
        return ""
    row = values.numbers[finding.worst_row]
    known = np.nan_to_num(values.numbers, nan=0.0)
    spread = known.std(axis=0)
    score = np.where(np.isnan(row), np.inf, np.abs(row - known.mean(axis=0)) / np.where(spread > 0, spread, 1))
    best = np.argsort(-score, kind="stable")[:_COLUMNS_NAMED]
    return " (columns " + ", ".join(f"{names[index]}={row[index]:g}" for index in best) + ")"
