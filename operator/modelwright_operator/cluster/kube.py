"""The API server over the official client: raw objects in and out, our errors, a time limit on every request."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

from modelwright_operator import naming
from modelwright_operator.errors import (
    ClusterUnavailable,
    Conflict,
    NamespaceTerminating,
    NotFound,
    OperatorError,
    Refused,
)
from modelwright_operator.raw import is_map, part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from modelwright_operator.settings import Settings

Raw = dict[str, Any]

_APPLY: Final = "application/apply-patch+yaml"
_JSON_PATCH: Final = "application/json-patch+json"
_PAGE: Final = 500
_LOG_LINES: Final = "50"
_LOG_BYTES: Final = "32768"
_LOG_SECONDS: Final = 5.0  # a kubelet that hangs must not hold the others' progress up
_PERMANENT: Final = {400, 403, 405, 413, 415, 422}
_TERMINATING: Final = "because it is being terminated"
_TYPED_PATCH: Final = "failed to create typed patch object"


def path(resource: str, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
    """Return the URL path of a resource.

    >>> path("jobs", "team", "a", "status"), path("pods", None)
    ('/apis/batch/v1/namespaces/team/jobs/a/status', '/api/v1/pods')
    """
    api_version, _ = naming.KNOWN[resource]
    root = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
    plural = f"namespaces/{namespace}/{resource}" if namespace else resource
    return "/".join(part for part in (root, plural, name, subresource) if part)


def _message(body: bytes) -> str:
    """Return what the API server says in the Status object that is the body of an error."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    return str(said.get("message", "")) if is_map(said) else body[:500].decode(errors="replace")


def _error(status: int, message: str, retry_after: str, kind: str, name: str) -> OperatorError:
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(message)
    if status == HTTPStatus.CONFLICT or (
        status == HTTPStatus.UNPROCESSABLE_ENTITY and "uid" in message and "metadata.uid" in message
    ):
        return Conflict(message)
    if status == HTTPStatus.FORBIDDEN and message.endswith(_TERMINATING):
        return NamespaceTerminating(message)
    if status in _PERMANENT or (status == HTTPStatus.INTERNAL_SERVER_ERROR and _TYPED_PATCH in message):
        return Refused(kind, name, status, message)
    return ClusterUnavailable(f"{status}: {message}", retry_after=float(retry_after) if retry_after.isdigit() else None)


def _parsed(method: str, url: str, data: bytes) -> Raw:
    try:
        parsed: Raw = json.loads(data)
    except ValueError as error:
        message = f"{method} {url}: the answer is no JSON; is something between here and the API server?"
        raise ClusterUnavailable(message) from error
    return parsed


def _happened(event: Raw) -> str:
    """Return when an event happened last, as a text that sorts."""
    times = (part(event, "series").get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(time) for time in times if time), "")


class Kube:
    """The port to the API server.

    Every method raises ClusterUnavailable, Conflict, NamespaceTerminating, NotFound or Refused, and nothing else.
    """

    def __init__(self, api: client.ApiClient, timeout_seconds: float) -> None:
        self._api = api
        self._timeout = timeout_seconds
        self._may_write: Callable[[], bool] = lambda: True
        self.requests = 0

    def fence(self, may_write: Callable[[], bool]) -> None:
        """Send no write but those of the Lease while that says no; what is under way by then goes through."""
        self._may_write = may_write

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()  # type: ignore[no-untyped-call]  # the client types its models only

    async def _call(  # noqa: PLR0913  # the parts of a request
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,  # noqa: ANN401  # any JSON
        content_type: str = "application/json",
        subject: tuple[str, str] = ("", ""),
    ) -> Raw:
        if method != "GET" and not self._may_write():
            message = f"{method} {url}: not sent, as it cannot be proven any more that this process leads"
            raise ClusterUnavailable(message)
        headers = {"Accept": "application/json", "Content-Type": content_type}
        data = await self._answer(method, url, query=query, headers=headers, body=body, subject=subject)
        return _parsed(method, url, data)

    async def _answer(  # noqa: PLR0913  # the parts of a request
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        body: Any = None,  # noqa: ANN401  # any JSON
        subject: tuple[str, str] = ("", ""),
        seconds: float | None = None,
    ) -> bytes:
        target = f"{url}?{urlencode(query)}" if query else url
        self.requests += 1
        try:
            status, retry_after, data = await self._send(method, target, headers, body, seconds or self._timeout)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            message = f"{method} {url}: {type(error).__name__}: {error}"
            raise ClusterUnavailable(message) from error
        if status >= HTTPStatus.BAD_REQUEST:
            raise _error(status, _message(data), retry_after, *subject)
        return data

    async def _send(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: Any,  # noqa: ANN401  # any JSON
        seconds: float,
    ) -> tuple[int, str, bytes]:
        """Return status, Retry-After and body of an answer; the client types its models, not its transport."""
        api: Any = self._api
        request = await api.param_serialize(
            method, target, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        response: Any = await api.call_api(*request, _request_timeout=seconds)
        return int(response.status), str(response.headers.get("Retry-After", "")), await response.read()

    async def get(self, resource: str, namespace: str, name: str) -> Raw:
        """Return an object."""
        return await self._call("GET", path(resource, namespace, name))

    async def list(self, resource: str, namespace: str | None, selector: str | None = None) -> AsyncIterator[Raw]:
        """Yield all objects of a resource, page by page."""
        api_version, kind = naming.KNOWN[resource]
        query = {"limit": str(_PAGE)}
        if selector:
            query["labelSelector"] = selector
        while True:
            page = await self._call("GET", path(resource, namespace), query=query)
            for item in page["items"]:
                yield {**item, "apiVersion": api_version, "kind": kind}
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def apply(self, resource: str, manifest: Raw, *, force: bool) -> Raw:
        """Apply a child on the server's side; `metadata.uid` in it makes sure that it still is the one observed."""
        metadata = manifest["metadata"]
        query = {"fieldManager": naming.FIELD_MANAGER, "force": "true" if force else "false"}
        return await self._call(
            "PATCH",
            path(resource, metadata["namespace"], metadata["name"]),
            query=query,
            body=manifest,
            content_type=_APPLY,
            subject=(manifest["kind"], metadata["name"]),
        )

    async def replace(self, resource: str, manifest: Raw) -> Raw:
        """Put a child's spec, labels and annotations back whole, if it still has the manifest's resourceVersion."""
        metadata = manifest["metadata"]
        return await self._call(
            "PATCH",
            path(resource, metadata["namespace"], metadata["name"]),
            query={"fieldManager": naming.FIELD_MANAGER},
            body=[
                {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
                {"op": "add", "path": "/metadata/labels", "value": metadata["labels"]},
                {"op": "add", "path": "/metadata/annotations", "value": metadata["annotations"]},
                {"op": "replace", "path": "/spec", "value": manifest["spec"]},
            ],
            content_type=_JSON_PATCH,
            subject=(manifest["kind"], metadata["name"]),
        )

    async def apply_status(
        self, resource: str, metadata: Mapping[str, str], status: Mapping[str, Any], manager: str = naming.FIELD_MANAGER
    ) -> Raw:
        """Apply the whole of a manager's status, on the resourceVersion that the decision was made on."""
        api_version, kind = naming.KNOWN[resource]
        body = {"apiVersion": api_version, "kind": kind, "metadata": dict(metadata), "status": status}
        return await self._call(
            "PATCH",
            path(resource, metadata["namespace"], metadata["name"], "status"),
            query={"fieldManager": manager, "force": "true"},
            body=body,
            content_type=_APPLY,
            subject=(kind, metadata["name"]),
        )

    async def delete(self, resource: str, namespace: str, name: str, uid: str) -> None:
        """Delete an object if it still is the one with that uid; its own children go with it."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        await self._call(
            "DELETE", path(resource, namespace, name), body=body, subject=(naming.KNOWN[resource][1], name)
        )

    async def log_tail(self, namespace: str, pod: str, container: str) -> str:
        """Return the end of a container's log: at most 50 lines and 32 KiB, whatever the container wrote."""
        query = {"container": container, "tailLines": _LOG_LINES, "limitBytes": _LOG_BYTES}
        headers = {"Accept": "application/json, */*"}
        url = path(naming.PODS, namespace, pod, "log")
        data = await self._answer("GET", url, query=query, headers=headers, subject=("Pod", pod), seconds=_LOG_SECONDS)
        return data[: int(_LOG_BYTES)].decode(errors="replace")

    async def last_event(self, namespace: str, uid: str, reason: str) -> str | None:
        """Return what the last event of that reason says of an object; None: there is none."""
        query = {"fieldSelector": f"involvedObject.uid={uid},reason={reason}", "limit": str(_PAGE)}
        page = await self._call("GET", f"/api/v1/namespaces/{namespace}/events", query=query)
        return str(max(page["items"], key=_happened).get("message", "")) if page["items"] else None

    async def create_event(self, namespace: str, event: Raw) -> None:
        """Send an event for people."""
        await self._call("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", body=event)

    async def get_lease(self, namespace: str, name: str) -> Raw:
        """Return a Lease."""
        return await self._call("GET", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")

    async def put_lease(self, lease: Raw) -> Raw:
        """Replace a Lease, on the resourceVersion it carries."""
        metadata = lease["metadata"]
        url = f"/apis/coordination.k8s.io/v1/namespaces/{metadata['namespace']}/leases/{metadata['name']}"
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return _parsed("PUT", url, await self._answer("PUT", url, query=None, headers=headers, body=lease))


async def connect(settings: Settings) -> Kube:
    """Return the port to the API server of this pod, or outside a cluster of the kubeconfig's current context."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # likewise
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # likewise
    configuration.connection_pool_maxsize = settings.workers * 2 + 8
    return Kube(client.ApiClient(configuration), settings.request_timeout_seconds)
