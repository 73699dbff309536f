"""What every page has: head, bar, and the place where what changes is put; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_cli.report.markup import Markup, joined, tag

if TYPE_CHECKING:
    from collections.abc import Iterable

MARK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">'
    '<rect width="32" height="32" rx="8" fill="#0969da"/>'
    '<path d="M7 23V9l9 9 9-9v14" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"'
    ' stroke-linejoin="round"/><circle cx="16" cy="23.5" r="2" fill="#fff"/></svg>'
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where all of this is.

    Attributes:
        namespace: that is shown.
        server: address of the API server.
    """

    namespace: str
    server: str


def page(place: Place, title: str, content: Iterable[object], path: Iterable[Markup] = ()) -> str:
    """Return a page.

    Args:
        place: that it is of.
        title: of the window.
        content: what changes while it is looked at.
        path: links to what it is part of.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Modelwright"),
        tag("link", rel="icon", href="/favicon.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href="/dashboard.css"),
        tag("script", src="/dashboard.js"),
    )
    crumbs = tag("nav", tag("ol", *(tag("li", item) for item in path)), aria_label="Where you are", class_="crumbs")
    main = tag("main", crumbs if path else Markup(""), joined(content), id="content", tabindex=-1)
    body = tag("body", tag("a", "Skip to content", href="#content", class_="skip"), _header(place), main, _footer())
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _header(place: Place) -> Markup:
    brand = tag("a", Markup(MARK), tag("span", "Modelwright"), href="/", class_="brand")
    where = tag("p", tag("span", "namespace "), tag("strong", place.namespace), class_="where", title=place.server)
    live = tag(
        "p",
        tag("span", class_="dot", aria_hidden="true"),
        tag("span", "Not live", id="live-said"),
        id="live",
        role="status",
    )
    theme = tag("button", "Theme", type="button", id="theme", hidden="")
    return tag("header", brand, where, tag("div", live, theme, class_="tools"), class_="top")


def _footer() -> Markup:
    said = "This page only reads, with the rights of your kubeconfig. Rollouts are steered by kubectl modelwright."
    return tag("footer", tag("p", said))
