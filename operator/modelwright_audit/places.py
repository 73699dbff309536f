"""Where a log may be: below a key of a bucket, or in a folder."""

from collections.abc import Mapping
from pathlib import Path

from modelwright_server import stores

Unusable = stores.StoreError
"""What is raised where a store cannot be used; the text says why."""


class Folder:
    """Copies of a log's objects on this machine; to be read alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, limit: int) -> list[str]:
        """Return the names of all files, sorted."""
        return sorted(path.name for path in self._folder.iterdir() if path.is_file())[:limit]

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a file; None: there is none."""
        try:
            with (self._folder / name).open("rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            return None
        if len(data) > limit:
            message = f"{name} has more than {limit} bytes"
            raise stores.StoreLimitError(message)
        return data


class Objects:
    """The objects below a key of a bucket."""

    def __init__(self, uri: str, access: stores.Access) -> None:
        from modelwright_server.stores.objects import Bucket  # noqa: PLC0415 - its client is large, and folders need none

        address = stores.parse(uri)
        if not isinstance(address, stores.ObjectAddress):
            message = f"{uri}: an audit log goes to an object store: s3://, gs:// or az://BUCKET/KEY"
            raise stores.StoreAddressError(message)
        self._address = address
        self._bucket = Bucket(address, access)

    def names(self, limit: int) -> list[str]:
        """Return the names of all objects, sorted."""
        before = f"{self._address.path}/" if self._address.path else ""
        found = (item.path.removeprefix(before) for item in self._bucket.below(self._address.path, limit))
        return sorted(name for name in found if "/" not in name)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return an object; None: there is none."""
        try:
            return self._bucket.read(self._key(name), limit)
        except stores.StoreMissingError:
            return None

    def create(self, name: str, data: bytes) -> bool:
        """Put an object where there is none; return whether there was none."""
        return self._bucket.create(self._key(name), data)

    def replace(self, name: str, data: bytes) -> None:
        """Put an object, whatever was there."""
        self._bucket.replace(self._key(name), data)

    def _key(self, name: str) -> str:
        return self._address.child(name).path


def from_environment(environment: Mapping[str, str], endpoint: str, region: str) -> stores.Access:
    """Return how a store is reached with the credentials that its own tools take from the environment."""
    known = ("AWS_", "GOOGLE_", "AZURE_", "CA_CERTIFICATE")
    found = {name: value for name, value in environment.items() if name.startswith(known)}
    return stores.Access(endpoint, region, "of the environment" if found else "", found)


def access_of(environment: Mapping[str, str], prefix: str) -> stores.Access:
    """Return how a store is reached, by variables with a prefix: ENDPOINT, REGION, SECRET_NAME, and credentials."""
    given = {name.removeprefix(prefix): value for name, value in environment.items() if name.startswith(prefix)}
    endpoint, region, secret = (given.pop(name, "") for name in ("ENDPOINT", "REGION", "SECRET_NAME"))
    return stores.Access(endpoint, region, secret, given if secret else {})
