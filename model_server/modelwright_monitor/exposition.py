"""The sidecar's metrics as Prometheus reads them: what this pod counted, and what the last report of its track says."""

from collections.abc import Mapping
from typing import Any

from modelwright_monitor.deployment import parts
from modelwright_server.contract import monitoring

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(common: Mapping[str, str], pod: Mapping[str, float], document: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        common: labels of every line.
        pod: this pod's own numbers by the metrics' names.
        document: of the track, as in `status.monitoring`.
    """
    lines: list[str] = []
    for name, number in pod.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} {kind}", f"{name}{_labels(common)} {number:.12g}"]
    figures = [("feature", item) for item in parts(document, "features")] + [
        ("prediction", item) for item in parts(document, "prediction")
    ]
    for name, field in ((monitoring.METRIC_PSI, "psi"), (monitoring.METRIC_P_VALUE, "pValue")):
        lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge"]
        for kind, item in figures:
            labels = _labels({**common, "kind": kind, "name": str(item.get("name", ""))})
            lines.append(f"{name}{labels} {float(item.get(field) or 0):.6g}")
    return "\n".join(lines) + "\n"


def of_labels(common: Mapping[str, str], outcomes: Mapping[str, int], not_captured: int | None = None) -> str:
    """Return what the page has of labels: how many there were by what became of them, and how many capture missed."""
    name = monitoring.METRIC_FEEDBACK
    lines = [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} counter"]
    lines += [f"{name}{_labels({**common, 'outcome': outcome})} {count}" for outcome, count in outcomes.items()]
    if not_captured is not None:
        name = monitoring.METRIC_NOT_CAPTURED
        lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} counter", f"{name}{_labels(common)} {not_captured}"]
    return "\n".join(lines) + "\n"


_HELP = {
    monitoring.METRIC_ROWS: "Rows this pod counted.",
    monitoring.METRIC_LOST: "Answered rows this pod could not count.",
    monitoring.METRIC_WINDOWS: "Windows this pod closed.",
    monitoring.METRIC_REFUSED: "Reports of this pod that the API server did not take.",
    monitoring.METRIC_OPEN_ROWS: "Rows in this pod's part of the open window.",
    monitoring.METRIC_FEEDBACK: "Labels that were posted to this pod, by what became of them.",
    monitoring.METRIC_NOT_CAPTURED: "Labels that were taken, and for which capture had no room.",
    monitoring.METRIC_PSI: "Population stability index against the baseline, of the last window.",
    monitoring.METRIC_P_VALUE: "Probability of so much divergence beyond the tolerated one by chance.",
}


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
