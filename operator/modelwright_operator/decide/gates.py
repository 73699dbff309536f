"""Whether a trained model may become a version: the spec's gates, and the verdicts that the stages reported on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_training.contract import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator import api
    from modelwright_training.contract import GateResult


@dataclass(frozen=True)
class Judged:
    """A gate of the spec and its verdict."""

    gate: api.Gate
    verdict: Verdict
    observed: float | None
    group: str | None = None
    limit: float | None = None
    rows: int | None = None
    problem: str = ""  # why the champion is not comparable

    @property
    def passed(self) -> bool:
        """Whether the gate lets the model through."""
        return self.verdict.lets_through

    @property
    def words(self) -> str:
        """The gate, what was observed and the limit, for people."""
        if self.gate.max_regression is not None:
            return self._compared(self.gate.max_regression)
        kind, limit = ("min", self.gate.min) if self.gate.min is not None else ("max", self.gate.max)
        of = (
            f" of {self.gate.slice}" + (f" {self.group!r}" if self.group is not None else "") if self.gate.slice else ""
        )
        if self.observed is None:
            return f"{self.gate.metric}{of} ({kind} {limit:g}) could not be measured on the holdout"
        side = "below min" if kind == "min" else "above max"
        return f"{self.gate.metric}{of} is {self.observed:g}, {side} {limit:g}"

    def _compared(self, tolerated: float) -> str:
        metric = self.gate.metric
        if self.verdict is Verdict.NOT_COMPARABLE:
            return f"{metric}: {self.verdict}: {self.problem or 'it did not say why'}"
        if self.observed is None:
            return f"{metric} (maxRegression {tolerated:g}) could not be measured of both models on the holdout"
        worse = f"{abs(self.observed):g} {'worse' if self.observed > 0 else 'better'} than the champion's"
        if self.limit is None or self.observed > tolerated:
            return f"{metric} is {worse}, above maxRegression {tolerated:g}"
        rows = f"; about {self.rows} rows of holdout would tell" if self.rows else ""
        return (
            f"{metric} is {worse}, and may be {self.limit:g} worse (confidence {self.gate.confidence or 0:g}), above"
            f" maxRegression {tolerated:g}{rows}"
        )


def judged(gates: Sequence[api.Gate], results: Sequence[GateResult], problem: str = "") -> tuple[Judged, ...] | None:
    """Pair gates with their verdicts; None where a gate has none, or there are others: nothing passes by silence."""
    found = {result.gate: result for result in results}
    if len(results) != len(gates) or found.keys() != set(range(len(gates))):
        return None
    return tuple(
        Judged(gate, item.verdict, item.observed, item.group, item.limit, item.rows, problem)
        for gate, item in zip(gates, (found[index] for index in range(len(gates))), strict=True)
    )


def refusal(judged: Sequence[Judged]) -> str | None:
    """Return why the model may not become a version; None where every gate passed."""
    failed = [item for item in judged if not item.passed]
    if not failed:
        return None
    return f"{len(failed)} of {len(judged)} gates not passed: {'; '.join(item.words for item in failed)}"
