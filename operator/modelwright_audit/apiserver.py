"""The API server, as far as an export needs it: lists of two kinds, and one ConfigMap that keeps the head.

The standard library's client: nothing else of a client library would be used.
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

Object = dict[str, Any]
ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_GROUP: Final = "/apis/modelwright.dev/v1alpha1"
_PAGE: Final = 200
_SECONDS: Final = 30.0
_MOST_BYTES: Final = 512 << 20  # a page of objects, each at etcd's limit
_MANAGER: Final = "modelwright-audit"


class ApiError(Exception):
    """The API server did not answer, or said no."""


class ApiServer:
    """The API server, as a pod reaches it."""

    def __init__(self, environment: Mapping[str, str], account: Path = ACCOUNT) -> None:
        """Prepare the client.

        Raises:
            ApiError: this is no pod.
        """
        try:
            host, port = environment["KUBERNETES_SERVICE_HOST"], int(environment["KUBERNETES_SERVICE_PORT"])
            self._context = ssl.create_default_context(cafile=account / "ca.crt")
        except (KeyError, ValueError, OSError) as error:
            message = f"this is no pod with a token: {error!r}"
            raise ApiError(message) from None
        self._base = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._token = account / "token"

    def list(self, plural: str, kind: str, namespace: str) -> list[Object]:
        """Return all objects of a kind in a namespace, or in all.

        Raises:
            ApiError: they cannot be had.
        """
        where = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        query = {"limit": str(_PAGE)}
        found: list[Object] = []
        while True:
            page = self._ask("GET", f"{_GROUP}{where}/{plural}?{urlencode(query)}")
            items: list[Object] = page["items"]
            metadata: Object = page["metadata"]
            found += [{**item, "kind": kind} for item in items]
            if not metadata.get("continue"):
                return found
            query["continue"] = str(metadata["continue"])

    def remembered(self, namespace: str, name: str) -> dict[str, str]:
        """Return what a ConfigMap keeps.

        Raises:
            ApiError: it cannot be had.
        """
        return self._ask("GET", _config_map(namespace, name)).get("data") or {}

    def remember(self, namespace: str, name: str, data: Mapping[str, str]) -> None:
        """Have the ConfigMap keep something.

        Raises:
            ApiError: it is not taken.
        """
        self._ask("PATCH", f"{_config_map(namespace, name)}?fieldManager={_MANAGER}", {"data": data})

    def _ask(self, method: str, path: str, body: Object | None = None) -> Object:
        headers = {
            "Authorization": f"Bearer {self._token.read_text(encoding='ascii').strip()}",
            "Accept": "application/json",
            "Content-Type": "application/merge-patch+json",
        }
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._base + path, data, headers, method=method)  # noqa: S310  # https
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS, context=self._context) as answer:  # noqa: S310
                found: object = json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            message = f"the API server said {error.code} {HTTPStatus(error.code).phrase} to {method} {path}"
            raise ApiError(message) from None
        except (OSError, ValueError) as error:
            message = f"the API server cannot be reached: {error}"
            raise ApiError(message) from None
        return cast("Object", found)


def _config_map(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/configmaps/{quote(name, safe='')}"
