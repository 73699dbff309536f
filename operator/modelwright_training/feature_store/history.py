# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# (Feast and pyarrow come without types, and Feast is in the image of this stage only.)
"""Feast's point-in-time join: for keys and times, the features as they were known then."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from feast import FeatureStore
from feast.errors import FeastError
from feast.repo_config import RepoConfig

from modelwright_training.feature_store import offline, registry
from modelwright_training.feature_store.registry import Repository, View
from modelwright_training.feature_store.rows import refuse

_CELLS_AT_ONCE: Final = 16_000_000  # Feast holds each row of the data with all of its entity's in memory, a few times
_MOST_ROWS: Final = 100_000
_FEWEST_ROWS: Final = 1_000


class History:
    """Some views of a repository, each with the rows of the entities that matter."""

    def __init__(self, repository: Repository, views: Sequence[View], tables: Sequence[Any], scratch: Path) -> None:
        """Write what Feast reads into the scratch folder.

        Args:
            repository: whose views they are.
            views: what is asked for.
            tables: each view's rows, cleaned.
            scratch: an empty folder.

        """
        files = [scratch / f"view-{index}.parquet" for index in range(len(views))]
        for table, path in zip(tables, files, strict=True):
            offline.write(table, path)
        path = scratch / "registry.pb"
        path.write_bytes(registry.without_code(repository, views, files).SerializeToString())
        self._store = FeatureStore(
            config=RepoConfig(
                project=repository.project,
                provider="local",
                registry=str(path),
                offline_store={"type": "dask"},
                online_store=None,
                entity_key_serialization_version=3,
                repo_path=scratch,
            )
        )
        self._views, self._tables = views, tables

    def features(self, index: int, wanted: Any) -> Any:  # noqa: ANN401 - Arrow has no types
        """Return what Feast finds of a view: keys, time and features; not all rows wanted need be there.

        Args:
            index: which view.
            wanted: distinct keys and times.

        Raises:
            StageError: FeaturesInvalid, when Feast refuses, or a value is not of the feature's type.

        """
        view = self._views[index]
        service = self._store.get_feature_service(f"view-{index}")
        parts: list[Any] = [self._typed(view, index, wanted.schema, None)]
        if not len(self._tables[index]):
            return parts[0]
        for chunk in _chunks(wanted, _rows_at_once(view, self._tables[index])):
            try:
                found = self._store.get_historical_features(chunk.to_pandas(), service, full_feature_names=True).to_df()
            except (FeastError, ValueError, TypeError, KeyError) as error:
                refuse(f"Feast cannot join the feature view {view.name!r}: {type(error).__name__}: {str(error)[:300]}")
            parts.append(self._typed(view, index, wanted.schema, found))
        return pa.concat_tables(parts)

    @staticmethod
    def _typed(view: View, index: int, keys: Any, found: Any) -> Any:  # noqa: ANN401 - Arrow has no types
        if found is None:
            return pa.schema([*keys, *view.features.items()]).empty_table()
        columns = {name: pa.array(found[name], type=keys.field(name).type, from_pandas=True) for name in keys.names}
        for name, kind in view.features.items():
            try:
                columns[name] = pa.array(found[f"view-{index}__{name}"], type=kind, from_pandas=True)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                refuse(
                    f"the feature {name!r} of the feature view {view.name!r} is declared as {kind}, but its file has"
                    f" another type: {str(error)[:120]}"
                )
        return pa.table(columns)


def _rows_at_once(view: View, table: Any) -> int:  # noqa: ANN401 - Arrow has no types
    keys = list(view.join_keys)
    entities = table.group_by(keys).aggregate([]).num_rows if keys else 1
    history = len(table) // entities
    cells = max(1, history) * (len(table.column_names) + 2)
    return min(max(_CELLS_AT_ONCE // cells, _FEWEST_ROWS), _MOST_ROWS)


def _chunks(table: Any, rows: int) -> Iterator[Any]:  # noqa: ANN401 - Arrow has no types
    for start in range(0, len(table), rows):
        yield table.slice(start, rows)
