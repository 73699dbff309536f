"""Files in a claim, brought there by short pods as users would bring them."""

from __future__ import annotations

import base64
import io
import secrets
import tarfile
from typing import TYPE_CHECKING, Any

from tests.support.pods import restricted_pod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.fixtures import Team

_FOLDER = "/claim"
_UNPACK = "import tarfile; tarfile.open('/files/files.tar').extractall()"


def write_files(team: Team, claim: str, files: Mapping[str, bytes]) -> None:
    """Put files into a claim (1 MiB at most, all together); names are paths in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    name = f"files-{secrets.token_hex(4)}"
    team.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "binaryData": {"files.tar": base64.b64encode(packed.getvalue()).decode()},
        }
    )
    run_in_claim(team, claim, _UNPACK, files=name)


def run_in_claim(team: Team, claim: str, program: str, *, files: str | None = None) -> str:
    """Run a Python program in a claim's root folder; return what it printed. `files` is a ConfigMap, seen at /files."""
    name = f"claim-{secrets.token_hex(4)}"
    volumes: list[dict[str, Any]] = [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}]
    mounts = [{"name": "claim", "mountPath": _FOLDER}]
    if files:
        volumes.append({"name": "files", "configMap": {"name": files}})
        mounts.append({"name": "files", "mountPath": "/files"})
    container = {
        "image": team.installation.images["serving"],
        "command": ["python", "-c", program],
        "workingDir": _FOLDER,
        "volumeMounts": mounts,
    }
    team.apply(restricted_pod(name, container, restartPolicy="Never", volumes=volumes))
    ended = team.wait("pods", name, lambda pod: (pod or {}).get("status", {}).get("phase") in {"Succeeded", "Failed"})
    said = team.cluster.kubectl("logs", name, "-n", team.namespace)
    assert ended["status"]["phase"] == "Succeeded", said
    team.cluster.delete("pods", name, team.namespace)
    return said
