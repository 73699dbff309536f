"""The pages do not lie about the repository: links, paths, commands."""

import re
from itertools import product
from pathlib import Path

import pytest
import yaml

from tests.docs import pages

_TARGET = re.compile(r"^([a-z%-]+):", re.MULTILINE)
_MAKE = re.compile(r"\bmake ([a-z]+(?:-[a-zA-Z]+)*)")
_PATH = re.compile(
    r"(?<![\w./<-])((?:operator|model_server|charts|crds|docs|examples|tests|\.github)/[\w./{},-]*|[A-Z]+\.md)"
)
_FILE_ARGUMENT = re.compile(r"(?:-f |@|< )([\w./-]+\.(?:yaml|json|csv)|[\w-]+/[\w./-]*)")
_INLINE = re.compile(r"`([^`\n]+)`")


def _code(path: Path) -> str:
    """Return everything on a page that is set as code."""
    inline = "\n".join(match[1] for match in _INLINE.finditer(pages.prose(path)))
    return "\n".join([inline, *(block.text for block in pages.blocks(path))])


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.shown)
def test_links_resolve(path: Path) -> None:
    for link in pages.links(path):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in pages.anchors(target), f"{link} names no heading of {pages.shown(target)}"


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.shown)
def test_make_targets_exist(path: Path) -> None:
    targets = set(_TARGET.findall((pages.REPOSITORY / "Makefile").read_text(encoding="utf-8")))
    for wanted in _MAKE.findall(_code(path)):
        assert wanted in targets or (wanted.startswith("bench-") and "bench-%" in targets), f"make {wanted}"


def _alternatives(text: str) -> list[str]:
    """Spell out braces as a shell does."""
    parts = re.split(r"\{([^}]*)\}", text)
    return ["".join(chosen) for chosen in product(*(part.split(",") for part in parts))]


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.shown)
def test_paths_exist(path: Path) -> None:
    for match in _PATH.finditer(_code(path)):
        for name in _alternatives(match[1].rstrip(".,")):
            if name.endswith("__init__.py"):
                continue  # named because it must not be there
            assert (pages.REPOSITORY / name).exists() or (path.parent / name).exists(), f"{name} is not there"


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.shown)
def test_files_given_to_commands_exist(path: Path) -> None:
    for block in pages.blocks(path, "console"):
        commands = [line for line in block.text.splitlines() if line.startswith("$")]
        for name in _FILE_ARGUMENT.findall("\n".join(commands)):
            assert (pages.REPOSITORY / name).exists(), f"{name} is not there"


def test_every_page_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [pages.REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        inside = [link for link in pages.links(page) if not link.startswith("http")]
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in inside]
    assert {pages.shown(path) for path in pages.DOCS.rglob("*.md")} <= {pages.shown(path) for path in seen}


def test_every_example_is_mentioned() -> None:
    text = "\n".join(pages.read(path) for path in pages.PAGES)
    for folder in pages.EXAMPLES.iterdir():
        assert f"examples/{folder.name}" in text


def test_every_decision_says_what_was_weighed() -> None:
    decisions = sorted(path for path in (pages.DOCS / "decisions").glob("*.md") if path.name != "README.md")
    index = pages.links(pages.DOCS / "decisions" / "README.md")
    assert index == [path.name for path in decisions]
    for path in decisions:
        headings = re.findall(r"^## (.+)$", pages.read(path), re.MULTILINE)
        assert headings == ["Context", "Choice", "Alternatives", "Drawbacks"], pages.shown(path)


def test_the_supported_kubernetes_is_that_of_the_chart() -> None:
    chart = yaml.safe_load((pages.REPOSITORY / "charts" / "modelwright" / "Chart.yaml").read_text(encoding="utf-8"))
    minor = re.search(r">=(1\.\d+)", chart["kubeVersion"])
    assert minor is not None
    for name in ("README.md", "docs/operations.md"):
        assert f"Kubernetes {minor[1]} or newer" in pages.flat(pages.REPOSITORY / name)
