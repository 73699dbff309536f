"""What each image is made of, and the tag that follows from it: equal inputs, equal tag, nothing to build."""

import hashlib
import json
import platform
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.cluster.settings import REPOSITORY

SOURCES = (
    "operator/modelwright_operator",
    "operator/modelwright_training",
    "operator/modelwright_audit",
    "model_server/modelwright_server",
    "model_server/modelwright_capture",
    "model_server/modelwright_drift",
    "model_server/modelwright_monitor",
)
WHEEL_TABLES = ("build-system", "project")


@dataclass(frozen=True)
class Image:
    """One image: its short name, its Dockerfile, and what it carries: an extra of uv.lock, or a lock of its own."""

    name: str
    dockerfile: str
    extra: str = ""
    lock: str = ""

    @property
    def repository(self) -> str:
        """Name without tag. The host `localhost` can never be mistaken for a registry's."""
        return f"localhost/modelwright/{self.name}"


IMAGES = (
    Image("operator", "operator/Dockerfile", "operator"),
    Image("serving", "model_server/Dockerfile", "serving"),
    Image("training", "operator/training.Dockerfile", "training"),
    Image("feast", "operator/feast.Dockerfile", lock="operator/feast.requirements.txt"),
)


@dataclass(frozen=True)
class Example:
    """An image as users make them: a folder with its Dockerfile, and which of ours it is built on."""

    name: str
    folder: str
    on: Image

    @property
    def dockerfile(self) -> str:
        """Its Dockerfile."""
        return f"{self.folder}/Dockerfile"

    @property
    def repository(self) -> str:
        """Name without tag."""
        return f"localhost/modelwright/{self.name}"


EXAMPLES = (
    Example("trainer-example", "examples/container", next(image for image in IMAGES if image.name == "training")),
)


def example_tag(example: Example, base: str, root: Path = REPOSITORY) -> str:
    """Return the tag: 12 hex digits over the reference it is built on and the folder's files."""
    digest = hashlib.sha256(base.encode())
    for path in sorted(path for path in (root / example.folder).iterdir() if path.is_file()):
        content = path.read_bytes()
        digest.update(f"\n{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def locked(lock: dict[str, Any], extra: str) -> list[Any]:
    """Return name, version and hashes of everything that `extra` pulls in, for every Python and platform."""
    packages: dict[str, list[dict[str, Any]]] = {}
    for package in lock["package"]:
        packages.setdefault(package["name"], []).append(package)
    seen: set[tuple[str, str]] = set()
    left = [("modelwright", extra)]
    while left:
        name, wanted = left.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for package in packages[name]:
            needs = package.get("optional-dependencies", {}).get(wanted, []) if wanted else []
            for need in [*package.get("dependencies", []), *needs]:
                left += [(need["name"], chosen) for chosen in ["", *need.get("extra", [])]]
    names = {name for name, _ in seen} - {"modelwright"}
    return [
        [name, package["version"], sorted(file["hash"] for file in _files(package))]
        for name in sorted(names)
        for package in packages[name]
    ]


def _files(package: dict[str, Any]) -> Iterator[dict[str, str]]:
    yield from package.get("wheels", [])
    if "sdist" in package:
        yield package["sdist"]


def tag(image: Image, base_id: str, root: Path = REPOSITORY) -> str:
    """Return the tag: 12 hex digits over the Dockerfile, the sources, the locked dependencies and the base."""
    project = _parse((root / "pyproject.toml").read_text(encoding="utf-8"))
    lock = _parse((root / "uv.lock").read_text(encoding="utf-8"))
    settings = {table: project[table] for table in WHEEL_TABLES} | {"hatch": project["tool"]["hatch"]}
    digest = hashlib.sha256()
    carried = locked(lock, image.extra) if image.extra else []
    digest.update(json.dumps([base_id, platform.machine(), settings, carried]).encode())
    own = [image.dockerfile, *([image.lock] if image.lock else [])]
    for path in [*own, ".dockerignore", "README.md", "LICENSE", *_sources(root)]:
        content = (root / path).read_bytes()
        digest.update(f"\n{path} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


@lru_cache(maxsize=4)  # a lock takes a fifth of a second, for each image
def _parse(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def _sources(root: Path) -> list[str]:
    return sorted(
        path.relative_to(root).as_posix()
        for folder in SOURCES
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
