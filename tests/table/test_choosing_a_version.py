"""Deployment: which version it serves, and what it says where there is none that it could."""

from __future__ import annotations

import pytest

from tests.support import builders as make
from tests.table.planning import planned, revision_of, service_of, workload_of
from tests.table.test_deployment import NAME_A, NAME_B, A, B, pinned, serving

SAID = "ModelRejected/ExternalData: the tensor w lies outside the file"


def refused(seed: str) -> make.Maker:
    """Return a version whose model was rejected, made after A."""
    stalled = make.model_version(seed).condition("Stalled", reason="ModelRejected", message=SAID)
    return stalled.condition("Verified", "False", "ModelRejected", SAID)


@pytest.mark.parametrize(
    ("subject", "others", "conditions"),
    [
        pytest.param(pinned("absent"), (), "Stalled: True/VersionNotFound", id="pinned, absent"),
        pytest.param(
            pinned(), (make.model_version("a"),), "Reconciling: True/VersionNotVerified", id="pinned, being verified"
        ),
        pytest.param(
            pinned(),
            (make.model_version("a").condition("Stalled", reason="VolumeClaimNotFound"),),
            "Stalled: True/VersionNotVerified",
            id="pinned, cannot be verified",
        ),
        pytest.param(pinned(), (refused("a"),), "Stalled: True/ModelRejected", id="pinned, refused"),
        pytest.param(make.deployment(), (refused("a"),), "Reconciling: True/NoVersion", id="following, refused"),
        pytest.param(make.deployment(), (), "Reconciling: True/NoVersion", id="following, none"),
        pytest.param(
            make.deployment(), (make.model_version("a"),), "Reconciling: True/NoVersion", id="following, none verified"
        ),
    ],
)
def test_nothing_to_serve(subject: make.Maker, others: tuple[make.Maker, ...], conditions: str) -> None:
    plan = planned(subject, *others)
    kind, _, expected = conditions.partition(": ")
    assert plan.conditions[kind] == expected
    assert plan.conditions["Available"] == "False/Unavailable"
    assert (plan.applies, plan.deletes) == ([], [])


@pytest.mark.parametrize("wanted", ["absent", NAME_B], ids=["absent", "refused"])
def test_an_unusable_version_leaves_what_serves_alone(wanted: str) -> None:
    subject = serving(A).spec(model={"version": wanted})
    plan = planned(subject, A, refused("b"), workload_of(serving(A), A), service_of(serving(A), A))
    assert (plan.applies, plan.deletes) == ([], [])
    assert plan.conditions["Available"] == "True/Available"
    assert plan.conditions["Stalled"] == ("True/VersionNotFound" if wanted == "absent" else "True/ModelRejected")
    assert f"{NAME_A} goes on answering" in plan.messages
    assert (SAID in plan.messages) == (wanted == NAME_B)


def test_a_follower_serves_on_and_names_the_newer_version_that_was_refused() -> None:
    subject = make.deployment()
    subject = subject.status(stable=revision_of(subject, A)).condition("Ready", reason="Available")
    children = (A, workload_of(subject, A), service_of(subject, A))
    before = planned(subject, *children)
    assert SAID not in before.messages
    plan = planned(subject, *children, refused("b"))
    assert (plan.applies, plan.deletes) == ([], [])
    assert plan.conditions == {"Ready": "True/Available", "Available": "True/Available"}
    assert f"{NAME_A} answers requests; ModelVersion {NAME_B} was not accepted: {SAID}" in plan.messages


@pytest.mark.parametrize(
    ("stable", "others", "chosen"),
    [
        pytest.param(None, (A, B), NAME_B, id="the newest"),
        pytest.param(A, (A, B), NAME_B, id="a newer one than stable"),
        pytest.param(B, (A, B), NAME_B, id="never an older one"),
        pytest.param(None, (A, make.model_version("b")), NAME_A, id="none that is not verified"),
        pytest.param(None, (A, make.verified("b", model="other")), NAME_A, id="none of another model"),
    ],
)
def test_following(stable: make.Maker | None, others: tuple[make.Maker, ...], chosen: str) -> None:
    subject = make.deployment()
    if stable is not None:
        subject = subject.status(stable=revision_of(subject, stable))
    plan = planned(subject, *others)
    serves = plan.status.get("canary") or plan.status["stable"]
    assert serves["version"] == chosen
