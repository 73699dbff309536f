"""What was measured beside the artifact, and its way into the report.

The latency stage may not write to the artifact, and publish, which completes the report, sees JSON only: so this goes
through a small volume of its own. Only the standard library is imported here, since publish imports it.
"""

import errno
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from modelwright_server.artifact import REPORT
from modelwright_training.strict_json import StrictJsonError, decode, dumps, encode, loads

MAX_REPORT_BYTES = 16 << 20
_LATENCY = "latency.json"


@dataclass(frozen=True, slots=True)
class Timing:
    """One repeat of timed calls: percentiles of a call's time, in milliseconds."""

    calls: int
    p50_milliseconds: float
    p99_milliseconds: float
    longest_milliseconds: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Calls of `rows` rows on `threads` threads, with the least percentiles of the repeats, in milliseconds."""

    rows: int
    threads: int
    p50_milliseconds: float
    p99_milliseconds: float
    size_bytes: int
    repeats: tuple[Timing, ...]


def write(folder: Path, measurement: Measurement) -> None:
    """Leave the measurement for publish."""
    (folder / _LATENCY).write_text(dumps(measurement), encoding="utf-8")


def report(artifact: Path, measures: Path, *, timed: bool) -> bytes | None:
    """Return the report that evaluate wrote, if it did, completed by what was timed since.

    Both files come from stages that ran a stranger's code: no link is followed, and only what is a measurement is
    taken.

    Raises:
        ValueError: a file is missing, too large, no plain file, or not what it should be.
        OSError: a file cannot be read.

    """
    found = _read(artifact / REPORT)
    if not timed:
        return found
    document = loads(found.decode()) if found is not None else dict[str, object]()
    if not isinstance(document, dict):
        raise _wrong(REPORT, "is not a JSON object")
    text = _read(measures / _LATENCY)
    if text is None:
        raise _wrong(_LATENCY, "is missing")
    try:
        latency = encode(decode(Measurement, loads(text.decode())))
    except StrictJsonError as error:
        raise _wrong(_LATENCY, str(error)) from error
    completed = cast("dict[str, object]", document) | {"latency": latency}
    return (json.dumps(completed, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _wrong(path.name, "is a link") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _wrong(path.name, "is not a regular file")
        found = file.read(MAX_REPORT_BYTES + 1)
    if len(found) > MAX_REPORT_BYTES:
        raise _wrong(path.name, f"is larger than {MAX_REPORT_BYTES >> 20} MiB")
    return found


def _wrong(name: str, problem: str) -> ValueError:
    return ValueError(f"{name} {problem}")
