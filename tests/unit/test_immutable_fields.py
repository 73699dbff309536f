"""What of an object may change after it was made, and what may not: CEL rules of the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator.errors import Refused
from tests.support import builders as make
from tests.support.fake_cluster import FakeCluster

if TYPE_CHECKING:
    from collections.abc import Callable

Raw = dict[str, Any]

JOB, VERSION, DEPLOYMENT = make.training_job, make.model_version, make.deployment
SEARCHED = JOB().spec(tuning={"space": [{"parameter": "C", "values": [1, 2]}]})
IMMUTABLE: dict[str, tuple[make.Maker, Callable[[Raw], object]]] = {
    "seed": (JOB(), lambda spec: spec.update(seed=8)),
    "target": (JOB(), lambda spec: spec.update(target="other")),
    "data": (JOB(), lambda spec: spec["data"][0].update(uri="sklearn://wine")),
    "parameters": (JOB(), lambda spec: spec["trainer"]["sklearn"].update(parameters={"C": 1})),
    "a value searched": (SEARCHED, lambda spec: spec["tuning"]["space"][0].update(values=[1, 3])),
    "an optional field added": (JOB(), lambda spec: spec.update(storage={"uri": "pvc://a/"})),
    "an optional field taken away": (JOB().spec(columns={"drop": ["id"]}), lambda spec: spec.pop("columns")),
    "artifact": (VERSION(), lambda spec: spec["artifact"].update(digest=make.digest("b"))),
    "model": (VERSION(), lambda spec: spec.update(model="other")),
    "metrics": (VERSION(), lambda spec: spec.update(metrics=[{"name": "a", "value": 1}])),
}

MUTABLE: dict[str, tuple[make.Maker, Callable[[Raw], object]]] = {
    "suspend": (JOB(), lambda spec: spec.update(suspend=True)),
    "ttlSecondsAfterFinished": (JOB(), lambda spec: spec.update(ttlSecondsAfterFinished=5)),
    "a whole number written as a fraction": (JOB().spec(seed=7), lambda spec: spec.update(seed=7.0)),
    "replicas": (DEPLOYMENT(), lambda spec: spec.update(replicas=4)),
    "version": (DEPLOYMENT(version="a"), lambda spec: spec.update(model={"version": "b"})),
    "from a version to a name": (
        DEPLOYMENT(version="a"),
        lambda spec: spec.update(model={"name": "b", "follow": "Latest"}),
    ),
}


@pytest.mark.parametrize("field", IMMUTABLE)
def test_what_a_run_or_version_is_never_changes(field: str) -> None:
    maker, change = IMMUTABLE[field]
    cluster = FakeCluster()
    cluster.create(maker.raw)
    with pytest.raises(Refused, match="cannot be changed"):
        cluster.edit(maker.resource, maker.raw["metadata"]["name"], lambda raw: change(raw["spec"]))


@pytest.mark.parametrize("field", MUTABLE)
def test_what_may_change(field: str) -> None:
    maker, change = MUTABLE[field]
    cluster = FakeCluster()
    cluster.create(maker.raw)
    changed = cluster.edit(maker.resource, maker.raw["metadata"]["name"], lambda raw: change(raw["spec"]))
    assert changed["metadata"]["generation"] in {1, 2}
