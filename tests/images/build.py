"""Builds what is missing and keeps the newest tags only."""

import fcntl
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cluster.settings import ClusterError, cache_folder
from tests.images.base import find_base
from tests.images.engines import Engine, find_engine
from tests.images.inputs import EXAMPLES, IMAGES, Example, Image, example_tag, tag
from tests.images.progress import say, step

KEPT_TAGS = 2


def build(names: Iterable[str] = ()) -> dict[str, str]:
    """Build the named images (default: all) unless they are up to date; return their references by name.

    Raises:
        ClusterError: says what is needed on this machine, or ends with the failed build's last lines.
    """
    chosen, examples = _choose(names)
    with _locked() as cache:
        engine = find_engine()
        base = find_base(engine, cache)
        base_id = engine.image_id(base)
        if base_id is None:
            message = f"{engine.program} has lost the base image {base}: run again"
            raise ClusterError(message)
        built = {image.name: _build(engine, image, base, base_id, cache) for image in chosen}
        return built | {example.name: _build_example(engine, example, built, cache) for example in examples}


def _choose(names: Iterable[str]) -> tuple[list[Image], list[Example]]:
    """Return the images to build, those among them that examples are built on, and the examples."""
    known = [item.name for item in (*IMAGES, *EXAMPLES)]
    wanted = set(names) or set(known)
    if unknown := sorted(wanted.difference(known)):
        message = f"no image {', '.join(unknown)}: choose from {', '.join(known)}"
        raise ClusterError(message)
    examples = [example for example in EXAMPLES if example.name in wanted]
    needed = wanted | {example.on.name for example in examples}
    return [image for image in IMAGES if image.name in needed], examples


def _build(engine: Engine, image: Image, base: str, base_id: str, cache: Path) -> str:
    reference = f"{image.repository}:{tag(image, base_id)}"
    if engine.image_id(reference) is None:
        with step(f"{image.name}: building {reference} on {base}"):
            engine.build(image.dockerfile, base, reference, cache / f"{image.name}.log")
        _remove_old(engine, image, reference)
    say(f"{reference} ({engine.size(reference) / 1e6:.0f} MB)")
    return reference


def _build_example(engine: Engine, example: Example, built: Mapping[str, str], cache: Path) -> str:
    base = built[example.on.name]
    reference = f"{example.repository}:{example_tag(example, base)}"
    if engine.image_id(reference) is None:
        with step(f"{example.name}: building {reference} on {base}"):
            engine.build(example.dockerfile, base, reference, cache / f"{example.name}.log", example.folder)
        _remove_old(engine, example, reference)
    return reference


def _remove_old(engine: Engine, image: Image | Example, current: str) -> None:
    others = [reference for reference in engine.tags(image.repository) if reference != current]
    for reference in others[KEPT_TAGS - 1 :]:
        with suppress(ClusterError):  # a build that was broken off still holds it: it goes with a later one
            engine.remove(reference)


@contextmanager
def _locked() -> Generator[Path]:
    """Keep two builds on one machine apart; give the folder of their logs."""
    cache = cache_folder() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache
