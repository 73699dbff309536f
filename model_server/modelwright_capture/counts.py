"""What became of rows and labels, as Prometheus reads it."""

import threading
from collections import Counter
from collections.abc import Mapping

from modelwright_server.contract import capture

CHOSEN, WRITTEN, DROPPED, LOST, UNREADABLE = "chosen", "written", "dropped", "lost", "unreadable"
SENT = "sent"
_HELP = {
    capture.METRIC_ROWS: "Rows by what became of them; lost are answered rows that could not be read in time.",
    capture.METRIC_LABELS: "Labels by what became of them.",
    capture.METRIC_EVENTS: "CloudEvents of payloads by what became of them; lost and unreadable are rows.",
    capture.METRIC_UPLOADS: "Attempts to send a file to the store.",
    capture.METRIC_WAITING: "Bytes of rows that wait for the store.",
    capture.METRIC_WORKS: "1 while rows are captured and the store takes them, else 0.",
}
_OUTCOMES = {
    capture.METRIC_ROWS: (CHOSEN, WRITTEN, DROPPED, LOST, UNREADABLE),
    capture.METRIC_LABELS: (WRITTEN, DROPPED),
    capture.METRIC_EVENTS: (CHOSEN, SENT, DROPPED, LOST, UNREADABLE),
    capture.METRIC_UPLOADS: ("succeeded", "failed"),
}


class Counts:
    """Counted by two threads, read by a third."""

    def __init__(self, common: Mapping[str, str]) -> None:
        self._common = ",".join(f'{name}="{value}"' for name, value in common.items())
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self.waiting_bytes = 0
        self.works = False

    def add(self, metric: str, outcome: str, number: int = 1) -> None:
        """Count."""
        if number:
            with self._lock:
                self._counts[metric, outcome] += number

    def of(self, metric: str, outcome: str) -> int:
        """Return a count."""
        with self._lock:
            return self._counts[metric, outcome]

    def page(self) -> str:
        """Return all of it."""
        lines: list[str] = []
        for metric, outcomes in _OUTCOMES.items():
            lines += [f"# HELP {metric} {_HELP[metric]}", f"# TYPE {metric} counter"]
            lines += [f'{metric}{{{self._common},outcome="{each}"}} {self.of(metric, each)}' for each in outcomes]
        for metric, value in ((capture.METRIC_WAITING, self.waiting_bytes), (capture.METRIC_WORKS, int(self.works))):
            lines += [
                f"# HELP {metric} {_HELP[metric]}",
                f"# TYPE {metric} gauge",
                f"{metric}{{{self._common}}} {value}",
            ]
        return "\n".join(lines) + "\n"
