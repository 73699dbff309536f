"""What windows showed, for people to look at: counts beside the baseline's, and how the last windows went.

Only the sidecar that closed a window has the counts of all replicas together; it keeps those of the last one, and a
line of each before, in memory: nothing depends on them.  What is given away is bounded, whatever the model has.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from modelwright_drift.baseline import Baseline, Feature, Numeric
from modelwright_drift.counts import Counts
from modelwright_drift.verdict import Finding
from modelwright_monitor.listener import Answer, Request
from modelwright_monitor.report import Report, Window, figures
from modelwright_monitor.tally import Tally
from modelwright_monitor.windows import Windows
from modelwright_server.contract import monitoring

FORMAT = 1
MOST_LINES = 48
_Judged = tuple[str, Window, Report]  # the track, what was counted, what it showed


class Distributions:
    """Remembers what one session closed, and shows it to anybody; called by any thread."""

    def __init__(self, pod: str, digest: str, baseline: Baseline, windows: Windows) -> None:
        """Begin without a window.

        Args:
            pod: whose it is.
            digest: of the version that is counted.
            baseline: of that version.
            windows: what is counted, which is only looked at.
        """
        self._identity = {"pod": pod, "digest": digest}
        self._baseline = baseline
        self._windows = windows
        self._judged: _Judged | None = None
        self._last: _Judged | None = None
        self._lines: deque[dict[str, Any]] = deque(maxlen=MOST_LINES)
        self._lock = threading.Lock()

    def judged(self, track: str, window: Window, report: Report) -> Report:
        """Take in what a window showed, which may yet be closed by another replica; return the report."""
        self._judged = (track, window, report)
        return report

    def keep(self) -> None:
        """Keep what was judged last: this replica has closed the window."""
        if self._judged is not None:
            with self._lock:
                self._last = self._judged
                self._lines.append(_line(*self._judged))

    def answer(self, _request: Request) -> Answer:
        """Show the last window and what was counted since; nothing is cut by it."""
        state = self._windows.state
        opened = state.open if state.frozen is None else state.frozen.tally + state.open
        identity = {**self._identity, "track": state.track, "problem": self._windows.problem}
        return Answer.document({**identity, **self.document(opened)})

    def document(self, opened: Tally) -> dict[str, Any]:
        """Return the last window, the lines before it, and what was counted since, on the baseline's bins."""
        with self._lock:
            last, lines = self._last, list(self._lines)
        chosen = _chosen(self._baseline.features, last[2].features if last else ())
        return {
            "format": FORMAT,
            "window": _window(*last[:2]) if last else None,
            "lines": lines,
            "open": {"rows": opened.rows, "lost": opened.lost},
            "features": [
                _shown(
                    self._baseline.features[at],
                    opened.features[at],
                    (last[1].tally.features[at], last[2].features[at]) if last else None,
                )
                for at in chosen
            ],
            "leftOut": len(self._baseline.features) - len(chosen),
            "prediction": [
                _shown(feature, opened.prediction[at], (last[1].tally.prediction[at], last[2].prediction[at]))
                if last
                else _shown(feature, opened.prediction[at], None)
                for at, feature in enumerate(self._baseline.prediction)
            ],
        }


def _chosen(features: Sequence[Feature], findings: Sequence[Finding]) -> list[int]:
    """Return the places of the features that are shown: broken ones first, then the least likely by chance."""

    def order(at: int) -> tuple[bool, float, float]:
        finding = findings[at]
        return (not any(share.flagged for share in finding.quality), finding.p, -finding.psi)

    places = range(len(features))
    return (sorted(places, key=order) if findings else list(places))[: monitoring.MOST_SHOWN]


def _window(track: str, window: Window) -> dict[str, Any]:
    return {
        "track": track,
        "sequence": window.sequence,
        "openedAt": window.opened_at,
        "closedAt": window.closed_at,
        "rows": window.tally.rows,
        "lost": window.tally.lost,
        "replicas": window.replicas,
        "reported": window.reported,
    }


def _line(track: str, window: Window, report: Report) -> dict[str, Any]:
    """Return what is remembered of a window once the next one is closed."""
    worst = max(report.features, key=lambda finding: finding.psi)
    none: dict[str, Any] = {}
    recent = next((item for item in report.document["recent"] if item["sequence"] == window.sequence), none)
    return {
        **_window(track, window),
        "judged": bool(recent),
        "name": worst.name,
        "psi": figures(worst)["psi"],
        "predictionPsi": figures(max(report.prediction, key=lambda finding: finding.psi))["psi"],
        **{flag: bool(recent.get(flag)) for flag in ("drift", "prediction", "quality")},
    }


def _shown(feature: Feature, opened: Counts, closed: tuple[Counts, Finding] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {**_bins(feature), "open": opened.tolist()}
    if closed is None:
        return shown
    counted, finding = closed
    return {**shown, "closed": counted.tolist(), "figures": figures(finding)}


def _bins(feature: Feature) -> Mapping[str, Any]:
    """Return the baseline's bins; counts have the order of `modelwright_drift.counts`."""
    common = {"name": feature.name, "datatype": feature.datatype}
    if isinstance(feature, Numeric):
        return {
            **common,
            "type": "Numeric",
            "edges": list(feature.edges),
            "min": feature.low,
            "max": feature.high,
            "baseline": list(feature.counts),
            "missing": feature.missing,
        }
    return {
        **common,
        "type": "Categorical",
        "categories": list(feature.categories),
        "baseline": [*feature.counts, feature.other],
        "unlisted": feature.unlisted,
    }
