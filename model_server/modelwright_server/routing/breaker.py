"""A circuit breaker: a canary that fails again and again is left alone, but for a probe now and then."""

from collections.abc import Callable
from time import monotonic

# As many failures let the sequential test decide even where the canary gets half of the requests.
MOST_FAILURES = 20
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0


class Breaker:
    """Counts failures in a row; after `MOST_FAILURES` it allows one request, the probe, at the end of each pause."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._next_probe = 0.0

    @property
    def open(self) -> bool:
        """Whether requests are held back."""
        return self._failures >= MOST_FAILURES

    def allows(self) -> bool:
        """Return whether a request may go; while open, a probe that may starts the next pause, which is twice as long.

        Its success ends all that, so that a probe whose end is never told holds up none of the later ones.
        """
        if self._failures < MOST_FAILURES:
            return True
        now = self._clock()
        if now < self._next_probe:
            return False
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self._next_probe = now + self._pause
        return True

    def succeeded(self) -> None:
        """Take note of an answer."""
        self._failures = 0

    def failed(self) -> None:
        """Take note of a failure."""
        self._failures += 1
        if self._failures == MOST_FAILURES:
            self._pause = FIRST_PAUSE_SECONDS
            self._next_probe = self._clock() + self._pause
