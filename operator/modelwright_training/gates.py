"""Which gates a model passes: a pure function of the gates and of what was observed.

Every stage that measures something judges the gates on it; the operator puts the verdicts together, and decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from modelwright_training.contract import (
    FAIRNESS_METRICS,
    TIMED_METRICS,
    Gate,
    GateResult,
    Reason,
    Task,
    Verdict,
    metrics_of,
)
from modelwright_training.errors import StageError


def check(gates: Sequence[Gate], task: Task, *, probabilities: bool) -> None:
    """Refuse gates that this model cannot be judged by, before it is trained.

    Raises:
        StageError: GateInvalid, naming the gate.

    """
    known = metrics_of(task, probabilities=probabilities)
    for index, gate in enumerate(gates):
        compares = gate.metric in FAIRNESS_METRICS and task is Task.CLASSIFICATION
        if gate.metric in known or gate.metric in TIMED_METRICS or compares:
            continue
        what = f"{task.lower()} has {', '.join(known)}"
        if gate.metric in metrics_of(task, probabilities=True):
            what = "the estimator gives no probabilities; choose another one, or another metric"
        message = f"gates[{index}].metric {gate.metric} cannot be measured: {what}"
        raise StageError(Reason.GATE_INVALID, message)


def check_classes(gates: Sequence[Gate], *, binary: bool) -> None:
    """Refuse gates that compare how two classes are told apart where there are not two.

    Raises:
        StageError: GateInvalid, naming the gate.

    """
    for index, gate in enumerate(gates):
        if gate.metric in FAIRNESS_METRICS and not binary:
            message = f"gates[{index}].metric {gate.metric} needs a target with two classes; choose another metric"
            raise StageError(Reason.GATE_INVALID, message)


def judge(
    gates: Sequence[Gate],
    observed: Mapping[str, float],
    groups: Mapping[tuple[str, str], Mapping[str | None, float]] = MappingProxyType({}),
    *,
    timed: bool = False,
) -> tuple[GateResult, ...]:
    """Judge the gates with a limit of their own by the values observed; one without a value is NotMeasured.

    Those on the finished model if `timed`, else those on the holdout.

    `observed` are the values by metric, `groups` those of a gate with a slice, by metric and slice: of all its groups
    the worst counts.
    """
    results: list[GateResult] = []
    for index, gate in enumerate(gates):
        if gate.max_regression is not None or (gate.metric in TIMED_METRICS) is not timed:
            continue
        if gate.slice is None:
            results.append(_judged(index, gate, observed.get(gate.metric)))
            continue
        values = groups.get((gate.metric, gate.slice), {})
        sign = 1 if gate.min is not None else -1
        worst = min(values, key=lambda group: sign * values[group], default=None)
        results.append(_judged(index, gate, values.get(worst), worst))
    return tuple(results)


def report(gates: Sequence[Gate], results: Sequence[GateResult]) -> list[dict[str, Any]]:
    """Return the gates with their verdicts, as the report has them."""
    return [{**asdict(gates[result.gate]), **asdict(result)} for result in results]


def _judged(index: int, gate: Gate, value: float | None, group: str | None = None) -> GateResult:
    if value is None:
        return GateResult(index, Verdict.NOT_MEASURED)
    passed = value >= gate.min if gate.min is not None else gate.max is not None and value <= gate.max
    return GateResult(index, Verdict.PASSED if passed else Verdict.FAILED, value, group)
