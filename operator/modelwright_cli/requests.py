"""Rows of people, requests of the Open Inference Protocol, and back; pure."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any, cast

from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, part, parts, text, texts, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Row = dict[str, Any]
MOST_ROWS = 500  # of one request
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


def from_csv(content: str) -> list[Row]:
    """Return the rows of a CSV file with a header; columns that the model does not take do no harm.

    Raises:
        Fault: it is none.
    """
    try:
        return list(csv.DictReader(io.StringIO(content), strict=True))
    except csv.Error as error:
        message = f"this is no CSV with commas ({error}): save it so"
        raise Fault(message) from None


def from_json(content: str) -> list[Row]:
    """Return the rows of a JSON document: a list of objects, or one object.

    Raises:
        Fault: it is none.
    """
    try:
        found: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        message = f"this is no JSON ({str(error)[:200]}): give a list of objects, one for each row"
        raise Fault(message) from None
    items = cast("list[object]", found if isinstance(found, list) else [found])
    rows = [cast("Row", item) for item in items if isinstance(item, dict)]
    if len(rows) != len(items):
        message = 'each row must be an object: [{"age": 41, "plan": "gold"}]'
        raise Fault(message)
    return rows


def requests(rows: Sequence[Row], metadata: Json) -> Iterator[Json]:
    """Yield requests for rows, in the model's own words.

    Raises:
        Fault: a column is missing, or a value is none that the model takes.
    """
    if not rows:
        message = "there is no row: give some"
        raise Fault(message)
    inputs = parts(metadata, "inputs")
    for start in range(0, len(rows), MOST_ROWS):
        some = rows[start : start + MOST_ROWS]
        yield {"inputs": [_tensor(item, some, start) for item in inputs]}


def answers(answer: Json, metadata: Json, rows: int) -> list[Row]:
    """Return a row of outputs for each row of a request.

    Raises:
        Fault: the answer has another number of rows.
    """
    named = {text(item, "name"): item for item in parts(metadata, "outputs")}
    found: list[Row] = [{} for _ in range(rows)]
    for item in parts(answer, "outputs"):
        name = text(item, "name")
        values = cast("list[object]", item.get("data") or [])
        columns = texts(named.get(name), "parameters", "columns")
        width = len(values) // rows
        if width * rows != len(values) or not width:
            message = f"the answer has {len(values)} values of {name!r} for {rows} rows: is this an OIP server?"
            raise Fault(message)
        labels = [name] if width == 1 else [f"{name}[{label}]" for label in columns or map(str, range(width))]
        for at, row in enumerate(found):
            row |= dict(zip(labels, values[at * width : (at + 1) * width], strict=True))
    return found


def _tensor(item: Json, rows: Sequence[Row], start: int) -> Json:
    name, datatype = text(item, "name"), text(item, "datatype")
    columns = texts(item, "parameters", "columns") or [name]
    nullable = part(item, "parameters").get("nullable") is True
    data = [_value(row, column, datatype, start + at, nullable) for at, row in enumerate(rows) for column in columns]
    return {"name": name, "datatype": datatype, "shape": [len(rows), len(columns)], "data": data}


def _value(row: Row, column: str, datatype: str, at: int, nullable: bool) -> object:  # noqa: FBT001 - read by position
    where = f"row {at + 1}, column {column!r}"
    keys = [key for key in row if key == column or _NOT_IN_NAMES.sub("_", key) == column]
    if not keys:
        message = f"{where}: there is none: the model takes it (the file has {', '.join(list(row)[:20])})"
        raise Fault(message)
    value = row[keys[0]]
    if datatype == "BYTES":
        return "" if value is None else str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        if nullable:
            return None
        message = f"{where}: there is no value, and the model was not trained to do without"
        raise Fault(message)
    try:
        return _converted(value, datatype)
    except (KeyError, TypeError, ValueError, OverflowError):
        message = f"{where}: {str(value)[:40]!r} is no {datatype}"
        raise Fault(message) from None


def _converted(value: object, datatype: str) -> object:
    if datatype == "BOOL":
        return _TRUTH[str(value).strip().lower()]
    if datatype.startswith(("INT", "UINT")):
        return int(str(value).strip())
    number = float(str(value).strip())
    if not math.isfinite(number):
        raise ValueError
    return number


def rows_of(request: Json) -> int:
    """Return how many rows a request has."""
    return max((int(item["shape"][0]) for item in parts(request, "inputs")), default=whole(request, "rows"))
