"""The totals as ``status.monitoring.quality``, and what they say: is the model as good as it has to be?

Judged is the version that answers, by the labels of all its predictions that are no older than labels may take.  The
verdict needs the whole interval on the wrong side: a metric that is not shown to be bad is not called bad.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelwright_monitor.conditions import Mark
from modelwright_monitor.quality.cohorts import DAY_SECONDS, Cohorts, width_days
from modelwright_monitor.quality.ledger import Totals
from modelwright_monitor.quality.metrics import Estimate, estimate
from modelwright_monitor.quality.tally import Tally
from modelwright_server.contract import monitoring
from modelwright_server.contract.monitoring import MonitoringReason as Reason


@dataclass(frozen=True, slots=True)
class Requirement:
    """``spec.monitoring.quality``.

    Attributes:
        metric: one of `metrics.METRICS`.
        low: what it has to be at least, None for no limit.
        high: what it may be at most, None for no limit.
        max_delay_seconds: how long labels may take.
        min_labels: how many a verdict needs.
    """

    metric: str
    low: float | None
    high: float | None
    max_delay_seconds: int
    min_labels: int

    @property
    def limit(self) -> str:
        """In words."""
        return f"at least {self.low:g}" if self.low is not None else f"at most {self.high:g}"


def considered(totals: Totals, requirement: Requirement, version: str, now: float) -> Tally:
    """Return what counts for the verdict on a version, named by its key."""
    width = width_days(requirement.max_delay_seconds)
    oldest = int((now - requirement.max_delay_seconds) // DAY_SECONDS)
    return totals.cohorts.total(version, oldest - oldest % width, int(now // DAY_SECONDS) + 1)


def mark(requirement: Requirement, tally: Tally, name: str) -> Mark:
    """Return the verdict on a version of that name."""
    found = estimate(requirement.metric, tally)
    labels = found.labels if found is not None else 0
    if found is None or labels < requirement.min_labels:
        message = _too_few(requirement, tally, labels, name)
        return Mark(monitoring.MODEL_QUALITY, "Unknown", Reason.INSUFFICIENT_LABELS, message)
    short = f"{requirement.metric} of {name} is {found.value:.4g} (95 %: {found.low:.4g} to {found.high:.4g})"
    basis = f"by {labels} labels{_coverage(tally)}{_foreign(tally)}"
    if _wrong(requirement, found):
        message = f"{short}, {basis}; spec.monitoring.quality asks for {requirement.limit}"
        return Mark(monitoring.MODEL_QUALITY, "True", Reason.QUALITY_DEGRADED, message)
    within = (requirement.low is None or found.value >= requirement.low) and (
        requirement.high is None or found.value <= requirement.high
    )
    said = f"{requirement.limit} is asked for"
    if not within:
        said = f"that it is not {requirement.limit}, as asked for, is not shown yet"
    return Mark(monitoring.MODEL_QUALITY, "False", Reason.QUALITY_SUFFICIENT, f"{short}, {basis}; {said}")


def _wrong(requirement: Requirement, found: Estimate) -> bool:
    below = requirement.low is not None and found.high < requirement.low
    return below or (requirement.high is not None and found.low > requirement.high)


def _too_few(requirement: Requirement, tally: Tally, usable: int, name: str) -> str:
    said = f"{usable} of {requirement.min_labels} labels for {requirement.metric} of {name}{_coverage(tally)}"
    if tally.labels > usable:
        said += f"; {tally.labels - usable} labels say nothing of {requirement.metric}"
    return f"{said}: post them to port {monitoring.FEEDBACK_PORT}"


def _coverage(tally: Tally) -> str:
    return f", {100 * coverage(tally):.3g} % of the predictions" if tally.predictions else ""


def _foreign(tally: Tally) -> str:
    return f", {tally.foreign} of which are no class of the model" if tally.foreign else ""


def coverage(tally: Tally) -> float:
    """Return which share of the predictions has a label; predictions that were lost may make it seem more than 1."""
    return min(tally.labels / tally.predictions, 1.0) if tally.predictions else 0.0


def document(requirement: Requirement, totals: Totals, tally: Tally, version: str, updated_at: str) -> dict[str, Any]:
    """Return ``status.monitoring.quality``.

    Args:
        requirement: the metric wanted.
        totals: of all pods.
        tally: what counts for the verdict.
        version: name of the version it is on.
        updated_at: now, RFC 3339.
    """
    cohorts, marks = totals.to_documents()
    shown = {
        "metric": requirement.metric,
        "version": version,
        "updatedAt": updated_at,
        **_figures(requirement.metric, tally),
        "labels": tally.labels,
        "predictions": tally.predictions,
        "coverage": _rounded(coverage(tally)),
        "foreign": tally.foreign,
    }
    if tally.labels:
        shown["meanDelaySeconds"] = round(tally.delay_seconds / tally.labels)
    return {
        **shown,
        "cohorts": [{**item, **_figures(requirement.metric, Tally.from_document(item))} for item in cohorts],
        "pods": marks,
    }


def totals_of(seen: Mapping[str, Any]) -> Totals:
    """Read back the totals that `document` wrote.

    Raises:
        TallyError: it is something else.
    """
    return Totals.from_documents(seen.get("cohorts", []), seen.get("pods", []))


def trimmed(totals: Totals, requirement: Requirement, versions: tuple[str, ...], now: float) -> Cohorts:
    """Return the cohorts that are kept, of versions that are still known."""
    return totals.cohorts.kept(versions, now, width_days(requirement.max_delay_seconds))


def _figures(metric: str, tally: Tally) -> dict[str, float]:
    found = estimate(metric, tally)
    if found is None:
        return {}
    return {"value": _rounded(found.value), "low": _rounded(found.low), "high": _rounded(found.high)}


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")
