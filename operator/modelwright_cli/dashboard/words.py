"""States, ages and figures in words; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from modelwright_cli.objects import Json, condition, name_of, number, part, text, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

UNDER_WAY = frozenset({"Starting", "Stepping", "Promoting"})
_UNITS = ((86400 * 2, 86400, "d"), (3600 * 2, 3600, "h"), (60 * 2, 60, "min"))
_BEST = ("roc_auc", "accuracy", "f1", "r2", "rmse", "mae")


@dataclass(frozen=True, slots=True)
class State:
    """How an object is, in a word.

    Attributes:
        said: the word.
        tone: ok, busy, canary, warn, bad or calm.
    """

    said: str
    tone: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody should know, and may do something about.

    Attributes:
        tone: warn or bad.
        title: the condition's reason.
        message: the condition's.
        command: what to type; empty: nothing to be typed.
    """

    tone: str
    title: str
    message: str
    command: str = ""


def ago(moment: str, now: datetime) -> str:
    """Return how long ago that was; empty where it is no moment.

    >>> ago("2026-11-22T12:00:00Z", datetime.fromisoformat("2026-11-22T12:05:10Z"))
    '5 min ago'
    """
    then = parsed(moment)
    return "" if then is None else f"{lasted((now - then).total_seconds())} ago"


def lasted(seconds: float) -> str:
    """Return a duration with its largest unit."""
    seconds = max(0, int(seconds))
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def parsed(moment: str) -> datetime | None:
    """Return a moment that the API server gave."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return then if then.tzinfo is not None else None


def holds(seen: Json, kind: str) -> bool:
    """Tell whether a condition is True."""
    return text(condition(seen, kind), "status") == "True"


def deployment_state(seen: Json) -> State:
    """Return how a Deployment is: the first of these that holds."""
    unseen = whole(seen, "metadata", "generation") > whole(seen, "status", "observedGeneration")
    states = (
        (bool(text(seen, "metadata", "deletionTimestamp")), "Being deleted", "warn"),
        (unseen, "Not seen yet", "busy"),
        (holds(seen, "Stalled"), text(condition(seen, "Stalled"), "reason"), "bad"),
        (holds(seen, "ApprovalRequired"), "Waits for approval", "warn"),
        (text(seen, "status", "rollout", "phase") in UNDER_WAY, "Rolling out", "canary"),
        (holds(seen, "Ready"), "Ready", "ok"),
    )
    reason, tone = text(condition(seen, "Ready"), "reason"), "busy" if holds(seen, "Reconciling") else "bad"
    return next((State(said, colour) for given, said, colour in states if given), State(reason or "Not ready", tone))


def job_state(seen: Json) -> State:
    """Return how a TrainingJob is."""
    for kind, tone in (("Complete", "ok"), ("Failed", "bad"), ("Suspended", "calm"), ("Stalled", "bad")):
        if holds(seen, kind):
            reason = text(condition(seen, kind), "reason")
            return State({"ok": "Complete", "calm": "Suspended"}.get(tone, reason), tone)
    return State("Running" if text(seen, "status", "stage") else "Starting", "busy")


def version_state(seen: Json) -> State:
    """Return what may be done with a ModelVersion."""
    approval = text(seen, "spec", "approval", "state")
    if approval:
        return State(approval, "ok" if approval == "Approved" else "bad")
    if holds(seen, "Stalled"):
        return State(text(condition(seen, "Stalled"), "reason"), "bad")
    return State("Verified", "calm") if holds(seen, "Verified") else State("Not verified", "busy")


_ALARMS = (
    ("DataQualityDegraded", "bad"),
    ("ModelQualityDegraded", "bad"),
    ("DataDriftDetected", "warn"),
    ("PredictionDriftDetected", "warn"),
    ("ModelStale", "warn"),
)


def notices(seen: Json) -> list[Notice]:
    """Return what needs somebody's attention at a Deployment, the worst first."""
    name = name_of(seen)
    where = f" -n {text(seen, 'metadata', 'namespace')}"
    told: list[Notice] = []
    for kind, tone, command in (
        ("Stalled", "bad", f"kubectl modelwright events {name}{where}"),
        ("ApprovalRequired", "warn", f"kubectl modelwright approve {name}{where}"),
        ("RolledBack", "bad", f"kubectl modelwright retry {name}{where}"),
        *((kind, tone, "") for kind, tone in _ALARMS),
    ):
        item = condition(seen, kind)
        title, message = text(item, "reason"), text(item, "message")
        if text(item, "status") == "True" and (title, message) not in {(one.title, one.message) for one in told}:
            told.append(Notice(tone, title, message, command))
    healthy, blocked = condition(seen, "MonitoringHealthy"), part(seen, "status", "retraining", "blocked")
    if text(healthy, "status") == "False":
        told.append(Notice("warn", text(healthy, "reason"), text(healthy, "message")))
    if blocked:
        told.append(Notice("warn", text(blocked, "reason"), text(blocked, "message")))
    return told


def main_metric(items: Sequence[Json]) -> str:
    """Return the figure that people look at first.

    >>> main_metric([{"name": "f1", "value": 0.5}, {"name": "accuracy", "value": 0.91234}])
    'accuracy 0.912'
    """
    measured = [item for item in items if number(item, "value") is not None]
    ranked = sorted(measured, key=lambda item: _rank(text(item, "name")))
    return next((f"{text(item, 'name')} {number(item, 'value'):.3g}" for item in ranked), "")


def _rank(name: str) -> int:
    return _BEST.index(name) if name in _BEST else len(_BEST)


def newest(items: Sequence[Json]) -> list[Json]:
    """Return objects, the youngest first."""
    return sorted(items, key=lambda item: (text(item, "metadata", "creationTimestamp"), name_of(item)), reverse=True)


def digest_of(value: str) -> str:
    """Return as much of a digest as people compare."""
    kind, colon, rest = value.partition(":")
    return f"{kind}:{rest[:10]}…" if colon and len(rest) > 10 else value  # noqa: PLR2004 - as versions are named
