"""The images as the operator runs them: on a real node, restricted, with a root that nobody can write."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.cluster import lifecycle
from tests.cluster.client import Cluster
from tests.images.inputs import IMAGES, Image

pytestmark = pytest.mark.cluster

# What makes an image its own: a package of its extra, and one of another image's that must not be there.
CARRIES = {
    "operator": ("modelwright_operator", "kopf", "onnxruntime"),
    "serving": ("modelwright_server", "onnxruntime", "sklearn"),
    "training": ("modelwright_training", "lightgbm", "kopf"),
    "feast": ("modelwright_training", "dask", "sklearn"),  # Feast itself looks for a folder it can write to
}
LOOK = """
import importlib.metadata, importlib.util, json, os, pathlib, shutil, sys
own, needed, foreign = {names!r}
__import__(own), __import__(needed)
def writable(folder):
    try:
        (pathlib.Path(folder) / "probe").touch()
    except OSError:
        return False
    return True
print(json.dumps({{
    "user": [os.getuid(), os.getgid()],
    "version": importlib.metadata.version("modelwright"),
    "foreign": importlib.util.find_spec(foreign) is not None,
    "installers": [name for name in ("pip", "ensurepip", "uv") if importlib.util.find_spec(name) or shutil.which(name)],
    "telemetry": os.environ.get("ORT_DISABLE_TELEMETRY"),
    "writable": [name for name in ("/", "/tmp", "/opt/modelwright", "/etc") if writable(name)],
    "uncompiled": sorted(
        name for name, module in sys.modules.items()
        if (getattr(module, "__cached__", None) and not pathlib.Path(module.__cached__).exists())
    ),
    "configuration": [str(path) for path in map(pathlib.Path, ("/etc/pip.conf", "/etc/uv")) if path.exists()],
    "search": sys.path,
}}))
"""


def pod(image: Image, reference: str) -> dict[str, Any]:
    command = ["/opt/modelwright/bin/python", "-c", LOOK.format(names=CARRIES[image.name])]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": image.name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "look",
                    "image": reference,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def ended(seen: dict[str, Any] | None) -> bool:
    return seen is not None and seen["status"]["phase"] in {"Succeeded", "Failed"}


@pytest.mark.timeout(900)  # on its own, it may be what builds the images
def test_each_image_carries_its_own_and_nothing_more(cluster: Cluster, namespace: str) -> None:
    references = images.build()
    lifecycle.load(list(references.values()))
    cluster.apply([pod(image, references[image.name]) for image in IMAGES], namespace)
    for image in IMAGES:
        phase = cluster.wait("pods", image.name, namespace, ended)["status"]["phase"]
        output = cluster.kubectl("logs", image.name, "-n", namespace)
        assert phase == "Succeeded", output
        found = json.loads(output)
        assert found.pop("version")
        # `python -c` would put the working folder first, which PYTHONSAFEPATH keeps out.
        assert all(Path(entry).is_absolute() for entry in found.pop("search")), image.name
        assert found == {
            "user": [65532, 65532],
            "foreign": False,
            "installers": [],
            "telemetry": "1",
            "writable": [],
            "uncompiled": [],
            "configuration": [],
        }, image.name
