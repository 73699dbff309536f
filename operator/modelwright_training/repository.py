"""Bringing a folder of a feature store's files to the stage that reads it: its credentials stay in fetch.

All files are taken but hidden ones, those of Python's caches, and links, which are not followed.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from modelwright_server import stores
from modelwright_server.stores.sink import Sink
from modelwright_training.access import access_to
from modelwright_training.contract import Feast, Reason
from modelwright_training.downloads import told
from modelwright_training.errors import StageError

MAX_FILES: Final = 10_000
MAX_BYTES: Final = 8 << 30
_SUBJECT: Final = "features.feast.uri"
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
_LEFT_OUT: Final = (".", "__")  # how names begin


def fetch(feast: Feast, store_root: Path, folder: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Copy a repository into a folder, which is made anew; `environment` has the credentials.

    Raises:
        StageError: DataNotFound, DataInvalid, StorageForbidden or StorageUnavailable, naming the field.

    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with told(_SUBJECT):
        address = stores.parse(feast.uri)
        if isinstance(address, stores.WebAddress):
            message = f"{address} is a file of a web server; a repository is a folder of a claim or an object store"
            raise stores.StoreAddressError(message)
        if isinstance(address, stores.PvcAddress):
            count = _from_claim(address, store_root, folder)
        else:
            count = _from_bucket(address, access_to(feast.access, environment), folder)
        if not count:
            message = f"there are no files at {address}; name the folder with the repository's feature_store.yaml"
            raise stores.StoreMissingError(message)


def _from_claim(address: stores.PvcAddress, store_root: Path, folder: Path) -> int:
    root = stores.resolve(address, store_root)
    count, left = 0, MAX_BYTES
    for path, name, directory in _plain_files(root):
        # Opened by the folder that was listed, so that nobody can put a link in its place meanwhile.
        with os.fdopen(_opened(path, name, directory), "rb") as source:
            status = os.fstat(source.fileno())
            if not stat.S_ISREG(status.st_mode):
                continue
            count += 1
            _check_count(count)
            with _made(folder, path).open("xb") as file:
                sink = Sink(file, left, path)
                sink.expect(status.st_size)
                shutil.copyfileobj(source, sink, 1 << 20)
            left -= sink.size
            if os.fstat(source.fileno()).st_mtime_ns != status.st_mtime_ns:
                message = f"{path!r} changed while it was read; try again when it is complete"
                raise StageError(Reason.STORAGE_UNAVAILABLE, f"{_SUBJECT}: {message}")
    return count


def _opened(path: str, name: str, directory: int) -> int:
    try:
        return os.open(name, _FLAGS, dir_fd=directory)
    except OSError as error:
        message = f"{_SUBJECT}: {path!r} cannot be read: {error.strerror or error}"
        raise StageError(Reason.STORAGE_UNAVAILABLE, message) from error


def _plain_files(root: Path) -> Iterator[tuple[str, str, int]]:
    """Yield path below the root, name, and the open folder of each file, none through a link."""
    if not root.is_dir():
        return
    for current, folders, names, directory in os.fwalk(root, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith(_LEFT_OUT))
        for name in sorted(names):
            status = os.lstat(name, dir_fd=directory)
            if stat.S_ISREG(status.st_mode) and not name.startswith(_LEFT_OUT):
                yield (Path(current) / name).relative_to(root).as_posix(), name, directory


def _from_bucket(address: stores.ObjectAddress, access: stores.Access, folder: Path) -> int:
    from modelwright_server.stores import objects  # noqa: PLC0415 - its client is large, and most jobs need none

    bucket = objects.Bucket(address, access)
    found = [(each, _relative(each.path, address.path)) for each in bucket.below(address.path, MAX_FILES)]
    left = MAX_BYTES
    taken = [(each, path) for each, path in found if path is not None]
    for each, path in taken:
        with _made(folder, path).open("xb") as file:
            sink = Sink(file, left, each.path)
            bucket.download(each, sink)
        left -= sink.size
    return len(taken)


def _relative(key: str, prefix: str) -> str | None:
    """Return the path below the repository; None: the object is left out.

    >>> _relative("shop/data/x.parquet", "shop"), _relative("shop/.git/x", "shop"), _relative("shop/../x", "shop")
    ('data/x.parquet', None, None)
    """
    path = key.removeprefix(f"{prefix}/") if prefix else key
    segments = path.split("/")
    usable = all(each and each.isprintable() and not each.startswith(_LEFT_OUT) for each in segments)
    return path if usable else None


def _made(folder: Path, path: str) -> Path:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _check_count(count: int) -> None:
    if count > MAX_FILES:
        message = f"the folder has more than {MAX_FILES} files; name the repository's own folder"
        raise stores.StoreLimitError(message)
