"""The folder of a pod's rings, as its readers see it: files of another container, which may be anything."""

import re
from collections.abc import Iterable
from pathlib import Path

from modelwright_server.ring.layout import RingError

# A server's ring has 4 MiB, and before it a schema; what is larger was made to use up memory.
MOST_BYTES = 10 << 20
_MOST_RINGS = 64
_NAME = re.compile(r"ring-[0-9]{1,2}")


def ring_names(folder: Path, known: Iterable[str], problems: list[str]) -> list[str]:
    """Return the names of the rings that are there, and those that were; what is wrong is added to the problems."""
    try:
        found = {path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)}
    except OSError as error:
        problems.append(f"{folder} cannot be read: {error.strerror}")
        return []
    return sorted(found | set(known))[:_MOST_RINGS]


def check_size(path: Path) -> None:
    """Refuse what no server made.

    Raises:
        RingError: it is too large, or cannot be read.
    """
    try:
        size = path.lstat().st_size
    except OSError as error:
        raise RingError(path, f"cannot be read: {error.strerror}") from error
    if size > MOST_BYTES:
        raise RingError(path, f"has {size} bytes, more than any ring of the server's")
