"""What a test does with a cluster: apply, look, wait, send requests."""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.cluster.api import Api, ApiError, Json
from tests.cluster.settings import ClusterError, Settings

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Response:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """Return the body's JSON object."""
        value: Json = json.loads(self.body)
        return value


class Cluster:
    """One running cluster.

    Resources are named as kubectl names them in full: `pods`, `jobs.batch`, `trainingjobs.modelwright.dev`.
    """

    def __init__(self, settings: Settings) -> None:
        self.kubeconfig = settings.kubeconfig
        self.api = Api(settings.kubeconfig)
        self._path = f"{settings.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self._versions: dict[str, str] = {"": "/api/v1"}

    @property
    def environment(self) -> dict[str, str]:
        """Environment for programs that use the cluster, kubectl and helm first in the path."""
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": self._path}

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
        """Run kubectl and return what it printed (standard output alone if it succeeded, else both).

        Raises:
            ClusterError: it failed, and `check` is set.
        """
        return self._run(["kubectl", *arguments], stdin=stdin, check=check, timeout=timeout)

    def helm(self, *arguments: str, check: bool = True, timeout: float = 300) -> str:
        """Run helm and return what it printed, as `kubectl` does."""
        return self._run(["helm", *arguments], stdin=None, check=check, timeout=timeout)

    def _run(self, command: list[str], *, stdin: str | None, check: bool, timeout: float) -> str:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=self.environment,
        )
        if not done.returncode:
            return done.stdout
        if check:
            message = f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()}"
            raise ClusterError(message)
        return done.stdout + done.stderr

    def apply(self, objects: str | Json | list[Json], namespace: str | None = None) -> None:
        """Apply YAML text, one object or several, as `kubectl apply -f` does."""
        if isinstance(objects, list):
            objects = {"apiVersion": "v1", "kind": "List", "items": objects}
        text = objects if isinstance(objects, str) else json.dumps(objects)
        self.kubectl("apply", "-f", "-", *(["-n", namespace] if namespace else []), stdin=text)

    def get(self, resource: str, name: str, namespace: str | None = None) -> Json | None:
        """Return one object, None where it does not exist."""
        return self.api.get(f"{self._collection(resource, namespace)}/{name}")

    def find(self, resource: str, namespace: str | None = None, selector: str = "") -> list[Json]:
        """Return the objects of a namespace (of all of them if none is given) that carry the selector's labels."""
        query = f"?labelSelector={selector.replace(',', '%2C').replace('=', '%3D')}" if selector else ""
        items: list[Json] = self.api.request("GET", self._collection(resource, namespace) + query)["items"]
        return items

    def delete(self, resource: str, name: str, namespace: str | None = None) -> None:
        """Delete one object, if it is there; what it owns goes in the background."""
        try:
            body = {"propagationPolicy": "Background"}
            self.api.request("DELETE", f"{self._collection(resource, namespace)}/{name}", body)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def wait(
        self,
        resource: str,
        name: str,
        namespace: str | None,
        predicate: Callable[[Json | None], object],
        *,
        deadline: float = 60,
    ) -> Json:
        """Wait until the predicate holds for an object (None where it does not exist) and return that object.

        Raises:
            AssertionError: it does not hold at the deadline; the message carries the object's last state.
        """
        end = time.monotonic() + deadline
        while True:
            seen = self.get(resource, name, namespace)
            if predicate(seen):
                return seen or {}
            if time.monotonic() > end:
                state = json.dumps(seen, indent=1) if seen else "it does not exist"
                message = f"{resource} {namespace or ''}/{name} after {deadline} s:\n{state}"
                raise AssertionError(message)
            time.sleep(_POLL_SECONDS)

    def http(
        self,
        service: str,
        namespace: str,
        path: str = "/",
        *,
        port: int = 80,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,
    ) -> Response:
        """Send one request to a Service's cluster address, over a connection of its own.

        Raises:
            OSError: nothing answers there.
            ClusterError: there is no such Service.
        """
        found = self.get("services", service, namespace)
        if found is None:
            message = f"there is no Service {namespace}/{service}"
            raise ClusterError(message)
        connection = http.client.HTTPConnection(found["spec"]["clusterIP"], port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Response(answer.status, dict(answer.getheaders()), answer.read())
        except http.client.HTTPException as error:
            message = f"{method} http://{service}.{namespace}:{port}{path}: {error!r}"
            raise OSError(message) from error
        finally:
            connection.close()

    def _collection(self, resource: str, namespace: str | None) -> str:
        plural, _, group = resource.partition(".")
        if group not in self._versions:
            version = self.api.request("GET", f"/apis/{group}")["preferredVersion"]["groupVersion"]
            self._versions[group] = f"/apis/{version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{self._versions[group]}{scope}/{plural}"
