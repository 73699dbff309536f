"""What the stable pods counted of a canary: read from their pages, added up over pods, kept in the status.

A page's counters only grow between two starts of a server (`boot`), so a pod's last page stands for all it has counted,
and what pods counted that are gone is still known while the operator lives. One that was started anew knows the status
and the pods there are: of the two it believes the one with more requests, so nothing counts twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator.api.rollout_status import Answers, Copies, StepEvidence
from modelwright_operator.raw import is_list, is_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_STEPS: Final = 48
_MOST_KEYS: Final = 64
_LARGEST: Final = 2**53


@dataclass(frozen=True)
class Page:
    """What one start of a pod's server has counted.

    Attributes:
        boot: names the start.
        steps: by the traffic table's sequence, which no two steps of a Deployment share.
    """

    boot: str
    steps: Mapping[int, StepEvidence]


class PageError(ValueError):
    """What a pod answered is no page of evidence."""


def _counts(part: object, names: Iterable[str]) -> dict[str, int]:
    if not is_map(part):
        raise PageError("a group of counters is missing")  # noqa: TRY003, EM101
    found: dict[str, int] = {}
    for name in names:
        value = part.get(name, 0)
        if type(value) is not int or not 0 <= value <= _LARGEST:
            raise PageError(f"{name} is no count")  # noqa: TRY003, EM102
        found[name] = value
    return found


def _answers(part: object) -> Answers:
    found = _counts(part, ("requests", "bad", "errors", "slow", "invalid", "timeouts"))
    return Answers(timed_out=found.pop("timeouts"), **found)


def _step(raw: Mapping[str, Any]) -> StepEvidence:
    own = _counts(raw, ("sequence", "matched", "skipped"))
    return StepEvidence(
        sequence=own["sequence"],
        step=0,
        matched=own["matched"],
        skipped=own["skipped"],
        stable=_answers(raw.get("stable")),
        canary=_answers(raw.get("canary")),
        shadow=Copies(**_counts(raw.get("shadow"), Copies.model_fields)),
    )


def page(text: bytes) -> Page:
    """Read a page of a pod's metrics port.

    Raises:
        PageError: it is none; a pod may answer anything.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PageError(f"not JSON: {error}") from None  # noqa: TRY003, EM102
    if not is_map(raw) or not is_list(raw.get("steps")):
        raise PageError("not an object with steps")  # noqa: TRY003, EM101
    steps: dict[int, StepEvidence] = {}
    for item in raw["steps"][:_MOST_KEYS]:
        if not is_map(item):
            raise PageError("a step is no object")  # noqa: TRY003, EM101
        counted = _step(item)
        steps[counted.sequence] = counted
    return Page(str(raw.get("boot", ""))[:64], steps)


def _sum(model: type[Answers | Copies], parts: Sequence[Answers | Copies]) -> Any:  # noqa: ANN401  # the same model
    return model(**{name: sum(getattr(part, name) for part in parts) for name in model.model_fields})


def _added(sequence: int, parts: Sequence[StepEvidence]) -> StepEvidence:
    return StepEvidence(
        sequence=sequence,
        step=0,
        matched=sum(part.matched for part in parts),
        skipped=sum(part.skipped for part in parts),
        stable=_sum(Answers, [part.stable for part in parts]),
        canary=_sum(Answers, [part.canary for part in parts]),
        shadow=_sum(Copies, [part.shadow for part in parts]),
    )


def total(pages: Iterable[Page]) -> dict[int, StepEvidence]:
    """Return what all pods counted together, by sequence."""
    parts: dict[int, list[StepEvidence]] = {}
    for one in pages:
        for sequence, counted in one.steps.items():
            parts.setdefault(sequence, []).append(counted)
    return {sequence: _added(sequence, counted) for sequence, counted in parts.items()}


def _size(counted: StepEvidence) -> int:
    return counted.stable.requests + counted.canary.requests + counted.shadow.sent


def brought_up_to_date(known: Sequence[StepEvidence], counted: Mapping[int, StepEvidence]) -> tuple[StepEvidence, ...]:
    """Return the steps of a status with the figures counted since, by sequence."""
    return tuple(
        item
        if (new := counted.get(item.sequence)) is None or _size(new) < _size(item)
        else new.model_copy(update={"step": item.step, "weight": item.weight})
        for item in known
    )


def realised_weight(counted: StepEvidence) -> float | None:
    """Return the percent of the requests that the canary answered, to a tenth; None: there were none."""
    requests = counted.stable.requests + counted.canary.requests
    return round(100 * counted.canary.requests / requests, 1) if requests else None
