"""The cluster's programs, built from their published Go modules into a cache that every clone shares."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.settings import BINARIES, ClusterError, cache_folder

GO_MINIMUM = (1, 26)
Report = Callable[[str], None]


@dataclass(frozen=True)
class Module:
    """One go.mod under `binaries/` and the programs built from it, by name and package path."""

    folder: str
    programs: dict[str, str]
    version_of: str = ""
    version_flags: str = ""

    @property
    def path(self) -> Path:
        """The module's folder in the repository."""
        return BINARIES / self.folder

    def linker_flags(self) -> str:
        """Return the linker's flags, with the version that the programs report as their own."""
        if not self.version_of:
            return "-s -w"
        text = (self.path / "go.mod").read_text(encoding="utf-8")
        found = re.search(rf"{re.escape(self.version_of)} (v(\d+)\.(\d+)\.\S+)", text)
        if found is None:
            message = f"{self.path / 'go.mod'} does not require {self.version_of}"
            raise ClusterError(message)
        version, major, minor = found.groups()
        return "-s -w " + self.version_flags.format(version=version, major=major, minor=minor)


STORE = "versitygw"  # an S3 server; no part of the cluster itself
METRICS = "metrics-server"  # tells autoscalers how busy pods are; likewise
GATEWAY = "traefik"  # a gateway that spreads requests by HTTPRoutes; likewise
GITOPS = "health"  # says what Argo CD and Flux make of objects, by their own libraries; likewise
FLUX = "kustomize-controller"  # Flux, which brings what git holds; likewise
PROMLINT = "promlint"  # says what Prometheus objects to in a page of metrics; likewise
GATEWAY_API = "gateway-api"  # its definitions, of which nothing is built
ARGO_WORKFLOWS = "argo-workflows"  # likewise
ACTIONLINT = "actionlint"  # looks through the workflows of GitHub
_BASE = "k8s.io/component-base/version"
MODULES = (
    Module("images", {"pause": "./pause", "probe": "./probe"}),
    Module(
        "kubernetes",
        {"etcd": "./etcd"}
        | {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            )
        },
        version_of="k8s.io/kubernetes",
        version_flags=(
            f"-X {_BASE}.gitVersion={{version}} -X {_BASE}.gitMajor={{major}} -X {_BASE}.gitMinor={{minor}}"
        ),
    ),
    Module("coredns", {"coredns": "github.com/coredns/coredns"}),
    Module(
        "helm",
        {"helm": "helm.sh/helm/v4/cmd/helm"},
        version_of="helm.sh/helm/v4",
        version_flags="-X helm.sh/helm/v4/internal/version.version={version}",
    ),
    Module(STORE, {STORE: "github.com/versity/versitygw/cmd/versitygw"}),
    Module(METRICS, {METRICS: "sigs.k8s.io/metrics-server/cmd/metrics-server"}),
    Module(GATEWAY, {GATEWAY: "github.com/traefik/traefik/v3/cmd/traefik"}),
    Module("gitops", {GITOPS: "./health"}),
    Module(FLUX, {FLUX: "github.com/fluxcd/kustomize-controller"}),
    Module(PROMLINT, {PROMLINT: "."}),
    Module(ACTIONLINT, {ACTIONLINT: "github.com/rhysd/actionlint/cmd/actionlint"}),
)
CLIENTS = ("kubectl", "helm")
_BESIDE = {STORE, METRICS, GATEWAY, GITOPS, FLUX, PROMLINT, ACTIONLINT}
PROGRAMS = tuple(name for module in MODULES for name in module.programs if name not in _BESIDE)


def ensure_binaries(names: tuple[str, ...], report: Report) -> dict[str, Path]:
    """Return the path of each named program, building those that are not in the cache yet.

    A folder named by `MODELWRIGHT_BINARIES` is looked into first, for people who have the programs already.

    Raises:
        ClusterError: Go is missing or too old, or a build failed.
    """
    given = Path(os.environ.get("MODELWRIGHT_BINARIES") or os.devnull)
    found = {name: given / name for name in names if os.access(given / name, os.X_OK)}
    wanted = [name for name in names if name not in found]
    if not wanted:
        return found
    go_version = _go_version()
    with _locked(cache_folder() / "build.lock", report):
        for module in MODULES:
            target = cache_folder() / "bin" / f"{module.folder}-{_key(module, go_version)}"
            for name in module.programs:
                if name in wanted:
                    found[name] = target / name
                    if not found[name].exists():
                        _build(module, name, found[name], report)
    return found


def is_built(name: str) -> bool:
    """Tell whether a program is there already, so that nothing has to be built for it."""
    given = Path(os.environ.get("MODELWRIGHT_BINARIES") or os.devnull)
    module = next(module for module in MODULES if name in module.programs)
    target = cache_folder() / "bin" / f"{module.folder}-{_key(module, _go_version())}" / name
    return target.exists() or os.access(given / name, os.X_OK)


def module_folder(folder: str, module: str) -> Path:
    """Return where the files of a module are that the go.mod in a folder of `binaries/` requires.

    Raises:
        ClusterError: Go is missing or too old, or the module cannot be had.
    """
    _go_version()
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=BINARIES / folder,
        env=os.environ | {"GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"{module} cannot be downloaded: {done.stdout[-500:]}{done.stderr[-500:]}"
        raise ClusterError(message)
    return Path(json.loads(done.stdout)["Dir"])


def _go_version() -> str:
    go = shutil.which("go")
    if go is None:
        message = "Go is not installed: install Go 1.26 or newer from https://go.dev/dl/ (or set MODELWRIGHT_BINARIES)"
        raise ClusterError(message)
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < GO_MINIMUM:
        message = f"{go} is {version}: install Go 1.26 or newer from https://go.dev/dl/"
        raise ClusterError(message)
    return version


def _key(module: Module, go_version: str) -> str:
    """Hash whatever decides the module's programs: its files, the flags, Go's version and platform."""
    digest = hashlib.sha256(f"{go_version} {os.uname().machine} {module}".encode())
    for path in sorted(module.path.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(module.path).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _build(module: Module, name: str, target: Path, report: Report) -> None:
    """Build one program; what an interrupted build compiled stays in Go's own cache, so the next one resumes."""
    report(f"building {name} …")
    started = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-p=2", f"-ldflags={module.linker_flags()}"]
    environment = os.environ | {"CGO_ENABLED": "0", "GOOS": "linux", "GOWORK": "off"}
    done = subprocess.run(
        ["go", "build", *flags, "-o", str(partial), module.programs[name]],
        cwd=module.path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"building {name} in {module.path} failed:\n{done.stderr[-3000:]}\nSay `up` again to resume."
        raise ClusterError(message)
    partial.replace(target)
    report(f"built {name} in {time.monotonic() - started:.0f} s")


@contextmanager
def _locked(path: Path, report: Report) -> Generator[None]:
    """Hold a file lock, so that two clones never build the same program at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another build to release {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
