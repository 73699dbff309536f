"""Gates: what a model must reach to become a version, and what became of each."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from modelwright_training.contract.checks import check_counts
from modelwright_training.contract.metrics import FAIRNESS_METRICS, GATE_METRICS

_OMIT = {"omit": True}


class Verdict(StrEnum):
    """What became of a gate; it lets the model through only where it is `Passed`."""

    PASSED = "Passed"
    FAILED = "Failed"
    NOT_MEASURED = "NotMeasured"  # the holdout gave no value to judge


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit of one metric: exactly one of `min` and `max`; a value equal to it passes.

    With `slice`, one of the evaluation's slices, every group of it must keep to the limit; a fairness metric compares
    the groups of one.
    """

    metric: str
    min: float | None = field(default=None, metadata=_OMIT)
    max: float | None = field(default=None, metadata=_OMIT)
    slice: str | None = field(default=None, metadata=_OMIT)

    def __post_init__(self) -> None:
        """Refuse a gate that cannot be judged."""
        if self.metric not in GATE_METRICS:
            message = f"metric must be one of {', '.join(GATE_METRICS)}"
            raise ValueError(message)
        if self.metric in FAIRNESS_METRICS and self.slice is None:
            message = f"{self.metric} compares groups: name their slice"
            raise ValueError(message)
        limits = [limit for limit in (self.min, self.max) if limit is not None]
        if len(limits) != 1 or not math.isfinite(limits[0]):
            message = "a gate has exactly one of min and max, a finite number"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class GateResult:
    """What became of one gate: its place in the job's list, the value judged, if there was one, and of which group."""

    gate: int
    verdict: Verdict
    observed: float | None = field(default=None, metadata=_OMIT)
    group: str | None = field(default=None, metadata=_OMIT)

    def __post_init__(self) -> None:
        """Refuse a place that is none, and a verdict on nothing."""
        check_counts(self.gate)
        if (self.observed is None) != (self.verdict is Verdict.NOT_MEASURED):
            message = "a gate has an observed value unless it was NotMeasured"
            raise ValueError(message)
