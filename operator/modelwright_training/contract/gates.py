"""Gates: what a model must reach to become a version, and what became of each."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from modelwright_training.contract.checks import check_counts
from modelwright_training.contract.metrics import FAIRNESS_METRICS, GATE_METRICS, METRICS, TIMED_METRICS

_OMIT = {"omit": True}


class Verdict(StrEnum):
    """What became of a gate; it lets the model through only where it is `Passed` or `NoChampion`."""

    PASSED = "Passed"
    FAILED = "Failed"
    NOT_MEASURED = "NotMeasured"  # the holdout gave no value to judge
    NO_CHAMPION = "NoChampion"  # there is nothing yet that the model could be worse than
    NOT_COMPARABLE = "ChampionNotComparable"  # the champion cannot be judged by this holdout

    @property
    def lets_through(self) -> bool:
        """Whether the model may become a version as far as this gate is concerned."""
        return self in {Verdict.PASSED, Verdict.NO_CHAMPION}


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit of one metric: exactly one of `min`, `max` and `max_regression`; a value equal to it passes.

    `max_regression` bounds how much worse than the champion's the metric may be, in its own unit; with `confidence`,
    the one-sided upper confidence limit of that.

    With `slice`, one of the evaluation's slices, every group of it must keep to the limit; a fairness metric compares
    the groups of one.
    """

    metric: str
    min: float | None = field(default=None, metadata=_OMIT)
    max: float | None = field(default=None, metadata=_OMIT)
    slice: str | None = field(default=None, metadata=_OMIT)
    max_regression: float | None = field(default=None, metadata=_OMIT)
    confidence: float | None = field(default=None, metadata=_OMIT)

    def __post_init__(self) -> None:
        """Refuse a gate that cannot be judged."""
        if self.metric not in GATE_METRICS:
            message = f"metric must be one of {', '.join(GATE_METRICS)}"
            raise ValueError(message)
        if self.metric in FAIRNESS_METRICS and self.slice is None:
            message = f"{self.metric} compares groups: name their slice"
            raise ValueError(message)
        limits = [limit for limit in (self.min, self.max, self.max_regression) if limit is not None]
        if len(limits) != 1 or not math.isfinite(limits[0]):
            message = "a gate has exactly one of min, max and maxRegression, a finite number"
            raise ValueError(message)
        if self.max_regression is not None and (self.metric not in METRICS or self.slice is not None):
            message = f"maxRegression is for metrics of the whole holdout, not for {self.metric}, and not of a slice"
            raise ValueError(message)
        if self.slice is not None and self.metric in TIMED_METRICS:
            message = f"{self.metric} is of the model, not of rows: it has no slice"
            raise ValueError(message)
        if self.confidence is not None and (self.max_regression is None or not 0.5 <= self.confidence < 1):  # noqa: PLR2004 - the message says it
            message = "confidence goes with maxRegression, and is at least 0.5 and below 1"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class GateResult:
    """What became of one gate: its place in the job's list, the value judged, if there was one, and of which group.

    For `max_regression` that is the regression, positive where the model is worse than the champion; `limit` is its
    upper confidence limit, and `rows` how many rows of holdout would do where it is the width alone that fails.
    """

    gate: int
    verdict: Verdict
    observed: float | None = field(default=None, metadata=_OMIT)
    group: str | None = field(default=None, metadata=_OMIT)
    limit: float | None = field(default=None, metadata=_OMIT)
    rows: int | None = field(default=None, metadata=_OMIT)

    def __post_init__(self) -> None:
        """Refuse a place that is none, and a verdict on nothing."""
        check_counts(self.gate, self.rows or 0)
        if (self.observed is None) == (self.verdict in {Verdict.PASSED, Verdict.FAILED}):
            message = "a gate has an observed value if it is Passed or Failed, and only then"
            raise ValueError(message)
