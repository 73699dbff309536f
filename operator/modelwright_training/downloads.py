"""The files of a data set that lie in an object store or on a web server."""

import errno
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from modelwright_server import stores
from modelwright_server.stores import web
from modelwright_server.stores.sink import Sink
from modelwright_training.access import access_to
from modelwright_training.contract import DataSource, Reason
from modelwright_training.errors import StageError

if TYPE_CHECKING:
    from modelwright_server.stores.objects import Bucket

MAX_BYTES = 8 << 30  # of all files of a data set; each passes through the workspace, which has 10 GiB
_NAMES_SHOWN = 5


class Remote:
    """A data set's place outside the pod."""

    def __init__(
        self, source: DataSource, address: stores.ObjectAddress | stores.WebAddress, environment: Mapping[str, str]
    ) -> None:
        """Prepare to read.

        Raises:
            StageError: the access cannot be used.

        """
        self._source, self._access = source, access_to(source.access, environment)
        self._address = address
        self._place: Bucket | stores.WebAddress
        with told(_subject(source)):
            self._place = address if isinstance(address, stores.WebAddress) else _bucket(address, self._access)

    def list(self, limit: int, *, pattern: bool) -> list[stores.Found]:
        """Return what the address stands for, sorted by path, `limit` at most.

        Raises:
            StageError: DataNotFound, DataInvalid, StorageForbidden or StorageUnavailable.

        """
        if isinstance(self._place, stores.WebAddress):
            return [stores.Found(self._place.path, 0, None)]
        path = self._address.path
        with told(_subject(self._source)):
            if not pattern:
                return [self._place.head(path)]
            found = self._place.find(path, limit)
            if not found:
                there = self._place.some(path, _NAMES_SHOWN)
                hint = f"there are {', '.join(there)}" if there else "there are none near it"
                message = f"no object matches {self._address}; {hint}"
                raise stores.StoreMissingError(message)
        return found

    def download(self, found: stores.Found, file: IO[bytes], limit: int) -> tuple[int, str]:
        """Bring one of `list` into an open file; return its size in bytes and its sha256 in hex.

        Raises:
            StageError: DataNotFound, DataInvalid, StorageForbidden or StorageUnavailable.

        """
        sink = Sink(file, limit, found.path)
        with told(_subject(self._source)):
            if isinstance(self._place, stores.WebAddress):
                web.download(self._place, self._access, sink)
            else:
                self._place.download(found, sink)
        return sink.size, sink.sha256


def _bucket(address: stores.ObjectAddress, access: stores.Access) -> "Bucket":
    from modelwright_server.stores import objects  # noqa: PLC0415 - its client is large, and most jobs need none

    return objects.Bucket(address, access)


@contextmanager
def told(subject: str) -> Generator[None]:
    """Say what is wrong with a store in the job's words, beginning with what it holds."""
    try:
        yield
    except stores.StoreMissingError as error:
        raise _stage_error(subject, Reason.DATA_NOT_FOUND, error) from error
    except stores.StoreForbiddenError as error:
        raise _stage_error(subject, Reason.STORAGE_FORBIDDEN, error) from error
    except stores.StoreUnavailableError as error:
        raise _stage_error(subject, Reason.STORAGE_UNAVAILABLE, error) from error
    except stores.StoreError as error:
        raise _stage_error(subject, Reason.DATA_INVALID, error) from error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        why = "the workspace is full" if full else f"the workspace cannot be written ({error.strerror or error})"
        raise _stage_error(subject, Reason.STORAGE_UNAVAILABLE, why) from error


def _subject(source: DataSource) -> str:
    return f"data set {source.name!r}"


def _stage_error(subject: str, reason: Reason, problem: object) -> StageError:
    return StageError(reason, f"{subject}: {problem}")
