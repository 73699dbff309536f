"""Evidence for tests: looks at a canary, five seconds apart unless said otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_operator.decide import evidence
from modelwright_operator.decide.sequential import Counts, Stratum

if TYPE_CHECKING:
    from collections.abc import Iterable

Arm = tuple[float, float]  # requests, bad


def stratum(
    stable: Arm, canary: Arm, *, step: int = 0, weight: float = 10, seconds: float = 5, skipped: float = 0
) -> Stratum:
    return Stratum(step, weight, seconds, Counts(*stable), Counts(*canary), skipped)


def seen(looks: Iterable[Stratum]) -> tuple[Stratum, ...]:
    """Return the evidence after all these looks."""
    kept: tuple[Stratum, ...] = ()
    for look in looks:
        kept = evidence.added(kept, look)
    return kept
