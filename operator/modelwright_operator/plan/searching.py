"""A search as one pass sees it, and the status that says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator import api
from modelwright_operator.decide import conditions, progress
from modelwright_operator.decide import search as decide
from modelwright_operator.plan.outcome import values_of
from modelwright_operator.render import search as render
from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator.decide.snapshot import TrainingJobSnapshot

_STAGE: Final = "search"
_SHOWN: Final = 16  # trials whose parameters the status has: the best ones
_MESSAGES: Final = 3  # failed trials whose message it has


@dataclass(frozen=True)
class Search:
    """A search, and what is known of it.

    Attributes:
        plans: the parameters of all trials, that in which leaders vote at the end.
        drawn: how many of them were chosen beforehand.
        known: the status as it is.
        rows: the trials that ended, by number.
    """

    snapshot: TrainingJobSnapshot
    tuning: api.Tuning
    plans: tuple[contract.Trial, ...]
    drawn: int
    known: api.TuningStatus
    rows: Mapping[int, api.Trial]

    @property
    def rungs(self) -> tuple[contract.Rung, ...]:
        """The rounds of the search."""
        return contract.rungs(contract.Algorithm(self.tuning.algorithm), self.drawn)

    @property
    def candidates(self) -> tuple[int, ...]:
        """Trials that take part in the present round."""
        return tuple(range(len(self.plans))) if self.known.candidates is None else tuple(self.known.candidates)

    @property
    def scores(self) -> dict[int, float | None]:
        """What the trials that ended on the present rung came to."""
        return {number: row.score for number, row in self.rows.items() if row.rung == self.known.rung}

    @property
    def missing(self) -> tuple[int, ...]:
        """Trials that have not ended on it."""
        return tuple(number for number in self.candidates if number not in self.scores)

    @property
    def ended(self) -> int:
        """How many trials ended, each as often as it went on to the next rung."""
        return sum(rung.trials for rung in self.rungs[: self.known.rung]) + len(self.scores)

    @property
    def expected(self) -> int:
        """How many there will be; leaders that vote are one."""
        last = 1 if self.tuning.algorithm == "AutoML" else self.rungs[-1].trials
        return sum(rung.trials for rung in self.rungs[:-1]) + last

    def with_vote(self) -> Search:
        """Return the search with the vote of its leaders, if there are any yet."""
        task = contract.Task(self.snapshot.job.spec.task)
        drawn = self.plans[: self.drawn]
        return replace(self, plans=contract.with_vote(drawn, self.known.leaders, task, self.known.weights))

    @property
    def best(self) -> api.Trial | None:
        """The best trial of the highest rung that has a score."""
        for rung in range(self.known.rung, -1, -1):
            scores = {number: row.score for number, row in self.rows.items() if row.rung == rung}
            best = contract.best_of(scores, self.known.metric)
            if best is not None:
                return self.rows[best]
        return None


def with_seen(search: Search, seen: decide.Seen) -> Search:
    """Add what a Job shows to what is known; what was recorded once stays."""
    rows = dict(search.rows)
    known = search.known
    for number, item in seen.trials.items():
        if number not in search.missing:
            continue
        if isinstance(item, decide.Failed):
            rows[number] = api.Trial(trial=number, rung=known.rung, state="Failed", message=item.message)
            continue
        result = item.result
        if len(result.weights) != (len(known.leaders or ()) if number == search.drawn else 0):
            continue
        if result.weights:
            known = known.model_copy(update={"weights": list(result.weights)})
        rows[number] = api.Trial(
            trial=number,
            rung=known.rung,
            state="Succeeded",
            score=result.score,
            deviation=result.deviation,
            seconds=item.seconds,
        )
        known = known.model_copy(
            update={"metric": known.metric or result.metric, "data_digest": known.data_digest or result.data}
        )
    return replace(search, known=known, rows=rows).with_vote()


def status_of(search: Search, attempt: int, **changes: object) -> dict[str, Any]:
    """Return the status with the search as it is now."""
    sign = 1 if search.known.metric in contract.LOWER_IS_BETTER else -1
    scored = {number: row.score for number, row in search.rows.items() if row.score is not None}
    ranked = sorted(scored, key=lambda number: (-search.rows[number].rung, sign * scored[number], number))
    failed = [number for number in sorted(search.rows) if number not in scored]
    shown, told = set(ranked[:_SHOWN]), set(failed[:_MESSAGES])
    rows = [
        row.model_copy(
            update={
                "estimator": contract.estimator_of(search.plans[number])[0] if number in shown else None,
                "parameters": contract.estimator_of(search.plans[number])[1] if number in shown else None,
                "message": row.message if number in told else None,
            }
        )
        for number, row in sorted(search.rows.items())
    ]
    tuning = search.known.model_copy(
        update={
            "attempt": attempt,
            "job": render.job_name(search.snapshot.job, attempt),
            "total": len(search.plans),
            "succeeded": len(scored),
            "failed": len(failed),
            "started_at": search.known.started_at or search.snapshot.now,
            "trials": rows,
        }
    )
    values = values_of(search.snapshot.job.status)
    found = {**tuning.model_dump(mode="json", by_alias=True, exclude_none=True), **changes}
    started = values.get("startedAt") or conditions.rfc3339(search.snapshot.now)
    return {**values, "startedAt": started, "stage": _STAGE, "tuning": found}


def with_progress(search: Search, found: Mapping[str, Any], message: str) -> dict[str, Any]:
    """Return the status with how far the search is."""
    started = search.known.started_at or search.snapshot.now
    seconds = (search.snapshot.now - started).total_seconds()
    return {**found, "progress": progress.of_search(search.ended, search.expected, message[:256], seconds)}
