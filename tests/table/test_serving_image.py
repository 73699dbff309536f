"""The serving image: an upgrade of the operator rolls nothing out, asking for it does, by the normal rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.plan import rollouts
from modelwright_operator.render import serving
from tests.support import builders as make
from tests.table.planning import Planned, planned, revision_of, service_of, workload_of

Raw = dict[str, Any]

OLD = make.SETTINGS
NEW = replace(OLD, serving_image="example.test/serving:2")
NEWEST = replace(OLD, serving_image="example.test/serving:3")
AUTOMATIC = replace(NEW, serving_upgrade_automatically=True)
VERSION = make.verified("a", age_seconds=100)
NEXT = make.verified("b", age_seconds=50)


def serves(**spec: Any) -> tuple[make.Maker, tuple[Any, ...]]:
    """Return a Deployment whose pods run the old image, and its children."""
    subject = make.deployment().spec(model={"name": "churn", "follow": "Latest"}, **spec)
    subject = subject.status(stable=revision_of(subject, VERSION)).condition("Ready", reason="Available")
    return subject, (workload_of(subject, VERSION), service_of(subject, VERSION))


def asking(subject: make.Maker, settings: Any = NEW) -> make.Maker:
    return subject.annotated(naming.ANNOTATION_SERVING_IMAGE, settings.serving_image)


def image_of(workload: Raw) -> str:
    [server] = workload["spec"]["template"]["spec"]["containers"]
    return str(server["image"])


def hashed(subject: make.Maker, version: make.Maker, settings: Any) -> str:
    typed = api.Deployment.model_validate(subject.stored()), api.ModelVersion.model_validate(version.stored())
    return serving.revision_hash(*typed, settings.serving_image)


def workload_applied(plan: Planned) -> Raw:
    [found] = [apply.manifest for apply in plan.plan.apply if apply.kind == "Deployment"]
    return found


def promoted(plan: Planned) -> tuple[Raw, Raw]:
    """Return the revision that came up, and its workload as the cluster has it once all its pods are ready."""
    workload = make.stored(workload_applied(plan))
    workload["metadata"]["resourceVersion"] = "30"
    workload["status"] = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    return plan.status["canary"], workload


@pytest.mark.parametrize("rollout", [{}, {"rollout": {"steps": [{"weight": 10, "hold": {"minSeconds": 60}}]}}])
def test_an_upgrade_of_the_operator_rolls_nothing_out_and_says_that_there_is_more(rollout: Raw) -> None:
    subject, children = serves(**rollout)
    before = planned(subject, VERSION, *children, settings=OLD)
    assert before.status["serving"] == {"image": OLD.serving_image}
    plan = planned(subject, VERSION, *children, settings=NEW)
    assert "canary" not in plan.status
    assert not [apply for apply in plan.plan.apply if apply.kind == "Deployment"]
    assert not plan.deletes
    assert plan.status["serving"] == {"image": OLD.serving_image, "available": NEW.serving_image}
    again = planned(subject.status(**plan.status), VERSION, *children, settings=NEW)
    assert again.plan.status is None, "and says so once"


@pytest.mark.parametrize("settings", [NEW, AUTOMATIC], ids=["asked", "automatic"])
def test_who_asks_gets_a_revision_of_the_same_version_with_the_new_image(settings: Any) -> None:
    subject, children = serves()
    subject = asking(subject) if settings is NEW else subject
    plan = planned(subject, VERSION, *children, settings=settings)
    workload = workload_applied(plan)
    assert image_of(workload) == NEW.serving_image
    assert plan.status["canary"]["version"] == plan.status["stable"]["version"]
    assert plan.status["canary"]["image"] == NEW.serving_image
    assert not plan.deletes, "what answers goes on until the other is ready"

    # Once it answers, there is no more to do, and the old pods go.
    revision, ready = promoted(plan)
    after = planned(subject.status(**plan.status), VERSION, *children, ready, settings=settings)
    assert after.status["stable"] == revision
    done = subject.status(**{**after.status, "canary": None})
    service = {
        **children[1],
        "spec": {**children[1]["spec"], "selector": after.manifest("Service")["spec"]["selector"]},
    }
    last = planned(done, VERSION, service, ready, settings=settings)
    assert last.status["serving"] == {"image": NEW.serving_image}
    assert "canary" not in last.status


def test_it_goes_by_the_steps_where_there_are_steps() -> None:
    subject, children = serves(rollout={"steps": [{"weight": 10, "hold": {"minSeconds": 60}}]})
    plan = planned(asking(subject), VERSION, *children, settings=NEW)
    assert plan.status["rollout"]["phase"] == "Starting"
    assert plan.status["canary"]["revision"] == hashed(subject, VERSION, NEW)
    assert plan.status["history"][-1]["event"] == "RolloutStarted"


def test_an_upgrade_in_the_middle_of_a_rollout_goes_on_with_it() -> None:
    subject, children = serves(rollout={"steps": [{"weight": 10, "hold": {"minSeconds": 60}}]})
    under_way = planned(asking(subject), VERSION, *children, settings=NEW)
    canary = make.stored(workload_applied(under_way))
    subject = subject.status(**under_way.status)
    for settings in (NEW, NEWEST):
        plan = planned(subject, VERSION, *children, canary, settings=settings)
        assert plan.status["canary"] == under_way.status["canary"]
        assert not [apply for apply in plan.plan.apply if apply.kind == "Deployment" and apply.observed is None]
    superseded = planned(asking(subject, NEWEST), VERSION, *children, canary, settings=NEWEST)
    assert superseded.status["canary"]["revision"] == hashed(subject, VERSION, NEWEST)


def test_a_new_version_brings_the_image_along_and_asking_then_changes_nothing() -> None:
    subject, children = serves()
    plan = planned(subject, VERSION, NEXT, *children, settings=NEW)
    assert image_of(workload_applied(plan)) == NEW.serving_image
    assert "image" not in plan.status["canary"]
    revision, ready = promoted(plan)
    subject = subject.status(stable=revision)
    for settings in (NEW, AUTOMATIC):
        asked = planned(asking(subject), VERSION, NEXT, service_of(subject, NEXT), ready, settings=settings)
        assert "canary" not in asked.status, "its pods run it already"


@pytest.mark.parametrize("value", ["", "example.test/other:9", "x" * 3000])
def test_an_image_that_is_not_the_operators_is_never_run(value: str) -> None:
    subject, children = serves()
    subject.annotated(naming.ANNOTATION_SERVING_IMAGE, value)
    plan = planned(subject, VERSION, *children, settings=NEW)
    assert "canary" not in plan.status
    assert not [apply for apply in plan.plan.apply if apply.kind == "Deployment"]


def test_an_upgrade_that_was_rolled_back_is_not_tried_again() -> None:
    subject, children = serves(rollout={"steps": [{"weight": 10, "hold": {"minSeconds": 60}}]})
    wanted = asking(subject)
    under_way = planned(wanted, VERSION, *children, settings=NEW).status["canary"]
    rejection = {
        "revision": under_way["revision"],
        "version": under_way["version"],
        "reason": "CanaryBroken",
        "message": "it failed",
        "at": "2026-01-01T00:00:00Z",
        "attempts": 1,
        "reference": rollouts.reference_of(api.Deployment.model_validate(wanted.stored())),
    }
    plan = planned(wanted.status(rejected=[rejection]), VERSION, *children, settings=NEW)
    assert "canary" not in plan.status
    assert plan.conditions["Stalled"] == "True/RolledBack"
