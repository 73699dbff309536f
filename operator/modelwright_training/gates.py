"""Which gates a model passes: a pure function of the gates and of what was observed.

Every stage that measures something judges the gates on it; the operator puts the verdicts together, and decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from modelwright_training.contract import Gate, GateResult, Reason, Task, Verdict, metrics_of
from modelwright_training.errors import StageError


def check(gates: Sequence[Gate], task: Task, *, probabilities: bool) -> None:
    """Refuse gates that this model cannot be judged by, before it is trained.

    Raises:
        StageError: GateInvalid, naming the gate.

    """
    known = metrics_of(task, probabilities=probabilities)
    for index, gate in enumerate(gates):
        if gate.metric in known:
            continue
        what = f"{task.lower()} has {', '.join(known)}"
        if gate.metric in metrics_of(task, probabilities=True):
            what = "the estimator gives no probabilities; choose another one, or another metric"
        message = f"gates[{index}].metric {gate.metric} cannot be measured: {what}"
        raise StageError(Reason.GATE_INVALID, message)


def judge(gates: Sequence[Gate], observed: Mapping[str, float]) -> tuple[GateResult, ...]:
    """Judge every gate by the values observed, by metric; one without a value is NotMeasured."""
    return tuple(_judged(index, gate, observed.get(gate.metric)) for index, gate in enumerate(gates))


def report(gates: Sequence[Gate], results: Sequence[GateResult]) -> list[dict[str, Any]]:
    """Return the gates with their verdicts, as the report has them."""
    return [{**asdict(gates[result.gate]), **asdict(result)} for result in results]


def _judged(index: int, gate: Gate, value: float | None) -> GateResult:
    if value is None:
        return GateResult(index, Verdict.NOT_MEASURED)
    passed = value >= gate.min if gate.min is not None else gate.max is not None and value <= gate.max
    return GateResult(index, Verdict.PASSED if passed else Verdict.FAILED, value)
