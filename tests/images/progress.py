"""Progress for people: one line when a step begins, one with its seconds when it ends."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager


def say(text: str) -> None:
    """Write one line of progress; standard output stays free for the result."""
    print(f"images: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Generator[None]:
    """Announce a step and tell how long it took, also when it failed."""
    say(f"{text} …")
    started = time.monotonic()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        say(f"{text}: {outcome} in {time.monotonic() - started:.1f} s")
