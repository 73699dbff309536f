"""Which versions are beyond the number that is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelwright_operator.decide.retention import Sibling, shared, sibling, superfluous
from tests.support import builders as make
from tests.table.test_retention import made


def some(name: str, since: str = "1", model: str = "m", *, protected: bool = False, ours: bool = True) -> Sibling:
    return Sibling(name, model, f"pvc://c/{name}", since, protected, ours)


def test_the_newest_of_those_that_nothing_protects_are_kept() -> None:
    family = [
        some("old", "1"),
        some("used", "0", protected=True),
        some("imported", "0", ours=False),
        some("other", "0", model="n"),
        some("new", "3"),
        some("middle", "2"),
    ]
    gone = {keep: [item.name for item in family if superfluous(item.name, family, keep)] for keep in (0, 1, 2, 3)}
    assert gone == {0: [], 1: ["old", "middle"], 2: ["old"], 3: []}
    assert not superfluous("absent", family, 1)


@pytest.mark.parametrize("uri", ["s3://models/churn/", "https://models.test/churn/"])
def test_an_artifact_in_an_object_store_is_not_ours_to_remove(uri: str) -> None:
    version = made("a")
    assert sibling(version.raw, frozenset()).ours
    version.raw["spec"]["artifact"]["uri"] = uri + make.digest("a").removeprefix("sha256:")
    assert not sibling(version.raw, frozenset()).ours


def test_what_is_approved_is_protected() -> None:
    """As soon as there is such a field."""
    version = made("a")
    version.raw["spec"]["approval"] = {"state": "Approved", "by": "ana@example.test"}
    assert sibling(version.raw, frozenset()).protected


def test_an_artifact_is_shared_where_two_name_it() -> None:
    twin = replace(some("a"), name="b")
    assert shared("a", [some("a"), twin])
    assert not shared("a", [some("a"), some("b")])
