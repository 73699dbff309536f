"""Evidence: what this process saw of stable and canary, by step of the rollout, for the operator to judge.

Counts only grow.  Those of several processes are added up from their documents, which are what the page shows.
Standard library only: the process that looks after workers needs it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from modelwright_server.contract.evidence import LATENCY_BOUNDS, MOST_STEPS, SCORE_BOUNDS

Document = dict[str, Any]


@dataclass(slots=True)
class Counts:
    """Requests of one track; those with any fault are bad.

    Attributes:
        requests: all of them.
        bad: with a fault, whatever it is and however many.
        errors: failed: a 5xx, no connection, no answer or none that can be read.
        slow: answered, but later than the table's threshold.
        invalid: the answer has a number that is not finite.
        timeouts: of the errors, those for the time the canary is given.
    """

    requests: int = 0
    bad: int = 0
    errors: int = 0
    slow: int = 0
    invalid: int = 0
    timeouts: int = 0

    def count(self, *, error: bool = False, slow: bool = False, invalid: bool = False, timeout: bool = False) -> None:
        """Count a request."""
        self.requests += 1
        if error or slow or invalid:
            self.bad += 1
            self.errors += error
            self.slow += slow
            self.invalid += invalid
            self.timeouts += timeout

    def to_document(self, *, timeouts: bool) -> Document:
        """Return it as on the page."""
        names = ("requests", "bad", "errors", "slow", "invalid", "timeouts")[: None if timeouts else -1]
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class ShadowCounts:
    """Copies sent to the canary.

    Attributes:
        sent: copies that went out.
        dropped: copies that never did, for want of room or since the canary did not answer earlier ones.
        failed: those sent that got no answer to compare, or one with a number that is not finite.
        compared: rows with both tracks' predictions.
        agreed: rows in which they agree.
        score_differences: compared rows by their difference, on `SCORE_BOUNDS`.
        latency_differences: answered copies by their difference, on `LATENCY_BOUNDS`.
        whole: counts of more than this step, to which `add` adds as well.
    """

    sent: int = 0
    dropped: int = 0
    failed: int = 0
    compared: int = 0
    agreed: int = 0
    score_differences: list[int] = field(default_factory=lambda: [0] * (len(SCORE_BOUNDS) + 1))
    latency_differences: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS) + 1))

    whole: "ShadowCounts | None" = None

    def add(self, name: str, by: int = 1) -> None:
        """Add to one of the plain counts."""
        setattr(self, name, getattr(self, name) + by)
        if self.whole is not None:
            self.whole.add(name, by)

    def rows(self, compared: int, agreed: int, scores: Sequence[int]) -> None:
        """Count the rows of an answer, their scores by bin."""
        self.add("compared", compared)
        self.add("agreed", agreed)
        for at, count in enumerate(scores):
            self.score_differences[at] += count

    def later(self, seconds: float) -> None:
        """Count by how much an answer took longer than stable's."""
        self.latency_differences[bisect_left(LATENCY_BOUNDS, seconds)] += 1

    def to_document(self) -> Document:
        """Return it as on the page."""
        return {
            "sent": self.sent,
            "dropped": self.dropped,
            "failed": self.failed,
            "compared": self.compared,
            "agreed": self.agreed,
            "scoreDifferences": list(self.score_differences),
            "latencyDifferences": list(self.latency_differences),
        }


@dataclass(slots=True)
class StepCounts:
    """What was seen at one step of a canary's rollout.

    Attributes:
        stable: requests that chance or a sticky value left with stable.
        canary: requests they gave to the canary.
        matched: requests that went to the canary for their header.
        skipped: requests meant for the canary that stable answered untried.
        shadow: copies.
    """

    stable: Counts = field(default_factory=Counts)
    canary: Counts = field(default_factory=Counts)
    matched: int = 0
    skipped: int = 0
    shadow: ShadowCounts = field(default_factory=ShadowCounts)

    def to_document(self) -> Document:
        """Return it as on the page."""
        return {
            "stable": self.stable.to_document(timeouts=False),
            "canary": self.canary.to_document(timeouts=True),
            "matched": self.matched,
            "skipped": self.skipped,
            "shadow": self.shadow.to_document(),
        }


class Evidence:
    """One process's evidence; of its steps it keeps the newest."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], StepCounts] = {}

    def at(self, canary: str, sequence: int) -> StepCounts:
        """Return the counts of a canary's step, which is now the newest."""
        counts = self._steps.pop((canary, sequence), None) or StepCounts()
        self._steps[canary, sequence] = counts
        while len(self._steps) > MOST_STEPS:
            del self._steps[next(iter(self._steps))]
        return counts

    def document(self) -> list[Document]:
        """Return all of it, the newest last."""
        return [
            {"revision": canary, "sequence": sequence, **counts.to_document()}
            for (canary, sequence), counts in self._steps.items()
        ]


def merged(documents: Iterable[list[Document]]) -> list[Document]:
    """Return the sums of several processes' documents."""
    total: dict[tuple[str, int], Document] = {}
    for document in documents:
        for step in document:
            key = step["revision"], step["sequence"]
            total[key] = _sum(total[key], step) if key in total else step
    return list(total.values())[-MOST_STEPS:]


def _sum(one: Document, other: Document) -> Document:
    return {
        name: value if name in {"revision", "sequence"} else _added(value, other[name]) for name, value in one.items()
    }


def _added(one: Any, other: Any) -> Any:  # noqa: ANN401 - numbers, lists of them, or objects of these
    if isinstance(one, dict):
        both = cast("Document", one)
        return {name: _added(value, other[name]) for name, value in both.items()}
    if isinstance(one, list):
        return [_added(*pair) for pair in zip(cast("list[int]", one), other, strict=True)]
    return one + other
