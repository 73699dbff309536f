"""What users may write: schema and CEL rules accept and refuse, as the API server would at apply."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator.errors import Refused
from tests.support import builders as make
from tests.support.fake_cluster import FakeCluster

Raw = dict[str, Any]

JOB, VERSION, DEPLOYMENT = make.training_job, make.model_version, make.deployment
CHALLENGE = {"holdoutPercent": 25, "champion": {"deployment": "churn"}}


def sklearn(**fields: Any) -> Raw:
    return {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression", **fields}}


def data(**fields: Any) -> list[Raw]:
    return [{"name": "train", "uri": "sklearn://iris", **fields}]


def own(**fields: Any) -> Raw:
    return {"image": "registry.test/team/own:1", **fields}


def feast(**fields: Any) -> make.Maker:
    """Return a job that asks for features."""
    given = {"uri": "pvc://lake/shop", "timestamp": "seen", "service": "churn", **fields}
    return JOB().spec(features={"feast": {name: value for name, value in given.items() if value is not None}})


ACCEPTED = {
    "a job as small as can be": JOB(),
    "a job with parameters": JOB().spec(
        trainer=sklearn(parameters={"C": 0.5, "penalty": "None", "l": [1, 2], "m": {"a": 1}})
    ),
    "a holdout of its own": JOB().spec(
        data=[*data(), {"name": "test", "uri": "pvc://lake/a.csv"}], evaluation={"holdout": "test"}
    ),
    "captured rows": JOB().spec(data=[*data(), {"name": "live", "captured": {"deployment": "churn"}}]),
    "capture as small as can be": DEPLOYMENT().spec(monitoring={"capture": {"uri": "s3://lake"}}),
    "capture with all": DEPLOYMENT().spec(
        monitoring={
            "capture": {
                "uri": "gs://lake/captured/",
                "secretName": "lake",
                "samplePercent": 1,
                "redact": ["ssn"],
                "flushSeconds": 5,
            }
        }
    ),
    "monitoring as it is by default": DEPLOYMENT().spec(monitoring={}),
    "monitoring of small windows": DEPLOYMENT().spec(monitoring={"window": {"rows": 50}, "drift": {"minRows": 50}}),
    "gates": JOB().spec(
        gates=[{"metric": "accuracy", "min": 1}, {"metric": "f1", "max": 0}, {"metric": "log_loss", "max": 3}]
    ),
    "gates on regression and latency": JOB().spec(
        evaluation=CHALLENGE,
        gates=[
            {"metric": "accuracy", "maxRegression": 0},
            {"metric": "log_loss", "maxRegression": 0.1, "confidence": 0.95},
            {"metric": "latencyP99Milliseconds", "max": 5},
            {"metric": "sizeBytes", "max": 1000000},
        ],
    ),
    "gates of a regressor": JOB().spec(
        trainer={"sklearn": {"estimator": "sklearn.ensemble.RandomForestRegressor"}},
        gates=[{"metric": "rmse", "max": 250}, {"metric": "r2", "min": -0.5}],
    ),
    "gates of groups": JOB().spec(
        evaluation={"holdoutPercent": 25, "slices": ["region"], "minSliceRows": 50},
        gates=[
            {"metric": "accuracy", "min": 0.8, "slice": "region"},
            {"metric": "selection_rate_difference", "max": 0.1, "slice": "region"},
        ],
    ),
    "globs": JOB().spec(data=data(uri="pvc://lake/2026-*/part-?.parquet")),
    "an object store": JOB().spec(
        data=data(
            uri="s3://lake/dt=2026-*/part-?.parquet",
            endpoint="http://10.89.0.254:7070",
            region="eu-test-1",
            secretName="lake.credentials",
        )
    ),
    "stores of other clouds": JOB().spec(
        data=[*data(uri="gs://lake/a.csv"), {"name": "b", "uri": "az://lake/b.arrow", "secretName": "azure"}]
    ),
    "a model in an object store": JOB().spec(
        storage={"uri": "s3://models", "endpoint": "https://minio.example.test:9000/", "secretName": "models"}
    ),
    "a version in an object store": VERSION().spec(
        artifact={"uri": "s3://models/churn/9f/", "digest": make.digest(), "region": "eu-test-1", "secretName": "s"}
    ),
    "a web address": JOB().spec(data=data(uri="https://example.test:8443/a/b.csv?signature=x%2Fy&z=1", secretName="s")),
    "a nested estimator": JOB().spec(
        trainer={"sklearn": {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier"}}
    ),
    "data prepared by an own image": JOB().spec(
        prepare=own(command=["python"], args=["-c", "x" * 2000], env=[{"name": "A"}], resources={"limits": {"cpu": 2}})
    ),
    "training in an own image": JOB().spec(
        task="Regression", trainer={"container": own(command=["python"])}, gates=[{"metric": "rmse", "max": 3}]
    ),
    "a queue": JOB().spec(scheduling={"queueName": "team-a"}),
    "a feature service": feast(),
    "features of a bucket": feast(
        uri="s3://lake/shop", secretName="s", service=None, features=["stats:spent", "stats:calls"]
    ),
    "cpu as a number": JOB().spec(resources={"requests": {"cpu": 1, "memory": "512Mi"}}),
    "the longest name of a job": JOB("a" * 57),
    "an imported version": VERSION(),
    "a version with a schema": VERSION().spec(
        schema={"inputs": [{"name": "i", "datatype": "FP32", "shape": [-1, 3]}], "outputs": []}
    ),
    "a pinned Deployment": DEPLOYMENT(version="churn-1"),
    "a following Deployment": DEPLOYMENT(),
    "no replicas": DEPLOYMENT().spec(replicas=0),
    "retraining by hand only": DEPLOYMENT().spec(retraining={"trainingJob": "t"}),
    "retraining by schedule": DEPLOYMENT().spec(retraining={"trainingJob": "t", "schedule": "*/15 3-5 1,L * mon#1"}),
    "retraining on drift and age": DEPLOYMENT().spec(
        monitoring={"maxModelAgeSeconds": 86400, "window": {}, "drift": {}},
        retraining={"trainingJob": "t", "triggers": ["DataDrift", "Age"]},
    ),
    "the longest name of a Deployment": DEPLOYMENT("a" * 35),
    "labels of one's own": DEPLOYMENT().spec(pod={"labels": {"team.example.test/cost": "7"}}),
    "monitoring with windows alone": DEPLOYMENT().spec(monitoring={"window": {"rows": 1000}}),
    "monitoring with drift alone": DEPLOYMENT().spec(monitoring={"drift": {"minRows": 2000}}),
    "quality of classes": DEPLOYMENT().spec(monitoring={"quality": {"metric": "roc_auc", "min": 0.8}}),
    "quality of numbers": DEPLOYMENT().spec(
        monitoring={"quality": {"metric": "rmse", "max": 250, "maxLabelDelaySeconds": 7776000, "minLabels": 1000}}
    ),
}

REFUSED: dict[str, tuple[make.Maker, str]] = {
    "an unknown field": (JOB().spec(champion={}), "field not declared in schema"),
    "an unknown nested field": (JOB().spec(trainer={"notebook": {}}), "field not declared in schema"),
    "more rows to judge than a window has": (
        DEPLOYMENT().spec(monitoring={"drift": {"minRows": 2001}}),
        "spec.monitoring.drift.minRows is above spec.monitoring.window.rows",
    ),
    "more windows flagged than looked at": (
        DEPLOYMENT().spec(monitoring={"drift": {"flagged": 4}}),
        "spec.monitoring.drift.flagged is above",
    ),
    "windows that close before they may": (
        DEPLOYMENT().spec(monitoring={"window": {"minSeconds": 61, "maxSeconds": 60}}),
        "spec.monitoring.window.minSeconds is above",
    ),
    "no chance of a false alarm": (DEPLOYMENT().spec(monitoring={"drift": {"alpha": 0}}), "alpha"),
    "no trainer": (JOB().spec(trainer=None), "spec.trainer says how to train"),
    "no data": (JOB().spec(data=[]), ".spec.data: has 0 items"),
    "two data sets of one name": (JOB().spec(data=data() * 2), "duplicate"),
    "an estimator out of reach": (JOB().spec(trainer={"sklearn": {"estimator": "os.system"}}), "estimator"),
    "an estimator that is a function": (
        JOB().spec(trainer={"sklearn": {"estimator": "sklearn.base.clone"}}),
        "estimator",
    ),
    "an estimator with a dunder": (JOB().spec(trainer={"sklearn": {"estimator": "sklearn.__init__.Os"}}), "estimator"),
    "a path that is none": (JOB().spec(data=data(uri="/etc/passwd")), "uri"),
    "a bucket without a key": (JOB().spec(data=data(uri="s3://lake/")), "uri"),
    "a store of another kind": (JOB().spec(data=data(uri="ftp://lake/x")), "uri"),
    "a web address without TLS": (JOB().spec(data=data(uri="http://example.test/a.csv")), "uri"),
    "a web address with a password": (JOB().spec(data=data(uri="https://u:p@example.test/a.csv")), "uri"),
    "a key that climbs": (JOB().spec(data=data(uri="s3://lake/../x.csv")), "uri"),
    "captured rows with an address": (
        JOB().spec(data=data(captured={"deployment": "churn"})),
        "give each data set either uri or captured",
    ),
    "data without anything": (JOB().spec(data=[{"name": "train"}]), "give each data set either uri or captured"),
    "captured rows with a Secret": (
        JOB().spec(data=[{"name": "live", "captured": {"deployment": "churn"}, "secretName": "lake"}]),
        "endpoint, region, secretName and digest go with uri",
    ),
    "captured rows with a digest": (
        JOB().spec(data=[{"name": "live", "captured": {"deployment": "churn"}, "digest": make.digest()}]),
        "endpoint, region, secretName and digest go with uri",
    ),
    "capture on a claim": (DEPLOYMENT().spec(monitoring={"capture": {"uri": "pvc://lake/captured"}}), "uri"),
    "capture of nothing": (
        DEPLOYMENT().spec(monitoring={"capture": {"uri": "s3://lake", "samplePercent": 0}}),
        "samplePercent",
    ),
    "an endpoint of a claim": (
        JOB().spec(data=data(uri="pvc://lake/x.csv", endpoint="https://minio")),
        "endpoint is for s3://",
    ),
    "an endpoint that is none": (JOB().spec(data=data(uri="s3://lake/x.csv", endpoint="minio:9000")), "endpoint"),
    "an artifact of a web server": (
        VERSION().spec(artifact={"uri": "https://example.test/a/", "digest": make.digest()}),
        "uri",
    ),
    "an artifact that is many": (
        VERSION().spec(artifact={"uri": "s3://models/*/", "digest": make.digest()}),
        "uri",
    ),
    "a place for models on a web server": (JOB().spec(storage={"uri": "https://example.test/"}), "uri"),
    "a Secret of a claim for models": (
        JOB().spec(storage={"uri": "pvc://models/", "secretName": "s"}),
        "secretName is for s3://",
    ),
    "a region of a web server": (
        JOB().spec(data=data(uri="https://example.test/a.csv", region="eu-west-1")),
        "region is for s3://",
    ),
    "a Secret of a claim": (JOB().spec(data=data(uri="pvc://lake/x.csv", secretName="s")), "secretName is for s3://"),
    "features of a web server": (feast(uri="https://example.org/shop"), "uri"),
    "a Secret of a claim of features": (feast(secretName="s"), "secretName is for s3://"),
    "a service and features": (feast(features=["a:b"]), "exactly one of service and features"),
    "neither service nor features": (feast(service=None), "exactly one of service and features"),
    "a feature without a view": (feast(service=None, features=["spent"]), "features"),
    "a feature twice": (feast(service=None, features=["a:b", "a:b"]), "duplicate"),
    "the target as time of features": (feast(timestamp="target").spec(target="target"), "timestamp must be another"),
    "an own image without a name": (JOB().spec(prepare={"args": ["x"]}), "image: is required"),
    "an own image with a space": (JOB().spec(prepare=own(image="a b")), "image"),
    "a variable of the operator's": (
        JOB().spec(prepare=own(env=[{"name": "MODELWRIGHT_TRAINING_JOB", "value": "{}"}])),
        "MODELWRIGHT_ are the operator's",
    ),
    "a variable twice": (JOB().spec(prepare=own(env=[{"name": "A"}, {"name": "A"}])), "duplicate"),
    "a variable from a Secret": (JOB().spec(prepare=own(env=[{"name": "A", "valueFrom": {}}])), "not declared"),
    "a program in the arguments": (JOB().spec(prepare=own(args=["x" * 2049])), "args"),
    "two trainers": (JOB().spec(trainer={**sklearn(), "container": own()}), "exactly one of sklearn and container"),
    "no trainer of either kind": (JOB().spec(trainer={}), "exactly one of sklearn and container"),
    "an own image for nobody knows what task": (
        JOB().spec(trainer={"container": own()}),
        "spec.task must be Classification or Regression",
    ),
    "a gate that an own image's task does not have": (
        JOB().spec(task="Regression", trainer={"container": own()}, gates=[{"metric": "accuracy", "min": 0.5}]),
        "spec.gates has a metric that regression does not",
    ),
    "a digest that is none": (JOB().spec(data=data(digest="sha256:abc")), "digest"),
    "two kinds of holdout": (
        JOB().spec(
            data=[*data(), {"name": "b", "uri": "sklearn://iris"}], evaluation={"holdout": "b", "holdoutPercent": 5}
        ),
        "exactly one of holdout and holdoutPercent",
    ),
    "no kind of holdout": (JOB().spec(evaluation={}), "exactly one of holdout and holdoutPercent"),
    "a holdout that is no data set": (JOB().spec(evaluation={"holdout": "other"}), "must be the name of a data set"),
    "a holdout that is all data": (JOB().spec(evaluation={"holdout": "train"}), "leaves no data to train on"),
    "a holdout of everything": (JOB().spec(evaluation={"holdoutPercent": 100}), "holdoutPercent"),
    "a gate without a limit": (JOB().spec(gates=[{"metric": "accuracy"}]), "exactly one of min, max and maxRegression"),
    "a gate with two limits": (
        JOB().spec(gates=[{"metric": "accuracy", "min": 0.5, "max": 0.9}]),
        "exactly one of min, max and maxRegression",
    ),
    "a gate on an unknown metric": (JOB().spec(gates=[{"metric": "auc", "min": 0.9}]), "metric"),
    "a gate in percent": (JOB().spec(gates=[{"metric": "accuracy", "min": 90}]), "write its min or max as a fraction"),
    "a gate below zero": (JOB().spec(gates=[{"metric": "f1", "max": -0.1}]), "write its min or max as a fraction"),
    "a gate on regression without a champion": (
        JOB().spec(gates=[{"metric": "f1", "maxRegression": 0.1}]),
        "needs spec.evaluation.champion",
    ),
    "a gate on the regression of a latency": (
        JOB().spec(evaluation=CHALLENGE, gates=[{"metric": "sizeBytes", "maxRegression": 1}]),
        "maxRegression is for metrics of the whole holdout",
    ),
    "a gate whose confidence is of nothing": (
        JOB().spec(gates=[{"metric": "f1", "min": 0.1, "confidence": 0.9}]),
        "confidence goes with maxRegression only",
    ),
    "a gate that is sure beyond doubt": (
        JOB().spec(evaluation=CHALLENGE, gates=[{"metric": "f1", "maxRegression": 0.1, "confidence": 1}]),
        "confidence",
    ),
    "a champion of two names": (
        JOB().spec(evaluation={"holdoutPercent": 25, "champion": {"deployment": "churn", "version": "churn-1"}}),
        "exactly one of deployment and version",
    ),
    "a champion without a name": (
        JOB().spec(evaluation={"holdoutPercent": 25, "champion": {}}),
        "exactly one of deployment and version",
    ),
    "a regressor's gate on a classifier": (
        JOB().spec(
            trainer={"sklearn": {"estimator": "sklearn.ensemble.RandomForestClassifier"}},
            gates=[{"metric": "rmse", "max": 3}],
        ),
        "a metric that classification does not",
    ),
    "a classifier's gate where the task says regression": (
        JOB().spec(task="Regression", gates=[{"metric": "accuracy", "min": 0.9}]),
        "a metric that regression does not",
    ),
    "a gate on a slice that is not measured": (
        JOB().spec(gates=[{"metric": "accuracy", "min": 0.8, "slice": "region"}]),
        "must be one of spec.evaluation.slices",
    ),
    "a gate between groups without a slice": (
        JOB().spec(gates=[{"metric": "true_positive_rate_ratio", "min": 0.8}]),
        "name their slice",
    ),
    "too many slices": (
        JOB().spec(evaluation={"holdoutPercent": 25, "slices": [f"c{number}" for number in range(11)]}),
        "slices",
    ),
    "groups of next to nothing": (JOB().spec(evaluation={"holdoutPercent": 25, "minSliceRows": 5}), "minSliceRows"),
    "a queue without a name": (JOB().spec(scheduling={}), "queueName: is required"),
    "a queue's name in capitals": (JOB().spec(scheduling={"queueName": "Team"}), "queueName"),
    "a search in a queue": (
        JOB().spec(tuning={"space": [{"parameter": "C", "values": [1, 2, 3]}]}, scheduling={"queueName": "q"}),
        "does not go with spec.tuning",
    ),
    "a seed below zero": (JOB().spec(seed=-1), "seed"),
    "a seed that is a text": (JOB().spec(seed="7"), "seed"),
    "too many retries": (JOB().spec(retryLimit=11), "retryLimit"),
    "a model name in capitals": (JOB().spec(model="Churn"), "model"),
    "a name of a job too long": (JOB("a" * 58), "57 characters"),
    "a name with dots": (JOB("a.b"), "lower-case letters"),
    "an amount that is none": (JOB().spec(resources={"limits": {"memory": "1 GB"}}), "memory"),
    "a negative amount": (JOB().spec(resources={"limits": {"cpu": "-1"}}), "cpu"),
    "retraining on drift that nobody looks for": (
        DEPLOYMENT().spec(retraining={"trainingJob": "t", "triggers": ["DataDrift"]}),
        "only spec.monitoring can find",
    ),
    "retraining on an age that nobody tells": (
        DEPLOYMENT().spec(
            monitoring={"window": {}, "drift": {}}, retraining={"trainingJob": "t", "triggers": ["DataDrift", "Age"]}
        ),
        "needs spec.monitoring.maxModelAgeSeconds",
    ),
    "a trigger twice": (DEPLOYMENT().spec(retraining={"trainingJob": "t", "triggers": ["Age", "Age"]}), "uplicate"),
    "a schedule of four fields": (
        DEPLOYMENT().spec(retraining={"trainingJob": "t", "schedule": "0 3 * *"}),
        "schedule",
    ),
    "more runs a week than are remembered": (
        DEPLOYMENT().spec(retraining={"trainingJob": "t", "maxPerWeek": 51}),
        "maxPerWeek",
    ),
    "retraining without a template": (DEPLOYMENT().spec(retraining={"triggers": []}), "trainingJob"),
    "replicas below zero": (DEPLOYMENT().spec(replicas=-1), "replicas"),
    "version and name": (
        DEPLOYMENT().spec(model={"version": "v", "name": "m", "follow": "Latest"}),
        "either spec.model.version",
    ),
    "neither version nor name": (DEPLOYMENT().spec(model={}), "either spec.model.version"),
    "name without follow": (DEPLOYMENT().spec(model={"name": "m"}), "go together"),
    "follow without name": (DEPLOYMENT().spec(model={"version": "v", "follow": "Latest"}), "go together"),
    "something else to follow": (DEPLOYMENT().spec(model={"name": "m", "follow": "Newest"}), "follow"),
    "an approval without a name": (make.model_version().spec(approval={"state": "Approved"}), "by"),
    "a name of a Deployment too long": (DEPLOYMENT("a" * 36), "35 characters"),
    "a name of a Deployment that starts with a digit": (DEPLOYMENT("1a"), "start with a letter"),
    "a name that another's Service has": (DEPLOYMENT("churn-canary"), "-canary"),
    "windows too small to say anything": (
        DEPLOYMENT().spec(monitoring={"window": {"rows": 400}}),
        "no window would have enough",
    ),
    "quality without a limit": (
        DEPLOYMENT().spec(monitoring={"quality": {"metric": "accuracy"}}),
        "exactly one of min and max",
    ),
    "quality with two limits": (
        DEPLOYMENT().spec(monitoring={"quality": {"metric": "accuracy", "min": 0.5, "max": 1}}),
        "exactly one of min and max",
    ),
    "an accuracy with a maximum": (
        DEPLOYMENT().spec(monitoring={"quality": {"metric": "accuracy", "max": 0.5}}),
        "accuracy and roc_auc have a min",
    ),
    "an error with a minimum": (
        DEPLOYMENT().spec(monitoring={"quality": {"metric": "rmse", "min": 0.5}}),
        "rmse and mae a max",
    ),
    "an accuracy in percent": (DEPLOYMENT().spec(monitoring={"quality": {"metric": "accuracy", "min": 88}}), "min"),
    "a metric that labels do not give": (
        DEPLOYMENT().spec(monitoring={"quality": {"metric": "f1", "min": 0.5}}),
        "metric",
    ),
    "a name that another's monitor has": (DEPLOYMENT("churn-monitor"), "-monitor"),
    "the operator's own labels": (
        DEPLOYMENT().spec(pod={"labels": {"modelwright.dev/revision": "x"}}),
        "another prefix",
    ),
    "labels of the application": (DEPLOYMENT().spec(pod={"labels": {"app.kubernetes.io/name": "x"}}), "another prefix"),
    "an artifact without a digest": (VERSION().spec(artifact={"uri": "pvc://a/b"}), "digest: is required"),
    "an artifact elsewhere": (VERSION().spec(artifact={"uri": "file:///a", "digest": make.digest()}), "uri"),
    "a claim without a name": (VERSION().spec(artifact={"uri": "pvc:///a", "digest": make.digest()}), "uri"),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_accepted(what: str) -> None:
    stored = FakeCluster().create(ACCEPTED[what].raw)
    assert stored["status"]["observedGeneration"] == -1


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    maker, said = REFUSED[what]
    with pytest.raises(Refused, match=said):
        FakeCluster().create(maker.raw)


def test_defaults_are_the_schemas() -> None:
    job = FakeCluster().create(JOB().raw)["spec"]
    assert job["evaluation"] == {"holdoutPercent": 25}
    assert (job["seed"], job["retryLimit"], job["suspend"], job["task"]) == (0, 2, False, "Auto")
    assert job["trainer"]["sklearn"]["preprocessing"] == "Auto"
    assert FakeCluster().create(DEPLOYMENT().raw)["spec"]["replicas"] == 1


def test_a_holdout_of_ones_own_is_not_joined_by_the_default() -> None:
    two = [*data(), {"name": "test", "uri": "sklearn://iris"}]
    job = FakeCluster().create(JOB().spec(data=two, evaluation={"holdout": "test"}).raw)
    assert job["spec"]["evaluation"] == {"holdout": "test"}
