"""Fluent makers of objects as the API server returns them.

training_job("churn").spec(retryLimit=0).status(attempt=1).condition("Failed").raw
"""

from __future__ import annotations

from typing import Any, Self

from modelwright_cli.structural import defaulted, schema_of
from modelwright_operator import naming
from modelwright_operator.settings import Settings
from tests.support import defaults
from tests.support.clock import START
from tests.support.copying import copied

Raw = dict[str, Any]

NAMESPACE = "team"
SETTINGS = Settings(
    serving_image="example.test/serving:1", training_image="example.test/training:1", feast_image="example.test/feast:1"
)


def digest(seed: str = "a") -> str:
    """Return a digest that starts with the seed's (hexadecimal) characters."""
    return "sha256:" + (seed * 64)[:64]


class Maker:
    """One object in the making; every step changes and returns it."""

    def __init__(self, kind: str, name: str, spec: Raw) -> None:
        resource = next(plural for plural, identity in naming.CHILDREN.items() if identity[1] == kind)
        if kind in naming.PLURALS:
            resource = naming.PLURALS[kind]
        self.resource = resource
        self.raw: Raw = {
            "apiVersion": naming.RESOURCES[resource][0],
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"uid-of-{name}",
                "generation": 1,
                "resourceVersion": "10",
                "creationTimestamp": START.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "spec": spec,
        }

    def spec(self, **fields: Any) -> Self:
        """Set fields of the spec; None removes one."""
        self.raw["spec"] = _without_none({**self.raw["spec"], **fields})
        return self

    def status(self, **fields: Any) -> Self:
        """Set fields of the status; None removes one."""
        self.raw["status"] = _without_none({**self.raw.get("status", {}), **fields})
        return self

    def metadata(self, **fields: Any) -> Self:
        """Set fields of the metadata; None removes one."""
        self.raw["metadata"] = _without_none({**self.raw["metadata"], **fields})
        return self

    def annotated(self, name: str, value: str) -> Self:
        """Set an annotation."""
        self.raw["metadata"].setdefault("annotations", {})[name] = value
        return self

    def labelled(self, name: str, value: str) -> Self:
        """Set a label."""
        self.raw["metadata"].setdefault("labels", {})[name] = value
        return self

    def deleting(self) -> Self:
        """Let its deletion have begun."""
        return self.metadata(deletionTimestamp=START.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def condition(
        self, kind: str, status: str = "True", reason: str = "Running", message: str = "", **extra: Any
    ) -> Self:
        """Add a condition; `extra` replaces what it has by default."""
        condition = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": START.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "observedGeneration": self.raw["metadata"]["generation"],
            **extra,
        }
        known = [item for item in self.raw.get("status", {}).get("conditions", []) if item["type"] != kind]
        return self.status(conditions=[*known, condition])

    def owned_by(self, owner: Maker | Raw) -> Self:
        """Let another object control this one, with the labels that say so."""
        raw = owner.raw if isinstance(owner, Maker) else owner
        reference = {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "name": raw["metadata"]["name"],
            "uid": raw["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": False,
        }
        if raw["kind"] in naming.PLURALS and raw["apiVersion"] == naming.API_VERSION:
            labels = naming.owner_labels(raw["kind"], raw["metadata"]["name"])
            self.raw["metadata"].setdefault("labels", {}).update(labels)
        return self.metadata(ownerReferences=[reference])

    def stored(self) -> Raw:
        """Return it with the defaults that the API server fills in."""
        return stored(self.raw)


def _without_none(value: Raw) -> Raw:
    return {name: item for name, item in value.items() if item is not None}


def stored(raw: Raw, **metadata: Any) -> Raw:
    """Return an object with the defaults that the API server fills in, and the metadata that it gives."""
    filled = copied(raw)
    given = {"uid": f"uid-of-{raw['metadata']['name']}", "resourceVersion": "20", "generation": 1}
    filled["metadata"] = {**given, **filled["metadata"], **metadata}
    if filled["apiVersion"] == naming.API_VERSION:
        defaulted_raw: Raw = defaulted(schema_of(filled["kind"]), filled)
        return defaulted_raw
    resource = next(plural for plural, known in naming.CHILDREN.items() if known == (raw["apiVersion"], raw["kind"]))
    return defaults.fill(resource, filled)


def training_job(name: str = "churn-train", model: str = "churn") -> Maker:
    """Return a TrainingJob as small as it can be."""
    return Maker(
        naming.TRAINING_JOB,
        name,
        {
            "model": model,
            "data": [{"name": "train", "uri": "sklearn://breast_cancer"}],
            "target": "target",
            "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
        },
    )


def model_version(seed: str = "a", model: str = "churn") -> Maker:
    """Return an imported ModelVersion."""
    return Maker(
        naming.MODEL_VERSION,
        naming.version_name(model, digest(seed)),
        {"model": model, "artifact": {"uri": f"pvc://modelwright-models/{model}/{seed}/", "digest": digest(seed)}},
    )


def verified(seed: str = "a", model: str = "churn", *, age_seconds: int = 0) -> Maker:
    """Return a ModelVersion that was verified; a greater age is an earlier creation."""
    made = model_version(seed, model).condition("Ready", reason="Verified").condition("Verified", reason="Verified")
    created = START.timestamp() - age_seconds
    text = START.fromtimestamp(created, START.tzinfo).strftime("%Y-%m-%dT%H:%M:%SZ")
    return made.metadata(creationTimestamp=text)


def deployment(name: str = "churn", version: str | None = None, follow: str | None = None) -> Maker:
    """Return a Deployment of a version, or one that follows a model's newest."""
    model: Raw = {"version": version} if version else {"name": follow or "churn", "follow": "Latest"}
    return Maker(naming.DEPLOYMENT, name, {"model": model})
