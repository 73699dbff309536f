"""Captured rows that nobody has labelled, the ones first that the model is least sure of.

    python -m modelwright_capture.rank --uri s3://lake/captured/team/churn --top 500 --out rows.csv

Uncertainty sampling as in Settles, Active Learning Literature Survey, University of Wisconsin-Madison, 2009, section
2.3.1 and 3.1: by margin, the difference of the two largest probabilities (smallest first), or by entropy of all of them
(largest first).  For two classes both give the same order.  A regression has neither, and is refused.
"""

import argparse
import csv
import heapq
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from modelwright_capture import parquet
from modelwright_capture.store import ObjectFiles
from modelwright_server import stores
from modelwright_server.contract import capture

MOST_FILES = 100_000
_MOST_BYTES, _MOST_ROWS = 64 << 20, 1_000_000  # of a file
_SCORE = re.compile(rf"{capture.OUTPUT_PREFIX}(.+)\[.+\]")
LABEL, UNCERTAINTY = "label", "uncertainty"


class RankError(Exception):
    """There is nothing that could be ranked."""


class Files(Protocol):
    """Where rows and labels are."""

    def find(self, pattern: str, limit: int) -> list[str]:
        """Return the keys that match a pattern below the place."""
        ...

    def read(self, key: str, limit: int) -> bytes:
        """Return what is under a key."""
        ...


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows to label.

    Attributes:
        rows: the chosen ones, most uncertain first; each with its prediction's id, and without a label.
        unlabelled: how many rows have no label.
    """

    rows: list[dict[str, Any]]
    unlabelled: int


@dataclass(order=True, slots=True)
class _Entry:
    uncertainty: float
    prediction_id: str
    row: dict[str, Any] = field(compare=False)


def margin(scores: Sequence[float]) -> float:
    """Return how close the two largest probabilities are: 1 is a tie, 0 is certainty.

    >>> margin([0.5, 0.5]), margin([1.0, 0.0])
    (1.0, 0.0)
    """
    second, first = sorted(scores)[-2:]
    return 1.0 - (first - second)


def entropy(scores: Sequence[float]) -> float:
    """Return the entropy in bits.

    >>> entropy([0.5, 0.5]), entropy([1.0, 0.0])
    (1.0, 0.0)
    """
    return sum(-score * math.log2(score) for score in scores if score > 0) or 0.0


MEASURES: Mapping[str, Callable[[Sequence[float]], float]] = {"margin": margin, "entropy": entropy}


def rank(files: Files, top: int, measure: str = "margin") -> Ranking:
    """Return the rows without a label that the model was least sure of.

    Raises:
        RankError: there are no rows, or the model gives no probabilities.
        stores.StoreError: the store cannot be read.
        parquet.ParquetError: a file is none of capture's.
    """
    labelled = _labelled(files)
    best: list[_Entry] = []
    seen: set[str] = set()
    count = 0
    for row, scores in _rows(files):
        text = str(row[capture.PREDICTION_ID])
        if text in labelled or text in seen:
            continue
        seen.add(text)
        count += 1
        uncertainty = MEASURES[measure](scores) if all(map(math.isfinite, scores)) else 0.0
        entry = _Entry(uncertainty, text, row)
        if len(best) < top:
            heapq.heappush(best, entry)
        elif best and entry > best[0]:
            heapq.heapreplace(best, entry)
    ordered = sorted(best, reverse=True)
    return Ranking([{**each.row, UNCERTAINTY: round(each.uncertainty, 6), LABEL: ""} for each in ordered], count)


def write(ranking: Ranking, file: IO[str]) -> None:
    """Write the rows as CSV: id, uncertainty, an empty column for the label, and all that is known of the row."""
    first = (capture.PREDICTION_ID, UNCERTAINTY, LABEL)
    names = dict.fromkeys([*first, *(name for row in ranking.rows for name in row)])
    writer = csv.DictWriter(file, list(names), restval="")
    writer.writeheader()
    writer.writerows(ranking.rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rank, as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelwright_capture.rank", description=__doc__)
    parser.add_argument("--uri", required=True, help="URI/NAMESPACE/DEPLOYMENT, as spec.monitoring.capture.uri has it")
    parser.add_argument("--endpoint", default="", help="base URL of the object store; absent: the cloud's")
    parser.add_argument("--region", default="", help="region of the s3:// bucket")
    parser.add_argument("--top", type=int, default=500, help="rows to choose")
    parser.add_argument("--by", choices=sorted(MEASURES), default="margin", help="measure of uncertainty")
    parser.add_argument("--out", required=True, type=Path, help="CSV file to write")
    chosen = parser.parse_args(arguments)
    try:
        access = stores.Access(chosen.endpoint, chosen.region, "", dict(os.environ))
        found = rank(ObjectFiles(chosen.uri, access), chosen.top, chosen.by)
        with chosen.out.open("w", encoding="utf-8", newline="") as file:
            write(found, file)
    except (RankError, stores.StoreError, parquet.ParquetError, OSError) as error:
        sys.stderr.write(f"rank: {error}\n")
        return 1
    sys.stdout.write(f"{len(found.rows)} of {found.unlabelled} rows without a label, the most uncertain first\n")
    return 0


def _labelled(files: Files) -> set[str]:
    keys = files.find(f"{capture.LABELS}/date=*/*.parquet", MOST_FILES)
    return {str(text) for key in keys for text in _columns(files, key).get(capture.PREDICTION_ID, ())}


def _rows(files: Files) -> Iterator[tuple[dict[str, Any], list[float]]]:
    """Return each row and its probabilities."""
    keys = files.find("version=*/date=*/*.parquet", MOST_FILES)
    if not keys:
        message = "no row was captured there; is the address URI/NAMESPACE/DEPLOYMENT?"
        raise RankError(message)
    for key in keys:
        columns = _columns(files, key)
        scores = [name for name in columns if _SCORE.fullmatch(name)]
        if len(scores) < 2:  # noqa: PLR2004 - classes
            message = f"{key} has no probabilities: rows of a regression cannot be ranked by uncertainty"
            raise RankError(message)
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            yield row, [float(row[name]) for name in scores]


def _columns(files: Files, key: str) -> dict[str, list[Any]]:
    return parquet.read(files.read(key, _MOST_BYTES), _MOST_ROWS)


if __name__ == "__main__":
    sys.exit(main())
