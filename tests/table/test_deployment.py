"""Deployment: what one pass does in every situation."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.decide.snapshot import Refusal
from modelwright_operator.reasons import Reason
from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import Planned, planned, revision_of, service_of, workload_of

Raw = dict[str, Any]

A, B = make.verified("a", age_seconds=100), make.verified("b", age_seconds=50)
NAME_A, NAME_B = A.raw["metadata"]["name"], B.raw["metadata"]["name"]


def pinned(version: str = NAME_A, **spec: Any) -> make.Maker:
    return make.deployment(version=version).spec(**spec)


def serving(version: make.Maker = A, wanted: make.Maker | None = None, **spec: Any) -> make.Maker:
    """Return a Deployment that serves a version and wants another, or the same."""
    subject = pinned((wanted or version).raw["metadata"]["name"], **spec)
    return subject.status(stable=revision_of(subject, version)).condition("Ready", reason="Available")


def world(subject: make.Maker, version: make.Maker = A, *, ready: int | None = None, **spec: Any) -> tuple[Any, ...]:
    """Return the children of a Deployment at rest on a version."""
    return (A, B, workload_of(subject, version, ready=ready, **spec), service_of(subject, version))


def workload_name(subject: make.Maker, version: make.Maker) -> str:
    return f"Deployment/churn-{revision_of(subject, version)['revision']}"


def test_a_new_deployment_brings_its_version_up() -> None:
    plan = planned(pinned(), A)
    assert plan.applies == [workload_name(pinned(), A)]
    assert plan.conditions == {
        "Ready": "False/RollingOut",
        "Reconciling": "True/RollingOut",
        "Available": "False/Unavailable",
    }
    assert plan.status["canary"] == revision_of(pinned(), A)
    assert "stable" not in plan.status
    assert "url" not in plan.status
    assert plan.events == ["Normal/RollingOut"]


def test_a_ready_version_gets_the_service_and_the_name_stable() -> None:
    subject = pinned()
    plan = planned(subject, A, workload_of(subject, A))
    assert plan.applies == ["Service/churn"]
    assert plan.deletes == []
    assert plan.conditions == {"Ready": "True/Available", "Available": "True/Available"}
    assert plan.status["stable"] == revision_of(subject, A)
    assert plan.status["url"] == "http://churn.team.svc"
    assert plan.status["readyReplicas"] == 1
    assert f"modelwright.dev/revision={revision_of(subject, A)['revision']}" in plan.status["selector"]
    assert [(item.resource, item.resource_version) for item in plan.plan.confirm] == [("modeldeployments", "10")]


def test_at_rest_nothing_is_written() -> None:
    subject = serving()
    first = planned(subject, *world(subject))
    settled = subject.status(**first.status)
    again = planned(settled, *world(subject))
    assert not again.plan.writes
    assert again.plan.requeue_after is None


def test_the_next_version_comes_up_beside_the_old_one() -> None:
    subject = serving(A, wanted=B)
    plan = planned(subject, *world(subject))
    assert plan.applies == [workload_name(subject, B)]
    assert plan.deletes == []
    assert plan.conditions["Reconciling"] == "True/RollingOut"
    assert plan.conditions["Available"] == "True/Available"
    assert plan.status["stable"]["version"] == NAME_A
    assert plan.status["canary"]["version"] == NAME_B
    assert f"{NAME_A} goes on answering" in plan.messages


def test_promotion_moves_the_service_and_deletes_nothing_yet() -> None:
    subject = serving(A, wanted=B)
    plan = planned(subject, *world(subject), workload_of(subject, B))
    assert plan.applies == ["Service/churn"]
    assert plan.manifest("Service")["spec"]["selector"][naming.LABEL_REVISION] == revision_of(subject, B)["revision"]
    assert plan.deletes == []
    assert (plan.status["stable"]["version"], plan.status["previous"]["version"]) == (NAME_B, NAME_A)
    assert "canary" not in plan.status
    assert plan.plan.confirm != ()


def test_the_old_workload_goes_once_the_service_was_seen_to_point_elsewhere() -> None:
    subject = serving(B)
    moved = (A, B, workload_of(subject, B), workload_of(subject, A), service_of(subject, B))
    plan = planned(subject, *moved)
    assert plan.applies == []
    assert plan.deletes == [workload_name(subject, A)]
    assert plan.plan.confirm != ()


def test_the_old_workload_stays_while_the_service_still_points_at_it() -> None:
    """As after a crash between the status and the Service, or when somebody edited the Service."""
    subject = serving(B)
    plan = planned(subject, A, B, workload_of(subject, B), workload_of(subject, A), service_of(subject, A))
    assert plan.applies == ["Service/churn"]
    assert plan.deletes == []


@pytest.mark.parametrize("ready", [0, 1])
def test_no_promotion_before_every_pod_is_ready(ready: int) -> None:
    subject = serving(A, wanted=B, replicas=2)
    plan = planned(subject, *world(subject), workload_of(subject, B, ready=ready))
    assert "Service" not in plan.kinds
    assert plan.status["stable"]["version"] == NAME_A


def test_no_promotion_on_a_status_of_an_earlier_spec() -> None:
    subject = serving(A, wanted=B)
    canary = workload_of(subject, B)
    canary["metadata"]["generation"] = 2
    assert planned(subject, *world(subject), canary).status["stable"]["version"] == NAME_A


def test_no_promotion_of_another_size_than_is_asked_for() -> None:
    subject = serving(A, wanted=B, replicas=1)
    plan = planned(subject, *world(subject), workload_of(subject, B, replicas=3))
    assert plan.status["stable"]["version"] == NAME_A
    assert plan.manifest("Deployment")["spec"]["replicas"] == 1


def test_no_promotion_while_the_service_is_refused() -> None:
    """The status would say what no client sees."""
    subject = serving(A, wanted=B)
    refusal = Refusal("Service", "churn", Reason.FORBIDDEN, "no")
    plan = planned(subject, *world(subject), workload_of(subject, B), refusals=(refusal,))
    assert plan.status["stable"]["version"] == NAME_A
    assert (plan.applies, plan.deletes) == ([], [])


def test_changing_back_during_a_rollout_drops_the_canary_alone() -> None:
    subject = serving(A).status(canary=revision_of(pinned(), B))
    plan = planned(subject, *world(subject), workload_of(subject, B, ready=0))
    assert plan.applies == []
    assert plan.deletes == [workload_name(subject, B)]
    assert plan.conditions == {"Ready": "True/Available", "Available": "True/Available"}


def _canary_pod(subject: make.Maker, status: Raw) -> Raw:
    return kubelet.serving_pod(workload_of(subject, B, ready=0), {"phase": "Pending", **status})


DIGEST = {"stage": "fetch", "reason": "DigestMismatch", "message": "model.onnx is not what its digest says"}
STORAGE = {"stage": "fetch", "reason": "StorageUnavailable", "message": "input/output error"}


@pytest.mark.parametrize(
    ("statuses", "conditions"),
    [
        pytest.param(
            [kubelet.terminated("fetch", 2, DIGEST), kubelet.waiting("server")],
            "Stalled: True/DigestMismatch",
            id="for good",
        ),
        pytest.param(
            [kubelet.terminated("fetch", 1, STORAGE), kubelet.waiting("server")],
            "Reconciling: True/StorageUnavailable",
            id="may pass",
        ),
        pytest.param(
            [
                kubelet.waiting(
                    "fetch", "CrashLoopBackOff", lastState=kubelet.terminated("fetch", 1, STORAGE)["state"]
                ),
                kubelet.waiting("server"),
            ],
            "Reconciling: True/StorageUnavailable",
            id="may pass, again and again",
        ),
        pytest.param(
            [
                kubelet.terminated("fetch", 0, {"stage": "fetch"}),
                kubelet.waiting(
                    "server", "CrashLoopBackOff", lastState=kubelet.terminated("server", 1, "boom")["state"]
                ),
            ],
            "Stalled: True/CrashLooping",
            id="crash loop",
        ),
        pytest.param(
            [
                kubelet.terminated("fetch", 0, {"stage": "fetch"}),
                kubelet.waiting(
                    "server",
                    "CrashLoopBackOff",
                    lastState=kubelet.terminated("server", 137, reason="OOMKilled")["state"],
                ),
            ],
            "Stalled: True/OutOfMemory",
            id="out of memory",
        ),
        pytest.param(
            [kubelet.waiting("fetch", "ErrImagePull", "no such image"), kubelet.waiting("server")],
            "Stalled: True/ImagePullFailed",
            id="image",
        ),
    ],
)
def test_a_version_that_cannot_start_says_why_and_touches_nothing(statuses: list[Raw], conditions: str) -> None:
    subject = serving(A, wanted=B)
    pod = _canary_pod(subject, kubelet.pod_status(statuses, "Pending"))
    plan = planned(subject, *world(subject), workload_of(subject, B, ready=0), pod)
    kind, _, expected = conditions.partition(": ")
    assert plan.conditions[kind] == expected
    assert plan.conditions["Available"] == "True/Available"
    assert (plan.applies, plan.deletes) == ([], [])
    assert f"{NAME_A} goes on answering" in plan.messages
    assert plan.plan.requeue_after == 15


def test_what_keeps_a_version_from_starting_past_its_deadline_is_still_said() -> None:
    subject = serving(A, wanted=B)
    late = workload_of(subject, B, ready=0)
    late["status"]["conditions"] = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    pod = _canary_pod(subject, kubelet.pod_status([kubelet.terminated("fetch", 1, STORAGE), kubelet.waiting("server")]))
    plan = planned(subject, *world(subject), late, pod)
    assert plan.conditions["Stalled"] == "True/ProgressDeadlineExceeded"
    assert "input/output error" in plan.messages


def test_a_memory_kill_long_ago_is_no_trouble_now() -> None:
    subject = serving(A, replicas=3)
    killed = kubelet.terminated("server", 137, reason="OOMKilled")["state"]
    old = kubelet.serving_pod(
        workload_of(subject, A),
        {"phase": "Running", "containerStatuses": [kubelet.running("server", lastState=killed)]},
    )
    plan = planned(subject, *world(subject, ready=2), old)
    assert plan.conditions["Reconciling"] == "True/Scaling"


def test_scaling_keeps_the_revision() -> None:
    subject = serving(A)
    rest = world(subject)
    plan = planned(subject.spec(replicas=3), *rest)
    assert plan.applies == [workload_name(subject, A), "PodDisruptionBudget/churn"]
    assert plan.manifest("Deployment")["spec"]["replicas"] == 3
    assert plan.conditions["Reconciling"] == "True/Scaling"
    assert plan.conditions["Available"] == "True/Available"


def test_one_replica_needs_no_disruption_budget() -> None:
    many = serving(A, replicas=2)
    budget = planned(many, *world(many)).manifest("PodDisruptionBudget")
    subject = serving(A)
    plan = planned(subject, *world(subject), make.stored(budget))
    assert plan.deletes == ["PodDisruptionBudget/churn"]


def test_scaled_to_zero_is_ready_and_says_that_nothing_answers() -> None:
    subject = serving(A, replicas=0)
    plan = planned(subject, *world(subject))
    assert plan.conditions == {"Ready": "True/ScaledToZero", "Available": "False/ScaledToZero"}


def test_a_child_deleted_by_hand_comes_back() -> None:
    subject = serving(A)
    assert planned(subject, A, workload_of(subject, A)).applies == ["Service/churn"]
    plan = planned(subject, A, service_of(subject, A))
    assert plan.applies == [workload_name(subject, A)]
    assert plan.conditions["Reconciling"] == "True/Scaling"
    assert plan.conditions["Available"] == "False/Unavailable"


def test_a_child_edited_by_hand_is_put_back() -> None:
    subject = serving(A)
    edited = service_of(subject, A)
    edited["spec"]["selector"] = {"app": "else"}
    assert planned(subject, A, workload_of(subject, A), edited).applies == ["Service/churn"]


def test_pods_keep_the_template_they_were_made_with() -> None:
    """An upgraded operator would render another one; what runs is not restarted, and a hand's edit is undone."""
    subject = serving(A)
    older = workload_of(subject, A)
    template = older["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "example.test/serving:0"
    older["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE] = naming.canonical_json(template)
    plan = planned(subject, A, older, service_of(subject, A))
    images = [item["spec"]["template"]["spec"]["containers"][0]["image"] for item in _workloads(plan)]
    assert set(images) <= {"example.test/serving:0"}


def _workloads(plan: Planned) -> list[Raw]:
    return [apply.manifest for apply in plan.plan.apply if apply.kind == "Deployment"]


def test_a_deployment_in_deletion_is_left_alone() -> None:
    assert not planned(pinned().deleting(), A).plan.writes


@pytest.mark.parametrize("reason", [Reason.FORBIDDEN, Reason.NAME_CONFLICT, Reason.CHILD_REJECTED])
def test_a_refused_child_is_said_and_nothing_else_is_tried(reason: Reason) -> None:
    subject = serving(B)
    refusal = Refusal("Service", "churn", reason, "the API server refused Service churn")
    plan = planned(
        subject, A, B, workload_of(subject, B), workload_of(subject, A), service_of(subject, B), refusals=(refusal,)
    )
    assert (plan.applies, plan.deletes) == ([], [])
    assert plan.conditions == {"Ready": f"False/{reason}", "Stalled": f"True/{reason}", "Available": "True/Available"}
    assert plan.plan.requeue_after is not None


def test_a_foreign_workload_of_that_name_is_not_counted() -> None:
    subject = pinned()
    foreign = workload_of(subject, A)
    foreign["metadata"]["ownerReferences"][0]["uid"] = "uid-of-somebody"
    plan = planned(subject, A, foreign)
    assert "stable" not in plan.status
    assert plan.plan.apply[0].observed is None
