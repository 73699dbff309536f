# pyright: basic
# (pyarrow comes without types.)
"""The folder that fetch fills, train adds the fitted estimator to, and evaluate only reads."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelwright_training.contract import Stage


@dataclass(frozen=True, slots=True)
class Workspace:
    """Names of what lies in the workspace; data sets are numbered as in the job, since their names are free text."""

    folder: Path

    @property
    def estimator(self) -> Path:
        """The fitted pipeline, pickled by the train stage of the same pod."""
        return self.folder / "estimator.joblib"

    def write_table(self, index: int, table: Any) -> None:  # noqa: ANN401 - Arrow has no types
        """Keep a data set."""
        with pa.ipc.new_file(str(self._table(index)), table.schema) as writer:
            writer.write_table(table)

    def write_batches(self, index: int, schema: Any, batches: Iterable[Any]) -> int:  # noqa: ANN401 - as above
        """Keep a data set that comes in pieces; return its number of rows."""
        rows = 0
        with pa.ipc.new_file(str(self._table(index)), schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows

    def read_table(self, index: int) -> Any:  # noqa: ANN401 - Arrow has no types
        """Map a data set into memory."""
        return pa.ipc.open_file(pa.memory_map(str(self._table(index)))).read_all()

    def write_notes(self, stage: Stage, notes: dict[str, Any]) -> None:
        """Keep what a stage wants to say in the report."""
        self._notes(stage).write_text(json.dumps(notes, allow_nan=False), encoding="utf-8")

    def read_notes(self, stage: Stage) -> dict[str, Any]:
        """Read what an earlier stage said."""
        notes: dict[str, Any] = json.loads(self._notes(stage).read_text(encoding="utf-8"))
        return notes

    def data_digest(self) -> str:
        """Return one digest for all the data that were fetched, and the features joined to them."""
        digests = [[data["name"], data["digest"]] for data in self.read_notes(Stage.FETCH)["data"]]
        if self._notes(Stage.FEATURES).is_file():
            said = self.read_notes(Stage.FEATURES)
            digests += [[part, said[part]] for part in ("registry", "sources")]
        return "sha256:" + hashlib.sha256(json.dumps(digests).encode()).hexdigest()

    def left_out(self) -> tuple[str, ...]:
        """Return the columns that were there to look features up, and are none themselves."""
        found = self.read_notes(Stage.FEATURES)["left_out"] if self._notes(Stage.FEATURES).is_file() else ()
        return tuple(found)

    def _table(self, index: int) -> Path:
        return self.folder / f"data-{index}.arrow"

    def _notes(self, stage: Stage) -> Path:
        return self.folder / f"{stage}.json"
