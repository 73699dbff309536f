# pyright: basic
# (pyarrow and scikit-learn come without types.)
"""Reading data sets: `sklearn://NAME` and `pvc://claim/path` with CSV and Parquet files, globs allowed.

Every data set becomes one Arrow table and the digest of the bytes it was made of.
"""

import glob
import hashlib
import json
import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from modelwright_server import stores
from modelwright_training.contract import DataSource, Reason
from modelwright_training.errors import StageError

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
BUNDLED_TARGET = "target"
MAX_FILES = 10_000
MAX_COLUMNS = 10_000
MAX_SOURCE_BYTES = 16 << 30  # of one data set; the pod's memory is the limit that is met first
MAX_CSV_BYTES = (2 << 30) - 1  # Arrow infers types over one block, whose size is an int32
_SUFFIXES = (".csv", ".parquet")
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Fetched:
    """A data set's rows, and `sha256:…` of its source."""

    table: Any  # pyarrow.Table
    digest: str


def read(source: DataSource, store_root: Path) -> Fetched:
    """Read a data set and check its digest if one was given.

    Raises:
        StageError: DataNotFound, DataInvalid, DataDigestMismatch or StorageUnavailable, naming the data set.

    """
    if source.uri.startswith("sklearn://"):
        fetched = _bundled(source)
    elif source.uri.startswith(stores.SCHEME):
        fetched = _stored(source, store_root)
    else:
        _refuse(source, f"has the address {source.uri!r}; use sklearn://NAME or pvc://claim/path")
    if source.digest is not None and source.digest != fetched.digest:
        message = (
            f"data set {source.name!r}: {source.uri} has the digest {fetched.digest}, but its digest field says"
            f" {source.digest}; restore the data, or set the digest to what is wanted"
        )
        raise StageError(Reason.DATA_DIGEST_MISMATCH, message)
    if fetched.table.num_rows == 0:
        _refuse(source, f"has no rows: {source.uri}")
    return fetched


def _bundled(source: DataSource) -> Fetched:
    """Load a data set that comes with scikit-learn.

    The digest covers the column names and the little-endian float64 values, row by row, the target last.
    """
    name = source.uri.removeprefix("sklearn://")
    if name == "linnerud":
        _refuse(source, "is linnerud, which has three targets; a TrainingJob predicts one")
    if name not in BUNDLED:
        message = f"data set {source.name!r}: sklearn://{name} is not known; there are {', '.join(BUNDLED)}"
        raise StageError(Reason.DATA_NOT_FOUND, message)
    import numpy as np  # noqa: PLC0415 - scikit-learn takes a second to import; data in files needs none of it
    from sklearn import datasets  # noqa: PLC0415

    bunch = getattr(datasets, f"load_{name}")()
    values = np.ascontiguousarray(bunch.data, dtype="<f8")
    target = np.asarray(bunch.target)
    names = [*map(str, bunch.feature_names), BUNDLED_TARGET]
    hashed = hashlib.sha256(json.dumps([name, names]).encode())
    hashed.update(np.column_stack([values, target.astype("<f8")]).tobytes())
    arrays = [pa.array(values[:, index]) for index in range(values.shape[1])]
    return Fetched(pa.table([*arrays, pa.array(target)], names=names), f"sha256:{hashed.hexdigest()}")


def _stored(source: DataSource, store_root: Path) -> Fetched:
    """Read the files of a claim: one file's digest is that of its bytes, a glob's that of the sorted list of files."""
    try:
        address = stores.parse(source.uri)
        claim = stores.resolve(stores.PvcAddress(address.claim, ""), store_root)
        pattern = glob.has_magic(address.path)
        paths = sorted(glob.glob(address.path, root_dir=claim)) if pattern else [address.path]  # noqa: PTH207 - root_dir
        files = [(path, stores.resolve(stores.PvcAddress(address.claim, path), store_root)) for path in paths]
    except stores.StoreUnavailableError as error:
        message = f"data set {source.name!r}: {error}; create the PersistentVolumeClaim {address.claim!r}"
        raise StageError(Reason.STORAGE_UNAVAILABLE, message) from error
    except stores.StoreAddressError as error:
        _refuse(source, f"has a wrong address: {error}")
    if not files:
        message = f"data set {source.name!r}: no file matches {source.uri}; {_neighbours(claim, address.path)}"
        raise StageError(Reason.DATA_NOT_FOUND, message)
    if len(files) > MAX_FILES:
        _refuse(source, f"has {len(files)} files, more than {MAX_FILES}; join them into larger ones")
    left = MAX_SOURCE_BYTES
    tables: list[Any] = []
    listed: list[tuple[str, int, str]] = []
    for path, file in files:
        table, size, digest = _file(source, path, file, claim, left)
        left -= size
        tables.append(table)
        listed.append((path, size, digest))
    if not pattern:
        return Fetched(tables[0], f"sha256:{listed[0][2]}")
    text = json.dumps(listed, separators=(",", ":"))
    return Fetched(_joined(source, paths, tables), f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def _file(source: DataSource, path: str, file: Path, claim: Path, left: int) -> tuple[Any, int, str]:
    """Read one file, hashing the very bytes that are parsed: table, size, sha256 in hex."""
    if not path.endswith(_SUFFIXES):
        hint = f"name its files, {path.rstrip('/')}/*.parquet" if file.is_dir() else "CSV and Parquet files can be read"
        _refuse(source, f"names {path!r}, which ends neither in .csv nor in .parquet; {hint}")
    try:
        with open(file, "rb", opener=_open_plain) as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                _refuse(source, f"names {path!r}, which is not a regular file")
            if before.st_size > left:
                _refuse(source, f"has more than {MAX_SOURCE_BYTES >> 30} GiB; sample it, or split it by column")
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            table = (
                _csv(source, path, stream, before.st_size) if path.endswith(".csv") else _parquet(source, path, stream)
            )
            after = os.fstat(stream.fileno())
    except FileNotFoundError as error:
        message = f"data set {source.name!r}: {path!r} is not in the claim; {_neighbours(claim, path)}"
        raise StageError(Reason.DATA_NOT_FOUND, message) from error
    except IsADirectoryError:
        _refuse(source, f"names {path!r}, which is not a regular file")
    except OSError as error:
        message = f"data set {source.name!r}: {path!r} cannot be read: {error.strerror or error}"
        raise StageError(Reason.STORAGE_UNAVAILABLE, message) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        message = f"data set {source.name!r}: {path!r} changed while it was read; try again when it is complete"
        raise StageError(Reason.STORAGE_UNAVAILABLE, message)
    return _checked(source, path, table), before.st_size, digest


def _open_plain(path: str, flags: int) -> int:
    """Open without waiting for a pipe's writer, and without following a link that took the resolved file's place."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _csv(source: DataSource, path: str, stream: IO[bytes], size: int) -> Any:  # noqa: ANN401 - Arrow has no types
    """Parse comma-separated UTF-8 with a header; one block, so that types are inferred from all rows."""
    if size > MAX_CSV_BYTES:
        _refuse(source, f"has the file {path!r} of {size >> 20} MiB; use Parquet, or several files and a glob")
    try:
        return pyarrow.csv.read_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=max(size, 1)),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        )
    except pa.ArrowInvalid as error:
        _refuse(source, f"has the file {path!r}, which is not CSV with one header line: {error}")


def _parquet(source: DataSource, path: str, stream: IO[bytes]) -> Any:  # noqa: ANN401 - Arrow has no types
    try:
        return pyarrow.parquet.ParquetFile(stream).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:  # a damaged page is an OSError
        _refuse(source, f"has the file {path!r}, which is not Parquet: {error}")


def _checked(source: DataSource, path: str, table: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    """Refuse tables whose columns cannot be told apart by name; drop what Parquet files say about themselves."""
    names = Counter(table.column_names)
    if twice := [name for name, count in names.items() if count > 1]:
        _refuse(source, f"has the column {twice[0]!r} twice in {path!r}; give each column its own name")
    if len(names) == 1 and (found := [mark for mark in ";\t|" if mark in table.column_names[0]]):
        _refuse(source, f"has the file {path!r}, whose columns are separated by {found[0]!r}; use commas")
    if len(names) > MAX_COLUMNS:
        _refuse(source, f"has {len(names)} columns in {path!r}, more than {MAX_COLUMNS}")
    return table.replace_schema_metadata(None)


def _joined(source: DataSource, paths: list[str], tables: list[Any]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Put the files' rows under each other; whole numbers and fractions become fractions, nothing else is mixed."""
    first = tables[0]
    for path, table in zip(paths, tables, strict=True):
        if odd := sorted(set(table.column_names) ^ set(first.column_names)):
            _refuse(source, f"has the column {odd[0]!r} in one of {paths[0]!r} and {path!r}, but not in the other")
    try:
        return pa.concat_tables([table.select(first.column_names) for table in tables], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        _refuse(source, f"has files whose columns differ in type: {error}")


def _neighbours(claim: Path, path: str) -> str:
    """Say what is there instead."""
    folder = claim / os.path.dirname(path)  # noqa: PTH120 - a pattern is no path
    if not folder.is_dir():
        return f"there is no folder {os.path.dirname(path)!r} in the claim"  # noqa: PTH120
    names = sorted(entry.name for entry in os.scandir(folder))
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    return f"its folder holds {shown}" if names else "its folder is empty"


def _refuse(source: DataSource, problem: str) -> NoReturn:
    raise StageError(Reason.DATA_INVALID, f"data set {source.name!r} {problem}")
