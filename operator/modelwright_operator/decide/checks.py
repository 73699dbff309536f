"""Checks of a rollout's step beside its own evidence: a number from Prometheus or from a Service, held to limits.

    read (cluster/checks.py) ─► Reading ─► Tally per check, kept in status ─► what all of them say ─► with the verdict

A number outside its limits once may be chance, so `failure_limit` readings in a row fail a check. What cannot be read,
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

from modelwright_operator.decide.verdict import Kind, Verdict
from modelwright_operator.raw import is_map
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SERVICE: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,255}")
_PORTS: Final = range(1, 65536)
_PLACES: Final = re.compile(r"\$(namespace|deployment|canary|stable)\b")
_SHOWN: Final = 200  # characters of a foreign text that are shown
_OK: Final = 200
_BAD_REQUESTS: Final = range(400, 500)
_CAUTION: Final = (Kind.ROLLBACK, Kind.INCONCLUSIVE, Kind.UNDECIDED, Kind.PROMOTE)


@dataclass(frozen=True)
class Prometheus:
    """An instant query that yields one number."""

    query: str


@dataclass(frozen=True)
class Hook:
    """A Service of the Deployment's namespace, which answers GET with `{"value": <number>}`.

    Raises:
        ValueError: no such Service, port or path can be.
    """

    service: str
    port: int
    path: str

    def __post_init__(self) -> None:
        if not _SERVICE.fullmatch(self.service):
            message = f"{self.service!r} is no name of a Service"
            raise ValueError(message)
        if self.port not in _PORTS:
            message = f"{self.port} is no port"
            raise ValueError(message)
        if not _PATH.fullmatch(self.path) or ".." in self.path.split("/"):
            message = (
                f"{self.path!r} is no path: up to 256 characters beginning with a slash, without query and escapes"
            )
            raise ValueError(message)


@dataclass(frozen=True)
class Check:
    """A number and its limits.

    Attributes:
        name: unique in its step.
        source: where the number comes from.
        min, max: the lowest and the highest number that is fine; None: none.
        failure_limit: readings in a row outside of them that fail the check.
    """

    name: str
    source: Prometheus | Hook
    min: float | None = None
    max: float | None = None
    failure_limit: int = 3

    def problem(self, value: float) -> str:
        """Return what is wrong with a number; empty if nothing is."""
        if self.min is not None and value < self.min:
            return f"{self.name} is {value:g}, below min {self.min:g}"
        if self.max is not None and value > self.max:
            return f"{self.name} is {value:g}, above max {self.max:g}"
        return ""


@dataclass(frozen=True)
class Reading:
    """A number, or why there is none (MetricInvalid, MetricUnavailable)."""

    value: float | None = None
    reason: Reason | None = None
    message: str = ""


@dataclass(frozen=True)
class Tally:
    """What is known of a check.

    Attributes:
        name: of the check.
        failures: readings in a row outside of its limits; one that could not be read does not change it.
        reading: the last.
    """

    name: str
    failures: int
    reading: Reading


@dataclass(frozen=True)
class Said:
    """What all checks say together."""

    kind: Kind
    reason: Reason
    message: str


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


def from_prometheus(check: Check, status: int, body: bytes) -> Reading:
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


def from_hook(check: Check, status: int, body: bytes) -> Reading:
    """Return the number in a Service's answer."""
    if status != _OK:
        return unavailable(f"the hook of {check.name} answered {status}")
    answer = _document(body)
    value = answer.get("value") if is_map(answer) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return invalid(f'the hook of {check.name} must answer {{"value": <number>}}')
    return _number(check, value)


def tallied(check: Check, before: Tally | None, reading: Reading) -> Tally:
    """Return what is known of a check after another reading."""
    failures = before.failures if before is not None else 0
    if reading.value is not None:
        failures = failures + 1 if check.problem(reading.value) else 0
    return Tally(check.name, min(failures, check.failure_limit), reading)


def together(checks: Sequence[Check], tallies: Mapping[str, Tally]) -> Said:
    """Return what the checks of a step say: the most cautious of them counts.

    Args:
        checks: of the step.
        tallies: what is known of each, by name.
    """
    held = [said for check in checks if (said := _of(check, tallies.get(check.name))) is not None]
    passed = Said(Kind.PROMOTE, Reason.CHECKS_PASSED, f"{len(checks)} of {len(checks)} checks passed")
    return min(held, key=lambda item: _CAUTION.index(item.kind), default=passed)


def with_checks(verdict: Verdict, said: Said) -> Verdict:
    """Return the verdict on the evidence, or that of the checks where it is the more cautious."""
    if _CAUTION.index(said.kind) >= _CAUTION.index(verdict.kind):
        return verdict
    return replace(verdict, kind=said.kind, reason=said.reason, message=said.message, eta_seconds=None)


def _of(check: Check, tally: Tally | None) -> Said | None:
    """Return what a check has against going on."""
    if tally is None:
        return Said(Kind.UNDECIDED, Reason.COLLECTING_EVIDENCE, f"check {check.name} has not been read yet")
    if tally.failures >= check.failure_limit:
        last = check.problem(tally.reading.value) if tally.reading.value is not None else check.name
        return Said(Kind.ROLLBACK, Reason.CHECK_FAILED, f"check failed {tally.failures} times in a row: {last}")
    if tally.reading.reason is not None or tally.reading.value is None:
        return Said(Kind.INCONCLUSIVE, tally.reading.reason or Reason.METRIC_UNAVAILABLE, tally.reading.message)
    if problem := check.problem(tally.reading.value):
        return Said(
            Kind.UNDECIDED,
            Reason.COLLECTING_EVIDENCE,
            f"{problem}: {tally.failures} of {check.failure_limit} readings in a row that fail it",
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


def _number(check: Check, value: object) -> Reading:
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
