"""Storage addresses: what may be written into the custom resources, and nothing that means two things.

``pvc://<claim>/<path>`` a PersistentVolumeClaim of the namespace, ``s3://``, ``gs://``, ``az://`` ``<bucket>/<key>`` an
object store, ``https://<host>/<path>`` one file of a web server.  Standard library only.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import urlsplit

from modelwright_server.stores.errors import StoreAddressError

SCHEME = "pvc://"
MAX_ADDRESS = 1024
_MAX_CLAIM = 253
_MAX_SEGMENT = 255
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_CLAIM = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_OBJECT = re.compile(r"(s3|gs|az)://")

ObjectScheme = Literal["s3", "gs", "az"]


@dataclass(frozen=True, slots=True)
class PvcAddress:
    """A place in a PersistentVolumeClaim of the namespace.

    Attributes:
        claim: the claim's name.
        path: segments joined by ``/``, without one at either end; empty for the claim's root.
    """

    claim: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.claim}/{self.path}"

    def child(self, *segments: str) -> "PvcAddress":
        """Return the address of a place below this one.

        Raises:
            StoreAddressError: a segment is not a plain name.
        """
        return PvcAddress(self.claim, _below(str(self), self.path, segments))


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """An object, or all objects below a key, in a bucket of S3, Google Cloud Storage or Azure Blob Storage.

    Attributes:
        scheme: ``s3``, ``gs`` or ``az``.
        bucket: the bucket's name; Azure says container.
        path: the key: segments joined by ``/``, without one at either end; empty for the whole bucket.
    """

    scheme: ObjectScheme
    bucket: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.path}"

    def child(self, *segments: str) -> "ObjectAddress":
        """Return the address of a place below this one.

        Raises:
            StoreAddressError: a segment is not a plain name.
        """
        return ObjectAddress(self.scheme, self.bucket, _below(str(self), self.path, segments))


@dataclass(frozen=True, slots=True)
class WebAddress:
    """One file of a web server.

    Attributes:
        url: the whole address.
        path: its path alone, by whose end the format is known.
    """

    url: str
    path: str

    def __str__(self) -> str:
        """Leave out the query, which is where signed addresses carry their signature."""
        return self.url.partition("?")[0]

    def child(self, *segments: str) -> "WebAddress":
        """Refuse: a web server has files that are read, and no places.

        Raises:
            StoreAddressError: always.
        """
        message = f"nothing can be stored at {'/'.join([str(self).removesuffix('/'), *segments])}"
        raise StoreAddressError(message)


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a store: its path from the bucket's root, its size in bytes, and what names this state of it."""

    path: str
    size: int
    tag: str | None


Address = PvcAddress | ObjectAddress | WebAddress


def parse(uri: str) -> Address:
    """Read an address; one ``/`` at the end is allowed, escapes have no meaning but in ``https://``.

    Raises:
        StoreAddressError: names the address and what is wrong with it.
    """
    if len(uri) > MAX_ADDRESS:
        raise _wrong(uri, f"has {len(uri)} characters, the limit is {MAX_ADDRESS}")
    if uri.startswith("https://"):
        return _web(uri)
    if found := _OBJECT.match(uri):
        bucket, _, path = uri[found.end() :].partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise _wrong(uri, f"needs the name of a bucket after {found[0]}")
        return ObjectAddress(cast("ObjectScheme", found[1]), bucket, _path(uri, path))
    if not uri.startswith(SCHEME):
        raise _wrong(uri, f"must start with {SCHEME}, s3://, gs://, az:// or https://")
    claim, _, path = uri.removeprefix(SCHEME).partition("/")
    if len(claim) > _MAX_CLAIM or not _CLAIM.fullmatch(claim):
        raise _wrong(uri, "needs the name of a PersistentVolumeClaim after pvc:// (a DNS-1123 subdomain)")
    return PvcAddress(claim, _path(uri, path))


def _path(uri: str, path: str) -> str:
    segments = path.removesuffix("/").split("/") if path else []
    for segment in segments:
        if segment in {"", ".", ".."} or not segment.isprintable() or "\\" in segment or len(segment) > _MAX_SEGMENT:
            raise _wrong(uri, "must not have empty segments, '.', '..', backslashes or control characters")
    return "/".join(segments)


def _below(parent: str, path: str, segments: tuple[str, ...]) -> str:
    child = "/".join([*filter(None, [path]), *segments])
    uri = "/".join([parent.removesuffix("/"), *segments])
    if len(uri) > MAX_ADDRESS or any(not each or "/" in each for each in segments):
        raise _wrong(uri, "is too long, or names more than one place")
    return _path(uri, child)


def _web(uri: str) -> WebAddress:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise _wrong(uri, f"is no address: {error}") from error
    if not uri.isascii() or not uri.isprintable() or " " in uri or parts.fragment:
        raise _wrong(uri, "must be ASCII without spaces and without a fragment; percent-encode the rest")
    if parts.username is not None or parts.password is not None:
        raise _wrong(uri, "must not carry a user or password")
    if not _HOST.fullmatch(parts.hostname or "") or port == 0:
        raise _wrong(uri, "needs the name of a host, or its IPv4 address, after https://")
    return WebAddress(uri, parts.path)


def _wrong(uri: str, problem: str) -> StoreAddressError:
    shown = uri.partition("?")[0] if uri.startswith("https://") else uri
    return StoreAddressError(f"{shown!r} {problem}" if len(shown) <= MAX_ADDRESS else f"{shown[:64]!r}… {problem}")
