"""How far an attempt is, over all its stages, and how long it may still take.

A stage that is done counts with its weight, the running one with the share that it reports itself. The time left is
what the attempt would still need at the pace it has had so far. Both are rounded, so that a status is written when
something is to be told, not at every look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.observed import LogLine
    from modelwright_operator.decide.training import Stage

_WEIGHTS: Final[Mapping[contract.Stage, int]] = {contract.Stage.FETCH: 2, contract.Stage.TRAIN: 5}
_OTHER_WEIGHT: Final = 2
_LAST_WEIGHT: Final = 1  # publish
_ENOUGH_PERCENT: Final = 5  # below it a pace means nothing
_DIGITS: Final = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
_MOST: Final = 99  # what is done is said by a condition
SEARCHED: Final = 80  # where a run with a search stands, once that is done


def _weight(name: contract.Stage) -> int:
    return _LAST_WEIGHT if name is contract.Stage.PUBLISH else _WEIGHTS.get(name, _OTHER_WEIGHT)


def rounded_seconds(seconds: float) -> int:
    """Return a time rounded up to 10, 12, 15, 20, 25, 30, 40, 50, 60, 80 and so on: a guess has no more digits.

    >>> [rounded_seconds(seconds) for seconds in (0.3, 10, 31, 81, 3599)]
    [10, 10, 40, 100, 4000]
    """
    scale = 1
    while True:
        found = next((digit * scale for digit in _DIGITS if digit * scale >= seconds), None)
        if found is not None:
            return found
        scale *= 10


def progress(
    stages: Sequence[Stage],
    line: LogLine | None,
    observed: api.Progress | None,
    now: datetime,
    *,
    searched: bool = False,
) -> dict[str, Any] | None:
    """Return `status.progress` of an attempt that runs; None: no stage has begun.

    Args:
        stages: the stages of the attempt, in their order.
        line: the last progress line of its pod's log, if one was read.
        observed: what the status says already: it stands where the log no longer has a line.
        now: the time.
        searched: a search came before it.
    """
    begun = [stage.started_at for stage in stages if stage.started_at is not None]
    active = next((stage for stage in stages if stage.state != "Succeeded"), None)
    if not begun or active is None:
        return None
    whole = sum(_weight(stage.name) for stage in stages)
    done = sum(_weight(stage.name) for stage in stages if stage.state == "Succeeded")
    start = SEARCHED if searched else 0
    share = (100 - start) / whole
    base, top = start + share * done, start + share * (done + _weight(active.name))
    said = contract.parse_progress(line.text) if line is not None and line.container == active.name.value else None
    percent, message = int(base), f"stage {active.name.value}"
    if said is not None:
        percent = int(base + (top - base) * said.percent / 100)
        message = said.message or message
    elif observed is not None and base < observed.percent < top:
        percent, message = observed.percent, observed.message or message
    percent = min(percent, _MOST)
    found: dict[str, Any] = {"percent": percent, "message": message}
    elapsed, own = (now - min(begun)).total_seconds(), percent - start
    if own >= _ENOUGH_PERCENT * share * whole / 100 and own > 0 and elapsed > 0:
        found["etaSeconds"] = rounded_seconds(elapsed * (100 - percent) / own)
    return found


def of_search(ended: int, planned: int, message: str, seconds: float) -> dict[str, Any]:
    """Return `status.progress` of a search that runs.

    Args:
        ended: trials that ended, each as often as it ran with more effort.
        planned: how many of them there will be.
        message: what it does.
        seconds: how long it has run.
    """
    percent = SEARCHED * ended // max(planned, 1)
    found: dict[str, Any] = {"percent": percent, "message": message}
    if ended and seconds > 0:
        found["etaSeconds"] = rounded_seconds(seconds * (100 - percent) / percent) if percent else None
    return found
