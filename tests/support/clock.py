"""Time as data: a clock that moves only when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    """The one clock of a simulated world."""

    def __init__(self, start: datetime = START) -> None:
        self.time = start

    def now(self) -> datetime:
        """Return the present time."""
        return self.time

    def seconds(self) -> float:
        """Return the present time as a monotonic clock would."""
        return (self.time - START).total_seconds()

    def text(self) -> str:
        """Return the present time as Kubernetes writes it."""
        return self.time.strftime("%Y-%m-%dT%H:%M:%SZ")

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)
