"""Labels for capture: each request's in a file of its own, in a folder that both containers mount.

    labels-<nanoseconds since 1970>-<random>.jsonl      [prediction id, label, its time, when it was taken]

Capture removes what it has sent.  While it does not, there is room for a number of files and bytes, and what is beyond
that is dropped and counted: labels are taken and counted all the same.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from modelwright_server.logs import log_error

MOST_FILES = 5000
MOST_BYTES = 8 << 20


class Taken(NamedTuple):
    """A label that was taken: the prediction's id, the label as text, when it was known and taken (since 1970)."""

    prediction_id: str
    label: str
    time: float
    taken_at: float


class Handover:
    """The folder; used by one thread at a time.

    Attributes:
        dropped: labels there was no room for.
    """

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self._folder, self._now = folder, now
        self.dropped = 0

    def give(self, labels: Sequence[Taken]) -> None:
        """Leave labels, or count them as dropped; never raises."""
        data = "".join(json.dumps(label, ensure_ascii=False) + "\n" for label in labels).encode()
        name = f"labels-{round(self._now() * 1e9)}-{secrets.token_hex(4)}.jsonl"
        partial = self._folder / f".{name}"
        try:
            with os.scandir(self._folder) as entries:
                sizes = [entry.stat().st_size for entry in entries]
            if len(sizes) >= MOST_FILES or sum(sizes) + len(data) > MOST_BYTES:
                self.dropped += len(labels)
                return
            partial.write_bytes(data)
            partial.rename(self._folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            if not self.dropped:
                log_error("labels cannot be handed to capture", problem=str(error))
            self.dropped += len(labels)
