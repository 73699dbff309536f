"""The metrics a model is judged by: on the holdout, under scikit-learn's names, and on the finished model itself."""

from typing import Final, Literal, get_args

from modelwright_training.contract.names import Task

LabelMetric = Literal["accuracy", "balanced_accuracy", "f1"]
ProbabilityMetric = Literal["roc_auc", "average_precision", "log_loss", "brier", "ece"]
RegressionMetric = Literal["rmse", "mae", "r2"]
FairnessMetric = Literal[
    "selection_rate_difference",
    "selection_rate_ratio",
    "true_positive_rate_difference",
    "true_positive_rate_ratio",
    "false_positive_rate_difference",
    "false_positive_rate_ratio",
]
MetricName = Literal[LabelMetric, ProbabilityMetric, RegressionMetric]
TimedMetric = Literal["latencyP50Milliseconds", "latencyP99Milliseconds", "sizeBytes"]

LABEL_METRICS: Final[tuple[str, ...]] = get_args(LabelMetric)
PROBABILITY_METRICS: Final[tuple[str, ...]] = get_args(ProbabilityMetric)  # of estimators with probabilities only
REGRESSION_METRICS: Final[tuple[str, ...]] = get_args(RegressionMetric)
FAIRNESS_METRICS: Final[tuple[str, ...]] = get_args(FairnessMetric)  # between groups of rows, two classes only
METRICS: Final[tuple[str, ...]] = get_args(MetricName)
TIMED_METRICS: Final[tuple[str, ...]] = get_args(TimedMetric)  # of the finished model, by the latency stage
GateMetricName = Literal[MetricName, FairnessMetric, TimedMetric]
GATE_METRICS: Final[tuple[str, ...]] = get_args(GateMetricName)
UNBOUNDED_METRICS: Final = frozenset({"log_loss", *REGRESSION_METRICS, *TIMED_METRICS})  # every other: 0 to 1
LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece", "rmse", "mae"})


def metrics_of(task: Task, *, probabilities: bool) -> tuple[str, ...]:
    """Return the metrics of a task that is not Auto, in the order in which they are shown."""
    if task is Task.REGRESSION:
        return REGRESSION_METRICS
    return (*LABEL_METRICS, *PROBABILITY_METRICS) if probabilities else LABEL_METRICS
