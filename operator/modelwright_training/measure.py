"""The metrics of a model on some rows, as they are recorded.

Values and limits are rounded to six significant digits: they are part of the digest, and processors differ in the last
bits.
"""

import math

from modelwright_training import classification, regression
from modelwright_training.classification import Classified
from modelwright_training.contract import Metric
from modelwright_training.estimates import Estimate
from modelwright_training.regression import Regressed

_DIGITS = 6
Answers = Classified | Regressed


def measure(rows: Answers) -> tuple[Metric, ...]:
    """Return every metric that these rows define, in the order in which metrics are shown."""
    found: dict[str, Estimate | None]
    if isinstance(rows, Classified):
        found = {name: function(rows) for name, function in classification.METRICS.items()}
    else:
        found = {name: function(rows) for name, function in regression.METRICS.items()}
    return tuple(
        metric(name, value) for name, value in found.items() if value is not None and math.isfinite(value.value)
    )


def value(rows: Answers, name: str) -> float:
    """Return one of the metrics that these rows define, as `measure` does.

    Raises:
        KeyError: they do not define it.

    """
    found = classification.METRICS[name](rows) if isinstance(rows, Classified) else regression.METRICS[name](rows)
    if found is None or not math.isfinite(found.value):
        raise KeyError(name)
    return rounded(found.value)


def metric(name: str, estimate: Estimate) -> Metric:
    """Return an estimate as it is recorded."""
    return Metric(name, rounded(estimate.value), *(_limit(limit) for limit in (estimate.low, estimate.high)))


def rounded(value: float) -> float:
    """Return a number in six significant digits."""
    return float(f"{value:.{_DIGITS}g}")


def _limit(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else rounded(value)
