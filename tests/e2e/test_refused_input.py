"""What users get wrong and a schema can see: refused when applied, in words that name the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.settings import ClusterError
from tests.e2e.fixtures import JOBS, NO_DIGEST, VERSIONS, Object, Team, deployment, model_version, training_job

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.cluster

LATEST = {"name": "cancer", "follow": "Latest"}


def rollout(*steps: Object, **fields: object) -> Object:
    """Return a Deployment that tries its next version in these steps."""
    return deployment("bad", LATEST, rollout={"steps": list(steps), **fields})


HOOK: Object = {"service": "judge", "port": 8080}


def checked(*checks: Object) -> Object:
    """Return a Deployment whose rollouts these numbers decide as well, at most 1 where nothing else is said."""
    return rollout({"weight": 10}, analysis={"checks": [{"name": "revenue", "max": 1, **check} for check in checks]})


# The object, and words its refusal must have, the field first.
REFUSED: Mapping[str, tuple[Object, tuple[str, ...]]] = {
    "unknown field": (training_job("bad", epochs=3), ("unknown field", "epochs")),
    "unknown nested field": (
        deployment("bad", LATEST, server={"thread": 1}),
        ("unknown field", "thread", "spec.server"),
    ),
    "wrong type": (training_job("bad", seed="seven"), ("spec.seed", "integer")),
    "wrong type of a list": (training_job("bad", data={"name": "all"}), ("spec.data", "array")),
    "estimator outside scikit-learn": (
        training_job("bad", trainer={"sklearn": {"estimator": "os.system"}}),
        ("spec.trainer.sklearn.estimator", "sklearn"),
    ),
    "estimator that is a function": (
        training_job("bad", trainer={"sklearn": {"estimator": "sklearn.utils.estimator_html_repr"}}),
        ("spec.trainer.sklearn.estimator",),
    ),
    "a gateway without its mode": (
        deployment("bad", {"version": "churn-imported"}, traffic={"gateway": {"parentRefs": [{"name": "public"}]}}),
        ("spec.traffic.gateway", "spec.traffic.mode"),
    ),
    "the gateway's mode without a gateway": (
        deployment("bad", {"version": "churn-imported"}, traffic={"mode": "GatewayAPI"}),
        ("spec.traffic.gateway", "spec.traffic.mode"),
    ),
    "a gateway that should keep users apart": (
        deployment(
            "bad",
            {"version": "churn-imported"},
            traffic={"mode": "GatewayAPI", "stickyHeader": "x-user", "gateway": {"parentRefs": [{"name": "public"}]}},
        ),
        ("spec.traffic.stickyHeader", "InServer"),
    ),
    "no trainer": (training_job("bad", trainer={}), ("spec.trainer", "exactly one of sklearn and container")),
    "an own trainer without a task": (
        training_job("bad", trainer={"container": {"image": "registry.test/train:1"}}),
        ("spec.task", "spec.trainer.container"),
    ),
    "a path that leaves the claim": (model_version("bad", "../etc", NO_DIGEST), ("spec.artifact.uri",)),
    "data outside the claim": (
        training_job("bad", data=[{"name": "all", "uri": "pvc://lake/a/../../etc/passwd"}]),
        ("spec.data[0].uri",),
    ),
    "no data": (training_job("bad", data=[]), ("spec.data", "at least 1")),
    "two data sets of one name": (
        training_job("bad", data=[{"name": "all", "uri": "sklearn://iris"}] * 2),
        ("spec.data[1]", "Duplicate"),
    ),
    "address of another kind": (
        training_job("bad", data=[{"name": "all", "uri": "file:///etc/passwd"}]),
        ("spec.data[0].uri", "pvc://"),
    ),
    "digest that is none": (
        training_job("bad", data=[{"name": "all", "uri": "sklearn://iris", "digest": "md5:1"}]),
        ("spec.data[0].digest", "sha256:"),
    ),
    "two ways to hold out": (
        training_job("bad", evaluation={"holdout": "all", "holdoutPercent": 10}),
        ("exactly one of holdout and holdoutPercent",),
    ),
    "holdout that is no data set": (
        training_job("bad", evaluation={"holdout": "test"}),
        ("spec.evaluation.holdout", "spec.data"),
    ),
    "holdout that leaves nothing": (
        training_job("bad", evaluation={"holdout": "all"}),
        ("spec.evaluation.holdout", "add a data set"),
    ),
    "whole data held out": (
        training_job("bad", evaluation={"holdoutPercent": 100}),
        ("spec.evaluation.holdoutPercent", "90"),
    ),
    "a column with two roles": (
        training_job("bad", columns={"time": "day", "group": "day"}),
        ("columns.time, columns.group and columns.weight must be different",),
    ),
    "a category that is no feature": (
        training_job("bad", columns={"weight": "w", "categorical": ["w"]}),
        ("columns.categorical", "remove it there"),
    ),
    "the target as a role": (training_job("bad", columns={"time": "target"}), ("spec.columns", "target")),
    "a positive label of a regression": (
        training_job("bad", task="Regression", positiveLabel="yes"),
        ("spec.positiveLabel", "spec.task"),
    ),
    "categories of a date": (
        training_job("bad", schema=[{"name": "day", "type": "Date", "categories": ["a"]}]),
        ("spec.schema[0]", "Text and Integer"),
    ),
    "bounds of a text": (
        training_job("bad", schema=[{"name": "plan", "type": "Text", "max": 1}]),
        ("spec.schema[0]", "Number and Integer"),
    ),
    "bounds the wrong way round": (
        training_job("bad", schema=[{"name": "age", "type": "Number", "min": 2, "max": 1}]),
        ("spec.schema[0]", "min must not be above max"),
    ),
    "a column described twice": (
        training_job("bad", schema=[{"name": "age", "type": "Number"}, {"name": "age", "type": "Text"}]),
        ("spec.schema[1]", "Duplicate"),
    ),
    "negative retries": (training_job("bad", retryLimit=-1), ("spec.retryLimit", "0")),
    "name of a TrainingJob": (training_job("bad.name"), ("name of a TrainingJob", "lower-case")),
    "long name of a TrainingJob": (training_job("a" * 58), ("name of a TrainingJob", "57")),
    "name of a model": (training_job("bad", model="Big Model"), ("spec.model",)),
    "someone else's label": (
        training_job("bad", pod={"labels": {"modelwright.dev/kind": "x"}}),
        ("spec.pod.labels", "choose another prefix"),
    ),
    "negative replicas": (deployment("bad", LATEST, replicas=-1), ("spec.replicas", "greater than or equal to 0")),
    "version and name": (
        deployment("bad", {"version": "v", **LATEST}),
        ("spec.model", "either spec.model.version, or spec.model.name"),
    ),
    "neither version nor name": (
        deployment("bad", {}),
        ("spec.model", "either spec.model.version, or spec.model.name"),
    ),
    "name without follow": (deployment("bad", {"name": "cancer"}), ("spec.model", "spec.model.follow go together")),
    "name of a Deployment": (deployment("9bad", LATEST), ("name of a Deployment", "start with a letter")),
    "long name of a Deployment": (deployment("a" * 36, LATEST), ("name of a Deployment", "35")),
    "name of another's Service": (deployment("bad-canary", LATEST), ("name of a Deployment", "-canary")),
    "shares that shrink": (rollout({"weight": 50}, {"weight": 10}), ("spec.rollout.steps", "must grow")),
    "the same share twice": (rollout({"weight": 10}, {"weight": 10}), ("spec.rollout.steps", "same weight")),
    "a share above all": (rollout({"weight": 101}), ("spec.rollout.steps[0].weight", "100")),
    "a share of nothing": (rollout({"weight": 0}), ("spec.rollout.steps[0].weight", "1")),
    "no step": (rollout(), ("spec.rollout.steps", "at least 1")),
    "copies alone": (rollout({"shadowPercent": 100}), ("spec.rollout.steps", "copies alone decide nothing")),
    "copies after a share": (
        rollout({"weight": 10}, {"shadowPercent": 100}),
        ("spec.rollout.steps", "after the steps with shadowPercent"),
    ),
    "a share and copies": (
        rollout({"weight": 10, "shadowPercent": 100}),
        ("spec.rollout.steps[0]", "either weight or shadowPercent"),
    ),
    "a hold that ends before it may": (
        rollout({"weight": 10, "hold": {"minSeconds": 60, "maxSeconds": 30}}),
        ("hold.minSeconds is above hold.maxSeconds",),
    ),
    "an approval of a step that is none": (
        rollout({"weight": 10}, approved={"version": "cancer-1", "step": 2}),
        ("spec.rollout.approved.step", "fewer steps"),
    ),
    "a time that is none": (
        rollout({"weight": 10}, canaryTimeoutMilliseconds=0),
        ("spec.rollout.canaryTimeoutMilliseconds", "10"),
    ),
    "an analysis that knows everything": (
        rollout({"weight": 10}, analysis={"rollbackAlpha": 0.00001}),
        ("spec.rollout.analysis.rollbackAlpha", "0.0001"),
    ),
    "an analysis that is never sure": (  # the API server cuts a bound off where the value is a whole number
        rollout({"weight": 10}, analysis={"rollbackAlpha": 0}),
        ("spec.rollout.analysis.rollbackAlpha", "0.0001"),
    ),
    "a check of nothing": (checked({}), ("spec.rollout.analysis.checks[0]", "either prometheus or hook")),
    "a check that takes any number": (checked({"hook": HOOK, "max": None}), ("checks[0]", "min, max or both")),
    "a check that takes no number": (checked({"hook": HOOK, "min": 2}), ("checks[0]", "min is above max")),
    "a hook by address": (checked({"hook": {**HOOK, "service": "http://10.0.0.1"}}), ("checks[0].hook.service",)),
    "a hook without a port": (checked({"hook": {"service": "judge"}}), ("checks[0].hook", "port")),
    "a hook out of its folder": (checked({"hook": {**HOOK, "path": "/a/../b"}}), ("checks[0].hook.path",)),
    "a hook with a query": (checked({"hook": {**HOOK, "path": "/a?b=c"}}), ("checks[0].hook.path",)),
    "a check that is asked all the time": (
        checked({"hook": HOOK, "intervalSeconds": 0}),
        ("checks[0].intervalSeconds", "5"),
    ),
    "two checks of one name": (checked({"hook": HOOK}, {"hook": HOOK}), ("spec.rollout.analysis.checks", "Duplicate")),
    "a gateway that is none": (
        deployment("bad", LATEST, traffic={"mode": "GatewayAPI"}),
        ("spec.traffic", "gateway"),
    ),
    "fewer pods at most than at least": (
        deployment("bad", LATEST, autoscaling={"minReplicas": 3, "maxReplicas": 2, "targetCPUPercent": 50}),
        ("spec.autoscaling", "maxReplicas"),
    ),
    "a header that is Modelwright's": (
        deployment("bad", LATEST, traffic={"stickyHeader": "Modelwright-Track"}),
        ("spec.traffic.stickyHeader",),
    ),
    "artifact elsewhere": (
        model_version("bad", artifact={"uri": "https://example.org/model", "digest": NO_DIGEST}),
        ("spec.artifact.uri", "pvc://"),
    ),
    "artifact without digest": (model_version("bad", digest="latest"), ("spec.artifact.digest", "sha256:")),
    "name of a ModelVersion": (model_version("bad.name"), ("name of a ModelVersion", "lower-case")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_when_applied(shared: Team, case: str) -> None:
    bad, words = REFUSED[case]
    with pytest.raises(ClusterError) as refusal:
        shared.apply(bad)
    said = str(refusal.value)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize(
    ("resource", "given", "path", "value"),
    [
        (JOBS, training_job("settled", suspend=True), "seed", 8),
        (JOBS, training_job("settled", suspend=True), "resources", {"limits": {"memory": "1Gi"}}),
        (JOBS, training_job("settled", suspend=True), "data", [{"name": "all", "uri": "sklearn://iris"}]),
        (
            VERSIONS,
            model_version("settled"),
            "artifact",
            {"uri": "pvc://elsewhere/nothing", "digest": NO_DIGEST},
        ),
        (VERSIONS, model_version("settled"), "model", "other"),
    ],
)
def test_what_was_run_or_published_cannot_be_changed(
    shared: Team, resource: str, given: Object, path: str, value: object
) -> None:
    shared.apply(given)
    with pytest.raises(ClusterError, match=f"spec.{path} cannot be changed.*create another one"):
        shared.patch(resource, "settled", {"spec": {path: value}})
