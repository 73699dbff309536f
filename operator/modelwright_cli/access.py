"""The API server, as the user's own kubeconfig reaches it: JSON in, JSON out, and every failure in one line.

The client's library takes half a second to be imported, so only what talks to a cluster imports this module.
"""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

import kubernetes
import urllib3
import yaml

from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, parts, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_cli.options import Target

GROUP = "/apis/modelwright.dev/v1alpha1"
PATHS = {
    "TrainingJob": (GROUP, "trainingjobs"),
    "ModelVersion": (GROUP, "modelversions"),
    "Deployment": (GROUP, "modeldeployments"),
    "Pod": ("/api/v1", "pods"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Event": ("/api/v1", "events"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Workload": ("/apis/apps/v1", "deployments"),
}
SHORT = {"TrainingJob": "tj", "ModelVersion": "mv", "Deployment": "mdep", "Pod": "pods"}
MERGE = "application/merge-patch+json"
_SECONDS = 15.0
_PAGE = 500
_MOST_BYTES = 64 << 20


class Refused(Fault):
    """The API server said no.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, api: Any, namespace: str) -> None:  # noqa: ANN401 - the client types its models only
        self.api = api
        self.namespace = namespace

    def get(self, kind: str, name: str) -> Json:
        """Return an object.

        Raises:
            Fault: it is not there, or cannot be had.
        """
        try:
            return self.request("GET", self.path(kind, name))
        except Refused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
            see = f"`kubectl get {SHORT.get(kind, kind)} -n {self.namespace}` lists those that are"
            message = f"{kind} {name} is not in namespace {self.namespace}: {see}"
            raise Refused(refused.status, message) from None

    def list(self, kind: str, *, labels: str = "", fields: str = "") -> list[Json]:
        """Return all objects of a kind.

        Raises:
            Fault: they cannot be had.
        """
        query = {"limit": str(_PAGE)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        found: list[Json] = []
        while True:
            page = self.request("GET", self.path(kind), query=query)
            found += parts(page, "items")
            token = text(page, "metadata", "continue")
            if not token:
                return found
            query["continue"] = token

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> Json:
        """Merge a change into an object.

        Raises:
            Fault: it is not taken.
        """
        return self.request("PATCH", self.path(kind, name), body=change, content_type=MERGE)

    def create(self, kind: str, manifest: Mapping[str, Any]) -> Json:
        """Create an object.

        Raises:
            Fault: it is not taken.
        """
        return self.request("POST", self.path(kind), body=manifest)

    def whoami(self) -> str:
        """Return the user name that the API server knows the user by.

        Raises:
            Fault: it does not say.
        """
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        said = self.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
        return text(said, "status", "userInfo", "username")

    def of_pod(self, pod: str, port: int, path: str, *, most_bytes: int, seconds: float) -> Json:
        """Return what a pod's own page says, through the API server's proxy.

        Raises:
            Fault: it cannot be reached.
        """
        url = f"{self.path('Pod', f'{pod}:{port}')}/proxy{path}"
        return self.request("GET", url, most_bytes=most_bytes, seconds=seconds)

    def path(self, kind: str, name: str = "") -> str:
        """Return the path of an object, or of all of its kind."""
        group, plural = PATHS[kind]
        tail = f"/{quote(name, safe=':')}" if name else ""
        return f"{group}/namespaces/{quote(self.namespace)}/{plural}{tail}"

    def request(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        most_bytes: int = _MOST_BYTES,
        seconds: float = _SECONDS,
    ) -> Json:
        """Ask the API server.

        Raises:
            Fault: it cannot be reached, or says no.
        """
        url = f"{path}?{urlencode(query)}" if query else path
        headers = {"Accept": "application/json", "Content-Type": content_type}
        asked = self.api.param_serialize(method, url, header_params=headers, body=body, auth_settings=["BearerToken"])
        try:
            answer = self.api.call_api(*asked, _request_timeout=seconds).response
            data: bytes = answer.read(most_bytes + 1)
            answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            host = self.api.configuration.host
            message = f"the API server {host} cannot be reached ({_innermost(error)}): does `kubectl version` reach it?"
            raise Fault(message) from None
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refused(answer.status, data)
        return _parsed(data, most_bytes)


def connect(target: Target) -> Cluster:
    """Return the namespace that is meant.

    Raises:
        Fault: the kubeconfig is none, or lacks the context.
    """
    file = target.kubeconfig or os.environ.get("KUBECONFIG") or None
    config: Any = kubernetes.config  # the client types its models only
    try:
        contexts, active = cast("tuple[list[Json], Json]", config.list_kube_config_contexts(config_file=file))
        chosen = next((item for item in contexts if item["name"] == target.context), None) if target.context else active
        if chosen is None:
            message = f"the kubeconfig has no context {target.context}: `kubectl config get-contexts` lists them"
            raise Fault(message)
        api: Any = config.new_client_from_config(config_file=file, context=target.context or None)
    except (kubernetes.config.ConfigException, OSError, yaml.YAMLError, KeyError, TypeError) as error:
        message = f"no cluster is configured ({_line(error)}): set KUBECONFIG or --kubeconfig, as for kubectl"
        raise Fault(message) from None
    namespace = target.namespace or text(chosen, "context", "namespace") or "default"
    return Cluster(api, namespace)


def _refused(status: int, data: bytes) -> Refused:
    try:
        answer: object = json.loads(data)
        said = text(answer, "message") or text(answer, "error")  # the latter of what answers behind the proxy
    except ValueError:
        said = ""
    said = " ".join((said or data[:200].decode(errors="replace")).split()) or f"HTTP status {status}"
    if status == HTTPStatus.UNAUTHORIZED:
        said = "the API server does not know you: log in again, as for kubectl"
    elif status == HTTPStatus.FORBIDDEN:
        said = f"{said}: ask an administrator for that right"
    return Refused(status, said)


def _parsed(data: bytes, most_bytes: int) -> Json:
    if len(data) > most_bytes:
        message = f"an answer has more than {most_bytes} bytes: is something between here and the API server?"
        raise Fault(message)
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        message = "an answer is no JSON object: is something between here and the API server?"
        raise Fault(message)
    return cast("Json", found)


def _innermost(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _innermost(reason) if isinstance(reason, BaseException) else _line(error)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
