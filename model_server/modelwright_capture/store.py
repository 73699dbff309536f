"""The place where files go, with the credentials that the pod has at this moment.

They are files of a mounted Secret and not variables: a Secret that does not exist (yet) keeps no pod from starting, and
one that is replaced is used from then on.
"""

from pathlib import Path
from typing import Protocol

from modelwright_server import stores
from modelwright_server.contract import capture
from modelwright_server.contract.capture import CaptureSettings

_MOST_KEY_BYTES = 1 << 16


class Store(Protocol):
    """Takes files."""

    def put(self, path: str, data: bytes) -> None:
        """Store a file under a key below the place, whatever was there.

        Raises:
            stores.StoreError: it cannot.
        """
        ...


class ObjectPlace:
    """A Deployment's place in an object store."""

    def __init__(self, settings: CaptureSettings) -> None:
        """Check the address.

        Raises:
            stores.StoreAddressError: it is none of an object store.
        """
        address = stores.parse(capture.place(settings.uri, settings.namespace, settings.deployment))
        if not isinstance(address, stores.ObjectAddress):
            message = f"{settings.uri!r} is no place in an object store (s3://, gs://, az://)"
            raise stores.StoreAddressError(message)
        self._address, self._settings = address, settings

    def put(self, path: str, data: bytes) -> None:
        """Store a file; see `Store`."""
        from modelwright_server.stores.objects import Bucket  # noqa: PLC0415 - large, and needed with the first file

        Bucket(self._address, self._access()).replace(self._address.child(*path.split("/")).path, data)

    def _access(self) -> stores.Access:
        settings = self._settings
        found = _secret(Path(settings.secret_dir)) if settings.secret else {}
        return stores.Access(settings.endpoint, settings.region, settings.secret, found)


class ObjectFiles:
    """The files of a Deployment, to be read."""

    def __init__(self, uri: str, access: stores.Access) -> None:
        """Prepare to read.

        Raises:
            stores.StoreError: the address or the access cannot be used.
        """
        from modelwright_server.stores.objects import Bucket  # noqa: PLC0415 - large

        address = stores.parse(uri)
        if not isinstance(address, stores.ObjectAddress):
            message = f"{uri!r} is no place in an object store (s3://, gs://, az://)"
            raise stores.StoreAddressError(message)
        self._address, self._bucket = address, Bucket(address, access)

    def find(self, pattern: str, limit: int) -> list[str]:
        """Return the keys that match below the address; see `Bucket.find`."""
        path = self._address.child(*pattern.split("/")).path
        return [found.path for found in self._bucket.find(path, limit)]

    def read(self, key: str, limit: int) -> bytes:
        """Return a file of at most so many bytes; see `Bucket.read`."""
        return self._bucket.read(key, limit)


def _secret(folder: Path) -> dict[str, str]:
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
        return {path.name: path.read_bytes()[:_MOST_KEY_BYTES].decode("utf-8", "replace") for path in paths}
    except OSError:
        return {}
