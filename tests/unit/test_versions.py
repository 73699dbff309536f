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


def refused(seed: str, reason: str = "ModelRejected", age_seconds: int = 0) -> Maker:
    said = f"{reason}/NotONNX: no model"
    maker = make.verified(seed, age_seconds=age_seconds).condition("Ready", "False", reason, said)
    return maker.condition("Stalled", reason=reason, message=said).condition("Verified", "False", reason, said)


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
            (make.model_version("a").condition("Stalled", reason="VolumeClaimNotFound", message="why"),),
            "VersionNotVerified",
            False,
            id="cannot be verified",
        ),
        pytest.param((refused("a", reason="DigestMismatch"),), "DigestMismatch", False, id="refused"),
        pytest.param((refused("a"),), "ModelRejected", False, id="model rejected"),
        pytest.param((refused("a", reason="OfALaterVersion"),), "VersionNotVerified", False, id="unknown reason"),
    ],
)
def test_a_version_that_cannot_be_served(given: tuple[Maker, ...], reason: str, *, waiting: bool) -> None:
    pinned = api.ModelReference(version=make.model_version("a").raw["metadata"]["name"])
    chosen = versions.chosen(pinned, [typed(item) for item in given], None)
    assert isinstance(chosen, versions.NoVersion)
    assert (chosen.reason.value, chosen.waiting) == (reason, waiting)
    assert pinned.version is not None
    assert pinned.version in chosen.message


NOTHING: tuple[Maker, ...] = ()


@pytest.mark.parametrize(
    ("others", "since", "named"),
    [
        pytest.param((refused("d"),), NEW, "churn-dddddddddd", id="the newest was refused"),
        pytest.param((refused("d"),), None, "churn-dddddddddd", id="there is nothing else"),
        pytest.param(NOTHING, NEW, None, id="the newest is served"),
        pytest.param((refused("d", age_seconds=25),), NEW, None, id="an old one was refused"),
        pytest.param((make.model_version("d"),), NEW, None, id="the newest is being verified"),
        pytest.param((refused("d", age_seconds=5), make.verified("e")), NEW, None, id="a newer one was accepted since"),
    ],
)
def test_a_refused_version_that_would_have_followed_is_named(
    others: tuple[Maker, ...], since: Maker | None, named: str | None
) -> None:
    found = versions.passed_over(
        LATEST, [typed(item) for item in (OLD, *others, MIDDLE, NEW)], typed(since) if since else None
    )
    assert found == (named and f"ModelVersion {named} was not accepted: ModelRejected/NotONNX: no model")


def test_of_a_pinned_version_nothing_is_passed_over() -> None:
    pinned = api.ModelReference(version=NEW.raw["metadata"]["name"])
    assert versions.passed_over(pinned, [typed(NEW), typed(refused("d"))], typed(NEW)) is None
