"""One file of a web server, by HTTPS.

Every hop of a redirect is checked: it stays HTTPS, and the connection goes to the very address that was checked
(`network`).  What was cut is resumed where the server can; all tries together are limited.
"""

import http.client
import socket
import ssl
import time
from contextlib import closing
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

from modelwright_server.stores import network
from modelwright_server.stores.access import AUTHORIZATION, CA_CERTIFICATE, Access
from modelwright_server.stores.addresses import WebAddress, parse
from modelwright_server.stores.errors import (
    StoreAddressError,
    StoreForbiddenError,
    StoreMissingError,
    StoreUnavailableError,
)
from modelwright_server.stores.sink import Sink

TRIES = 5
PAUSE_SECONDS = 0.5  # the first; each is twice the one before
TIMEOUT_SECONDS = 30.0  # of connecting and of each read
_REDIRECTS = 5
_CHUNK = 1 << 20
_REDIRECT = frozenset({301, 302, 303, 307, 308})
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


def download(address: WebAddress, access: Access, sink: Sink) -> None:
    """Read the file into the sink.

    Raises:
        StoreError: what is wrong; the address is in the text, without its query.
    """
    validator = problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            validator, whole = _once(address, access, sink, validator)
        except ssl.SSLCertVerificationError as error:
            message = (
                f"{address}: its certificate is not trusted ({error.verify_message}); see the key {CA_CERTIFICATE}"
            )
            raise StoreAddressError(message) from error
        except (_AgainError, StoreUnavailableError, OSError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
            continue
        if whole:
            return
        problem = "the connection ended before the file did"
    message = f"{address}: {problem}, {TRIES} times"
    raise StoreUnavailableError(message)


class _AgainError(Exception):
    """The server says that it may answer another time."""


def _once(address: WebAddress, access: Access, sink: Sink, validator: str) -> tuple[str, bool]:
    """Read what is missing in one connection; return what names this state of the file, and whether all was read."""
    url = address.url
    for _ in range(_REDIRECTS + 1):
        with closing(_connect(address, url, access)) as connection:
            _ask(connection, address, url, access, (sink.size, validator))
            with connection.getresponse() as response:
                if response.status not in _REDIRECT:
                    _check(address, response)
                    return _fill(address, response, sink)
                url = _next(address, urljoin(url, response.headers.get("Location", "")))
    message = f"{address}: redirects more than {_REDIRECTS} times"
    raise StoreAddressError(message)


def _fill(address: WebAddress, response: http.client.HTTPResponse, sink: Sink) -> tuple[str, bool]:
    begins = f"bytes {sink.size}-"
    if response.status != http.client.PARTIAL_CONTENT or not response.headers.get("Content-Range", "").startswith(
        begins
    ):
        sink.restart()
    length = response.headers.get("Content-Length", "")
    left = int(length) if length.isascii() and length.isdigit() else None
    if left is None and not response.chunked:
        _refuse(address, "is sent without its length, so that its end cannot be told from a lost connection")
    sink.expect(sink.size + (left or 0))
    tag = response.headers.get("ETag", "")
    tag = tag if tag.startswith('"') else ""  # a weak one does not name bytes
    try:
        while chunk := response.read(_CHUNK):
            sink.write(chunk)
            left = left - len(chunk) if left is not None else None
    except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError):
        return tag, False
    return tag, not left


def _ask(
    connection: http.client.HTTPSConnection, address: WebAddress, url: str, access: Access, have: tuple[int, str]
) -> None:
    """Send the request; of a file that is there in part, what is missing is asked for."""
    parts = urlsplit(url)
    position, validator = have
    headers = {"Accept-Encoding": "identity", "User-Agent": "modelwright", "Connection": "close"}
    if _at_home(address, url) and access.credentials.get(AUTHORIZATION):
        headers["Authorization"] = access.credentials[AUTHORIZATION].strip()
    if position and validator:
        headers |= {"Range": f"bytes={position}-", "If-Range": validator}
    connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)


def _at_home(address: WebAddress, url: str) -> bool:
    return urlsplit(url).hostname == urlsplit(address.url).hostname


def _next(address: WebAddress, url: str) -> str:
    """Return where a redirect leads to, if that is an address that may be written down as well."""
    try:
        target = parse(url)
    except StoreAddressError as error:
        message = f"{address}: redirects to an address that is refused: {error}"
        raise StoreAddressError(message) from error
    if not isinstance(target, WebAddress):
        message = f"{address}: redirects away from https, to {target}"
        raise StoreAddressError(message)
    return url


def _connect(address: WebAddress, url: str, access: Access) -> http.client.HTTPSConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    pinned = network.resolve(host, port, redirected=not _at_home(address, url))
    context = ssl.create_default_context()
    if extra := access.credentials.get(CA_CERTIFICATE):
        try:
            context.load_verify_locations(cadata=extra)
        except ssl.SSLError as error:
            message = f"the key {CA_CERTIFICATE} of the Secret {access.secret!r} holds no PEM certificates"
            raise StoreForbiddenError(message) from error
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
    plain = socket.create_connection((pinned, port), timeout=TIMEOUT_SECONDS)
    try:
        connection.sock = context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
    return connection


def _check(address: WebAddress, response: http.client.HTTPResponse) -> None:
    """Raise unless the answer brings the file as it is."""
    status = response.status
    if status in {200, 206}:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            _refuse(address, "is sent encoded, although that was not asked for")
        return
    if status in _AGAIN:
        message = f"the server answered {status}"
        raise _AgainError(message)
    if status in {404, 410}:
        message = f"{address}: the server has no such file (it answered {status})"
        raise StoreMissingError(message)
    if status in {401, 403}:
        message = f"{address}: the server refuses access (it answered {status}); see the key {AUTHORIZATION}"
        raise StoreForbiddenError(message)
    _refuse(address, f"cannot be read: the server answered {status}")


def _refuse(address: WebAddress, problem: str) -> NoReturn:
    message = f"{address}: {problem}"
    raise StoreAddressError(message)
