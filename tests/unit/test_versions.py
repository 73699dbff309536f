"""Which version a Deployment should serve."""

from __future__ import annotations

import itertools

import pytest

from modelwright_operator import api
from modelwright_operator.decide import versions
from tests.support import builders as make

Maker = make.Maker


def typed(maker: Maker) -> api.ModelVersion:
    return api.ModelVersion.model_validate(maker.stored())


def revision(maker: Maker) -> api.Revision:
    version = typed(maker)
    return api.Revision(
        revision="r",
        version=version.metadata.name,
        model=version.spec.model,
        digest=version.spec.artifact.digest,
        version_created_at=version.metadata.creation_timestamp,
    )


LATEST = api.ModelReference(name="churn", follow="Latest")
OLD, MIDDLE, NEW = (make.verified(seed, age_seconds=age) for seed, age in (("a", 30), ("b", 20), ("c", 10)))


@pytest.mark.parametrize("order", list(itertools.permutations((OLD, MIDDLE, NEW))))
def test_the_newest_is_chosen_in_whatever_order_they_come(order: tuple[Maker, ...]) -> None:
    chosen = versions.chosen(LATEST, [typed(item) for item in order], None)
    assert isinstance(chosen, api.ModelVersion)
    assert chosen.metadata.name == NEW.raw["metadata"]["name"]


def test_two_of_the_same_second_are_told_apart_by_name() -> None:
    pair = [typed(make.verified("a")), typed(make.verified("b"))]
    assert versions.chosen(LATEST, pair, None) == versions.chosen(LATEST, pair[::-1], None)


def test_stable_is_never_followed_by_an_older_one_although_it_is_not_verified_any_more() -> None:
    stable = make.model_version("c")
    chosen = versions.chosen(LATEST, [typed(OLD), typed(stable)], revision(stable))
    assert isinstance(chosen, api.ModelVersion)
    assert chosen.metadata.name == stable.raw["metadata"]["name"]


def test_a_deleted_stable_version_is_not_followed_by_an_older_one() -> None:
    chosen = versions.chosen(LATEST, [typed(OLD)], revision(MIDDLE))
    assert isinstance(chosen, versions.NoVersion)
    assert (chosen.reason.value, chosen.waiting) == ("VersionNotFound", False)
    assert versions.chosen(LATEST, [typed(OLD), typed(NEW)], revision(MIDDLE)) == typed(NEW)


def test_another_model_may_be_older() -> None:
    other = make.verified("c", model="other")
    chosen = versions.chosen(LATEST, [typed(OLD), typed(other)], revision(other))
    assert isinstance(chosen, api.ModelVersion)
    assert chosen.metadata.name == OLD.raw["metadata"]["name"]


@pytest.mark.parametrize(
    ("given", "reason", "waiting"),
    [
        pytest.param((), "VersionNotFound", False, id="absent"),
        pytest.param((make.model_version("a"),), "VersionNotVerified", True, id="in verification"),
        pytest.param(
            (make.model_version("a").condition("Stalled", reason="DigestMismatch", message="why"),),
            "VersionNotVerified",
            False,
            id="refused",
        ),
    ],
)
def test_a_version_that_cannot_be_served(given: tuple[Maker, ...], reason: str, *, waiting: bool) -> None:
    pinned = api.ModelReference(version=make.model_version("a").raw["metadata"]["name"])
    chosen = versions.chosen(pinned, [typed(item) for item in given], None)
    assert isinstance(chosen, versions.NoVersion)
    assert (chosen.reason.value, chosen.waiting) == (reason, waiting)
    assert pinned.version is not None
    assert pinned.version in chosen.message
