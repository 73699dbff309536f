"""What a benchmark found: a table for people and a file for machines."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cluster.settings import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FOLDER = REPOSITORY / "build" / "bench"


@dataclass(frozen=True)
class Table:
    """Figures under a title; the first column of each row says what they are."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """Return it as text, the first column to the left and figures to the right."""
        lines = (self.columns, *self.rows)
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        text = [
            "  ".join(
                cell.rjust(width) if index else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        text.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([self.title, *text])

    def markdown(self) -> str:
        """Return it for a document, title and all."""
        lines = (self.columns, ("---", *["---:"] * (len(self.columns) - 1)), *self.rows)
        return "\n".join([f"### {self.title}", "", *(f"| {' | '.join(line)} |" for line in lines)])


@dataclass(frozen=True)
class Report:
    """Everything a benchmark found.

    Attributes:
        figures: as measured, in the units their names end in.
        tables: the figures that people look at.
        headline: the few figures that are looked up by name, at the top of the file.
    """

    name: str
    figures: Mapping[str, Any]
    tables: tuple[Table, ...] = field(default=())
    headline: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Middle and ends of repeated measurements."""

    median: float
    minimum: float
    maximum: float

    def __str__(self) -> str:
        """Return `median (minimum to maximum)`."""
        return f"{self.median:.2f} ({self.minimum:.2f} to {self.maximum:.2f})"


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def machine() -> dict[str, Any]:
    """Describe this machine, by nothing that names it."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memoryGiB": round(pages * size / 2**30),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "loadAverage": round(os.getloadavg()[0], 2),
    }


def write(report: Report, described: Mapping[str, Any]) -> Path:
    """Write the report to `build/bench/NAME.json`, and its tables beside it as Markdown; return the first path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{report.name}.json"
    date = time.strftime("%Y-%m-%d", time.gmtime())
    document = {"name": report.name, "date": date, "machine": described, **report.headline, "figures": report.figures}
    path.write_text(json.dumps(document, indent=2, default=asdict) + "\n", encoding="utf-8")
    text = "\n\n".join(table.markdown() for table in report.tables)
    path.with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")
    return path
