"""A small client of the Kubernetes API: HTTPS with the kubeconfig's certificate, no dependency, no subprocess."""

import base64
import http.client
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        try:
            answer: Json = json.loads(body)
        except ValueError:
            answer = {}
        self.reason = str(answer.get("reason", ""))
        super().__init__(f"{status} {self.reason}: {answer.get('message') or body[:500].decode(errors='replace')}")


class Api:
    """Requests to one API server. Each thread keeps a connection of its own."""

    def __init__(self, kubeconfig: Path) -> None:
        config: Json = json.loads(kubeconfig.read_text(encoding="utf-8"))
        cluster: Json = config["clusters"][0]["cluster"]
        user: Json = config["users"][0]["user"]
        self.server = str(cluster["server"])
        self._host = urlsplit(self.server).netloc
        self._tls = _tls_context(cluster, user)
        self._local = threading.local()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        *,
        timeout: float = 30,
    ) -> Json:
        """Send one request and return the answer's object.

        Raises:
            ApiError: the server answered with an error.
            OSError: the server is not to be reached.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": content_type}
        # The server may have closed a kept connection meanwhile. A read is then repeated; a write, which must not
        # be sent twice, gets a new one.
        attempts = 2 if method == "GET" and self._local.__dict__.get("connection") else 1
        if method != "GET":
            self.close()
        while True:
            attempts -= 1
            connection = self._connection(timeout)
            try:
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                answer = response.read()
            except (http.client.HTTPException, OSError) as error:
                self.close()
                if not attempts:
                    message = f"{method} {self.server}{path}: {error}"
                    raise OSError(message) from error
                continue
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise ApiError(response.status, answer)
            result: Json = json.loads(answer)
            return result

    def get(self, path: str) -> Json | None:
        """Return an object, None where it does not exist."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def watch(self, path: str, *, timeout: float = 300) -> Iterator[Json]:
        """Yield a watch's events until the server ends it."""
        connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise ApiError(response.status, response.read())
            for line in response:
                event: Json = json.loads(line)
                yield event
        except http.client.HTTPException as error:
            message = f"GET {self.server}{path}: {error}"
            raise OSError(message) from error
        finally:
            connection.close()

    def close(self) -> None:
        """Close this thread's connection."""
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _connection(self, timeout: float) -> http.client.HTTPSConnection:
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=timeout)
            self._local.connection = connection
        return connection


def _tls_context(cluster: Json, user: Json) -> ssl.SSLContext:
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as file:  # OpenSSL reads a client's certificate only from a file
        for name in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[name]))
        file.flush()
        context.load_cert_chain(file.name)
    return context
