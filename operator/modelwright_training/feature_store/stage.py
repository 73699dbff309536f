# pyright: basic, reportAttributeAccessIssue=false
# (pyarrow comes without types.)
"""Stage features: what a feature store knew of each row at the row's own time, beside the row."""

import importlib.metadata
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelwright_training import handover
from modelwright_training.contract import (
    FROM_FEATURES,
    REPOSITORY_FOLDER,
    TO_FEATURES,
    Feast,
    FeaturesResult,
    JobConfig,
)
from modelwright_training.feature_store import notes, offline, registry, rows
from modelwright_training.feature_store.history import History
from modelwright_training.feature_store.registry import View
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings


@dataclass(frozen=True)
class _Lookup:
    """A view, its rows, and what to look up in it.

    Attributes:
        view: the view.
        known: its rows, of the entities that matter.
        pairs: keys and time of each row, by data set.
        wanted: the distinct ones of all data sets.
    """

    view: View
    known: Any
    pairs: Mapping[str, Any]
    wanted: Any


def run(settings: Settings) -> FeaturesResult:
    """Join the features to all data sets, and leave the tables for the next stage.

    Raises:
        StageError: FeaturesInvalid, saying what does not fit: repository, service, features, keys or times.

    """
    started = time.monotonic()
    job = settings.job
    if job.features is None:
        message = "this job asks for no features"
        raise ValueError(message)
    asked = job.features.feast
    given, left = settings.handover / TO_FEATURES, settings.handover / FROM_FEATURES
    progress(0, "reading the registry")
    repository = registry.opened(given / REPOSITORY_FOLDER, asked.uri)
    views = registry.requested(repository, asked)
    files = [repository.file(view.path, f"the file of the feature view {view.name!r}") for view in views]
    tables = {source.name: pq.read_table(given / f"{source.name}.parquet") for source in job.data}
    progress(10, "reading the features")
    times = {name: rows.times(_subject(name), table, asked.timestamp) for name, table in tables.items()}
    lookups = [_lookup(view, path, tables, times) for view, path in zip(views, files, strict=True)]
    missing = _join(repository, lookups, tables, asked, left)
    for name, table in tables.items():
        handover.write(left, name, table)
    said = notes.Notes(
        features=tuple(missing),
        left_out=_left_out(job, asked, views),
        registry=repository.digest,
        sources=offline.digest(repository.folder, files),
        feast=importlib.metadata.version("feast"),
        missing=missing,
        seconds=time.monotonic() - started,
    )
    notes.write(left, said)
    progress(100, "features joined")
    return FeaturesResult(notes.shown(said.features), len(said.features), said.registry, said.sources, said.feast)


def _subject(name: str) -> str:
    return f"data set {name!r}"


def _lookup(view: View, path: Path, tables: Mapping[str, Any], times: Mapping[str, Any]) -> _Lookup:
    """Read a view's file, and find out which of its rows matter.

    Raises:
        StageError: FeaturesInvalid.

    """
    read = offline.read(view, path)
    kinds = {key: read.column(key).type for key in view.join_keys}
    pairs: dict[str, Any] = {}
    for name, table in tables.items():
        keys = rows.keys(_subject(name), table, view.join_keys, kinds, view.name)
        pairs[name] = pa.table({**keys, rows.TIME_COLUMN: times[name]})
    wanted = rows.distinct(list(pairs.values()))
    return _Lookup(view, offline.cleaned(view, read, wanted), pairs, wanted)


def _join(
    repository: registry.Repository, lookups: Sequence[_Lookup], tables: dict[str, Any], asked: Feast, left: Path
) -> dict[str, int]:
    """Put the features beside the tables' columns; return in how many rows each is missing.

    Raises:
        StageError: FeaturesInvalid.

    """
    missing: dict[str, int] = {}
    with tempfile.TemporaryDirectory(dir=left) as scratch:
        history = History(repository, [each.view for each in lookups], [each.known for each in lookups], Path(scratch))
        for index, lookup in enumerate(lookups):
            view = lookup.view
            progress(20 + 70 * index // len(lookups), f"joining {view.name}")
            found = history.features(index, lookup.wanted)
            logger.info("%s: %s of %s distinct keys and times found", view.name, len(found), len(lookup.wanted))
            if all(found.column(name).null_count == len(found) for name in view.features):
                rows.refuse(_nothing_found(lookup))
            names = [view.column(name, full=asked.full_feature_names) for name in view.features]
            for name, table in tables.items():
                beside = rows.aligned(lookup.pairs[name], found).rename_columns(names)
                tables[name] = rows.joined(_subject(name), table, beside, full_names=asked.full_feature_names)
                for column in names:
                    missing[column] = missing.get(column, 0) + beside.column(column).null_count
    return missing


def _nothing_found(lookup: _Lookup) -> str:
    view, known = lookup.view, lookup.known
    keys = ", ".join(view.join_keys) or "the time"
    if not len(known):
        return f"the file of the feature view {view.name!r} has none of the data's values of {keys}; compare them"
    ttl = view.ttl_seconds
    held, asked = (_range(column) for column in (known.column(view.time), lookup.wanted.column(rows.TIME_COLUMN)))
    within = f", by its ttl of {ttl:g} s at most," if ttl else ""
    return (
        f"no row finds a feature of the feature view {view.name!r}: its times go from {held}, those of the data"
        f" from {asked}, and only values from before a row's time{within} count"
    )


def _range(column: Any) -> str:  # noqa: ANN401 - Arrow has no types
    ends = pc.min_max(column).as_py()
    return f"{ends['min'].isoformat()} to {ends['max'].isoformat()}"


def _left_out(job: JobConfig, asked: Feast, views: Sequence[View]) -> tuple[str, ...]:
    """Return the columns that were there for the look-up only: a key that the job calls categorical is a feature."""
    used = [asked.timestamp, *(key for view in views for key in view.join_keys)]
    return tuple(name for name in dict.fromkeys(used) if name not in job.columns.categorical)
