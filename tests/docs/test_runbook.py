"""The runbook has every reason, once; its commands and pictures are there."""

import re
from collections import Counter
from pathlib import Path

import pytest

from modelwright_operator.reasons import Reason
from tests.docs import pages

_RUNBOOK = pages.DOCS / "runbook.md"
_PICTURES = pages.DOCS / "pictures"
_MOST_BYTES = 150 * 1024
_USED = re.compile(r'(?:src|srcset)="([^"]+)"|!\[[^\]]*\]\(([^)\s]+)\)')


def _reasons() -> list[str]:
    """Return what stands in the first column of tables."""
    cells = (row[0] for row in pages.rows(_RUNBOOK))
    return [name for cell in cells for name in re.findall(r"`([A-Za-z]+)`", cell)]


def test_every_reason_has_its_line_once() -> None:
    found = Counter(_reasons())
    assert {name for name, times in found.items() if times > 1} == set()
    assert {reason.value for reason in Reason} - set(found) == set(), "docs/runbook.md lacks them"
    assert set(found) - {reason.value for reason in Reason} == set(), "no such reasons"


def test_every_line_says_where_to_look_and_how_to_decide() -> None:
    for row in pages.rows(_RUNBOOK):
        assert all(row), row
        assert len(row) == 3 or row[1].startswith(("a ", "the ", "monitoring", "retraining", "said by")), row


def test_what_is_stalled_is_not_among_what_is_well() -> None:
    well = pages.read(_RUNBOOK).partition("## Nothing is wrong")[2]
    reference = pages.names(pages.DOCS / "reference" / "reasons.md")
    for name in re.findall(r"`([A-Za-z]+)`", well):
        if name in reference:
            assert "Stalled" not in reference[name][0], name


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.shown)
def test_pictures_of_a_page_are_there(path: Path) -> None:
    for match in _USED.finditer(pages.prose(path)):
        name = match[1] or match[2]
        assert (path.parent / name).exists(), f"{pages.shown(path)}: {name}"


def test_pictures_are_small_and_used() -> None:
    used = {
        (path.parent / (match[1] or match[2])).resolve()
        for path in pages.PAGES
        for match in _USED.finditer(pages.prose(path))
    }
    for picture in _PICTURES.iterdir():
        assert picture.stat().st_size <= _MOST_BYTES, picture.name
        assert picture.resolve() in used, f"{picture.name} is on no page"
