"""The page of estimators says what is so, for all of them."""

import re

import pytest

from tests.docs import pages
from tests.estimators import survey
from tests.estimators.survey import Entry

TOLD = {tuple(cells[:2]): cells[2:] for cells in pages.rows(survey.PAGE) if len(cells) == 4}
_FIGURE = re.compile(r"`1e(-\d+)`")


def test_the_page_has_every_classifier_and_regressor_of_scikit_learn() -> None:
    expected = {tuple(survey.label(entry)) for entry in survey.entries()}
    assert {key for key in TOLD if key[0] != "`sklearn.…`"} == expected
    assert len(expected) > 100


@pytest.mark.parametrize("entry", survey.entries(), ids=lambda entry: " ".join(survey.label(entry)))
def test_what_the_page_says_of_it_is_so(entry: Entry) -> None:
    for name, told in zip(entry.tables, TOLD[tuple(survey.label(entry))], strict=True):
        found = survey.outcome(entry, name)
        if told_figure := _FIGURE.fullmatch(told):
            now = _FIGURE.fullmatch(found)
            assert now is not None, f"{name}: served by the page, now {found}"
            # Processors differ in the last bits, so the next power of ten is no news; much more would be.
            assert int(now[1]) <= int(told_figure[1]) + 1, f"{name}: differs by {found}, the page says {told}"
            assert int(now[1]) <= -3
        else:
            assert found == told, name
