"""`upload`: a file brought to a claim, by a pod that holds the claim open for so long."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
import time
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from modelwright_cli.access import Cluster, Refused, connect
from modelwright_cli.drafting import claim_of, model_name, stored_at
from modelwright_cli.errors import Fault
from modelwright_cli.objects import condition, parts, text

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_cli.objects import Json
    from modelwright_cli.options import Target

_FOLDER = "/data"
_USER = 65532  # the user of the stages that read it
_SECONDS = 300
_PAUSE_SECONDS = 0.5
_CHUNK = 1 << 20
# The file appears whole or not at all.
_TAKE = 'mkdir -p "$(dirname "$1")" && cat > "$1.part" && mv "$1.part" "$1" && sha256sum "$1"'


def upload(  # noqa: PLR0913 - an option is a parameter
    target: Target, file: Path, *, name: str, to: str, image: str, size: str
) -> None:
    """Bring a file to a claim, which is made if it is not there.

    Raises:
        Fault: it cannot be brought there.
    """
    uri = to or stored_at(name or model_name(file.stem), file.name)
    claim, path = place(uri)
    digest = _digest(file)
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        message = "kubectl is not in the path, which carries the file there: install it"
        raise Fault(message)
    cluster = connect(target)
    _claim(cluster, claim, size)
    pod = f"{claim[:40].rstrip('-')}-upload-{secrets.token_hex(4)}"
    cluster.create("Pod", pod_of(pod, claim, image))
    try:
        _ready(cluster, pod, image)
        _carry([kubectl, *_as(target), "exec", "-i", "-n", cluster.namespace, pod], f"{_FOLDER}/{path}", file, digest)
    finally:
        cluster.request("DELETE", cluster.path("Pod", pod))
    typer.echo(f"{uri}: {file.stat().st_size} bytes, sha256:{digest}")


def place(uri: str) -> tuple[str, str]:
    """Return claim and path of an address.

    >>> place("pvc://customers-data/2026/customers.csv")
    ('customers-data', '2026/customers.csv')

    Raises:
        Fault: it is none of a file in a claim.
    """
    parsed = urlsplit(uri)
    path = parsed.path.strip("/")
    if parsed.scheme != "pvc" or not parsed.netloc or not path or ".." in PurePosixPath(path).parts:
        message = (
            f"{uri} is no file in a claim: write pvc://CLAIM/FILE, or bring it to a bucket by the bucket's own tools"
        )
        raise Fault(message)
    return parsed.netloc, path


def pod_of(name: str, claim: str, image: str) -> dict[str, Any]:
    """Return a pod that waits with a claim, without any right."""
    shell: dict[str, Any] = {
        "name": "shell",
        "image": image,
        "command": ["sleep", f"{_SECONDS * 12}"],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": _FOLDER}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "activeDeadlineSeconds": _SECONDS * 12,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [shell],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def _digest(file: Path) -> str:
    found = hashlib.sha256()
    try:
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                found.update(chunk)
    except OSError as error:
        message = f"{file} cannot be read ({error.strerror})"
        raise Fault(message) from None
    return found.hexdigest()


def _claim(cluster: Cluster, name: str, size: str) -> None:
    try:
        cluster.get("PersistentVolumeClaim", name)
    except Refused as refused:
        if refused.status != HTTPStatus.NOT_FOUND:
            raise
        cluster.create("PersistentVolumeClaim", _as_applied(claim_of(name, size)))
        typer.echo(f"PersistentVolumeClaim {name} was made ({size})", err=True)


def _as_applied(manifest: Json) -> Json:
    """Return it as `kubectl apply` makes it, so that applying the draft that has it, too, goes without a warning."""
    last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(manifest)}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": last}}


def _ready(cluster: Cluster, name: str, image: str) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        seen = cluster.get("Pod", name)
        if text(condition(seen, "Ready"), "status") == "True":
            return
        waits = _waits(seen)
        failed = text(seen, "status", "phase") in {"Failed", "Succeeded"}
        if failed or "ImagePull" in waits or "InvalidImage" in waits or time.monotonic() >= end:
            message = f"the pod that would take the file does not run ({waits}): see its image, {image} (--image)"
            raise Fault(message)
        time.sleep(_PAUSE_SECONDS)


def _waits(pod: Json) -> str:
    """Return what a pod waits for."""
    told = [text(item, "state", "waiting", "reason") for item in parts(pod, "status", "containerStatuses")]
    scheduled = text(condition(pod, "PodScheduled"), "message")
    return next((word for word in (*told, scheduled, text(pod, "status", "phase")) if word), "unknown")


def _as(target: Target) -> list[str]:
    options = (("--context", target.context), ("--kubeconfig", target.kubeconfig))
    return [f"{option}={value}" for option, value in options if value]


def _carry(command: list[str], path: str, file: Path, digest: str) -> None:
    with file.open("rb") as opened:
        done = subprocess.run(  # noqa: S603 - kubectl, with a path that is an argument of the script
            [*command, "--", "sh", "-c", _TAKE, "sh", path], stdin=opened, capture_output=True, check=False
        )
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        message = f"the file did not arrive ({said}): the right needed is create on pods/exec"
        raise Fault(message)
    if done.stdout.decode(errors="replace").split()[:1] != [digest]:
        message = f"what arrived is not {file}: did it change meanwhile? Try again"
        raise Fault(message)
