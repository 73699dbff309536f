"""A plan holds what differs, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.decide import conditions
from modelwright_operator.decide.observed import Child
from modelwright_operator.plan.outcome import Apply, Plan, differs, finish, wanted
from modelwright_operator.render.common import contains
from tests.support import builders as make
from tests.support.clock import START

Raw = dict[str, Any]


def manifest(**spec: Any) -> Raw:
    annotations = {naming.ANNOTATION_APPLIED: naming.short_hash(spec)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "annotations": annotations}, "spec": spec}


def child(raw: Raw, *managers: str, **metadata: Any) -> Child:
    return Child({**raw, "metadata": {**raw["metadata"], "uid": "u", **metadata}, "managers": list(managers)})


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(child(manifest(a=1)), False, id="the same"),
        pytest.param(child({**manifest(a=1), "spec": {"a": 1, "b": 2}}), False, id="with a default of the API server"),
        pytest.param(child({**manifest(a=1), "spec": {"a": 2}}), True, id="changed"),
        pytest.param(child({**manifest(a=1), "spec": {}}), True, id="taken away"),
        pytest.param(child(manifest(a=1, b=2)), True, id="made from more, which has to go"),
        pytest.param(child(manifest(a=1), annotations={}), True, id="its hash taken away"),
        pytest.param(child(manifest(a=1), "modelwright/Apply"), False, id="ours alone"),
        pytest.param(child(manifest(a=1), "modelwright/Update"), False, id="ours, put back once"),
        pytest.param(child(manifest(a=1), "modelwright/Apply", "kubectl-edit/Update"), True, id="edited by somebody"),
        pytest.param(
            child({**manifest(a=1), "kind": "Job"}, "kube-controller-manager/Update"),
            False,
            id="a Job, whose spec is fixed",
        ),
    ],
)
def test_differs(observed: Child, *, expected: bool) -> None:
    assert differs({**manifest(a=1), "kind": observed.kind}, observed) is expected


@pytest.mark.parametrize(
    ("managers", "replace"),
    [(("modelwright/Apply",), False), ((), False), (("kubectl/Update",), True), (("modelwright/Update",), True)],
)
def test_what_others_own_is_put_back_whole(managers: tuple[str, ...], *, replace: bool) -> None:
    assert Apply(manifest(a=1), child(manifest(a=1), *managers)).replace is replace


def test_wanted_pairs_manifests_with_what_is_there() -> None:
    there, going = child(manifest(a=2)), child(manifest(a=1), deletionTimestamp="x")
    [changed] = wanted([manifest(a=1)], [there])
    assert changed.observed is there
    [anew] = wanted([manifest(a=1)], [going])
    assert anew.observed is None
    assert wanted([manifest(a=1)], [child(manifest(a=1))]) == ()


@pytest.mark.parametrize(
    ("observed", "desired", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": None}, {"a": {}}, False),
        ([1, 2], [1, 2], True),
        ([1, 2, 3], [1, 2], False),
        ([{"name": "a", "x": 1}], [{"name": "a"}], True),
        ({"a": 1.0}, {"a": 1}, True),
        ("1", 1, False),
    ],
)
def test_contains(observed: object, desired: object, *, expected: bool) -> None:
    assert contains(observed, desired) is expected


def deployment(**status: Any) -> api.Deployment:
    return api.Deployment.model_validate(make.deployment().status(**status).stored())


def finished(subject: api.Deployment, **values: Any) -> Plan:
    return finish(subject, conditions.ready("Available", "m"), values, START, Plan())


def test_a_status_is_written_once() -> None:
    first = finished(deployment(), replicas=1, url=None)
    assert first.status is not None
    assert "url" not in first.status
    again = finished(deployment(**first.status), replicas=1, url=None)
    assert again.status is None
    assert again.events == ()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"replicas": 2}, id="a value"),
        pytest.param({"replicas": 1, "url": "http://x"}, id="a value more"),
        pytest.param({}, id="a value less"),
    ],
)
def test_what_changed_is_written(change: Raw) -> None:
    first = finished(deployment(), replicas=1)
    assert first.status is not None
    assert finished(deployment(**first.status), **change).status is not None


def test_the_order_of_conditions_is_the_api_servers() -> None:
    marks = (*conditions.ready("R", "m"), conditions.true("Available", "A", "m"))
    first = finish(deployment(), marks, {}, START, Plan())
    assert first.status is not None
    turned = {**first.status, "conditions": first.status["conditions"][::-1]}
    assert finish(deployment(**turned), marks, {}, START, Plan()).status is None


def test_events_tell_changes_of_the_summary_alone() -> None:
    stalled = (*conditions.stalled("Forbidden", "m"), conditions.false("Available", "Unavailable", "m"))
    first = finish(deployment(), stalled, {}, START, Plan())
    assert [(event.type, event.reason) for event in first.events] == [("Warning", "Forbidden")]
    assert first.status is not None
    reworded = (*conditions.stalled("Forbidden", "other words"), conditions.false("Available", "Unavailable", "m"))
    second = finish(deployment(**first.status), reworded, {}, START, Plan())
    assert second.status is not None
    assert second.events == ()
