"""From a window's counts to what the Deployment's status says: figures, a verdict over the last windows, conditions.

Broken data comes before drift: a feature whose values are missing, or for a good part unlike any the model has seen,
is named as broken and not as drifted; and while the data is broken, nothing is said of drift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright_drift.baseline import Baseline
from modelwright_drift.expected import estimate
from modelwright_drift.verdict import Finding, Quality, Settings, Share, Verdict, judge
from modelwright_monitor.conditions import Mark
from modelwright_monitor.deployment import part, parts
from modelwright_monitor.tally import Tally
from modelwright_server.contract import monitoring
from modelwright_server.contract.monitoring import MonitoringReason as Reason

# What a feature's values may do beyond all that is known before the data counts as broken: a shift that is not small
# takes some values past the baseline's extremes, and is drift.
BROKEN_SHARE = 0.2
# Lost rows that nobody needs to hear of.
_LOST_SHARE = 0.01
_NAMED = 5
_DIGITS = 4

_BROKEN = {
    Share.MISSING: (Reason.MISSING_VALUES, "are missing"),
    Share.OUT_OF_RANGE: (Reason.VALUES_OUT_OF_RANGE, "are out of the training data's range"),
    Share.UNSEEN: (Reason.UNSEEN_CATEGORIES, "are in categories that the training data lacks"),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What `spec.monitoring` says of windows and drift; the defaults are the API's."""

    rows: int = 2000
    min_seconds: int = 60
    max_seconds: int = 3600
    alpha: float = 0.001
    tolerated_psi: float = 0.02
    min_rows: int = 500
    flagged: int = 2
    of: int = 3

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Rules":
        """Read `spec.monitoring`, which the API server has checked."""
        window, drift = part(document, "window"), part(document, "drift")
        default = cls()
        return cls(
            rows=int(window.get("rows", default.rows)),
            min_seconds=int(window.get("minSeconds", default.min_seconds)),
            max_seconds=int(window.get("maxSeconds", default.max_seconds)),
            alpha=float(drift.get("alpha", default.alpha)),
            tolerated_psi=float(drift.get("toleratedPSI", default.tolerated_psi)),
            min_rows=int(drift.get("minRows", default.min_rows)),
            flagged=int(drift.get("flagged", default.flagged)),
            of=int(drift.get("of", default.of)),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A window that is closed.

    Attributes:
        sequence: its number.
        opened_at: when it began, RFC 3339.
        closed_at: when it ended.
        by: the pod that closed it.
        tally: the counts of all replicas that answered.
        replicas: how many there are.
        reported: how many of them answered.
        missing: addresses of those that did not.
        problems: what is wrong in them.
    """

    sequence: int
    opened_at: str
    closed_at: str
    by: str
    tally: Tally
    replicas: int
    reported: int
    missing: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What one window adds to the status: the track's document, the conditions, and how drifted everything is.

    Attributes:
        document: of the track, as in `status.monitoring`.
        marks: the conditions, of which those of the canary go nowhere.
        features: what was found of every feature, for the metrics.
        prediction: what was found of the predictions.
    """

    document: dict[str, Any]
    marks: tuple[Mark, ...]
    features: tuple[Finding, ...]
    prediction: tuple[Finding, ...]


def report(
    window: Window, baseline: Baseline, rules: Rules, identity: Mapping[str, str], before: Mapping[str, Any]
) -> Report:
    """Judge a window.

    Args:
        window: its counts, and whose they are.
        baseline: of the version.
        rules: what counts as drift.
        identity: version, digest and revision, as the document has them.
        before: the track's document so far; of another version it counts for nothing.
    """
    before = before if before.get("digest") == identity["digest"] else {}
    settings = Settings(rules.alpha, rules.tolerated_psi, rules.min_rows)
    features = judge(baseline.features, window.tally.features, settings)
    prediction = judge(baseline.prediction, window.tally.prediction, settings)
    broken = _broken(features)
    names = {finding.name for finding, _ in broken}
    drifted = [name for name in features.drifted if name not in names]
    recent = list(parts(before, "recent"))
    if features.enough:
        flags = {
            "sequence": window.sequence,
            "drift": bool(drifted),
            "prediction": bool(prediction.drifted),
            "quality": bool(broken),
        }
        recent = [*recent, {**flags, "names": [name[:_MOST_NAME] for name in drifted[:_NAMED]]}]
    recent = recent[-rules.of :]
    judged = _Judged(window, rules, features, prediction, broken, drifted, recent)
    total = part(before, "total")
    document: dict[str, Any] = {
        "window": {
            "sequence": window.sequence,
            "rows": window.tally.rows,
            "startedAt": window.opened_at,
            "closedAt": window.closed_at,
            "closedBy": window.by,
            "missing": list(window.missing[: monitoring.MOST_MISSING]),
        },
        **identity,
        "coverage": {"replicas": window.replicas, "reported": window.reported},
        "lost": window.tally.lost,
        "total": {
            "windows": int(total.get("windows", 0)) + 1,
            "rows": int(total.get("rows", 0)) + window.tally.rows,
            "lost": int(total.get("lost", 0)) + window.tally.lost,
        },
        "features": [figures(finding) for finding in _first(features, names)],
        "prediction": [brief(figures(finding)) for finding in prediction.findings],
        "recent": recent,
        **(_expected(window, baseline) if features.enough and not broken else {}),
    }
    marks = (judged.healthy(), judged.data_drift(), judged.prediction_drift(), judged.quality())
    return Report(document, marks, features.findings, prediction.findings)


_MOST_NAME = 256


def _expected(window: Window, baseline: Baseline) -> dict[str, Any]:
    """Return the accuracy to expect without labels, as a member of the document; nothing where it cannot be told."""
    found = estimate(baseline, window.tally.prediction)
    if found is None:
        return {}
    figures = {"value": found.value, "low": found.low, "high": found.high, "holdout": found.holdout}
    shown = {name: _short(value) for name, value in figures.items()}
    return {"estimatedAccuracy": {**shown, "rows": found.rows, "assumes": monitoring.ASSUMED}}


def _broken(verdict: Verdict) -> list[tuple[Finding, Quality]]:
    """Return the features whose data is broken, each with the worst of its shares."""
    found: list[tuple[Finding, Quality]] = []
    for finding in verdict.findings:
        bad = [
            item
            for item in finding.quality
            if item.flagged and item.live > item.expected and (item.share is Share.MISSING or item.live >= BROKEN_SHARE)
        ]
        if bad:
            found.append((finding, max(bad, key=lambda item: item.live)))
    return sorted(found, key=lambda pair: -pair[1].live)


def _first(verdict: Verdict, broken: set[str]) -> list[Finding]:
    """Return the features that people look at first: broken ones, then the least likely by chance."""
    ordered = sorted(verdict.findings, key=lambda finding: (finding.name not in broken, finding.p, -finding.psi))
    return ordered[: monitoring.MOST_FEATURES]


def brief(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures that predictions and a canary are reported with."""
    return {name: found[name] for name in ("name", "psi", "pValue", "flagged")}


def figures(finding: Finding) -> dict[str, Any]:
    """Return what a finding is reported with."""
    found: dict[str, Any] = {
        "name": finding.name[:_MOST_NAME],
        "psi": _short(finding.psi),
        "psiDebiased": _short(finding.psi_debiased),
        "psiLower": _short(finding.psi_lower),
        "pValue": _short(finding.p),
        "flagged": finding.drifted,
    }
    shares = [
        {"share": item.share.value, "live": _short(item.live), "expected": _short(item.expected)}
        for item in finding.quality
        if item.flagged
    ]
    return {**found, "quality": shares} if shares else found


def _short(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was found, and how it is told."""

    window: Window
    rules: Rules
    features: Verdict
    prediction: Verdict
    broken: Sequence[tuple[Finding, Quality]]
    drifted: Sequence[str]
    recent: Sequence[Mapping[str, Any]]

    @property
    def _where(self) -> str:
        return f"window {self.window.sequence}, {self.window.tally.rows} rows"

    def healthy(self) -> Mark:
        """Tell how monitoring itself fares."""
        window, kind = self.window, monitoring.MONITORING_HEALTHY
        share = window.tally.lost / max(1, window.tally.rows + window.tally.lost)
        if window.problems:
            return Mark(kind, "False", Reason.RING_INVALID, f"rows cannot be read: {'; '.join(window.problems)[:900]}")
        if window.reported < window.replicas:
            what = f"{window.replicas - window.reported} of {window.replicas} replicas did not report to {self._where}"
            message = f"{what}: see the logs of the container monitor of their pods"
            return Mark(kind, "False", Reason.REPLICAS_MISSING, message)
        if share > _LOST_SHARE:
            lost = f"{window.tally.lost} answered rows were not counted in {self._where}"
            return Mark(kind, "False", Reason.ROWS_LOST, f"{lost}: the sidecar is too slow for this traffic")
        return Mark(kind, "True", Reason.WINDOWS_CLOSE, f"{self._where} of {window.reported} replicas")

    def data_drift(self) -> Mark:
        """Tell whether the features drift."""
        held = self._held_back(monitoring.DATA_DRIFT)
        if held is not None:
            return held
        if self._count("drift") >= self.rules.flagged:
            named = [self._named(self.features, name) for name in self.drifted[:_NAMED]]
            earlier = sorted({str(name) for entry in self.recent for name in entry.get("names") or ()})
            what = ", ".join(named) if named else f"none in the last, before {', '.join(earlier[:_NAMED])}"
            more = len(self.drifted) - len(named)
            message = f"{self._often('drift')}: {what}{f' and {more} more' if more > 0 else ''} ({self._where})"
            return Mark(monitoring.DATA_DRIFT, "True", Reason.DRIFT_DETECTED, message)
        return Mark(monitoring.DATA_DRIFT, "False", Reason.NO_DRIFT, self._calm("drift", self.features, self.drifted))

    def prediction_drift(self) -> Mark:
        """Tell whether the predictions drift."""
        held = self._held_back(monitoring.PREDICTION_DRIFT)
        if held is not None:
            return held
        drifted = self.prediction.drifted
        if self._count("prediction") >= self.rules.flagged:
            named = ", ".join(self._named(self.prediction, name) for name in drifted) or "not in the last"
            message = f"{self._often('prediction')}: {named} ({self._where})"
            return Mark(monitoring.PREDICTION_DRIFT, "True", Reason.DRIFT_DETECTED, message)
        calm = self._calm("prediction", self.prediction, drifted)
        return Mark(monitoring.PREDICTION_DRIFT, "False", Reason.NO_DRIFT, calm)

    def quality(self) -> Mark:
        """Tell whether the data is broken."""
        kind = monitoring.DATA_QUALITY
        if not self.features.enough:
            return self._insufficient(kind)
        if self._count("quality") >= self.rules.flagged:
            reason = _BROKEN[self.broken[0][1].share][0] if self.broken else Reason.BROKEN_DATA
            named = ", ".join(map(_told, self.broken[:_NAMED])) or "not in the last"
            message = f"{self._often('quality')}: {named}; mend what sends them ({self._where})"
            return Mark(kind, "True", reason, message)
        once = f"; so far once: {_told(self.broken[0])}" if self.broken else ""
        return Mark(kind, "False", Reason.DATA_AS_EXPECTED, f"values are as in the baseline ({self._where}){once}")

    def _held_back(self, kind: str) -> Mark | None:
        if not self.features.enough:
            return self._insufficient(kind)
        if self._count("quality") >= self.rules.flagged:
            message = f"not judged while the data is broken: see {monitoring.DATA_QUALITY} ({self._where})"
            return Mark(kind, "Unknown", Reason.BROKEN_DATA, message)
        return None

    def _insufficient(self, kind: str) -> Mark:
        rows, least = self.window.tally.rows, self.rules.min_rows
        advice = "raise spec.monitoring.window.maxSeconds or lower spec.monitoring.drift.minRows if that stays so"
        message = f"window {self.window.sequence} has {rows} of {least} rows, {least - rows} are missing: {advice}"
        return Mark(kind, "Unknown", Reason.INSUFFICIENT_ROWS, message)

    def _count(self, flag: str) -> int:
        return sum(bool(entry.get(flag)) for entry in self.recent)

    def _often(self, flag: str) -> str:
        return f"{self._count(flag)} of the last {len(self.recent)} windows"

    def _calm(self, flag: str, verdict: Verdict, drifted: Sequence[str]) -> str:
        margin = f"the tolerated PSI of {self.rules.tolerated_psi:g}"
        if drifted:
            named = ", ".join(self._named(verdict, name) for name in drifted[:_NAMED])
            needed = f"{self._count(flag)} of the {self.rules.flagged} windows that make it drift"
            return f"so far {needed}: {named} ({self._where})"
        least = min(verdict.findings, key=lambda finding: finding.p)
        return f"nothing differs beyond {margin}; most does {_told_figures(least)} ({self._where})"

    def _named(self, verdict: Verdict, name: str) -> str:
        return _told_figures(next(finding for finding in verdict.findings if finding.name == name))


def _told_figures(finding: Finding) -> str:
    return f"{finding.name[:80]} (PSI {finding.psi:.3g}, p {finding.p:.2g})"


def _told(pair: tuple[Finding, Quality]) -> str:
    finding, share = pair
    what = f"{share.live:.1%} of {finding.name[:80]} {_BROKEN[share.share][1]}"
    return f"{what} (in the baseline {share.expected:.2%})"
