"""A small client of the Kubernetes API: HTTPS with the kubeconfig's certificate, no dependency, no subprocess."""

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
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
    """Requests to one API server, each over a connection of its own: nothing to share among threads or to close."""

    def __init__(self, kubeconfig: Path) -> None:
        config: Json = json.loads(kubeconfig.read_text(encoding="utf-8"))
        cluster: Json = config["clusters"][0]["cluster"]
        user: Json = config["users"][0]["user"]
        self.server = str(cluster["server"])
        self._host = urlsplit(self.server).netloc
        self._tls = _tls_context(cluster, user)

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
        with self._open(method, path, data, content_type, timeout) as response:
            result: Json = json.loads(response.read())
            return result

    def read(self, path: str, *, timeout: float = 30) -> str:
        """Return the text at a path, such as what a pod behind the server's proxy answers.

        Raises:
            ApiError: the answer was an error.
            OSError: the server is not to be reached.
        """
        with self._open("GET", path, None, "application/json", timeout) as response:
            return response.read().decode()

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
        with self._open("GET", path, None, "application/json", timeout) as response:
            for line in response:
                event: Json = json.loads(line)
                yield event

    @contextmanager
    def _open(
        self, method: str, path: str, data: bytes | None, content_type: str, timeout: float
    ) -> Generator[http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=timeout)
        try:
            connection.request(method, path, data, {"Accept": "application/json, */*", "Content-Type": content_type})
            with connection.getresponse() as response:
                if response.status >= HTTPStatus.BAD_REQUEST:
                    raise ApiError(response.status, response.read())
                yield response
        except (http.client.HTTPException, OSError) as error:
            message = f"{method} {self.server}{path}: {error!r}"
            raise OSError(message) from error
        finally:
            connection.close()


def _tls_context(cluster: Json, user: Json) -> ssl.SSLContext:
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as file:  # OpenSSL reads a client's certificate only from a file
        for name in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[name]))
        file.flush()
        context.load_cert_chain(file.name)
    return context
