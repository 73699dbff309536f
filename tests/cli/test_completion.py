"""kubectl's completion of the command: commands, options, names, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelwright_cli.completion import FILES, NO_FILES, complete

if TYPE_CHECKING:
    from modelwright_cli.options import Target


def names(target: Target, kind: str) -> list[str]:
    return [f"{kind.lower()}-of-{target.namespace or 'default'}", "churn"]


@pytest.mark.parametrize(
    ("words", "candidates", "directive"),
    [
        (["re"], ["reject", "report", "reproduce", "retry"], NO_FILES),
        (["get", "c"], ["churn"], NO_FILES),
        (["get", "-n", "team", ""], ["deployment-of-team", "churn"], NO_FILES),
        (["compare", "churn", "--namespace=team", "model"], ["modelversion-of-team"], NO_FILES),
        (["get", "--n"], ["--namespace"], NO_FILES),
        (["get", "-o", ""], ["json", "text"], NO_FILES),
        (["get", "--context", ""], [], NO_FILES),
        (["report", "churn", "-o", ""], [], FILES),
        (["predict", "churn", "--csv", ""], [], FILES),
        (["validate", ""], [], FILES),
        (["export", "c"], ["cyclonedx"], NO_FILES),
        (["export", "cyclonedx", "model"], ["modelversion-of-default"], NO_FILES),
        (["export", "cyclonedx", "churn", "-o", ""], [], FILES),
        (["nothing", ""], [], NO_FILES),
    ],
)
def test_what_may_come_next(words: list[str], candidates: list[str], directive: int) -> None:
    assert complete(words, names) == (candidates, directive)
