"""The node's own namespaces: its processes, mounts and network live and die with its PID 1.

Killing PID 1 makes the kernel kill every process of the node, containers included; with the last of them go the
mounts, links, routes and nftables rules inside. Nothing of a dead node can linger, and the network inside has no
default route: whatever runs there reaches this machine and nothing beyond. Only the cgroups, one link with its
routes and a few kernel settings belong to the machine; `remove` takes them back.
"""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.commands import SEARCH_PATH, run, succeeds
from tests.cluster.prerequisites import HIDDEN
from tests.cluster.processes import Process, find_init, find_processes, kill_process, marks, wait_gone
from tests.cluster.settings import ClusterError, Settings

# The kubelet sets these for the whole machine.
_KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_CGROUPS = Path("/sys/fs/cgroup")
# Each process joins the node's cgroup itself, before it becomes the program.
_JOIN = 'for folder in $CGROUPS; do echo 0 >"$folder/cgroup.procs" || exit 1; done; unset CGROUPS; exec "$@"'


def ensure_namespaces(settings: Settings) -> Process:
    """Return the node's PID 1, starting it and wiring its network where it does not run."""
    init = find_init(find_processes(settings))
    if init is None:
        remove_leftovers(settings)
        _save_kernel_settings(settings)
        init = _start_init(settings)
    if not _is_wired(settings, init):
        _mount_folders(init)
        _wire_network(settings, init)
    return init


def enter(init: Process, command: Sequence[str | Path]) -> list[str]:
    """Return the command that runs another inside the node."""
    return ["nsenter", "-t", str(init.pid), "-m", "-n", "-p", "--", *map(str, command)]


def start_process(settings: Settings, component: str, command: Sequence[str | Path]) -> None:
    """Start a process of the cluster that outlives this one, in the node's cgroup, with a log of its own."""
    path = os.pathsep.join([str(settings.bin), SEARCH_PATH])
    environment = {"PATH": path, "HOME": str(settings.state), "CGROUPS": " ".join(_system_cgroups(settings))}
    with (settings.logs / f"{component}.log").open("ab") as log:
        done = subprocess.run(
            ["sh", "-c", _JOIN, "sh", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment | marks(settings, component),
            cwd="/",
            check=False,
        )
    if done.returncode:
        message = f"{component} does not start: see {settings.logs / f'{component}.log'}"
        raise ClusterError(message)


def _start_init(settings: Settings) -> Process:
    namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "slave"]
    start_process(settings, "node", ["setsid", "--fork", "unshare", *namespaces, settings.bin / "pause"])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if init := find_init(find_processes(settings)):
            return init
        time.sleep(0.01)
    message = f"the node's PID 1 does not start: see {settings.logs / 'node.log'}"
    raise ClusterError(message)


def _is_wired(settings: Settings, init: Process) -> bool:
    """Tell whether the last step of the wiring was done."""
    inside = run(enter(init, ["ip", "route", "show", "type", "unreachable"]))
    outside = run(["ip", "route", "show", "type", "unreachable"])
    return (
        succeeds(["ip", "link", "show", settings.name])
        and settings.pod_network in inside
        and settings.service_network in outside
    )


def _mount_folders(init: Process) -> None:
    """Share mounts among the node's processes, and hide the folders that its programs would write to."""
    mount = "grep -q '^node {0} ' /proc/mounts || mount -t tmpfs -o mode=755 node {0}"
    script = ["mount --make-rshared /", *(mount.format(folder) for folder in HIDDEN)]
    run(enter(init, ["sh", "-ec", "\n".join(script)]))


def _wire_network(settings: Settings, init: Process) -> None:
    """Join machine and node by one link; addresses of the cluster never reach any default route."""
    succeeds(["ip", "link", "delete", settings.name])
    peer = ["peer", "name", "eth0", "netns", str(init.pid)]
    run(["ip", "link", "add", settings.name, "type", "veth", *peer])
    inside = f"""
        ip link set lo up
        ip address add {settings.node_ip}/24 dev eth0
        ip link set eth0 up
        ip route add {settings.service_network} dev eth0
        echo 1 >/proc/sys/net/ipv4/ip_forward
        ip route replace unreachable {settings.pod_network}
    """
    run(enter(init, ["sh", "-ec", inside]))
    outside = [f"ip address add {settings.host_ip}/24 dev {settings.name}", f"ip link set {settings.name} up"]
    for network in (settings.pod_network, settings.service_network):
        outside.append(f"ip route replace {network} via {settings.node_ip}")
        outside.append(f"ip route replace unreachable {network} metric 4096")
    run(["sh", "-ec", "\n".join(outside)])


def remove(settings: Settings) -> None:
    """End every process of the node and take back what it left on the machine."""
    if init := find_init(find_processes(settings)):
        kill_process(init)
        # Its parent collects it and ends by itself.
        wait_gone([process for process in find_processes(settings) if process.pid == init.parent], deadline=10)
    for process in find_processes(settings):
        kill_process(process)
    remove_leftovers(settings)


def remove_leftovers(settings: Settings) -> None:
    """Remove cgroups, link and routes of a node that no longer runs, and restore the kernel's settings."""
    deadline = time.monotonic() + 30
    for tree in _cgroup_trees(settings):
        _remove_cgroup(tree, deadline)
    if succeeds(["ip", "link", "show", settings.name]):
        succeeds(["ip", "link", "delete", settings.name])  # it may have gone by itself, with the other end
    for network in (settings.pod_network, settings.service_network):
        succeeds(["ip", "route", "delete", "unreachable", network, "metric", "4096"])
    saved = settings.state / "kernel.json"
    if saved.exists():
        for name, value in json.loads(saved.read_text(encoding="utf-8")).items():
            Path("/proc/sys", name).write_text(value, encoding="utf-8")
        saved.unlink()


def _save_kernel_settings(settings: Settings) -> None:
    values = {name: Path("/proc/sys", name).read_text(encoding="utf-8") for name in _KERNEL_SETTINGS}
    (settings.state / "kernel.json").write_text(json.dumps(values), encoding="utf-8")


def _cgroup_trees(settings: Settings) -> list[Path]:
    """Return the node's cgroup in each hierarchy: one with version 2, one per controller with version 1."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS / settings.name]
    return [folder / settings.name for folder in _CGROUPS.iterdir() if (folder / "cgroup.procs").exists()]


def _system_cgroups(settings: Settings) -> list[str]:
    """Create the cgroup of the node's own processes, beside that of the pods, and return its folders."""
    folders: list[str] = []
    for tree in _cgroup_trees(settings):
        folder = tree / "system"
        folder.mkdir(parents=True, exist_ok=True)
        if tree.parent.name == "cpuset":  # of version 1: a new one is empty and takes no process
            for level in (tree, folder):
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (level / name).write_text((level.parent / name).read_text(encoding="utf-8"), encoding="utf-8")
        folders.append(str(folder))
    return folders


def _remove_cgroup(tree: Path, deadline: float) -> None:
    for folder, _, _ in os.walk(tree, topdown=False):
        while True:
            try:
                Path(folder).rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if time.monotonic() > deadline:
                    message = f"the cgroup {folder} does not empty ({error}): see its cgroup.procs"
                    raise ClusterError(message) from error
                time.sleep(0.02)
                continue
            break
