"""Container images without a registry: archives made here, or exported from the local build tool's store."""

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.commands import SEARCH_PATH, run
from tests.cluster.settings import ClusterError

if TYPE_CHECKING:
    from tests.cluster.api import Json

_TOOLS = ("buildah", "podman", "docker")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

Images = dict[str, str]
"""Image names as containerd writes them, and the digests of the images' configurations."""


def find_images(source: str) -> tuple[str, Images]:
    """Return where an image is (the build tool's name, or "archive") and what loading it brings.

    Raises:
        ClusterError: no such file, and no build tool has such an image.
    """
    if Path(source).is_file():
        return "archive", _archive_images(Path(source))
    for tool in _TOOLS:
        if shutil.which(tool, path=SEARCH_PATH) and (digest := _local_digest(tool, source)):
            return tool, {full_name(source): digest}
    message = f"there is no image archive {source}, and none of {', '.join(_TOOLS)} has an image of that name"
    raise ClusterError(message)


@contextmanager
def archive_of(tool: str, source: str) -> Generator[Path]:
    """Give the path of an archive of the image, which is exported from the build tool's store if it lies there."""
    if tool == "archive":
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="modelwright-") as folder:
        path = Path(folder) / "image.tar"
        if tool == "buildah":
            run([tool, "push", "--quiet", source, f"docker-archive:{path}:{_tagged(source)}"])
        else:
            run([tool, "save", "--output", path, source])
        yield path


def full_name(name: str) -> str:
    """Return an image's name with registry and tag, as Kubernetes completes it."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    return _tagged(name)


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _local_digest(tool: str, image: str) -> str | None:
    field = "{{.FromImageID}}" if tool == "buildah" else "{{.Id}}"
    try:
        found = run([tool, "inspect", "--type=image", "--format", field, image], timeout=30).strip()
    except ClusterError:
        return None
    return f"sha256:{found.removeprefix('sha256:')}"


def _archive_images(path: Path) -> Images:
    """Return the images in a docker archive; an OCI archive's are not looked up.

    Raises:
        ClusterError: the file is not a tar archive.
    """
    try:
        with tarfile.open(path) as archive:
            if "manifest.json" not in archive.getnames():
                return {}
            file = archive.extractfile("manifest.json")
            manifest: list[Json] = json.load(file) if file else []
    except (tarfile.TarError, ValueError) as error:
        message = f"{path} is not an image archive: {error}"
        raise ClusterError(message) from error
    return {
        full_name(str(name)): f"sha256:{Path(str(image['Config'])).name.removesuffix('.json')}"
        for image in manifest
        for name in image["RepoTags"] or ()
    }


def write_program_archive(program: Path, name: str, path: Path) -> None:
    """Write a docker archive of an image that holds one static program, at `/<program>`, and nothing else.

    The same program gives the same bytes, hence the same image.
    """
    layer = _tar({program.name: (program.read_bytes(), 0o755)})
    machine = os.uname().machine
    config = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    raw = json.dumps(config, sort_keys=True).encode()
    digest = hashlib.sha256(raw).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {f"{digest}.json": raw, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(_tar({name: (data, 0o644) for name, data in files.items()}))


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
