"""What the built node needs from the machine: Linux, root, and a few of the distribution's packages."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.cluster.commands import SEARCH_PATH, run
from tests.cluster.settings import ClusterError, Settings

# Program and the Debian package that brings it.
_PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "conntrack": "conntrack",
    "iptables": "iptables",
    "nft": "nftables",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
}
_CNI_FOLDERS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))
# The node gets folders of its own in place of these; see `namespaces`.
HIDDEN = ("/run", "/var/lib", "/var/log")


def cni_folder() -> Path | None:
    """Return the folder of the CNI plugins, None where there is none."""
    return next((folder for folder in _CNI_FOLDERS if (folder / "ptp").exists()), None)


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are not here."""
    missing = {package for program, package in _PACKAGES.items() if shutil.which(program, path=SEARCH_PATH) is None}
    if cni_folder() is None:
        missing.add("containernetworking-plugins")
    return sorted(missing)


def ensure_prerequisites(settings: Settings, report: Callable[[str], None]) -> None:
    """Install what is missing where that is possible.

    Raises:
        ClusterError: this machine cannot carry the node; the message says what to do.
    """
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        message = (
            "a node of real programs needs Linux and root: run this as root, "
            "or start Docker or Podman and install kind, which is then used instead"
        )
        raise ClusterError(message)
    for folder in (settings.state, settings.cache):
        if any(folder.is_relative_to(hidden) for hidden in HIDDEN):
            message = (
                f"{folder} lies under one of {', '.join(HIDDEN)}, which the node replaces by its own: "
                "set MODELWRIGHT_CACHE and MODELWRIGHT_CLUSTER_STATE to other folders"
            )
            raise ClusterError(message)
    if missing := missing_packages():
        _install(missing, report)


def _install(packages: list[str], report: Callable[[str], None]) -> None:
    if shutil.which("apt-get") is None:
        message = f"install what Debian calls {' '.join(packages)} with your package manager, then try again"
        raise ClusterError(message)
    report(f"installing {' '.join(packages)}")
    run(["apt-get", "update", "-q"])
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run([*quiet, "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages])
    if missing := missing_packages():
        message = f"still missing after the installation: {' '.join(missing)}; install them by hand"
        raise ClusterError(message)
