"""What goes to a terminal: tables and trees of plain text, or JSON; pure.

Names, messages and categories are other people's: no control character of theirs reaches a terminal.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Node:
    """A line of a tree, and those below it."""

    said: str
    below: tuple[Node, ...] = ()


def clean(value: object) -> str:
    r"""Return a text on one line, without characters that a terminal would obey.

    >>> clean("red\x1b[31m\n text")
    'red?[31m text'
    """
    said = " ".join(str(value).split())
    return "".join("?" if unicodedata.category(character) in {"Cc", "Cf", "Cs"} else character for character in said)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return columns as wide as they must be.

    >>> print(table(("name", "ready"), [("churn", True)]))
    NAME    READY
    churn   True
    """
    lines = [[name.upper() for name in head], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("   ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def tree(node: Node) -> str:
    """Return a tree with its branches drawn.

    >>> print(tree(Node("a", (Node("b", (Node("c"),)), Node("d")))))
    a
    ├─ b
    │  └─ c
    └─ d
    """
    return "\n".join([clean(node.said), *_branches(node, "")])


def _branches(node: Node, before: str) -> Iterator[str]:
    for at, child in enumerate(node.below):
        last = at == len(node.below) - 1
        yield f"{before}{'└─ ' if last else '├─ '}{clean(child.said)}"
        yield from _branches(child, before + ("   " if last else "│  "))


def document(value: object) -> str:
    """Return JSON for programs."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def nested(node: Node) -> dict[str, object]:
    """Return a tree for programs."""
    return {"name": node.said, "below": [nested(child) for child in node.below]}
