"""The API server, as far as the sidecar needs it: one object, listed and watched, and a part of its status applied.

The standard library's HTTP client, since a client library would be most of the sidecar's memory.  Certificate and
token are read anew for each connection and request: the kubelet renews both in place.  A connection whose other end
is gone without a word is noticed within `_LOST_SECONDS`.
"""

import contextlib
import http.client
import json
import random
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote, urlencode

from modelwright_server.contract.monitoring import FIELD_MANAGER

Object = Mapping[str, Any]

_GROUP = "modelwright.dev"
_MOST_CONFLICTS = 8
_VERSION = "v1alpha1"
_PLURAL = "modeldeployments"

# etcd takes 1.5 MiB of an object; its JSON with what the server adds is not much longer.
_MAX_BYTES = 4 << 20
_MAX_MESSAGE_BYTES = 64 << 10
_REQUEST_SECONDS = 15.0
# Between two signs of life of the other end, and until silence ends the connection.
_PROBE_SECONDS = 5
_LOST_SECONDS = 20


class ApiError(Exception):
    """The API server did not answer, or not as it should.

    Attributes:
        retry_after_seconds: how long it asks to be left alone.
    """

    def __init__(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ConflictError(ApiError):
    """The object has changed since it was read."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Where a pod finds the API server, and what it says there of itself.

    Attributes:
        host: name or address.
        port: of the API server.
        folder: with ``token`` and ``ca.crt``.
    """

    host: str
    port: int
    folder: Path

    @classmethod
    def of_pod(cls, env: Mapping[str, str], folder: Path) -> Self:
        """Return what Kubernetes tells each container.

        Raises:
            ApiError: this is no pod.
        """
        try:
            return cls(env["KUBERNETES_SERVICE_HOST"], int(env["KUBERNETES_SERVICE_PORT"]), folder)
        except (KeyError, ValueError) as error:
            message = f"KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must name the API server: {error!r}"
            raise ApiError(message) from None


class Connection:
    """A connection to the API server, about one Deployment of ours."""

    def __init__(self, connection: http.client.HTTPSConnection, identity: Identity, namespace: str, name: str) -> None:
        self._connection = connection
        self._identity = identity
        self._path = f"/apis/{_GROUP}/{_VERSION}/namespaces/{quote(namespace, safe='')}/{_PLURAL}"
        self._object = {"namespace": namespace, "name": name}
        self._selector = {"fieldSelector": f"metadata.name={name}"}

    def read(self) -> tuple[Object | None, str]:
        """Return the Deployment as it is now, None if there is none, and the version to watch from.

        Raises:
            ApiError: it cannot be read.
        """
        with _as_api_errors("list"):
            listed = _document(self._get(self._selector, _REQUEST_SECONDS).read(_MAX_BYTES + 1))
            items, version = listed["items"], str(listed["metadata"]["resourceVersion"])
            return (items[0] if items else None), version

    def watch(self, version: str, seconds: int) -> Iterator[Object | None]:
        """Yield the Deployment after each of its changes since ``version``, None when it is gone.

        Ends when the API server ends it, after ``seconds`` at the latest.

        Raises:
            ApiError: the connection was lost, or the version is too old to watch from.
        """
        query = {**self._selector, "watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        with _as_api_errors("watch"):
            response = self._get(query, seconds + _REQUEST_SECONDS)
            while line := response.readline(_MAX_BYTES + 1):
                event = _document(line)
                kind, seen = event["type"], event["object"]
                if kind == "ERROR":
                    message = f"the watch ended: {seen.get('message', seen)!s:.500}"
                    raise ApiError(message)
                if kind in {"ADDED", "MODIFIED"}:
                    yield seen
                elif kind == "DELETED":
                    yield None

    def apply_status(self, status: Object, version: str) -> None:
        """Apply the monitor's part of the status, whole, onto nothing but this version of the Deployment.

        Raises:
            ConflictError: it has changed since.
            ApiError: it was not taken.
        """
        body = {
            "apiVersion": f"{_GROUP}/{_VERSION}",
            "kind": "Deployment",
            "metadata": {**self._object, "resourceVersion": version},
            "status": status,
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = f"{self._path}/{quote(self._object['name'], safe='')}/status?{urlencode(query)}"
        with _as_api_errors("apply"):
            data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
            self._request("PATCH", path, _REQUEST_SECONDS, data).read(_MAX_BYTES)

    def _get(self, query: Mapping[str, str], seconds: float) -> http.client.HTTPResponse:
        return self._request("GET", f"{self._path}?{urlencode(query)}", seconds)

    def _request(self, method: str, path: str, seconds: float, body: bytes | None = None) -> http.client.HTTPResponse:
        token = (self._identity.folder / "token").read_text(encoding="ascii").strip()
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "User-Agent": "modelwright-monitor",
        }
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"
        _open(self._connection)
        self._connection.sock.settimeout(seconds)
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        if response.status != HTTPStatus.OK:
            after = response.headers.get("Retry-After", "")
            message = f"{response.status} {response.reason}: {_said(response.read(_MAX_MESSAGE_BYTES))}"
            if response.status == HTTPStatus.CONFLICT:
                raise ConflictError(message)
            raise ApiError(message, retry_after_seconds=float(after) if after.isdecimal() else 0.0)
        return response


@contextlib.contextmanager
def connect(identity: Identity, namespace: str, name: str) -> Generator[Connection]:
    """Give a connection to ask about one Deployment.

    Raises:
        ApiError: there is no such connection.
    """
    with _as_api_errors("connect"):
        context = ssl.create_default_context(cafile=identity.folder / "ca.crt")
        connection = http.client.HTTPSConnection(
            identity.host, identity.port, timeout=_REQUEST_SECONDS, context=context
        )
        _open(connection)
    try:
        yield Connection(connection, identity, namespace, name)
    finally:
        connection.close()


def _open(connection: http.client.HTTPSConnection) -> None:
    """Connect, also where the other end closed the connection after its last answer."""
    if connection.sock is None:
        connection.connect()
        _watch_over(connection)


def _watch_over(connection: http.client.HTTPSConnection) -> None:
    """Have the kernel look after the other end, which for minutes may have nothing to say."""
    sock = connection.sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _LOST_SECONDS // _PROBE_SECONDS - 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_SECONDS * 1000)


@contextlib.contextmanager
def _as_api_errors(doing: str) -> Generator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        message = f"{doing}: {type(error).__name__}: {error}"
        raise ApiError(message) from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        message = f"{doing}: not an answer of the Kubernetes API: {error!r}"
        raise ApiError(message) from error


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > _MAX_BYTES:
        message = f"more than {_MAX_BYTES} bytes"
        raise ValueError(message)
    return cast("dict[str, Any]", json.loads(data))


def _said(body: bytes) -> str:
    """Return what the API server says in the Status object that is the body of an error."""
    try:
        return str(json.loads(body)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")


def change_status(
    connection: Connection,
    make: Callable[[Object], Mapping[str, Any] | None],
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Apply a status onto the Deployment as it was read, and anew where somebody else wrote meanwhile.

    Args:
        connection: to the API server.
        make: gives the status for the Deployment as it is; None: there is nothing to write.
        sleep: waits for so many seconds.

    Returns:
        Whether it was written.

    Raises:
        ApiError: it was not taken.
    """
    for _ in range(_MOST_CONFLICTS):
        seen, _version = connection.read()
        status = make(seen) if seen is not None else None
        if seen is None or status is None:
            return False
        try:
            connection.apply_status(status, str(seen["metadata"]["resourceVersion"]))
        except ConflictError:
            sleep(random.uniform(0.02, 0.3))  # noqa: S311 - jitter
        else:
            return True
    return False
