"""A namespace with all that a dashboard shows: a rollout, drift, an approval, a rollback, training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cli import worlds
from tests.cli.worlds import Object, condition

if TYPE_CHECKING:
    from tests.cli.conftest import FakeApi

CREATED = "2026-11-22T11:00:00Z"
OLD, NEW = "churn-9f2c41ab07", "churn-77aa01cd3e"
OLD_REVISION, NEW_REVISION = "0123456789", "abcdef0123"


def meta(name: str, **more: Any) -> Object:
    return {
        "name": name,
        "namespace": "team",
        "generation": 1,
        "creationTimestamp": CREATED,
        "uid": f"uid-{name}",
        **more,
    }


def job(name: str, *conditions: Object, **status: Any) -> Object:
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": meta(name),
        "spec": {"model": "churn", "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}}},
        "status": {"observedGeneration": 1, "conditions": list(conditions), **status},
    }


def version(name: str, made_by: str, accuracy: float, **spec: Any) -> Object:
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": meta(name),
        "spec": {
            "model": "churn",
            "artifact": {"uri": f"s3://models/churn/{name}/", "digest": worlds.DIGEST},
            "metrics": [
                {
                    "name": "accuracy",
                    "value": accuracy,
                    "low": accuracy - 0.02,
                    "high": accuracy + 0.02,
                    "dataset": "holdout",
                }
            ],
            "provenance": {
                "trainingJob": {"name": made_by, "uid": f"uid-{made_by}"},
                "data": [{"name": "customers", "uri": "s3://lake/c.csv", "digest": worlds.DIGEST, "rows": 6000}],
                "seed": 7,
                "image": "registry.example/training:1",
            },
            **spec,
        },
        "status": {
            "observedGeneration": 1,
            "sizeBytes": 123456,
            "usedBy": ["churn"],
            "conditions": [condition("Verified", "True", "PublishedByTrainingJob", "as published")],
        },
    }


def track(name: str, revision: str) -> Object:
    return {"version": name, "revision": revision, "model": "churn", "digest": worlds.DIGEST}


def answers(requests: int, bad: int) -> Object:
    return {"requests": requests, "bad": bad, "errors": bad}


def rolling() -> Object:
    """Return a Deployment at the second of three steps, whose live traffic has drifted."""
    found = worlds.deployment()
    found["metadata"] = meta("churn")
    hold = {"minSeconds": 60, "minRequests": 200}
    found["spec"]["rollout"] = {
        "steps": [
            {"shadowPercent": 100, "hold": hold},
            {"weight": 10, "hold": hold},
            {"weight": 50, "hold": hold, "approval": "Required"},
        ]
    }
    found["status"] |= {
        "observedGeneration": 1,
        "url": "http://churn.team.svc/v2/models/churn",
        "replicas": 3,
        "readyReplicas": 3,
        "stable": track(OLD, OLD_REVISION),
        "canary": track(NEW, NEW_REVISION),
        "traffic": {
            "stable": track(OLD, OLD_REVISION),
            "canary": track(NEW, NEW_REVISION),
            "weight": 10,
            "sequence": 3,
        },
        "rollout": {
            "phase": "Stepping",
            "revision": NEW_REVISION,
            "version": NEW,
            "step": 2,
            "steps": 3,
            "weight": 10,
            "awaiting": "Requests",
            "message": "waits for 58 more requests of the 200 that the step asks for",
            "startedAt": "2026-11-22T11:50:00Z",
            "evidence": {
                "verdict": "Undecided",
                "message": "the canary's answers are bad 0.2 to 2.1 times as often as the stable version's",
                "relativeRiskLow": 0.2,
                "relativeRiskHigh": 2.1,
                "realisedWeight": 9.8,
                "steps": [
                    {
                        "sequence": 2,
                        "step": 1,
                        "weight": 0,
                        "stable": answers(900, 1),
                        "canary": {},
                        "shadow": {"sent": 900, "compared": 899, "agreed": 880},
                    },
                    {"sequence": 3, "step": 2, "weight": 10, "stable": answers(1280, 2), "canary": answers(142, 0)},
                ],
            },
        },
    }
    found["status"]["conditions"] += [
        condition("Ready", "True", "Available", f"{OLD} answers with 3 pods"),
        condition("RolloutHealthy", "Unknown", "Undecided", "more evidence is needed"),
    ]
    return found


def other(name: str, *conditions: Object, **status: Any) -> Object:
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": meta(name),
        "spec": {
            "model": {"name": "churn", "follow": "Latest"},
            "rollout": {"steps": [{"weight": 10}, {"weight": 50, "approval": "Required"}]},
        },
        "status": {
            "observedGeneration": 1,
            "replicas": 2,
            "readyReplicas": 2,
            "stable": track(OLD, OLD_REVISION),
            "conditions": list(conditions),
            **status,
        },
    }


def pod(name: str, revision: str) -> Object:
    labels = {
        "modelwright.dev/kind": "Deployment",
        "modelwright.dev/name": "churn",
        "modelwright.dev/revision": revision,
    }
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def event(kind: str, name: str, reason: str, message: str, **more: Any) -> Object:
    return {
        "involvedObject": {"apiVersion": "modelwright.dev/v1alpha1", "kind": kind, "name": name},
        "type": "Normal",
        "reason": reason,
        "message": message,
        "lastTimestamp": "2026-11-22T11:55:00Z",
        **more,
    }


def fill(api: FakeApi, *deployments: Object) -> None:
    """Have all of it behind an API server."""
    ready = condition("Ready", "True", "Available", "2 pods answer")
    waits = condition("ApprovalRequired", "True", "AwaitingApproval", "step 2 of 2 waits for somebody to approve it")
    back = condition("Stalled", "True", "RolledBack", "churn-77aa01cd3e was rolled back: 12 of 40 answers failed")
    stopped = {"phase": "RolledBack", "step": 1, "steps": 2, "version": NEW, "revision": NEW_REVISION}
    pods = [pod(f"churn-{OLD_REVISION}-7c9d8f6b54-{end}", OLD_REVISION) for end in ("aaaaa", "bbbbb", "ccccc")]
    api.put(
        *(
            deployments
            or (
                rolling(),
                other("fraud", ready),
                other(
                    "leads",
                    ready,
                    waits,
                    canary=track(NEW, NEW_REVISION),
                    rollout={**stopped, "phase": "Stepping", "step": 2, "weight": 50},
                    traffic={"canary": track(NEW, NEW_REVISION)},
                ),
                other("pricing", condition("Ready", "False", "RolledBack", "rolled back"), back, rollout=stopped),
            )
        ),
        version(
            OLD, "churn-1", 0.9123, approval={"state": "Approved", "by": "ana@example.org", "reason": "tried in March"}
        ),
        version(NEW, "churn-2", 0.9271),
        job(
            "churn-1",
            condition("Complete", "True", "Succeeded", "made it"),
            modelVersion=OLD,
            metrics=[{"name": "accuracy", "value": 0.9123}],
            gates=[{"metric": "accuracy", "min": 0.9, "observed": 0.9123, "verdict": "Passed"}],
            stages=[{"name": name, "state": "Succeeded"} for name in ("fetch", "train", "evaluate", "publish")],
        ),
        job(
            "churn-2",
            condition("Complete", "True", "Succeeded", "made it"),
            modelVersion=NEW,
            metrics=[{"name": "accuracy", "value": 0.9271}],
        ),
        job(
            "churn-3",
            condition("Reconciling", "True", "Running", "train"),
            stage="train",
            progress={"percent": 43, "etaSeconds": 50},
            stages=[
                {"name": "fetch", "state": "Succeeded"},
                {"name": "train", "state": "Running"},
                {"name": "evaluate", "state": "Waiting"},
                {"name": "publish", "state": "Waiting"},
            ],
        ),
        job("churn-4", condition("Failed", "True", "GateFailed", "accuracy 0.81 is less than 0.9")),
    )
    core = "/api/v1/namespaces/team"
    api.answers[f"{core}/pods"] = {
        "metadata": {},
        "items": [*pods, pod(f"churn-{NEW_REVISION}-5d4f7c8b96-ddddd", NEW_REVISION)],
    }
    api.answers[f"{core}/pods/{pods[0]['metadata']['name']}:8084/proxy/counts"] = worlds.counts()
    events = [
        event("Deployment", "churn", "StepStarted", f"step 2 of 3: {NEW} answers 10 % of the requests"),
        event(
            "Deployment", "churn", "DriftDetected", "2 of the last 3 windows: age (PSI 0.777)", type="Warning", count=3
        ),
        event("Deployment", "fraud", "Available", "not of churn"),
        event("TrainingJob", "churn-1", "Succeeded", "it took 12 s"),
    ]
    api.answers[f"{core}/events"] = {"metadata": {}, "items": events}
