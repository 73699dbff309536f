"""Checks of a rollout's step beside its own evidence: a number from Prometheus or from a Service, held to limits.

    read (cluster/checks.py) ─► Reading ─► tally per check, kept in status ─► what all of them say ─► with the verdict

A number outside its limits once may be chance, so `failureLimit` readings in a row fail a check. What cannot be read,
or is no number, is no failure and no pass: the step is held, and the message says why.

What a tenant writes into a check ends up in requests of the operator, so little is left to choose: a query for the one
Prometheus of the operator's settings, or port and path of a Service in the Deployment's own namespace.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator.api.rollout_status import CheckStatus
from modelwright_operator.decide.verdict import Kind, Verdict
from modelwright_operator.raw import is_map
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator import api

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLACES: Final = re.compile(r"\$(namespace|deployment|canary|stable)\b")
_SHOWN: Final = 200  # characters of a foreign text that are shown
_OK: Final = 200
_BAD_REQUESTS: Final = range(400, 500)
_CAUTION: Final = (Kind.ROLLBACK, Kind.INCONCLUSIVE, Kind.UNDECIDED, Kind.PROMOTE)


@dataclass(frozen=True)
class Reading:
    """A number, or why there is none (MetricInvalid, MetricUnavailable)."""

    value: float | None = None
    reason: Reason | None = None
    message: str = ""


@dataclass(frozen=True)
class Said:
    """What all checks say together.

    Attributes:
        note: the message without figures, for conditions; empty: it has none.
    """

    kind: Kind
    reason: Reason
    message: str
    note: str = ""


def problem(check: api.Check, value: float) -> str:
    """Return what is wrong with a number; empty if nothing is."""
    if check.min is not None and value < check.min:
        return f"{check.name} is {value:g}, below min {check.min:g}"
    if check.max is not None and value > check.max:
        return f"{check.name} is {value:g}, above max {check.max:g}"
    return ""


def filled(text: str, names: Mapping[str, str]) -> str:
    """Put names in the places of a query or a path.

    >>> filled('rate(errors{version="$canary"}[1m])', {"canary": "churn-9f2c41ab07"})
    'rate(errors{version="churn-9f2c41ab07"}[1m])'
    """
    return _PLACES.sub(lambda match: names.get(match[1], match[0]), text)


def invalid(message: str) -> Reading:
    """Return the reading of an answer that is no number."""
    return Reading(reason=Reason.METRIC_INVALID, message=message)


def unavailable(message: str) -> Reading:
    """Return the reading of what did not answer."""
    return Reading(reason=Reason.METRIC_UNAVAILABLE, message=message)


def printable(text: str) -> str:
    """Return the beginning of a foreign text, with a question mark for what cannot be printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_SHOWN])


def from_prometheus(check: api.Check, status: int, body: bytes) -> Reading:
    """Return the number in an answer to an instant query (HTTP API v1)."""
    answer = _document(body)
    if status in _BAD_REQUESTS:
        said = answer.get("error") if is_map(answer) else None
        return invalid(f"Prometheus refuses the query of {check.name} ({status}): {_shown(said or 'no reason given')}")
    if status != _OK:
        return unavailable(f"Prometheus answered {status} to the query of {check.name}")
    match answer:
        case {"status": "success", "data": {"resultType": "scalar", "result": sample}}:
            return _number(check, _sample(sample))
        case {"status": "success", "data": {"resultType": "vector", "result": [{"value": sample}]}}:
            return _number(check, _sample(sample))
        case {"status": "success", "data": {"resultType": "vector", "result": [*series]}}:
            found = f"{len(series) or 'no'} series"
        case {"status": "success", "data": {"resultType": str() as kind}}:
            found = f"a {_shown(kind)}"
        case _:
            found = "nothing that the API provides for"
    return invalid(f"the query of {check.name} yields {found}: it must yield one number")


def from_hook(check: api.Check, status: int, body: bytes) -> Reading:
    """Return the number in a Service's answer."""
    if status != _OK:
        return unavailable(f"the hook of {check.name} answered {status}")
    answer = _document(body)
    value = answer.get("value") if is_map(answer) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return invalid(f'the hook of {check.name} must answer {{"value": <number>}}')
    return _number(check, value)


def tallied(check: api.Check, before: api.CheckStatus | None, reading: Reading, at: datetime) -> api.CheckStatus:
    """Return what is known of a check after another reading; one without a number does not change its failures."""
    failures = before.failures if before is not None else 0
    if reading.value is not None:
        failures = failures + 1 if problem(check, reading.value) else 0
    return CheckStatus(
        name=check.name,
        value=reading.value,
        failures=min(failures, check.failure_limit),
        reason=str(reading.reason) if reading.reason is not None else None,
        message=reading.message[:1024],
        observed_at=at,
    )


def brought_up_to_date(
    checks: Sequence[api.Check],
    known: Sequence[api.CheckStatus],
    readings: Mapping[api.Check, tuple[datetime, Reading]],
) -> tuple[api.CheckStatus, ...]:
    """Return what is known of the checks there are, each reading counted once.

    Args:
        checks: that are asked for.
        known: what the status says of them, and of some that may be asked for no longer.
        readings: the last of each check, and its time in whole seconds.
    """
    before = {item.name: item for item in known}
    now: list[api.CheckStatus] = []
    for check in checks:
        old, (at, reading) = before.get(check.name), readings.get(check, (None, None))
        if at is not None and reading is not None and (old is None or at > old.observed_at):
            now.append(tallied(check, old, reading, at))
        elif old is not None:
            now.append(old)
    return tuple(now)


def together(checks: Sequence[api.Check], known: Sequence[api.CheckStatus], since: datetime | None) -> Said:
    """Return what the checks of a rollout say: the most cautious of them counts.

    Args:
        checks: that are asked for.
        known: what is known of them.
        since: the beginning of the step; what was read before says nothing about it. None: there is no such time.
    """
    by_name = {item.name: item for item in known}
    held = [said for check in checks if (said := _of(check, by_name.get(check.name), since)) is not None]
    passed = Said(Kind.PROMOTE, Reason.CHECKS_PASSED, f"{len(checks)} of {len(checks)} checks passed")
    return min(held, key=lambda item: _CAUTION.index(item.kind), default=passed)


def with_checks(verdict: Verdict, said: Said) -> Verdict:
    """Return the verdict on the evidence, or that of the checks where it is the more cautious."""
    if _CAUTION.index(said.kind) >= _CAUTION.index(verdict.kind):
        return verdict
    return replace(verdict, kind=said.kind, reason=said.reason, message=said.message, eta_seconds=None)


def _of(check: api.Check, known: api.CheckStatus | None, since: datetime | None) -> Said | None:
    """Return what a check has against going on."""
    if known is not None and known.failures >= check.failure_limit:
        last = problem(check, known.value) if known.value is not None else check.name
        return Said(Kind.ROLLBACK, Reason.CHECK_FAILED, f"check failed {known.failures} times in a row: {last}")
    if known is None or (since is not None and known.observed_at < since):
        return Said(
            Kind.INCONCLUSIVE, Reason.COLLECTING_EVIDENCE, f"check {check.name} has not been read in this step yet"
        )
    if known.value is None:
        return Said(Kind.INCONCLUSIVE, Reason(known.reason or Reason.METRIC_UNAVAILABLE), known.message)
    if found := problem(check, known.value):
        return Said(
            Kind.INCONCLUSIVE,
            Reason.COLLECTING_EVIDENCE,
            f"{found}: {known.failures} of {check.failure_limit} readings in a row that fail it",
            f"check {check.name} is outside its limits; status.rollout.checks has its number",
        )
    return None


def _document(body: bytes) -> Any:  # noqa: ANN401  # JSON is anything
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _sample(value: Any) -> object:  # noqa: ANN401  # JSON is anything
    """Return the number of a sample, which is a pair of time and text; or the text if it is none."""
    match value:
        case [int() | float(), str() as text]:
            return float(text) if _NUMBER.fullmatch(text) else text
        case _:
            return None


def _number(check: api.Check, value: object) -> Reading:
    """Return a reading; only a finite number is one, and below zero only where `min` says that it may be."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        return invalid(f"{check.name} is {_shown(value)}: it must be a number")
    if number < 0 and (check.min is None or check.min >= 0):
        return invalid(f"{check.name} is {number:g}: below zero, which min does not provide for")
    return Reading(number)


def _shown(value: object) -> str:
    """Return the beginning of a foreign value in printable characters."""
    text = str(value) if not isinstance(value, int) else f"{value:.3g}" if abs(value) < 1 << 1000 else "a huge number"
    return printable(text)
