"""Labels that the sidecar leaves in a shared folder, a file for each request that brought some.

    labels-<nanoseconds since 1970>-<random>.jsonl      [prediction id, label, its time, when it was taken]

The files are removed once the store has what they say; if the worker ends in between, labels are sent twice, and the
one that was taken first is the one that counts, for whoever reads them.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from modelwright_capture.parquet import Values
from modelwright_server.contract import capture
from modelwright_server.contract.prediction import MAX_LENGTH, MAX_TEXT

MOST_FILES = 2000  # that become one file of the store
MOST_LABELS = 20_000
_MOST_FILE_BYTES = 2 << 20
_NAME = re.compile(r"labels-([0-9]{1,20})-[0-9a-f]{1,32}\.jsonl")
_MOST_SECONDS = 1 << 40


def waiting(folder: Path) -> list[Path]:
    """Return the files that are there, the oldest ones first."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))[:MOST_FILES]
    except OSError:
        return []


def age(path: Path, now: float) -> float:
    """Return how long a file has been waiting, in seconds."""
    found = _NAME.fullmatch(path.name)
    return now - int(found[1]) / 1e9 if found else 0.0


def key(path: Path, pod: str) -> str:
    """Return the key for the labels of files that begin with this one."""
    found = _NAME.fullmatch(path.name)
    taken = int(found[1]) if found else 0
    day = datetime.fromtimestamp(min(taken // 10**9, _MOST_SECONDS >> 6), UTC).date()
    return f"{capture.LABELS}/date={day}/{pod}-{taken}.parquet"


def read(paths: Sequence[Path]) -> tuple[dict[str, Values], list[Path]]:
    """Return the labels in some of the files as columns, and these files; what cannot be read is left out."""
    rows: list[tuple[str, str, float, float]] = []
    used: list[Path] = []
    for path in paths:
        if len(rows) >= MOST_LABELS:
            break
        used.append(path)
        try:
            if path.stat().st_size <= _MOST_FILE_BYTES:
                rows += [row for line in path.read_bytes().splitlines() if (row := _row(line)) is not None]
        except OSError:
            continue
    ids, texts, times, taken = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns: dict[str, Values] = {
        capture.PREDICTION_ID: list(ids),
        capture.LABEL: list(texts),
        capture.LABEL_TIME: _moments(times),
        capture.TAKEN_AT: _moments(taken),
    }
    return columns, used


def _moments(seconds: Sequence[float]) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
    return (np.array(seconds, np.float64) * 1e6).astype(np.int64).astype("datetime64[us]")


def _row(line: bytes) -> tuple[str, str, float, float] | None:
    try:
        found = json.loads(line)
        text, label, time, taken = found
    except (ValueError, TypeError, RecursionError):
        return None
    if type(text) is not str or type(label) is not str or len(text) > MAX_LENGTH or len(label) > MAX_TEXT:
        return None
    if type(time) not in {int, float} or type(taken) not in {int, float}:
        return None
    return (text, label, float(time), float(taken)) if max(abs(time), abs(taken)) < _MOST_SECONDS else None
