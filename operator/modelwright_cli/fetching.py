"""A version's ONNX file: from a copy of its artifact, or out of a pod that serves it; held to the version's digest."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import kubernetes.client as k8s
import kubernetes.stream

from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, name_of, parts, text, whole
from modelwright_server.contract import DEFAULT_MODEL_DIR

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_cli.access import Cluster
    from modelwright_cli.documents.holdings import Holdings

_MANIFEST: Final = "manifest.json"
_MODEL: Final = "model.onnx"
_MOST_MANIFEST_BYTES: Final = 64 << 10
_MOST_MODEL_BYTES: Final = 2 << 30
_SILENCE_SECONDS: Final = 60.0


class Source(Protocol):
    """Where an artifact's files are."""

    def read(self, name: str, limit: int) -> bytes:
        """Return a file, or as much of it as is more than the limit."""
        ...


def model(source: Source, held: Holdings) -> bytes:
    """Return a version's ONNX file.

    Raises:
        Fault: it is not what the version's digest says.
    """
    manifest = source.read(_MANIFEST, _MOST_MANIFEST_BYTES)
    digest = text(held.version, "spec", "artifact", "digest")
    found = "sha256:" + hashlib.sha256(manifest).hexdigest()
    if found != digest:
        message = f"{_MANIFEST} has the digest {found}, and {held.name} has {digest}: it is another version's"
        raise Fault(message)
    listed = [item for item in parts(json.loads(manifest), "files") if item.get("path") == _MODEL]
    size = whole(listed[0], "size") if listed else 0
    if not 0 < size <= _MOST_MODEL_BYTES:
        message = f"the artifact of {held.name} has no {_MODEL} of a size that can be copied"
        raise Fault(message)
    data = source.read(_MODEL, size)
    if len(data) != size or hashlib.sha256(data).hexdigest() != text(listed[0], "sha256"):
        message = f"{_MODEL} is not what the digest of {held.name} says: it was changed or cut off"
        raise Fault(message)
    return data


class Copy:
    """A folder with an artifact's files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str, limit: int) -> bytes:
        """Return a file.

        Raises:
            Fault: it cannot be read.
        """
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(limit + 1)
        except OSError as error:
            message = f"{self._folder / name} cannot be read ({error.strerror}): name a copy of the artifact's folder"
            raise Fault(message) from None


class Pod:
    """A pod that serves the version and so has its files."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self._name = cluster, name

    def read(self, name: str, limit: int) -> bytes:
        """Return a file, by `cat` in the server's container.

        Raises:
            Fault: the pod cannot be reached, or the file not be read.
        """
        stream: Any = kubernetes.stream  # the client types its models only
        command = ["cat", f"{DEFAULT_MODEL_DIR}/{name}"]
        run = k8s.CoreV1Api(self._cluster.api).connect_get_namespaced_pod_exec
        try:
            channel = stream.stream(
                run,
                self._name,
                self._cluster.namespace,
                container="server",
                command=command,
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
                binary=True,
                _preload_content=False,
            )
        except (k8s.ApiException, OSError) as error:
            said = " ".join(str(error).split())[:300]
            message = f"pod {self._name} cannot be reached ({said}): may you create pods/exec? Or give --artifact"
            raise Fault(message) from None
        try:
            return self._received(channel, name, limit)
        finally:
            channel.close()

    def _received(self, channel: Any, name: str, limit: int) -> bytes:  # noqa: ANN401 - the client's
        data, problem, heard = bytearray(), bytearray(), time.monotonic()
        while channel.is_open() and len(data) <= limit:
            channel.update(timeout=1)
            some = cast("bytes", channel.read_stdout(timeout=0))
            problem += cast("bytes", channel.read_stderr(timeout=0))
            data += some
            heard = time.monotonic() if some else heard
            if time.monotonic() - heard > _SILENCE_SECONDS:
                break
        data += cast("bytes", channel.read_stdout(timeout=0))
        if problem or not data:
            said = problem.decode(errors="replace")[:300] or "it sent nothing"
            message = f"{name} cannot be read in pod {self._name}: {said}"
            raise Fault(message)
        return bytes(data)


def pod_of(cluster: Cluster, held: Holdings) -> str:
    """Return the name of a pod that serves the version.

    Raises:
        Fault: none does.
    """
    for deployment in held.deployments:
        for track in held.uses(deployment):
            revision = text(deployment, "status", track, "revision")
            labels = f"modelwright.dev/name={name_of(deployment)},modelwright.dev/revision={revision}"
            for pod in cluster.list("Pod", labels=f"modelwright.dev/kind=Deployment,{labels}"):
                if any(map(_runs_server, parts(pod, "status", "containerStatuses"))):
                    return name_of(pod)
    message = f"no pod serves {held.name}: copy its artifact from the store, and name the folder by --artifact"
    raise Fault(message)


def _runs_server(status: Json) -> bool:
    return status.get("name") == "server" and "running" in cast("Json", status.get("state") or {})
