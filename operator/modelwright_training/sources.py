# pyright: basic
# (pyarrow comes without types.)
"""Reading data sets: bundled ones, files on claims and in object stores (globs allowed), one file of a web server.

Every data set becomes one Arrow table and the digest of the bytes it was made of: of one file, the sha256 of its bytes;
of a glob, the sha256 of the JSON list of `[path, size, sha256 in hex]`, sorted by path, where a path begins at the
claim's or bucket's root. So the same files have the same digest wherever they lie.
"""

import glob
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelwright_server import stores
from modelwright_training import bundled, downloads, formats, tables
from modelwright_training.contract import DataSource, Reason
from modelwright_training.errors import StageError
from modelwright_training.formats import MAX_SOURCE_BYTES, refuse

MAX_FILES: Final = 10_000
_NAMES_SHOWN = 5
_PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Fetched:
    """A data set's rows, and `sha256:…` of its source."""

    table: Any  # pyarrow.Table
    digest: str


@dataclass(frozen=True)
class _File:
    """One file of a data set, read."""

    path: str
    size: int
    sha256: str
    table: Any  # pyarrow.Table


def read(
    source: DataSource,
    store_root: Path,
    scratch: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Fetched:
    """Read a data set and check its digest if one was given.

    `scratch` is the folder that downloads pass through, one file at a time; `environment` has the credentials.

    Raises:
        StageError: DataNotFound, DataInvalid, DataDigestMismatch, StorageForbidden or StorageUnavailable, naming the
            data set.

    """
    if source.uri.startswith("sklearn://"):
        fetched = _bundled(source)
    elif source.captured is not None:
        from modelwright_training import captured  # noqa: PLC0415 - most jobs read none

        found = captured.read(source, source.captured, scratch or Path(tempfile.gettempdir()), environment)
        fetched = Fetched(*found)
    else:
        fetched = _stored(source, store_root, scratch or Path(tempfile.gettempdir()), environment)
    if source.digest is not None and source.digest != fetched.digest:
        message = (
            f"data set {source.name!r}: {source.uri} has the digest {fetched.digest}, but its digest field says"
            f" {source.digest}; restore the data, or set the digest to what is wanted"
        )
        raise StageError(Reason.DATA_DIGEST_MISMATCH, message)
    if fetched.table.num_rows == 0:
        refuse(source, f"has no rows: {source.uri}")
    return fetched


def _bundled(source: DataSource) -> Fetched:
    name = source.uri.removeprefix("sklearn://")
    if name == "linnerud":
        refuse(source, "is linnerud, which has three targets; a TrainingJob predicts one")
    if name not in bundled.NAMES:
        message = f"data set {source.name!r}: sklearn://{name} is not known; there are {', '.join(bundled.NAMES)}"
        raise StageError(Reason.DATA_NOT_FOUND, message)
    return Fetched(*bundled.load(name))


def _stored(source: DataSource, store_root: Path, scratch: Path, environment: Mapping[str, str]) -> Fetched:
    """Read the files of a claim, an object store or a web server."""
    try:
        address = stores.parse(source.uri)
    except stores.StoreAddressError as error:
        refuse(source, f"has a wrong address: {error}; use pvc://, s3://, gs://, az://, https:// or sklearn://NAME")
    pattern = not isinstance(address, stores.WebAddress) and glob.has_magic(address.path)
    if isinstance(address, stores.PvcAddress):
        files = list(_claim(source, address, store_root))
    else:
        files = list(_remote(source, downloads.Remote(source, address, environment), scratch, pattern=pattern))
    if not pattern:
        return Fetched(files[0].table, f"sha256:{files[0].sha256}")
    text = json.dumps([(file.path, file.size, file.sha256) for file in files], separators=(",", ":"))
    return Fetched(_joined(source, files), f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def _remote(source: DataSource, remote: downloads.Remote, scratch: Path, *, pattern: bool) -> Iterator[_File]:
    """Bring each file to the scratch folder, read it, and remove it."""
    left = downloads.MAX_BYTES
    for found in remote.list(MAX_FILES, pattern=pattern):
        _check_format(source, found.path, is_folder=False)
        with tempfile.TemporaryFile(dir=scratch) as stream:
            size, sha256 = remote.download(found, stream, left)
            left -= size
            stream.seek(0)
            yield _File(found.path, size, sha256, formats.read(source, found.path, stream, size))


def _claim(source: DataSource, address: stores.PvcAddress, store_root: Path) -> Iterator[_File]:
    try:
        claim = stores.resolve(stores.PvcAddress(address.claim, ""), store_root)
        pattern = glob.has_magic(address.path)
        paths = sorted(glob.glob(address.path, root_dir=claim)) if pattern else [address.path]  # noqa: PTH207 - root_dir
        files = [(path, stores.resolve(stores.PvcAddress(address.claim, path), store_root)) for path in paths]
    except stores.StoreUnavailableError as error:
        message = f"data set {source.name!r}: {error}; create the PersistentVolumeClaim {address.claim!r}"
        raise StageError(Reason.STORAGE_UNAVAILABLE, message) from error
    except stores.StoreAddressError as error:
        refuse(source, f"has a wrong address: {error}")
    if not files:
        message = f"data set {source.name!r}: no file matches {source.uri}; {_neighbours(claim, address.path)}"
        raise StageError(Reason.DATA_NOT_FOUND, message)
    if len(files) > MAX_FILES:
        refuse(source, f"has {len(files)} files, more than {MAX_FILES}; join them into larger ones")
    left = MAX_SOURCE_BYTES
    for path, file in files:
        found = _file(source, path, file, claim, left)
        left -= found.size
        yield found


def _file(source: DataSource, path: str, file: Path, claim: Path, left: int) -> _File:
    """Read one file, hashing the very bytes that are parsed."""
    _check_format(source, path, is_folder=file.is_dir())
    try:
        with open(file, "rb", opener=_open_plain) as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                refuse(source, f"names {path!r}, which is not a regular file")
            if before.st_size > left:
                refuse(source, f"has more than {MAX_SOURCE_BYTES >> 30} GiB; sample it, or split it by column")
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            table = formats.read(source, path, stream, before.st_size)
            after = os.fstat(stream.fileno())
    except FileNotFoundError as error:
        message = f"data set {source.name!r}: {path!r} is not in the claim; {_neighbours(claim, path)}"
        raise StageError(Reason.DATA_NOT_FOUND, message) from error
    except IsADirectoryError:
        refuse(source, f"names {path!r}, which is not a regular file")
    except OSError as error:
        message = f"data set {source.name!r}: {path!r} cannot be read: {error.strerror or error}"
        raise StageError(Reason.STORAGE_UNAVAILABLE, message) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        message = f"data set {source.name!r}: {path!r} changed while it was read; try again when it is complete"
        raise StageError(Reason.STORAGE_UNAVAILABLE, message)
    return _File(path, before.st_size, digest, table)


def _check_format(source: DataSource, path: str, *, is_folder: bool) -> None:
    if not formats.known(path):
        hint = f"name its files, {path.rstrip('/')}/*.parquet" if is_folder else "no other format is read"
        if path.endswith(_PACKED):
            hint = "unpack it, or use Parquet, which is compressed in itself"
        refuse(source, f"names {path!r}, which ends in none of {', '.join(formats.SUFFIXES)}; {hint}")


def _open_plain(path: str, flags: int) -> int:
    """Open without waiting for a pipe's writer, and without following a link that took the resolved file's place."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _joined(source: DataSource, files: list[_File]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Put the files' rows under each other; whole numbers and fractions become fractions, nothing else is mixed."""
    return tables.joined({f"{file.path!r} of data set {source.name!r}": file.table for file in files})


def _neighbours(claim: Path, path: str) -> str:
    """Say what is there instead."""
    folder = claim / os.path.dirname(path)  # noqa: PTH120 - a pattern is no path
    if not folder.is_dir():
        return f"there is no folder {os.path.dirname(path)!r} in the claim"  # noqa: PTH120
    names = sorted(entry.name for entry in os.scandir(folder))
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    return f"its folder holds {shown}" if names else "its folder is empty"
