"""Modelwright on a cluster, as a user installs it: images built and loaded, the chart by helm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests import images
from tests.cluster import ClusterError, load
from tests.images.inputs import IMAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.client import Cluster

NAMESPACE = "modelwright-system"
RELEASE = "modelwright"
CHART = Path(__file__).parents[2] / "charts" / "modelwright"


@dataclass(frozen=True)
class Installation:
    """A release of the chart on a cluster."""

    cluster: Cluster
    images: Mapping[str, str]

    @property
    def workload(self) -> str:
        """Name of the operator's own apps/v1 Deployment."""
        return RELEASE

    def operator_pod(self) -> str:
        """Return the name of the running operator pod."""
        pods = self.cluster.find("pods", NAMESPACE, "app.kubernetes.io/name=modelwright")
        return next(str(pod["metadata"]["name"]) for pod in pods if "deletionTimestamp" not in pod["metadata"])

    def upgrade(self, *values: str) -> None:
        """Install or upgrade the release with these images; further values are given as helm's `--set` takes them.

        Raises:
            ClusterError: it does not come up; the message ends with the operator's log.
        """
        settings = [argument for value in image_values(self.images) for argument in ("--set-string", value)]
        settings += [argument for value in values for argument in ("--set", value)]
        try:
            self.cluster.helm(
                *("upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace"),
                *("--wait", "--timeout", "3m", *settings),
            )
        except ClusterError as error:
            message = f"{error}\nthe operator's log ends:\n{self.logs()[-2000:]}"
            raise ClusterError(message) from error

    def logs(self) -> str:
        """Return the operator's log."""
        return self.cluster.kubectl("logs", "-n", NAMESPACE, f"deployment/{self.workload}", "--tail=-1", check=False)


def image_values(references: Mapping[str, str]) -> list[str]:
    """Return helm's `--set-string` values that select these images (a tag may be all digits)."""
    return [
        f"images.{name}.{key}={value}"
        for name, reference in references.items()
        if name in {image.name for image in IMAGES}
        for key, value in zip(("repository", "tag"), reference.rsplit(":", 1), strict=True)
    ]


@cache
def _brought(_: Path, *, feast: bool) -> Mapping[str, str]:
    """Build the images and bring them into the cluster, once in a run: tests that install anew change values only."""
    references = images.build([] if feast else [image.name for image in IMAGES if image.name != "feast"])
    load([reference for name, reference in references.items() if name != "feast"])
    return references


def install(cluster: Cluster, *values: str, feast: bool = True) -> Installation:
    """Build, load and install what is in the checkout; further values are given as helm's `--set` takes them.

    The image `feast` is large: it is built, as those of examples, if `feast` says so, and loaded by what needs it.
    """
    references = _brought(cluster.kubeconfig, feast=feast)
    installation = Installation(cluster, references)
    installation.upgrade(*values)
    return installation
