"""Builds what is missing, keeps the newest tags, and hands images to a cluster's runtime as archives."""

import fcntl
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.settings import cache_folder
from tests.images.base import find_base
from tests.images.engines import Engine, ImageError, find_engine
from tests.images.inputs import IMAGES, Image, tag
from tests.images.progress import say, step

KEPT_TAGS = 2


def build(names: Iterable[str] = ()) -> dict[str, str]:
    """Build the named images (default: all) unless they are up to date; return their references by name.

    Raises:
        ImageError: says what is needed on this machine, or ends with the failed build's last lines.
    """
    chosen = _choose(names)
    with _locked() as cache:
        engine = find_engine()
        base = find_base(engine, cache)
        base_id = engine.image_id(base)
        if base_id is None:
            message = f"{engine.program} has lost the base image {base}: run again"
            raise ImageError(message)
        return {image.name: _build(engine, image, base, base_id, cache) for image in chosen}


def archive(reference: str) -> Path:
    """Return a docker-archive of a built image, written once per image.

    Raises:
        ImageError: the engine has no such image.
    """
    with _locked() as cache:
        path = cache / _archive_name(reference)
        if not path.is_file():
            partial = path.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            with step(f"{reference}: writing an archive"):
                find_engine().archive(reference, partial)
            partial.rename(path)
        return path


def _choose(names: Iterable[str]) -> list[Image]:
    by_name = {image.name: image for image in IMAGES}
    wanted = list(dict.fromkeys(names)) or list(by_name)
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        message = f"no image {', '.join(unknown)}: choose from {', '.join(by_name)}"
        raise ImageError(message)
    return [by_name[name] for name in wanted]


def _build(engine: Engine, image: Image, base: str, base_id: str, cache: Path) -> str:
    reference = f"{image.repository}:{tag(image, base_id)}"
    if engine.image_id(reference) is None:
        with step(f"{image.name}: building {reference} on {base}"):
            engine.build(image.dockerfile, base, reference, cache / f"{image.name}.log")
        _remove_old(engine, image, reference, cache)
    say(f"{reference} ({engine.size(reference) / 1e6:.0f} MB)")
    return reference


def _remove_old(engine: Engine, image: Image, current: str, cache: Path) -> None:
    others = [reference for reference in engine.tags(image.repository) if reference != current]
    for reference in others[KEPT_TAGS - 1 :]:
        engine.remove(reference)
        (cache / _archive_name(reference)).unlink(missing_ok=True)


def _archive_name(reference: str) -> str:
    return f"{reference.rpartition('/')[2].replace(':', '-')}.tar"


@contextmanager
def _locked() -> Generator[Path]:
    """Keep two builds on one machine apart; give the folder of their logs and archives."""
    cache = cache_folder() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache
