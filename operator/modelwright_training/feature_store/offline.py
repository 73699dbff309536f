# pyright: basic, reportAttributeAccessIssue=false
# (pyarrow comes without types.)
"""A feature view's file, cleaned for Feast: one row for each entity and time, of the entities that matter.

Feast's file store sorts by time with a sort that is not stable, after sorting by creation: of several rows of one
entity and time it takes any. Here it is the one created last, of these the last in the file. Rows of entities that the
data do not name are left out, since Feast joins each row of the data with all of its entity's.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from modelwright_training.feature_store.rows import in_utc, refuse

_ROW = "modelwright row"  # no column of a feature view is called so


def read(view: Any, path: Path) -> Any:  # noqa: ANN401 - needs no Feast
    """Return join keys, features, time and time of creation, under the names that the view gives to them.

    Raises:
        StageError: FeaturesInvalid, when it is no Parquet or lacks a column.

    """
    subject = f"the file {path.name!r} of the feature view {view.name!r}"
    try:
        found = ds.dataset(path, format="parquet", partitioning="hive")
        names = list(found.schema.names)
        for renaming in view.renamed:
            names = [renaming.get(name, name) for name in names]
        time, created = view.time, view.created
        wanted = [*view.join_keys, *view.features, time, *([created] if created else [])]
        for name in wanted:
            if names.count(name) != 1:
                refuse(f"{subject} has {'no' if name not in names else 'more than one'} column {name!r}")
        originals = [found.schema.names[names.index(name)] for name in wanted]
        table = found.to_table(columns=list(dict.fromkeys(originals)))
    except (pa.ArrowException, OSError) as error:
        refuse(f"{subject} is no Parquet that can be read: {str(error)[:200]}")
    table = pa.table([_plain(table.column(original)) for original in originals], wanted)
    for name in (time, created) if created else (time,):
        kind = table.column(name).type
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            refuse(f"the time column {name!r} of {subject} has the type {kind}; times are timestamps")
        table = table.set_column(table.column_names.index(name), name, in_utc(subject, table.column(name)))
    return table


def cleaned(view: Any, table: Any, entities: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return the rows that can be found: of these entities, with a time, one for each entity and time.

    Args:
        view: whose rows they are.
        table: as it was read.
        entities: the join keys that the data have.

    """
    keys, time, created = list(view.join_keys), view.time, view.created
    table = table.append_column(_ROW, pa.array(range(len(table)), pa.int64()))
    table = table.filter(pc.is_valid(table.column(time)))
    if keys:
        table = table.join(entities.select(keys).group_by(keys).aggregate([]), keys=keys, join_type="left semi")
    order = [(name, "ascending") for name in (*keys, time, *([created] if created else []), _ROW)]
    newest = pc.sort_indices(table, sort_keys=order, null_placement="at_start")
    table = table.take(newest)
    if len(table):
        table = table.take(_last_of_each(table.select([*keys, time])))
    return table.select([*keys, *view.features, time])


def _last_of_each(sorted_keys: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return the number of the last row of each run of equal rows."""
    changes = np.zeros(len(sorted_keys), dtype=bool)
    changes[-1] = True
    for column in sorted_keys.columns:
        values = column.combine_chunks()
        changes[:-1] |= pc.not_equal(values[1:], values[:-1]).to_numpy(zero_copy_only=False)
    return np.flatnonzero(changes)


def write(table: Any, path: Path) -> None:  # noqa: ANN401 - Arrow has no types
    """Write what Feast reads."""
    pq.write_table(table, path)


def digest(folder: Path, paths: Sequence[Path]) -> str:
    """Return the sha256 over path, size and sha256 of all files that are read, as `sources` gives that of a glob."""
    found: list[tuple[str, int, str]] = []
    for path in sorted({file for given in paths for file in _files(given)}):
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        found.append((path.relative_to(folder).as_posix(), path.stat().st_size, content))
    lines = "".join(f"{name}\0{size}\0{content}\n" for name, size, content in found)
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (Path(folder) / name for name in names)


def _plain(column: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return column.cast(pa.string() if text else kind)
