# pyright: basic
# (pyarrow comes without types.)
"""Tables between our stages and a user's own image: Parquet files, each named after its data set.

What comes back is foreign: plain files only, of bounded size, read batch by batch.
"""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelwright_training.contract import FetchedData, Reason
from modelwright_training.errors import StageError
from modelwright_training.workspace import Workspace

ROWS_AT_ONCE = 65_536
MAX_BYTES = 16 << 30  # of one table's file, and again of its rows in memory
MAX_COLUMNS = 10_000
_NAMES_SHOWN = 5


def write(folder: Path, name: str, table: Any) -> None:  # noqa: ANN401 - Arrow has no types
    """Write `<name>.parquet`, some rows at a time, so that a table mapped from a file is never in memory whole."""
    with pq.ParquetWriter(folder / f"{name}.parquet", table.schema) as writer:
        for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
            writer.write_batch(batch)


def take_in(folder: Path, name: str, workspace: Workspace, index: int) -> FetchedData:
    """Read what prepare left for a data set into the workspace; return its digest.

    Raises:
        StageError: PreparedDataInvalid, naming the file.

    """
    with open_plain(folder / f"{name}.parquet", Reason.PREPARED_DATA_INVALID, "prepare") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        try:
            file = pq.ParquetFile(stream)
            schema = _checked(name, file.schema_arrow)
            rows = workspace.write_batches(index, schema, _bounded(name, schema, file))
        except (pa.ArrowException, OSError) as error:  # a damaged page is an OSError
            raise _refused(name, f"is not Parquet: {error}") from error
    if not rows:
        raise _refused(name, "has no rows")
    return FetchedData(name, f"sha256:{digest}", rows)


@contextmanager
def open_plain(path: Path, reason: Reason, stage: str) -> Iterator[BufferedReader]:
    """Open what a user's container left: no link is followed, no pipe waited for, nothing huge read.

    Raises:
        StageError: with the reason given, naming the file and what is there instead.

    """
    shown = f"{stage} left {path.name}"
    try:
        stream = open(path, "rb", opener=_without_links)  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise StageError(reason, f"{stage} left no {path.name}; {_there(path.parent)}") from None
    except OSError as error:
        message = f"{shown}, which cannot be opened ({error.strerror}); write a plain file, no link"
        raise StageError(reason, message) from error
    with stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise StageError(reason, f"{shown}, which is not a plain file")
        if status.st_size > MAX_BYTES:
            raise StageError(reason, f"{shown}, which has more than {MAX_BYTES >> 30} GiB; write less")
        yield stream


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _there(folder: Path) -> str:
    names = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else []
    shown = ", ".join(repr(name) for name in names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    return f"its output folder holds {shown}" if names else "its output folder is empty"


def _checked(name: str, schema: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    """Refuse columns that cannot be told apart; drop what the file says about itself."""
    if twice := [column for column, count in Counter(schema.names).items() if count > 1]:
        raise _refused(name, f"has the column {twice[0]!r} twice; give each column its own name")
    if len(schema.names) > MAX_COLUMNS:
        raise _refused(name, f"has {len(schema.names)} columns, more than {MAX_COLUMNS}")
    return schema.remove_metadata()


def _bounded(name: str, schema: Any, file: Any) -> Iterator[Any]:  # noqa: ANN401 - Arrow has no types
    left = MAX_BYTES
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False):
        left -= batch.nbytes
        if left < 0:
            raise _refused(name, f"has more than {MAX_BYTES >> 30} GiB of rows; write less")
        yield batch.cast(schema)


def _refused(name: str, problem: str) -> StageError:
    return StageError(
        Reason.PREPARED_DATA_INVALID, f"prepare left {name}.parquet, which {problem}; mend the image of spec.prepare"
    )
