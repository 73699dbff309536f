"""HTML and SVG that is well-formed XML, whatever the texts in it are."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Markup(str):
    """What is markup already; only this module makes it of texts."""

    __slots__ = ()


_VOID = frozenset({"meta", "br", "link", "rect", "line", "circle", "path"})
_REPLACED = "\N{REPLACEMENT CHARACTER}"


def escaped(value: object) -> Markup:
    """Return a text that stands for itself: no markup, and no character that XML forbids or that turns text around."""
    return Markup(html.escape("".join(map(_allowed, str(value))), quote=True))


def tag(name: str, /, *content: object, **attributes: object) -> Markup:
    """Return an element; `Markup` goes in as it is, everything else by `escaped`; `class_` is the attribute `class`.

    Attributes with the value None are left out.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not content:
        return Markup(f"<{name}{said}/>")
    return Markup(f"<{name}{said}>{joined(content)}</{name}>")


def joined(items: Iterable[object]) -> Markup:
    """Return one after the other, escaped where it is not markup."""
    return Markup("".join(item if isinstance(item, Markup) else escaped(item) for item in items))


def _allowed(character: str) -> str:
    code = ord(character)
    if character in "\t\n":
        return character
    if code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE:  # noqa: PLR2004
        return _REPLACED
    if 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:  # noqa: PLR2004 - they turn the text after them around
        return _REPLACED
    return character
