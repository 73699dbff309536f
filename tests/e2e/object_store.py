"""A real S3 server in a pod, and before it a proxy that fails by rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

from tests.cluster import load as load_image
from tests.cluster.binaries import STORE, ensure_binaries
from tests.cluster.images import write_program_archive
from tests.e2e.fixtures import Object, Team, is_true
from tests.support import failing_proxy
from tests.support.pods import restricted_pod, service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

IMAGE = "localhost/versitygw:test"
PORT = 7070
REGION = "eu-test-1"
BUCKET = "lake"
SECRET = {"AWS_ACCESS_KEY_ID": "lake-reader", "AWS_SECRET_ACCESS_KEY": "not-a-real-secret"}


def access(host: str = "store") -> dict[str, str]:
    """Return how the store is reached through a Service."""
    return {"endpoint": f"http://{host}:{PORT}", "region": REGION, "secretName": "lake"}


ACCESS = access()


def secret(name: str = "lake") -> Object:
    """Return the Secret with the server's credentials."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": SECRET}


def run_store(team: Team, folder: Path) -> S3Store:
    """Run the server in the team's namespace; return its bucket, as a client on this machine sees it."""
    archive = folder / "store.tar"
    write_program_archive(ensure_binaries((STORE,), print)[STORE], IMAGE, archive)
    load_image([str(archive)])
    environment = {"ROOT_ACCESS_KEY": "AWS_ACCESS_KEY_ID", "ROOT_SECRET_KEY": "AWS_SECRET_ACCESS_KEY"}
    container: Object = {
        "image": IMAGE,
        "args": ["--port", f":{PORT}", "--region", REGION, "--quiet", "posix", "--sidecar", "/meta", "/data"],
        "env": [{"name": name, "value": SECRET[key]} for name, key in environment.items()],
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "data", "mountPath": f"/data/{BUCKET}", "subPath": BUCKET},
            {"name": "meta", "mountPath": "/meta"},
        ],
    }
    volumes: list[Object] = [{"name": name, "emptyDir": {}} for name in ("data", "meta")]
    team.apply(restricted_pod("store", container, volumes=volumes), service("store", "store", PORT))
    team.wait("pods", "store", is_true("Ready"), deadline=60)
    address = team.get("services", "store")["spec"]["clusterIP"]
    config: Any = {name.lower(): value for name, value in SECRET.items()}
    config |= {"endpoint": f"http://{address}:{PORT}", "region": REGION}
    return S3Store(BUCKET, config=config, client_options={"allow_http": True})


def run_failing(team: Team, rules: Iterable[Mapping[str, Any]]) -> None:
    """Run the proxy before the server, with a Service for each host that a rule names."""
    told = [dict(rule) for rule in rules]
    container: Object = {
        "image": team.installation.images["training"],
        "command": ["python", "-u", "-c", Path(failing_proxy.__file__).read_text(encoding="utf-8")],
        "env": [
            {"name": "RULES", "value": json.dumps(told)},
            {"name": "TARGET", "value": f"store:{PORT}"},
            {"name": "PORT", "value": str(PORT)},
        ],
    }
    hosts = sorted({str(rule["host"]) for rule in told})
    team.apply(restricted_pod("proxy", container), *(service(host, "proxy", PORT) for host in hosts))
    team.wait("pods", "proxy", is_true("Ready"), deadline=60)


def failures(team: Team) -> list[str]:
    """Return the failures that the proxy made, a line each."""
    said = team.cluster.kubectl("logs", "proxy", "-n", team.namespace)
    return [line for line in str(said).splitlines() if line]
