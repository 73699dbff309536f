"""S3, Google Cloud Storage and Azure Blob Storage through obstore, the only module that imports it.

Objects are read in parts, several at a time, whose number and size bound the memory; all parts must be of one state of
the object. The client repeats what fails on the way, and each part is tried a few times more; both are limited.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from modelwright_server.stores import network
from modelwright_server.stores.access import CA_CERTIFICATE, Access
from modelwright_server.stores.addresses import Found, ObjectAddress
from modelwright_server.stores.errors import (
    StoreAddressError,
    StoreError,
    StoreForbiddenError,
    StoreLimitError,
    StoreMissingError,
    StoreUnavailableError,
)
from modelwright_server.stores.sink import Sink

PART_BYTES = 8 << 20
PARTS_AT_A_TIME = 4
PART_TRIES = 3
PUT_TRIES = 2
PAUSE_SECONDS = 0.25  # the first; each is twice the one before
MAX_LISTED = 1_000_000
UPLOAD_PART_BYTES = 8 << 20
"""A file up to this size is put in one request, under the condition that nothing is there."""

RETRY: Final[Any] = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
CLIENT: Final[Mapping[str, str]] = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "300s"}

# The client follows redirects, and cannot be told not to. So all hosts but the endpoint's own are asked through a proxy
# that nobody can be.
_NOBODY = "127.0.0.1:0"
_TOKENS = ("login.microsoftonline.com", "oauth2.googleapis.com")  # where keys of Azure and Google become tokens

_AWS = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_SKIP_SIGNATURE": "skip_signature",
}
_GOOGLE = {"GOOGLE_SERVICE_ACCOUNT_KEY": "service_account_key", "GOOGLE_SKIP_SIGNATURE": "skip_signature"}
_AZURE = {
    "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
    "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
    "AZURE_STORAGE_SAS_TOKEN": "sas_key",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_CLIENT_SECRET": "client_secret",
    "AZURE_TENANT_ID": "tenant_id",
    "AZURE_SKIP_SIGNATURE": "skip_signature",
}
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_Answer = TypeVar("_Answer")


class Bucket:
    """The objects of one bucket."""

    def __init__(self, address: ObjectAddress, access: Access) -> None:
        """Prepare the client; nothing is sent yet.

        Raises:
            StoreError: the access cannot be used.
        """
        self._name, self._access = f"{address.scheme}://{address.bucket}", access
        self._store = _client(address, access)

    def head(self, path: str) -> Found:
        """Return what is known of one object.

        Raises:
            StoreError: it is missing, or cannot be reached.
        """
        meta = self._call(path, lambda: obstore.head(self._store, path))
        return Found(path, meta["size"], meta["e_tag"])

    def find(self, pattern: str, limit: int) -> list[Found]:
        """Return the objects whose keys match, sorted; ``*`` and ``?`` match within one segment, no leading dot.

        Raises:
            StoreLimitError: more than ``limit`` match, or too many have to be looked at.
            StoreError: the bucket cannot be listed.
        """
        fixed, matches = _pattern(pattern)
        found: list[Found] = []
        looked_at = 0
        for page in self._pages(fixed):
            looked_at += len(page)
            found += [Found(each["path"], each["size"], each["e_tag"]) for each in page if matches(each["path"])]
            if len(found) > limit or looked_at > MAX_LISTED:
                what = f"matches more than {limit} objects" if len(found) > limit else "has too many objects below it"
                message = f"{self._name}/{pattern}: {what}; narrow the pattern"
                raise StoreLimitError(message)
        return sorted(found, key=lambda each: each.path)

    def below(self, path: str, limit: int) -> list[Found]:
        """Return all objects below a key, whatever their depth, sorted.

        Raises:
            StoreLimitError: there are more than ``limit``.
            StoreError: the bucket cannot be listed.
        """
        found: list[Found] = []
        for page in self._pages(path):
            found += [Found(each["path"], each["size"], each["e_tag"]) for each in page]
            if len(found) > limit:
                message = f"{self._name}/{path} has more than {limit} objects below it; name a folder with fewer"
                raise StoreLimitError(message)
        return sorted(found, key=lambda each: each.path)

    def some(self, pattern: str, count: int) -> list[str]:
        """Return the first few keys below the folder that a pattern begins with, for messages."""
        for page in self._pages(_pattern(pattern)[0]):
            return [each["path"] for each in page[:count]]
        return []

    def download(self, found: Found, sink: Sink) -> None:
        """Read an object into the sink.

        Raises:
            StoreError: it is too large, changed meanwhile, or cannot be read.
        """
        sink.expect(found.size)
        if 0 < found.size <= PART_BYTES:
            sink.write(self._part(found, 0))
            return
        starts = iter(range(0, found.size, PART_BYTES))
        waiting: deque[Future[memoryview]] = deque()
        with ThreadPoolExecutor(PARTS_AT_A_TIME) as pool:
            try:
                while True:
                    while len(waiting) <= PARTS_AT_A_TIME and (start := next(starts, None)) is not None:
                        waiting.append(pool.submit(self._part, found, start))
                    if not waiting:
                        return
                    sink.write(waiting.popleft().result())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def read(self, path: str, limit: int) -> bytes:
        """Return a small object as it is now.

        Raises:
            StoreError: it is missing, has more than ``limit`` bytes, or cannot be read.
        """
        found = self.head(path)
        if found.size > limit:
            message = f"{self._name}/{path} has {found.size} bytes, the limit is {limit}"
            raise StoreLimitError(message)
        return bytes(self._part(found, 0)) if found.size else b""

    def create(self, path: str, data: bytes) -> bool:
        """Put an object where there is none; return whether there was none, as far as is known.

        The client does not repeat what it got no answer to. Under this condition it can be: at worst the object that is
        there is our own.

        Raises:
            StoreError: the store cannot be written, or cannot put under a condition.
        """
        for attempt in range(PUT_TRIES):
            try:
                self._call(path, lambda: obstore.put(self._store, path, data, mode="create"))
            except _ThereError:
                return False
            except StoreUnavailableError:
                if attempt == PUT_TRIES - 1:
                    raise
                time.sleep(PAUSE_SECONDS * 2**attempt)
            else:
                break
        return True

    def replace(self, path: str, source: Path | bytes) -> None:
        """Put an object, whatever was there; a large file goes in parts, and appears when all of them are there.

        Raises:
            StoreError: the store cannot be written.
        """
        put: Callable[[], object] = lambda: obstore.put(  # noqa: E731 - typed
            self._store, path, source, chunk_size=UPLOAD_PART_BYTES, max_concurrency=PARTS_AT_A_TIME
        )
        self._call(path, put)

    def delete(self, path: str) -> None:
        """Delete an object; that there is none is no failure.

        Raises:
            StoreError: the store refuses, or cannot be reached.
        """
        with suppress(StoreMissingError):
            self._call(path, lambda: obstore.delete(self._store, path))

    def _part(self, found: Found, start: int) -> memoryview:
        length = min(PART_BYTES, found.size - start)
        options: Any = {"range": (start, start + length)}
        if found.tag is not None:
            options["if_match"] = found.tag
        for attempt in range(PART_TRIES):
            try:
                part = memoryview(
                    self._call(found.path, lambda: obstore.get(self._store, found.path, options=options).bytes())
                )
                if len(part) == length:
                    return part
            except StoreUnavailableError:
                if attempt == PART_TRIES - 1:
                    raise
            time.sleep(PAUSE_SECONDS * 2**attempt)
        message = f"{self._name}/{found.path}: the store sent fewer bytes than asked for, {PART_TRIES} times"
        raise StoreUnavailableError(message)

    def _pages(self, prefix: str) -> Iterator[list[Any]]:
        listing = cast("Callable[..., Iterator[list[Any]]]", obstore.list)  # pyright: ignore[reportUnknownMemberType]
        pages = iter(listing(self._store, prefix or None, chunk_size=1000))
        while (page := self._call(prefix, lambda: next(pages, None))) is not None:
            yield page

    def _call(self, path: str, ask: Callable[[], _Answer]) -> _Answer:
        try:
            return ask()
        except AlreadyExistsError:
            raise _ThereError from None
        except (BaseError, FileNotFoundError, ValueError, OSError) as error:
            # Not chained: the client's words quote addresses, whose query may be a signature.
            subject = f"{self._name}/{path}"
            raise _told(subject, error, self._access) from None


class _ThereError(Exception):
    """There is an object already."""


def _told(subject: str, error: Exception, access: Access) -> StoreError:  # noqa: PLR0911 - one for each way to fail
    """Return the error in words of ours, which tell what to do and quote nothing secret."""
    text = str(error)
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    code = f" ({found[1]})" if (found := _CODE.search(text)) else ""
    if isinstance(error, PreconditionError):
        return StoreUnavailableError(f"{subject} changed while it was read; try again when it is complete")
    if isinstance(error, FileNotFoundError) or status == 404:  # noqa: PLR2004 - HTTP's
        what = "there is no such bucket" if "NoSuchBucket" in code else "there is no such object"
        return StoreMissingError(f"{subject}: {what}")
    if status in {401, 403} or type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}:
        whose = f"the credentials of the Secret {access.secret!r}" if access.secret else "the pod's own identity"
        return StoreForbiddenError(f"{subject}: the store refuses {whose}{code or f' ({status or 401})'}")
    if access.endpoint and (_NOBODY in text or 300 <= status < 400):  # noqa: PLR2004 - HTTP's
        return StoreAddressError(f"{subject}: the store redirects to another host; name that one in the field endpoint")
    if "redirect" in text.lower() or "AuthorizationHeaderMalformed" in code:
        return StoreAddressError(f"{subject}: the bucket is in another region; set the field region{code}")
    if status and status < 500 and status not in {408, 429}:  # noqa: PLR2004 - HTTP's
        where = "; look at the fields region and endpoint" if status == 400 else ""  # noqa: PLR2004 - HTTP's
        return StoreAddressError(f"{subject}: the store refuses the request, it answered {status}{code}{where}")
    if status == 501:  # noqa: PLR2004 - HTTP's
        return StoreAddressError(f"{subject}: the store cannot do what is asked, it answered 501{code}")
    if status:
        return StoreUnavailableError(f"{subject}: the store answered {status}{code}")
    return StoreUnavailableError(f"{subject}: {_without_answer(text, access)}")


def _without_answer(text: str, access: Access) -> str:
    lower = text.lower()
    if "169.254." in text or "metadata" in lower:
        whose = f"the Secret {access.secret!r} has not all that is needed" if access.secret else "no Secret is named"
        return f"{whose}, and the pod has no identity of its own for the store; set secretName"
    for mark, words in (
        ("dns error", "its host is not found; look at the field endpoint"),
        ("connection refused", "nothing listens there; look at the field endpoint"),
        ("certificate", f"its certificate is not trusted; see the key {CA_CERTIFICATE}"),
        ("timedout", "it does not answer in time"),
        ("connect", "it cannot be reached"),
    ):
        if mark in lower:
            return f"the store does not answer: {words}"
    return "the connection to the store was lost"


def _pattern(pattern: str) -> tuple[str, Callable[[str], bool]]:
    """Return the segments before the first wildcard, and what tells whether a key matches."""
    segments = pattern.split("/")
    free = next((index for index, each in enumerate(segments) if "*" in each or "?" in each), len(segments))
    parts = [
        "".join("[^/]*" if sign == "*" else "[^/]" if sign == "?" else re.escape(sign) for sign in each)
        for each in segments
    ]
    guarded = [rf"(?!\.){part}" if index >= free else part for index, part in enumerate(parts)]
    compiled = re.compile("/".join(guarded))
    return "/".join(segments[:free]), lambda key: compiled.fullmatch(key) is not None


def _client(address: ObjectAddress, access: Access) -> ObjectStore:
    options: Any = {**CLIENT, "allow_http": access.endpoint.startswith("http://")}
    if certificate := access.credentials.get(CA_CERTIFICATE):
        options["root_certificate"] = certificate
    if access.endpoint:
        parts = urlsplit(access.endpoint)
        network.resolve(parts.hostname or "", parts.port or 443, redirected=False)
        options |= _at_home(access)
    config: dict[str, Any]
    try:
        if address.scheme == "s3":
            config = {**access.pick(_AWS), **_given(endpoint=access.endpoint, region=access.region)}
            return S3Store(address.bucket, config=cast("Any", config), client_options=options, retry_config=RETRY)
        if address.scheme == "gs":
            config = {**access.pick(_GOOGLE), **_given(base_url=access.endpoint)}
            return GCSStore(address.bucket, config=cast("Any", config), client_options=options, retry_config=RETRY)
        config = {**access.pick(_AZURE), **_given(endpoint=access.endpoint)}
        config.setdefault("account_name", (urlsplit(access.endpoint).hostname or "").partition(".")[0])
        return AzureStore(address.bucket, config=cast("Any", config), client_options=options, retry_config=RETRY)
    except (BaseError, ValueError) as error:
        whose = f"of the Secret {access.secret!r}" if access.secret else "of the pod"
        message = f"{address}: the store's client cannot use the credentials {whose} ({type(error).__name__})"
        raise StoreForbiddenError(message) from None


def _at_home(access: Access) -> dict[str, str]:
    """Return the options by which a redirect reaches no host but the endpoint's, which was checked.

    By HTTPS without a Secret the pod's own identity is asked for at places of the cloud's choosing, and redirects stay
    HTTPS, by which no cloud hands out credentials.
    """
    parts = urlsplit(access.endpoint)
    if parts.scheme == "https" and not access.secret:
        return {}
    return {"proxy_url": f"http://{_NOBODY}", "proxy_excludes": ",".join((parts.hostname or "", *_TOKENS))}


def _given(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
