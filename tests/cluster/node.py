"""A single-node Kubernetes of the real programs, run inside namespaces of its own."""

import math
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.api import Api, ApiError
from tests.cluster.binaries import PROGRAMS, ensure_binaries
from tests.cluster.certificates import ensure_certificates
from tests.cluster.commands import run
from tests.cluster.components import CONTAINERD, PAUSE_IMAGE, Component, command, components, write_configuration
from tests.cluster.health import answers, dns_problem, node_problem, wait_until_well
from tests.cluster.images import Images, archive_of, find_images, write_program_archive
from tests.cluster.namespaces import ensure_namespaces, enter, remove, start_process
from tests.cluster.prerequisites import ensure_prerequisites
from tests.cluster.processes import Process, find_component, find_init, find_processes, kill_process
from tests.cluster.settings import ClusterError, Settings
from tests.cluster.states import State
from tests.cluster.storage import CLASS, STORAGE_CLASS

_START_SECONDS = 90.0
_MISSED_SECONDS = 2.0
_ILL_SECONDS = 15.0
_CTR = ["ctr", "-a", CONTAINERD, "-n", "k8s.io"]
Report = Callable[[str], None]


class Node:
    """The cluster made of the published programs."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report

    def up(self) -> None:
        """Bring the node up, or repair it: whatever runs and is well is left alone."""
        settings = self._settings
        ensure_prerequisites(settings, self._report)
        binaries = ensure_binaries(PROGRAMS, self._report)
        for folder in (settings.logs, settings.config, settings.bin, settings.volumes, settings.state / "kubelet"):
            folder.mkdir(parents=True, exist_ok=True)
        for name, path in binaries.items():
            _link(settings.bin / name, path)
        ensure_certificates(settings)
        write_configuration(settings)
        init = ensure_namespaces(settings)
        now = datetime.now(tz=UTC)  # noqa: TID251 - the kubelet reports the time of day
        began = now.replace(microsecond=0)
        started = self._start(init)
        self._load_pause_image(init)
        api = Api(settings.kubeconfig)
        self._ensure_objects(api)
        since = began if "kubelet" in started else None
        hint = f"see {settings.logs}/kubelet.log and containerd.log"
        wait_until_well(lambda: node_problem(api, settings, since=since), deadline=_START_SECONDS, hint=hint)
        hint = f"see {settings.logs}/coredns.log"
        wait_until_well(lambda: dns_problem(settings), deadline=_START_SECONDS, hint=hint)

    def _start(self, init: Process) -> list[str]:
        """Start the components that do not run or are ill, and return their names."""
        parts = components(self._settings)
        started: list[str] = []
        for stage in sorted({part.stage for part in parts}):
            group = [part for part in parts if part.stage == stage]
            started += [part.name for part in group if self._ensure_component(init, part)]
            self._wait(group)
        self._report(f"started {', '.join(started)}" if started else "everything was running")
        return started

    def _ensure_component(self, init: Process, component: Component) -> bool:
        """Start a component unless it runs and is well; return whether it was started."""
        settings = self._settings
        process = find_component(find_processes(settings), init, component.name, component.program)
        if process is not None:
            if self._recovers(component):
                return False
            self._report(f"{component.name} does not answer and is started anew")
            kill_process(process)
        program = ["setsid", "--fork", *command(settings, component)]
        start_process(settings, component.name, enter(init, program))
        return True

    def _recovers(self, component: Component) -> bool:
        """Tell whether a running component answers within a few seconds."""
        if not component.health:
            return True
        end = time.monotonic() + _ILL_SECONDS
        while not answers(component.health):
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def _wait(self, parts: list[Component]) -> None:
        """Wait until these components are well; one that ends is reported at once with the end of its log."""
        end = time.monotonic() + _START_SECONDS
        waiting = [part for part in parts if part.health]
        # A process has no environment, by which it is found, during its exec: for long where the processors are busy.
        missed: dict[str, float] = {}
        while waiting := [part for part in waiting if not answers(part.health)]:
            running = {process.component for process in find_processes(self._settings)}
            now = time.monotonic()
            missed = {part.name: missed.get(part.name, now) for part in waiting if part.name not in running}
            for part in waiting:
                log = self._settings.logs / f"{part.name}.log"
                if now - missed.get(part.name, math.inf) > _MISSED_SECONDS:
                    message = f"{part.name} ended:\n{tail(log, 5)}\nSee {log}, then say `up` again."
                    raise ClusterError(message)
                if time.monotonic() > end:
                    message = f"{part.name} does not answer at {part.health}:\n{tail(log, 5)}\nSee {log}."
                    raise ClusterError(message)
            time.sleep(0.05)

    def _load_pause_image(self, init: Process) -> None:
        if PAUSE_IMAGE in self._loaded(init):
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pause.tar"
            write_program_archive((self._settings.bin / "pause").resolve(), PAUSE_IMAGE, path)
            self._import(init, path)

    def _ensure_objects(self, api: Api) -> None:
        def problem() -> str:
            try:
                if api.get(f"/apis/storage.k8s.io/v1/storageclasses/{CLASS}") is None:
                    api.request("POST", "/apis/storage.k8s.io/v1/storageclasses", STORAGE_CLASS)
            except (OSError, ApiError) as error:
                return f"the StorageClass {CLASS} cannot be made: {error}"
            return ""

        wait_until_well(problem, deadline=_START_SECONDS, hint=f"see {self._settings.logs}/kube-apiserver.log")

    def down(self) -> None:
        """End the node and remove its state; the built programs stay in the cache."""
        remove(self._settings)
        if self._settings.state.exists():
            shutil.rmtree(self._settings.state)

    def status(self) -> list[State]:
        """Return the state of each component, of the node and of DNS."""
        settings = self._settings
        processes = find_processes(settings)
        init = find_init(processes)
        states = [State("namespaces", init.pid if init else None, "" if init else "do not exist")]
        for component in components(settings):
            process = find_component(processes, init, component.name, component.program) if init else None
            problem = "" if process else "does not run"
            if process and component.health and not answers(component.health):
                problem = f"does not answer at {component.health}"
            states.append(State(component.name, process.pid if process else None, problem))
        if not any(state.problem for state in states):  # else they would only wait for what is known to be missing
            states.append(State("node", None, node_problem(Api(settings.kubeconfig), settings)))
            states.append(State("dns", None, dns_problem(settings)))
        return states

    def load(self, sources: list[str]) -> None:
        """Bring images into the node, each from an archive or a local build tool's store."""
        init = find_init(find_processes(self._settings))
        if init is None:
            message = "the cluster is not up: run `python -m tests.cluster up`"
            raise ClusterError(message)
        for source in sources:
            tool, images = find_images(source)
            loaded = self._loaded(init)
            if images and images.items() <= loaded.items():
                self._report(f"{source} is already there")
                continue
            started = time.monotonic()
            # The CRI plugin takes note of new names only, not of a name that comes to mean something else.
            if moved := sorted(images.keys() & loaded.keys()):
                run(enter(init, [*_CTR, "images", "rm", *moved]))
            with archive_of(tool, source) as path:
                self._import(init, path)
            # The kubelet sees an image only when containerd's CRI plugin has taken note of it.
            wait_until_well(
                lambda images=images, source=source: (  # type: ignore[misc]
                    "" if images.items() <= self._loaded(init).items() else f"{source} was imported, but is not there"
                ),
                deadline=_START_SECONDS,
                hint=f"see {self._settings.logs}/containerd.log",
            )
            self._report(f"loaded {source} in {time.monotonic() - started:.1f} s")

    def _import(self, init: Process, path: Path) -> None:
        run(["sh", "-c", 'exec "$@" <"$0"', path, *enter(init, [*_CTR, "images", "import", "-"])])

    def _loaded(self, init: Process) -> Images:
        """Return the images by name; the digest is empty where the kubelet does not see the image."""
        rows = [line.split() for line in run(enter(init, [*_CTR, "images", "ls"])).splitlines()[1:]]
        # The CRI plugin gives each image it takes note of a second name, the digest of its configuration.
        digests = {row[2]: row[0] for row in rows if row[0].startswith("sha256:")}
        return {row[0]: digests.get(row[2], "") for row in rows}


def tail(path: Path, lines: int) -> str:
    """Return a log's last lines."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
