"""The operator's own process, seen from outside: probes, metrics, memory, restarts."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.api import ApiError
from tests.support.installation import NAMESPACE

if TYPE_CHECKING:
    from tests.support.installation import Installation

_HEALTH_PORT = 8080
_METRICS_PORT = 9090
_TICKS = 100  # of /proc: USER_HZ, the same on every Linux
_SETTLED_SECONDS = 60.0
_PAUSE_SECONDS = 0.05
_QUIET_SECONDS = 3.0


@dataclass(frozen=True)
class Metrics:
    """One reading of /metrics."""

    samples: tuple[tuple[str, tuple[tuple[str, str], ...], float], ...]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all label sets that have these labels."""
        wanted = labels.items()
        return sum(value for found, given, value in self.samples if found == name and wanted <= dict(given).items())

    def quantile(self, name: str, share: float, **labels: str) -> float:
        """Return the upper bound of the histogram bucket that holds a quantile, NaN where nothing was observed."""
        bounds = sorted(
            {float(dict(given)["le"]) for found, given, _ in self.samples if found == f"{name}_bucket"},
        )
        count = self.total(f"{name}_count", **labels)
        for bound in bounds if count else ():
            below = sum(
                value
                for found, given, value in self.samples
                if found == f"{name}_bucket"
                and float(dict(given)["le"]) == bound
                and labels.items() <= dict(given).items()
            )
            if below >= share * count:
                return bound
        return math.nan

    @property
    def idle(self) -> bool:
        """Whether the process leads and has nothing to do at this moment."""
        leads = self.total("modelwright_operator_leader") == 1
        return leads and self.total("modelwright_operator_queue_oldest_seconds") == 0

    @property
    def passes(self) -> float:
        """Passes over objects since the process began."""
        return self.total("modelwright_operator_reconcile_duration_seconds_count")

    @property
    def writes(self) -> float:
        """Writes of plans carried out since the process began."""
        return self.total("modelwright_operator_writes_total")


@dataclass(frozen=True)
class Usage:
    """What the process took so far."""

    resident_mib: float
    peak_mib: float
    cpu_seconds: float
    age_seconds: float


@dataclass(frozen=True)
class Restart:
    """A restart, in seconds since the new process began; `replaced` is how long it took to begin."""

    replaced: float
    ready: float
    settled: float


@dataclass(frozen=True)
class OperatorProcess:
    """The operator's one pod."""

    installation: Installation

    def ready(self, pod: str) -> bool:
        """Tell whether a pod's /readyz answers 200."""
        try:
            self._read(pod, _HEALTH_PORT, "readyz")
        except (ApiError, OSError):
            return False
        return True

    def metrics(self, pod: str) -> Metrics:
        """Read a pod's /metrics.

        Raises:
            ApiError, OSError: it does not answer.
        """
        families = text_string_to_metric_families(self._read(pod, _METRICS_PORT, "metrics"))
        return Metrics(
            tuple(
                (sample.name, tuple(sample.labels.items()), sample.value)
                for family in families
                for sample in family.samples
            )
        )

    def usage(self, pod: str) -> Usage:
        """Read the process's memory and time from /proc, in the container."""
        files = ("/proc/1/status", "/proc/1/stat", "/proc/uptime")
        text = self.installation.cluster.kubectl("exec", "-n", NAMESPACE, pod, "--", "cat", *files)
        status, _, rest = text.partition("\n1 (")
        kibibytes = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        fields = rest.rpartition(") ")[2].split()  # from the third field of /proc/1/stat on
        uptime = float(rest.splitlines()[1].split()[0])
        return Usage(
            resident_mib=int(kibibytes["VmRSS"].split()[0]) / 1024,
            peak_mib=int(kibibytes["VmHWM"].split()[0]) / 1024,
            cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
            age_seconds=uptime - int(fields[19]) / _TICKS,
        )

    def wait_settled(self, pod: str, *, deadline: float) -> float:
        """Wait until the process leads and has had nothing to do for some seconds; return the time that began.

        A new process looks at everything twice: after its first list, and when its watches begin.

        Raises:
            AssertionError: it is not so at the deadline, in seconds.
        """
        end = time.monotonic() + deadline
        passes, since = -1.0, math.inf
        while True:
            seen, now = self._metrics_or_none(pod), time.monotonic()
            if not seen.idle or seen.passes != passes:
                passes, since = seen.passes, now
            elif now - since > _QUIET_SECONDS:
                return since
            if now > end:
                depth = seen.total("modelwright_operator_queue_depth")
                message = f"the operator {pod} is not settled after {deadline:.0f} s; in its queue: {depth:.0f}"
                raise AssertionError(message)
            time.sleep(_PAUSE_SECONDS)

    def restart(self, *, deadline: float = 60.0) -> Restart:
        """Replace the pod as a drained node would, and return how long the new one took.

        Raises:
            AssertionError: it is not ready at the deadline, in seconds since the old pod was deleted.
        """
        old = self.installation.operator_pod()
        asked = time.monotonic()
        self.installation.cluster.delete("pods", old, NAMESPACE)
        end = asked + deadline
        ready: float | None = None
        while ready is None:
            if time.monotonic() > end:
                message = f"no new operator is ready {deadline:.0f} s after its pod was deleted"
                raise AssertionError(message)
            pod = self._pod()
            # A pod that stands by is ready, too: only the leader's word counts.
            leads = pod not in {None, old} and self._metrics_or_none(str(pod)).total("modelwright_operator_leader") == 1
            if leads and self.ready(str(pod)):
                ready = time.monotonic()
            else:
                time.sleep(_PAUSE_SECONDS)
        name = self.installation.operator_pod()
        settled = self.wait_settled(name, deadline=_SETTLED_SECONDS)
        age = self.usage(name).age_seconds
        began = time.monotonic() - age
        return Restart(replaced=began - asked, ready=ready - began, settled=settled - began)

    def _pod(self) -> str | None:
        try:
            return self.installation.operator_pod()
        except StopIteration:
            return None

    def _metrics_or_none(self, pod: str) -> Metrics:
        try:
            return self.metrics(pod)
        except (ApiError, OSError):
            return Metrics(())

    def _read(self, pod: str, port: int, path: str) -> str:
        # The API server passes the question on, which works on every kind of cluster.
        return self.installation.cluster.api.read(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{port}/proxy/{path}")
