"""What builds and keeps images on this machine: Docker or Podman if one answers, else buildah."""

import json
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import kind
from tests.cluster.commands import run, succeeds
from tests.cluster.settings import REPOSITORY, ClusterError

# Indexes to use in place of pypi.org, taken from the environment as pip and uv take them.
INDEXES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
LOG_TAIL = 30


def install(*packages: str) -> None:
    """Install Debian packages where that is possible.

    Raises:
        ClusterError: it is not, with what a person should do.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        message = f"needed: a running Docker or Podman, or as root on Debian: apt-get install {' '.join(packages)}"
        raise ClusterError(message)
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=600"]
    run([*apt, "update"])
    run([*apt, "install", "-y", "--no-install-recommends", *packages], timeout=1200)


class Engine(ABC):
    """Builds images and keeps them by name."""

    program: str

    @abstractmethod
    def image_id(self, reference: str) -> str | None:
        """Return the id of an image that is already on this machine."""

    def pull(self, reference: str) -> bool:
        """Try to get an image from its registry."""
        return succeeds([self.program, "pull", "--quiet", reference], timeout=1200)

    @abstractmethod
    def import_root(self, archive: Path, reference: str) -> None:
        """Make an image of one layer from a tar of a root file system."""

    @abstractmethod
    def build_command(self) -> Sequence[str | Path]:
        """Return the beginning of the build's command line."""

    def build(self, dockerfile: str, base: str, reference: str, log: Path, context: str = ".") -> None:
        """Build `dockerfile` on `base` from a folder of the repository; the build's words go to `log`.

        Raises:
            ClusterError: with the end of the log.
        """
        indexes = [f"--build-arg={name}={os.environ[name]}" for name in INDEXES if os.environ.get(name)]
        command = [*self.build_command(), *indexes, f"--build-arg=BASE_IMAGE={base}", "--file", dockerfile]
        with log.open("w", encoding="utf-8") as output:
            done = subprocess.run(
                [*command, "--tag", reference, context],
                check=False,
                cwd=REPOSITORY,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if done.returncode:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:])
            message = f"{dockerfile} did not build; the end of {log}:\n{tail}"
            raise ClusterError(message)

    @abstractmethod
    def tags(self, repository: str) -> list[str]:
        """Return the references of `repository`, newest first."""

    @abstractmethod
    def remove(self, reference: str) -> None:
        """Remove one name, and the image if it has no other."""

    @abstractmethod
    def size(self, reference: str) -> int:
        """Return an image's size in bytes, unpacked."""


class Docker(Engine):
    """Docker, or Podman by the same commands."""

    def __init__(self, program: str) -> None:
        self.program = program

    def image_id(self, reference: str) -> str | None:
        try:
            return run([self.program, "image", "inspect", "--format", "{{.Id}}", reference]).strip()
        except ClusterError:
            return None

    def import_root(self, archive: Path, reference: str) -> None:
        run([self.program, "import", archive, reference])

    def build_command(self) -> Sequence[str | Path]:
        return (self.program, "build")

    def tags(self, repository: str) -> list[str]:
        return run([self.program, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository]).split()

    def remove(self, reference: str) -> None:
        run([self.program, "image", "rm", reference])

    def size(self, reference: str) -> int:
        return int(run([self.program, "image", "inspect", "--format", "{{.Size}}", reference]))


class Buildah(Engine):
    """Buildah as root, without a daemon; steps run in a plain chroot, so no container runtime is needed."""

    program = "buildah"
    # Where the base has its certificates, the machine's take their place while a step runs. They stay out of the image.
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")

    def image_id(self, reference: str) -> str | None:
        try:
            return run(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", reference]).strip()
        except ClusterError:
            return None

    def import_root(self, archive: Path, reference: str) -> None:
        container = run(["buildah", "from", "scratch"]).strip()
        try:
            run(["buildah", "add", "--quiet", container, archive, "/"])
            run(["buildah", "commit", "--quiet", container, reference])
        finally:
            run(["buildah", "rm", container])

    def build_command(self) -> Sequence[str | Path]:
        command = ["buildah", "bud", "--isolation=chroot", "--network=host", "--layers"]
        if self.certificates.is_file():
            command.append(f"--volume={self.certificates}:{self.certificates}:ro")
        return command

    def tags(self, repository: str) -> list[str]:
        images = json.loads(run(["buildah", "images", "--json"]))
        images.sort(key=lambda image: image["createdatraw"], reverse=True)
        return [name for image in images for name in image["names"] or [] if name.startswith(f"{repository}:")]

    def remove(self, reference: str) -> None:
        run(["buildah", "rmi", reference])

    def size(self, reference: str) -> int:
        # buildah itself only prints rounded megabytes; the layers' sizes are exact.
        manifest = json.loads(run(["buildah", "inspect", "--type", "image", reference]))["Manifest"]
        return sum(layer["size"] for layer in json.loads(manifest)["layers"])


def find_engine() -> Engine:
    """Return the engine of this machine; buildah is installed if need be and possible.

    Raises:
        ClusterError: there is none.
    """
    program = kind.find_engine()
    if program is not None:
        return Docker(program)
    if shutil.which("buildah") is None:
        install("buildah")
    return Buildah()
