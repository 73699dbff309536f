"""The pages as text: links, anchors, code blocks, tables; and the YAML documents of blocks and examples."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
EXAMPLES = REPOSITORY / "examples"
PAGES = sorted(
    [
        *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md")),
        *DOCS.rglob("*.md"),
        REPOSITORY / "charts" / "modelwright" / "README.md",
        *(REPOSITORY / ".github").glob("*.md"),
    ]
)

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and its text without the indentation of a list."""

    language: str
    text: str


def shown(path: Path) -> str:
    """Return a path as a test's name shows it."""
    return str(path.relative_to(REPOSITORY))


def read(path: Path) -> str:
    """Return a page's text."""
    return path.read_text(encoding="utf-8")


def flat(path: Path) -> str:
    """Return a page's text on one line, for phrases that may be broken anywhere."""
    return " ".join(read(path).split())


def blocks(path: Path, language: str = "") -> list[Block]:
    """Return a page's fenced blocks, of one language if one is named."""
    found = [
        Block(match["language"], "\n".join(line.removeprefix(match["indent"]) for line in match["text"].splitlines()))
        for match in _FENCE.finditer(read(path))
    ]
    return [block for block in found if language in {"", block.language}]


def prose(path: Path) -> str:
    """Return a page's text without its fenced blocks."""
    return _FENCE.sub("", read(path))


def links(path: Path) -> list[str]:
    """Return the targets of a page's links."""
    return [match["target"] for match in _LINK.finditer(re.sub(r"`[^`\n]+`", "", prose(path)))]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = (match["text"].strip().lower() for match in _HEADING.finditer(prose(path)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def rows(path: Path, section: str = "") -> Iterator[list[str]]:
    """Yield the cells of each table row, without the heads, of one section (a second-level heading) if one is named."""
    text = prose(path)
    if section:
        text = text.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    for line in text.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|\-: ]+", line):
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def names(path: Path, section: str = "") -> dict[str, list[str]]:
    """Return the further cells of the rows that begin with a name in backticks, by that name.

    Raises:
        AssertionError: a name has two rows.
    """
    found: dict[str, list[str]] = {}
    for cells in rows(path, section):
        if match := re.fullmatch(r"`([^`]+)`", cells[0]):
            assert match[1] not in found, f"{shown(path)} has two rows for {match[1]}"
            found[match[1]] = cells[1:]
    return found


def documents(text: str) -> list[dict[str, Any]]:
    """Return the YAML documents in a text."""
    return [document for document in yaml.safe_load_all(text) if document is not None]
