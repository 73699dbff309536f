"""A single-node Kubernetes by kind, where a Docker or Podman engine answers."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.cluster.api import Api, ApiError, Json
from tests.cluster.binaries import CLIENTS, ensure_binaries
from tests.cluster.commands import run, succeeds
from tests.cluster.images import archive_of, find_images
from tests.cluster.settings import REPOSITORY, ClusterError, Settings
from tests.cluster.states import State

_ENGINES = ("docker", "podman")


def find_engine() -> str | None:
    """Return the container engine that answers. A client alone, without its engine, does not count."""
    return next((name for name in _ENGINES if shutil.which(name) and succeeds([name, "info"], timeout=10)), None)


class Kind:
    """The cluster in a container of its own."""

    def __init__(self, settings: Settings, engine: str, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._engine = engine
        self._report = report
        self._kind = ["env", f"KIND_EXPERIMENTAL_PROVIDER={engine}", "kind"]

    def up(self) -> None:
        """Create the cluster, or start its container again, and write the kubeconfig."""
        settings = self._settings
        if shutil.which("kind") is None:
            message = (
                f"{self._engine} answers but kind is not installed: see https://kind.sigs.k8s.io, "
                "or set MODELWRIGHT_CLUSTER_ENGINE=node to use a node of real programs instead"
            )
            raise ClusterError(message)
        for folder in (settings.bin, settings.logs):
            folder.mkdir(parents=True, exist_ok=True)
        wanted = tuple(name for name in CLIENTS if shutil.which(name) is None)
        for name, path in ensure_binaries(wanted, self._report).items():
            link = settings.bin / name
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        if settings.name in run([*self._kind, "get", "clusters"]).split():
            run([self._engine, "start", self._node])
        else:
            self._report("creating the cluster with kind")
            config: list[str | Path] = ["--config", REPOSITORY / "kind-config.yaml", "--wait", "180s"]
            run([*self._kind, "create", "cluster", "--name", settings.name, *config, "--kubeconfig", self._yaml])
        # The other parts read JSON, for which the standard library suffices.
        view: list[str | Path] = ["--kubeconfig", self._yaml, "config", "view", "--raw", "-o", "json"]
        text = run([self._program("kubectl"), *view])
        settings.kubeconfig.touch(mode=0o600)
        settings.kubeconfig.write_text(text, encoding="utf-8")
        run([self._program("kubectl"), "--kubeconfig", self._yaml, "wait", "--for=condition=Ready", "node", "--all"])
        self._route_services()

    def _route_services(self) -> None:
        """Send Service addresses to the node, where that is allowed."""
        nodes: list[Json] = json.loads(run([self._engine, "inspect", self._node]))
        networks: dict[str, Json] = nodes[0]["NetworkSettings"]["Networks"]
        address = next((str(network["IPAddress"]) for network in networks.values() if network.get("IPAddress")), None)
        if address is None:
            message = f"kind's node has no address: see `{self._engine} inspect {self._node}`, then say `down` and `up`"
            raise ClusterError(message)
        service_network = "10.96.0.0/16"  # as in kind-config.yaml
        route = ["ip", "route", "replace", service_network, "via", address]
        if os.geteuid() or not succeeds(route):
            self._report(f"Service addresses are not reachable from here; as root say: {' '.join(route)}")

    def down(self) -> None:
        """Delete the cluster and its state."""
        succeeds([*self._kind, "delete", "cluster", "--name", self._settings.name])
        shutil.rmtree(self._settings.state, ignore_errors=True)

    def status(self) -> list[State]:
        """Return the state of the node's container and of the API server."""
        running = succeeds([self._engine, "inspect", self._node])
        states = [State(self._node, None, "" if running else "does not exist")]
        if self._settings.kubeconfig.exists():
            problem = ""
            try:
                Api(self._settings.kubeconfig).request("GET", "/version")
            except (OSError, ApiError) as error:
                problem = str(error)
            states.append(State("kube-apiserver", None, problem))
        return states

    def load(self, sources: list[str]) -> None:
        """Bring images into the node."""
        for source in sources:
            tool, _ = find_images(source)
            with archive_of(tool, source) as path:
                run([*self._kind, "load", "image-archive", path, "--name", self._settings.name])
            self._report(f"loaded {source}")

    @property
    def _node(self) -> str:
        return f"{self._settings.name}-control-plane"

    @property
    def _yaml(self) -> Path:
        return self._settings.state / "kubeconfig.yaml"

    def _program(self, name: str) -> str:
        link = self._settings.bin / name
        return str(link) if link.exists() else name
