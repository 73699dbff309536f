# pyright: basic
# (pyarrow comes without types.)
"""Rows that a Deployment captured, joined with the labels that came back: each labelled row once.

Rows and labels are written at least once, and by several pods: a row counts once by its prediction's id, and of several
labels the one that was taken first.  The digest is of the labelled rows themselves, sorted by time and id, so that it
changes with what can be learned from and not with how many files there are.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelwright_server import stores
from modelwright_training import downloads, formats, tables
from modelwright_training.contract import Captured, DataSource, Reason
from modelwright_training.errors import StageError
from modelwright_training.formats import refuse

ROWS: Final = "version=*/date=*/*.parquet"
LABELS: Final = "labels/date=*/*.parquet"
MAX_FILES: Final = 100_000
ID, TIME = "prediction_id", "prediction_time"
_OURS = ("prediction_", "predicted_")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_TRUTHS = {"true": True, "false": False}


def read(
    source: DataSource, captured: Captured, scratch: Path, environment: Mapping[str, str]
) -> tuple[Any, str]:  # an Arrow table
    """Return the labelled rows, and their digest.

    Raises:
        StageError: DataNotFound, DataInvalid, StorageForbidden or StorageUnavailable, naming the data set.

    """
    labels = _labels(source, scratch, environment)
    ids = pa.array(sorted(labels), pa.string())
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for path, table in _files(source, ROWS, scratch, environment):
        if not {ID, TIME} <= set(table.column_names):
            refuse(source, f"has the file {path!r}, which lacks the columns of captured rows")
        labelled = table.filter(
            pc.call_function("is_in", [table.column(ID).cast(pa.string())], pc.SetLookupOptions(ids))
        )
        if (fresh := _fresh(labelled, seen)).num_rows:
            found[f"{path!r} of data set {source.name!r}"] = fresh
    if not found:
        message = f"data set {source.name!r}: no captured row below {source.uri} has a label yet"
        raise StageError(Reason.DATA_NOT_FOUND, message)
    rows = tables.joined(found)
    rows = rows.sort_by([(TIME, "ascending"), (ID, "ascending")])
    table = _to_learn_from(source, captured, rows, [labels[text][1] for text in rows.column(ID).to_pylist()])
    return table, _digest(table.append_column(f"{_OURS[0]}key", rows.column(ID)))


def _fresh(table: Any, seen: set[str]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return the rows that were not seen before, and take note of them."""
    kept: list[int] = []
    for at, text in enumerate(table.column(ID).to_pylist()):
        if text not in seen:
            seen.add(text)
            kept.append(at)
    return table.take(pa.array(kept, pa.int64()))


def _labels(source: DataSource, scratch: Path, environment: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    """Return when the label of each prediction was taken, and the label."""
    found: dict[str, tuple[Any, str]] = {}
    try:
        files = list(_files(source, LABELS, scratch, environment))
    except StageError as error:
        if error.reason is not Reason.DATA_NOT_FOUND:
            raise
        message = f"data set {source.name!r}: no label was captured yet below {source.uri}; post them to port 8083"
        raise StageError(Reason.DATA_NOT_FOUND, message) from error
    for path, table in files:
        if not {ID, "label", "taken_at"} <= set(table.column_names):
            refuse(source, f"has the file {path!r}, which lacks the columns of labels")
        columns = (table.column(name).to_pylist() for name in (ID, "taken_at", "label"))
        for text, taken, label in zip(*columns, strict=True):
            if text is not None and taken is not None and label is not None:
                found[text] = min(found.get(text, (taken, str(label))), (taken, str(label)))
    return found


def _files(
    source: DataSource, pattern: str, scratch: Path, environment: Mapping[str, str]
) -> Iterator[tuple[str, Any]]:
    """Return the path and the table of each file."""
    with downloads.told(f"data set {source.name!r}"):
        place = stores.parse(source.uri)
        if not isinstance(place, stores.ObjectAddress):
            message = f"{source.uri} is no place in an object store"
            raise stores.StoreAddressError(message)
        address = place.child(*pattern.split("/"))
    remote = downloads.Remote(source, address, environment)
    left = downloads.MAX_BYTES
    for found in remote.list(MAX_FILES, pattern=True):
        with tempfile.TemporaryFile(dir=scratch) as stream:
            size, _ = remote.download(found, stream, left)
            left -= size
            stream.seek(0)
            yield found.path, formats.read(source, found.path, stream, size)


def _to_learn_from(source: DataSource, captured: Captured, rows: Any, labels: list[str]) -> Any:  # noqa: ANN401 - Arrow
    features = [name for name in rows.column_names if not name.startswith(_OURS)]
    if captured.label in features:
        refuse(source, f"has the feature {captured.label!r}, which is the name of the target; choose another target")
    table = rows.select(features).append_column(captured.label, typed(labels))
    if captured.time is not None and captured.time not in table.column_names:
        table = table.append_column(captured.time, rows.column(TIME))
    return table


def typed(labels: list[str]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return labels as whole numbers, numbers or truth values if all of them are, else as texts."""
    if all(map(_INTEGER.fullmatch, labels)):
        return pa.array(list(map(int, labels)), pa.int64())
    if set(labels) <= _TRUTHS.keys():
        return pa.array([_TRUTHS[label] for label in labels])
    try:
        return pa.array(list(map(float, labels)), pa.float64())
    except ValueError:
        return pa.array(labels, pa.string())


def _digest(table: Any) -> str:  # noqa: ANN401 - Arrow has no types
    """Return the digest of names, types and values, whatever the files they came in."""
    found = hashlib.sha256()
    for name in sorted(table.column_names):
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        found.update(json.dumps([name, str(column.type)]).encode())
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            values = column.to_numpy()
            found.update(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
        else:
            found.update(json.dumps(list(map(str, column.to_pylist()))).encode())
    return f"sha256:{found.hexdigest()}"
