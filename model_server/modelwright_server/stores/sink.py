"""A file that fills up: hashed on its way, and never larger than it may be."""

import hashlib
from typing import IO

from modelwright_server.stores.errors import StoreLimitError


class Sink:
    """Writes what is downloaded to a file, in order, and hashes the very bytes that are written."""

    def __init__(self, file: IO[bytes], limit: int, name: str) -> None:
        self._file, self._limit, self._name = file, limit, name
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The sha256 of what was written, in hex."""
        return self._hash.hexdigest()

    def expect(self, size: int) -> None:
        """Refuse, before anything is read, what says itself that it is too large.

        Raises:
            StoreLimitError: names the limit.
        """
        if size > self._limit:
            message = f"{self._name} has {size} bytes, the limit is {self._limit}"
            raise StoreLimitError(message)

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes.

        Raises:
            StoreLimitError: they are too many.
            OSError: the file cannot be written.
        """
        self.expect(self.size + len(data))
        self._hash.update(data)
        self._file.write(data)
        self.size += len(data)

    def restart(self) -> None:
        """Forget what was written: the source has to be read from its beginning again."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.size = hashlib.sha256(), 0
