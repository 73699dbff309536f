"""How often rings are looked at: before the one that fills fastest is lapped, and no more often than that needs."""

# A look has a price of its own, so there are as few as a ring allows: no more than a part of it should be new. The
# fastest server, begun at once, fills a quarter of it in the longest pause.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.02, 0.125
_FILLED = 0.25


class Pace:
    """Seconds between two looks.

    Attributes:
        seconds: to wait now.
    """

    def __init__(self) -> None:
        self.seconds = LONGEST_SECONDS

    def take(self, filled: float) -> None:
        """Take in which share of the ring was new."""
        wanted = self.seconds * _FILLED / max(filled, _FILLED / 100)
        self.seconds = min(max(wanted, SHORTEST_SECONDS), LONGEST_SECONDS)
