"""Where the cluster lives on this machine: folders, names and addresses."""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BINARIES = Path(__file__).resolve().parent / "binaries"


class ClusterError(Exception):
    """What went wrong, and what to do next."""


def cache_folder() -> Path:
    """Return the folder for built programs, shared by every clone of the repository on this machine."""
    default = Path.home() / ".cache" / "modelwright"
    return Path(os.environ.get("MODELWRIGHT_CACHE") or default).resolve()


@dataclass(frozen=True)
class Settings:
    """One cluster's names. Clusters of different `index` live side by side."""

    index: int
    state: Path
    cache: Path

    @property
    def name(self) -> str:
        """Name of the node, of its network link and of its cgroup."""
        return f"modelwright{self.index}"

    @property
    def logs(self) -> Path:
        """One log per component, and the pods' logs."""
        return self.state / "logs"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def config(self) -> Path:
        """Configuration files written for the components."""
        return self.state / "config"

    @property
    def bin(self) -> Path:
        """Links to every program of the cluster, kubectl and helm among them."""
        return self.state / "bin"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (JSON, which is YAML)."""
        return self.state / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        """Address of the cluster's own containerd."""
        return self.state / "run" / "containerd.sock"

    @property
    def volumes(self) -> Path:
        """Folders behind the PersistentVolumes."""
        return self.state / "volumes"

    @property
    def node_ip(self) -> str:
        """Address of the node, also the API server's and the DNS server's."""
        return f"10.89.{self.index}.1"

    @property
    def host_ip(self) -> str:
        """Address by which pods and node reach this machine."""
        return f"10.89.{self.index}.254"

    @property
    def node_network(self) -> str:
        """Network between the machine and the node."""
        return f"10.89.{self.index}.0/24"

    @property
    def pod_network(self) -> str:
        """Addresses of pods: 1022 of them."""
        return f"10.244.{4 * self.index}.0/22"

    @property
    def service_network(self) -> str:
        """Addresses of Services."""
        return f"10.{96 + self.index}.0.0/16"

    @property
    def api_service_ip(self) -> str:
        """Address of the Service `kubernetes`, always the network's first."""
        return f"10.{96 + self.index}.0.1"

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return f"https://{self.node_ip}:6443"


def load_settings() -> Settings:
    """Read the cluster's settings from the environment.

    `MODELWRIGHT_CLUSTER_INDEX` (0 to 15) picks one of several clusters, `MODELWRIGHT_CLUSTER_STATE` its folder.

    Raises:
        ClusterError: a setting does not parse.
    """
    text = os.environ.get("MODELWRIGHT_CLUSTER_INDEX") or "0"
    if not text.isdecimal() or not 0 <= int(text) <= 15:
        message = f"MODELWRIGHT_CLUSTER_INDEX is {text!r}: set a number from 0 to 15, or unset it"
        raise ClusterError(message)
    cache = cache_folder()
    state = Path(os.environ.get("MODELWRIGHT_CLUSTER_STATE") or cache / f"cluster{text}").resolve()
    if len(str(state)) > 70:
        message = f"the state folder {state} is too long for a Unix socket's path: set MODELWRIGHT_CLUSTER_STATE"
        raise ClusterError(message)
    return Settings(index=int(text), state=state, cache=cache)
