"""Children as they were observed: thin typed views of what the API server holds.

The views parse only what is read, so that a newer API server's unknown fields do no harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from modelwright_operator import naming
from modelwright_operator.raw import Raw, part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}$")


def parse_time(text: str | None) -> datetime | None:
    """Return the time of an RFC 3339 text."""
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True)
class Child:
    """An object as read from the API server."""

    raw: Raw

    @property
    def kind(self) -> str:
        """Its Kubernetes kind."""
        return str(self.raw["kind"])

    @property
    def metadata(self) -> Raw:
        """Its metadata."""
        metadata: Raw = self.raw["metadata"]
        return metadata

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata["name"])

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.metadata.get("uid", ""))

    @property
    def resource_version(self) -> str:
        """The version it was read at."""
        return str(self.metadata.get("resourceVersion", ""))

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.metadata.get("labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""
        return self.metadata.get("annotations") or {}

    @property
    def deleting(self) -> bool:
        """Whether its deletion has begun."""
        return bool(self.metadata.get("deletionTimestamp"))

    @property
    def controller_uid(self) -> str | None:
        """Uid of the controlling owner: ownership is the uid, never a label."""
        owners: Sequence[Raw] = self.metadata.get("ownerReferences") or ()
        return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)

    @property
    def managers(self) -> Sequence[str]:
        """Who owns parts of its spec, as `manager/operation`."""
        managers: Sequence[str] = self.raw.get("managers") or ()
        return managers

    @property
    def edited(self) -> bool:
        """Whether anybody but the operator has changed its spec."""
        return any(not manager.startswith(f"{naming.FIELD_MANAGER}/") for manager in self.managers)

    @property
    def spec(self) -> Raw:
        """Its spec."""
        return part(self.raw, "spec")

    @property
    def status(self) -> Raw:
        """Its status."""
        return part(self.raw, "status")

    def condition(self, kind: str) -> Raw | None:
        """Return the condition of that type, if it is there."""
        conditions: Sequence[Raw] = self.status.get("conditions") or ()
        return next((condition for condition in conditions if condition.get("type") == kind), None)

    def has(self, kind: str) -> bool:
        """Tell whether the condition of that type is True."""
        condition = self.condition(kind)
        return condition is not None and condition.get("status") == "True"


@dataclass(frozen=True)
class LogLine:
    """The last progress line of a pod's log, as its container wrote it: not to be trusted."""

    container: str
    text: str


@dataclass(frozen=True)
class Container:
    """A container's state in a pod's status."""

    name: str
    raw: Raw

    @property
    def waiting_reason(self) -> str:
        """Why it waits, or an empty text."""
        return str(part(self.raw, "state", "waiting").get("reason", ""))

    @property
    def waiting_message(self) -> str:
        """What the kubelet says about the waiting."""
        return str(part(self.raw, "state", "waiting").get("message", ""))

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return "running" in part(self.raw, "state")

    @property
    def ready(self) -> bool:
        """Whether it is ready."""
        return bool(self.raw.get("ready"))

    @property
    def terminated(self) -> Raw | None:
        """How it ended, if it did."""
        return part(self.raw, "state", "terminated") or None

    @property
    def previous(self) -> Raw | None:
        """How it ended before its last restart, if it was restarted."""
        return part(self.raw, "lastState", "terminated") or None

    @property
    def image_digest(self) -> str | None:
        """Digest of the image that the node runs: of its manifest, or of its configuration if it was not pulled."""
        found = _DIGEST.search(str(self.raw.get("imageID", "")))
        return found[0] if found else None

    @property
    def started_at(self) -> datetime | None:
        """When the present or last run started."""
        state = part(self.raw, "state", "running") or part(self.raw, "state", "terminated")
        return parse_time(state.get("startedAt"))


@dataclass(frozen=True)
class Pod(Child):
    """A pod."""

    @property
    def phase(self) -> str:
        """Pending, Running, Succeeded, Failed or Unknown."""
        return str(self.status.get("phase", "Pending"))

    @property
    def ip(self) -> str:
        """Its address, or an empty text."""
        return str(self.status.get("podIP", ""))

    @property
    def containers(self) -> tuple[Container, ...]:
        """States of all containers, init containers first, in the order they run."""
        init: Sequence[Raw] = self.status.get("initContainerStatuses") or ()
        main: Sequence[Raw] = self.status.get("containerStatuses") or ()
        return tuple(Container(str(status["name"]), status) for status in (*init, *main))

    def container(self, name: str) -> Container | None:
        """Return the state of one container."""
        return next((container for container in self.containers if container.name == name), None)

    def ended(self, name: str) -> bool:
        """Tell whether one container has ended and is not started again."""
        container = self.container(name)
        return container is not None and container.terminated is not None


@dataclass(frozen=True)
class Job(Child):
    """A batch Job."""

    @property
    def finished(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self.has("Complete") or self.has("Failed")


@dataclass(frozen=True)
class Workload(Child):
    """An apps/v1 Deployment: the pods of one revision."""

    @property
    def revision(self) -> str:
        """The revision it runs."""
        return self.labels.get(naming.LABEL_REVISION, "")

    @property
    def wanted(self) -> int:
        """Number of pods asked for."""
        return int(self.spec.get("replicas", 1))

    def image(self, container: str) -> str | None:
        """Return the image of a container of its pods."""
        containers = part(self.spec, "template", "spec").get("containers") or ()
        return next((str(item.get("image")) for item in containers if item.get("name") == container), None)

    @property
    def observed(self) -> bool:
        """Whether its status speaks of its present spec."""
        return int(self.status.get("observedGeneration", -1)) >= int(self.metadata.get("generation", 0))

    @property
    def replicas(self) -> int:
        """Number of pods there are."""
        return int(self.status.get("replicas", 0))

    @property
    def ready(self) -> int:
        """Number of ready pods of the present template."""
        return min(int(self.status.get("readyReplicas", 0)), int(self.status.get("updatedReplicas", 0)))
