"""What the columns of a CSV file hold, as the trainer's parser will take them; pure but for reading the file."""

from __future__ import annotations

import csv
import math
import re
import struct
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from modelwright_cli.errors import Fault

if TYPE_CHECKING:
    from pathlib import Path

MOST_ROWS = 100_000
MOST_COLUMNS = 1000
_MOST_VALUES = 5_000_000
_LONGEST = 1 << 20
_LONGEST_NAME = 120  # the trainer's limit
_NULLS = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
    )
)
"""What Arrow's parser takes for a missing value where a column has no texts."""
_WHOLE = re.compile(r"-?\d{1,19}")
_TRUTH = frozenset({"True", "TRUE", "true", "False", "FALSE", "false"})
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(?P<zone>Z|[+-]\d{2}(:?\d{2})?)?)?")
_CLOCK = re.compile(r"\d{2}:\d{2}(:\d{2}(\.\d+)?)?")
_FLOAT32 = 3e38
_MOST_LOSS = 0.0005  # of a deviation; the trainer refuses twice as much

Kind = Literal["empty", "whole", "truth", "number", "time", "clock", "text"]


@dataclass(frozen=True)
class Column:
    """A column, its values as they stand in the file.

    Attributes:
        name: as in the header.
        values: of all rows that were looked at.
    """

    name: str
    values: tuple[str, ...]

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value is there, missing ones left out."""
        found = Counter(self.values)
        if self.kind == "text":
            found.pop("", None)
            return found
        return Counter({value: rows for value, rows in found.items() if value.strip() not in _NULLS})

    @cached_property
    def kind(self) -> Kind:
        """What the parser will take it for."""
        values = {value.strip() for value in set(self.values)} - _NULLS
        if not values:
            return "empty"
        if all(_WHOLE.fullmatch(value) and abs(int(value)) < 2**63 for value in values):
            return "whole"
        if values <= _TRUTH:
            return "truth"
        if all(_ISO.fullmatch(value) for value in values):
            return "time" if _is_time(values) else "text"
        if all(_CLOCK.fullmatch(value) for value in values):
            return "clock"
        return "number" if all(map(_is_number, values)) else "text"

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return len(self.values) - self.counts.total()

    @property
    def numeric(self) -> bool:
        """Whether the model would take it as a number."""
        return self.kind in {"whole", "number"}

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """Its distinct values, as numbers."""
        return tuple(float(value) for value in self.counts) if self.numeric else ()

    @property
    def fits_float32(self) -> bool:
        """Whether the model, which computes in float32, can tell its values apart."""
        if any(not math.isfinite(number) or abs(number) > _FLOAT32 for number in self.numbers):
            return False
        rows = self.counts.total()
        pairs = list(zip(self.numbers, self.counts.values(), strict=True))
        mean = sum(number * count for number, count in pairs) / rows
        deviation = math.sqrt(sum((number - mean) ** 2 * count for number, count in pairs) / rows)
        lost = max(abs(number - struct.unpack("f", struct.pack("f", number))[0]) for number in self.numbers)
        return bool(deviation == 0 or lost <= _MOST_LOSS * deviation)


@dataclass(frozen=True, slots=True)
class Table:
    """A file.

    Attributes:
        columns: in the order of the header.
        rows: that were looked at.
        whole: whether these are all.
    """

    columns: tuple[Column, ...]
    rows: int
    whole: bool

    def column(self, name: str) -> Column:
        """Return a column.

        Raises:
            Fault: there is none of that name.
        """
        found = next((column for column in self.columns if column.name == name), None)
        if found is None:
            message = (
                f"there is no column {name!r}: the file has {', '.join(column.name for column in self.columns[:20])}"
            )
            raise Fault(message)
        return found


def read(file: Path) -> Table:
    """Read a file, up to a number of rows.

    Raises:
        Fault: it is no CSV file that can be trained on.
    """
    csv.field_size_limit(_LONGEST)
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened, strict=True)
            header = next(reader, None)
            if not header:
                message = f"{file} is empty: its first line must name the columns"
                raise Fault(message)
            _check(header, file)
            most = min(MOST_ROWS, _MOST_VALUES // len(header))
            rows: list[list[str]] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    message = f"{file} has {len(row)} values in line {reader.line_num}, the header names {len(header)}"
                    raise Fault(message)
                if len(rows) == most:
                    break
                rows.append(row)
            else:
                return _table(header, rows, file, whole=True)
    except OSError as error:
        message = f"{file} cannot be read ({error.strerror}): name a CSV file"
        raise Fault(message) from None
    except UnicodeDecodeError:
        message = f"{file} is not UTF-8: save it as UTF-8 (it may be Windows-1252, compressed, or a spreadsheet)"
        raise Fault(message) from None
    except csv.Error as error:
        message = f"{file} is no CSV with commas ({error}): save it so"
        raise Fault(message) from None
    return _table(header, rows, file, whole=False)


def _table(header: list[str], rows: list[list[str]], file: Path, *, whole: bool) -> Table:
    if len(rows) < 2:  # noqa: PLR2004 - one to train on and one to test
        message = f"{file} has {len(rows)} rows: a model needs some to learn from and some to be tested on"
        raise Fault(message)
    columns = zip(header, zip(*rows, strict=True), strict=True)
    return Table(tuple(Column(name, values) for name, values in columns), len(rows), whole)


def _check(header: list[str], file: Path) -> None:
    if len(header) > MOST_COLUMNS:
        message = f"{file} has {len(header)} columns, more than {MOST_COLUMNS}: leave some out"
        raise Fault(message)
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        message = f"{file} has two columns {twice[0]!r}: give them names of their own"
        raise Fault(message)
    if odd := [name for name in header if not name.isprintable() or not 1 <= len(name) <= _LONGEST_NAME]:
        what = f"the column {odd[0][:40]!r}, with control characters or over {_LONGEST_NAME} letters" if odd[0] else ""
        message = f"{file} has {what or 'a column without a name (a saved index?)'}: give it another"
        raise Fault(message)


def _is_time(values: set[str]) -> bool:
    """Tell whether all are real times, and all or none have a zone."""
    zones = {bool(_ISO.fullmatch(value)["zone"]) for value in values}  # type: ignore[index]
    try:
        for value in values:
            datetime.fromisoformat(value)
    except ValueError:
        return False
    return len(zones) == 1


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return "_" not in value
