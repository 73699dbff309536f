"""The base of every image: the Dockerfiles' own where a registry gives it, else one made from Debian's packages."""

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.settings import REPOSITORY, ClusterError
from tests.images.engines import Engine, install
from tests.images.inputs import IMAGES
from tests.images.progress import step

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
MIRROR = "http://deb.debian.org/debian"
# Left out of the base: what only people read, what apt downloads again, and what is this machine's own.
LEFT_OUT = (
    "./dev/*",
    "./etc/hostname",
    "./etc/resolv.conf",
    "./proc/*",
    "./run/*",
    "./sys/*",
    "./tmp/*",
    "./usr/share/doc/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
    "./var/log/*",
)


def wanted() -> str:
    """Return the base that the Dockerfiles name."""
    text = (REPOSITORY / IMAGES[0].dockerfile).read_text(encoding="utf-8")
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", text, re.MULTILINE)
    if found is None:
        message = f"{IMAGES[0].dockerfile} has no line `ARG BASE_IMAGE=…`"
        raise ClusterError(message)
    return found.group(1)


def own() -> str:
    """Return the name of the base made here; its tag changes with the recipe."""
    recipe = repr((SUITE, PACKAGES, LEFT_OUT))
    return f"localhost/modelwright/base:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def find_base(engine: Engine, cache: Path) -> str:
    """Return a base image that is on this machine: `MODELWRIGHT_BASE_IMAGE`, the Dockerfiles' or our own.

    Raises:
        ClusterError: none can be had.
    """
    chosen = os.environ.get("MODELWRIGHT_BASE_IMAGE")
    if chosen:
        if engine.image_id(chosen) or engine.pull(chosen):
            return chosen
        message = f"MODELWRIGHT_BASE_IMAGE is {chosen!r}, and no registry gives it: name another, or unset it"
        raise ClusterError(message)
    named, made = wanted(), own()
    present = [reference for reference in (named, made) if engine.image_id(reference)]
    if present:
        return present[0]
    with step(f"base: asking the registry for {named}"):
        pulled = engine.pull(named)
    if pulled:
        return named
    archive = cache / f"{made.rpartition('/')[2].replace(':', '-')}.tar"
    if not archive.is_file():
        with step(f"base: no registry answers; making one from Debian {SUITE} (about a minute)"):
            make_root(archive)
    with step(f"base: importing {made}"):
        engine.import_root(archive, made)
    return made


def make_root(archive: Path) -> None:
    """Write a tar of a small Debian with Python.

    Raises:
        ClusterError: debootstrap is missing and cannot be installed, or fails.
    """
    if shutil.which("debootstrap") is None:
        install("debootstrap")
    elif os.geteuid() != 0:
        message = "debootstrap makes the base image and needs root: run as root, or set MODELWRIGHT_BASE_IMAGE"
        raise ClusterError(message)
    partial = archive.with_suffix(".partial")
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="root-") as folder:
        root = Path(folder) / "root"
        include = f"--include={','.join(PACKAGES)}"
        run(["debootstrap", "--variant=minbase", include, SUITE, root, MIRROR], timeout=1800)
        left_out = [f"--exclude={pattern}" for pattern in LEFT_OUT]
        layout: list[str | Path] = ["--directory", root, "--numeric-owner", "--sort=name", *left_out, "."]
        run(["tar", "--create", "--file", partial, *layout])
    partial.rename(archive)
