"""Flux's kustomize-controller as a process of this machine: it brings what a folder holds, as it would from git.

Its source is a GitRepository whose status names an artifact on a web server of the test's, so that no source-controller
is needed.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import subprocess
import sys
import tarfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.binaries import FLUX, GITOPS, ensure_binaries, module_folder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.cluster.client import Cluster

Raw = dict[str, Any]

KUSTOMIZATIONS = "kustomizations.kustomize.toolkit.fluxcd.io"
REPOSITORIES = "gitrepositories.source.toolkit.fluxcd.io"
_SOURCES = "source.toolkit.fluxcd.io"
_KINDS = {"GitRepository": "gitrepositories", "OCIRepository": "ocirepositories", "Bucket": "buckets"}
_MODULE = "github.com/fluxcd/kustomize-controller"
_NAME = "team"


@dataclass(frozen=True)
class Flux:
    """What is at work for a namespace.

    Attributes:
        cluster: where.
        namespace: that it brings objects to.
        folder: that the web server serves.
        url: of that server.
    """

    cluster: Cluster
    namespace: str
    folder: Path
    url: str

    def commit(self, objects: list[Raw]) -> str:
        """Publish a folder with these objects as the source's next revision; return it."""
        text = yaml.safe_dump_all(objects).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            entry = tarfile.TarInfo("objects.yaml")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
        digest = hashlib.sha256(packed.getvalue()).hexdigest()
        revision = f"main@sha1:{digest[:40]}"
        (self.folder / f"{digest}.tar.gz").write_bytes(packed.getvalue())
        artifact = {
            "digest": f"sha256:{digest}",
            "lastUpdateTime": "2026-01-01T00:00:00Z",
            "path": f"{digest}.tar.gz",
            "revision": revision,
            "url": f"{self.url}/{digest}.tar.gz",
        }
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": "stored artifact",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status = yaml.safe_dump({"status": {"artifact": artifact, "observedGeneration": 1, "conditions": [ready]}})
        self.cluster.kubectl(
            *("patch", REPOSITORIES, _NAME, "-n", self.namespace, "--subresource=status", "--type=merge", "-p", status)
        )
        return revision

    def wait(self, revision: str, *, ready: str = "True", deadline: float = 180) -> Raw:
        """Wait for a revision to have been applied and found healthy, or not; return the Kustomization."""

        def holds(seen: Raw | None) -> bool:
            status = (seen or {}).get("status") or {}
            conditions: list[Raw] = status.get("conditions") or []
            found: Raw = next((item for item in conditions if item["type"] == "Ready"), {})
            return status.get("lastAttemptedRevision") == revision and found.get("status") == ready

        return self.cluster.wait(KUSTOMIZATIONS, _NAME, self.namespace, holds, deadline=deadline)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # named so in the base class
        """Say nothing."""


@contextmanager
def flux(cluster: Cluster, namespace: str, folder: Path) -> Generator[Flux]:
    """Have Flux bring what `commit` is given to a namespace; heal every two seconds, prune, and wait for health."""
    program = ensure_binaries((FLUX,), print)[FLUX]
    served = folder / "artifacts"
    served.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    definitions = [_lax(kind, plural) for kind, plural in _KINDS.items()]
    crd = module_folder(FLUX, _MODULE) / "config/crd/bases" / "kustomize.toolkit.fluxcd.io_kustomizations.yaml"
    names = [KUSTOMIZATIONS, *(item["metadata"]["name"] for item in definitions)]
    log = (folder / "flux.log").open("w")
    process: subprocess.Popen[bytes] | None = None
    try:
        cluster.apply(definitions)
        cluster.kubectl("apply", "--server-side", "-f", str(crd))
        for name in names:
            cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
        process = subprocess.Popen(
            [
                program,
                "--metrics-addr=0",
                "--health-addr=127.0.0.1:0",
                "--concurrent=2",
                "--interval-jitter-percentage=0",
            ],
            env=cluster.environment | {"RUNTIME_NAMESPACE": namespace, "TMPDIR": str(folder)},
            stdout=log,
            stderr=log,
        )
        host, port = server.server_address[:2]
        cluster.apply(_wanted(), namespace)
        yield Flux(cluster, namespace, served, f"http://{host!s}:{port}")
    finally:
        if process is not None:
            cluster.delete(KUSTOMIZATIONS, _NAME, namespace)
            cluster.wait(
                KUSTOMIZATIONS, _NAME, namespace, lambda seen: seen is None, deadline=60
            )  # its finalizer prunes
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
        log.close()
        server.shutdown()
        server.server_close()
        print((folder / "flux.log").read_text(encoding="utf-8")[-3000:])
        gone = [f"crd/{name}" for name in names]
        cluster.kubectl("delete", *gone, "--ignore-not-found", "--wait=false", check=False)
        cluster.kubectl("wait", "--for=delete", *gone, "--timeout=90s", check=False)


def _wanted() -> list[Raw]:
    return [
        {
            "apiVersion": f"{_SOURCES}/v1",
            "kind": "GitRepository",
            "metadata": {"name": _NAME},
            "spec": {"url": "https://git.example.org/team.git", "interval": "1h"},
        },
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": _NAME},
            "spec": {
                "interval": "2s",
                "retryInterval": "2s",
                "timeout": "2m",
                "path": "./",
                "prune": True,
                "wait": True,
                "sourceRef": {"kind": "GitRepository", "name": _NAME},
            },
        },
    ]


def _lax(kind: str, plural: str) -> Raw:
    """Return a definition of a source that takes everything: the controller of sources brings the real one."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{_SOURCES}"},
        "spec": {
            "group": _SOURCES,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


if __name__ == "__main__":  # some minutes the first time
    ensure_binaries(tuple(sys.argv[1:]) or (FLUX, GITOPS), print)
