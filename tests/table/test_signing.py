"""Signatures: which versions are let in, by what was verified under which keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelwright_operator import api
from modelwright_operator.render import verification
from modelwright_server import contract
from modelwright_server.contract.signing import parse_keys
from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import Planned, ended, planned, revision_of, service_of, workload_of
from tests.table.test_model_version import made, maker, pod, version

Raw = dict[str, Any]


def public_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = serialization.Encoding.PEM
    return key.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


FIRST, SECOND = public_key(), public_key()
[KEY], [OTHER] = parse_keys(FIRST), parse_keys(SECOND)
KNOWN = replace(make.SETTINGS, trusted_keys=FIRST)
STRICT = replace(KNOWN, signature_required=True)
ROTATED = replace(STRICT, trusted_keys=SECOND)


def verified(subject: make.Maker, settings: Any, said: Raw, code: int = 0) -> Planned:
    """Return the pass after the verification that the settings ask for has ended so."""
    [apply] = planned(subject, settings=settings).plan.apply
    job = {**make.stored(apply.manifest), "status": {"conditions": ended("Complete" if code == 0 else "Failed")}}
    return planned(subject, job, pod(job, code, {"stage": "verify", **said}), settings=settings)


def after(plan: Planned) -> make.Maker:
    return version().status(**plan.status)


def test_who_knows_no_keys_asks_for_nothing() -> None:
    typed = api.ModelVersion.model_validate(version().stored())
    job = verification.batch_job(typed, "1", make.SETTINGS)
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert not {contract.ENV_TRUSTED_KEYS, contract.ENV_SIGNATURE_REQUIRED} & {
        item["name"] for item in container["env"]
    }
    assert planned(made(), maker()).conditions["Verified"] == "True/PublishedByTrainingJob"


@pytest.mark.parametrize("settings", [KNOWN, STRICT])
def test_with_keys_a_job_looks_at_every_version(settings: Any) -> None:
    for subject in ((version(),), (made(), maker())):
        plan = planned(*subject, settings=settings)
        assert plan.kinds == ["Job"]
        [container] = plan.manifest("Job")["spec"]["template"]["spec"]["containers"]
        variables = {item["name"]: item["value"] for item in container["env"]}
        assert variables[contract.ENV_TRUSTED_KEYS] == FIRST
        assert variables.get(contract.ENV_SIGNATURE_REQUIRED, "False") == str(settings.signature_required)
    waiting = planned(made(), make.training_job().status(attempt=1), settings=settings)
    assert waiting.conditions["Verified"] == "Unknown/AwaitingTrainingJob"


def test_the_key_that_signed_is_remembered() -> None:
    plan = verified(version(), STRICT, {"keyId": KEY.id})
    assert plan.conditions["Verified"] == "True/Verified"
    assert plan.status["verification"]["keyId"] == KEY.id
    assert KEY.id[:12] in plan.messages
    assert not planned(after(plan), settings=STRICT).plan.apply, "and not asked for again"


def test_a_key_of_nobody_is_not_believed() -> None:
    for said in ({}, {"keyId": OTHER.id}, {"keyId": 5}):
        strict = verified(version(), STRICT, said)
        assert strict.conditions["Verified"] == "False/SignatureInvalid"
        assert strict.conditions["Stalled"] == "True/SignatureInvalid"
        lenient = verified(version(), KNOWN, said)
        assert lenient.conditions["Verified"] == "True/Verified"
        for plan in (strict, lenient):
            assert "keyId" not in plan.status["verification"]


def test_what_the_job_refused_stays_refused_until_the_keys_change() -> None:
    said = {"reason": "SignatureInvalid", "message": "model.sig is missing"}
    plan = verified(version(), STRICT, said, code=2)
    assert plan.conditions["Verified"] == "False/SignatureInvalid"
    assert "kubectl annotate" in plan.messages
    assert not planned(after(plan), settings=STRICT).plan.apply
    assert planned(after(plan), settings=ROTATED).kinds == ["Job"]
    assert planned(after(plan), settings=KNOWN).kinds == ["Job"], "what is not required may be let in"


def test_what_was_let_in_is_looked_at_again_where_it_is_not_enough_any_more() -> None:
    unsigned = after(verified(version(), make.SETTINGS, {}))
    by_first = after(verified(version(), KNOWN, {"keyId": KEY.id}))
    for subject, settings, again in (
        (unsigned, make.SETTINGS, False),
        (unsigned, KNOWN, False),
        (unsigned, STRICT, True),
        (by_first, STRICT, False),
        (by_first, make.SETTINGS, False),
        (by_first, ROTATED, True),
    ):
        plan = planned(subject, settings=settings)
        assert (plan.kinds == ["Job"]) is again
        assert plan.conditions["Verified"].startswith("Unknown" if again else "True")


def test_a_refused_version_is_named_by_the_deployment_that_wants_it() -> None:
    plan = verified(version(), STRICT, {"reason": "SignatureInvalid", "message": "model.sig is missing"}, code=2)
    wanted = make.deployment(version=version().raw["metadata"]["name"])
    refused = planned(wanted, after(plan), settings=STRICT)
    assert refused.conditions["Stalled"] == "True/SignatureInvalid"
    assert not refused.plan.apply


def test_the_key_is_mounted_into_publish_alone() -> None:
    named = make.training_job().spec(signing={"secretName": "keys"})
    default = replace(make.SETTINGS, signing_secret_name="keys")  # noqa: S106  # a name
    plans = [planned(named), planned(make.training_job(), settings=default)]
    for plan in plans:
        spec = plan.manifest("Job")["spec"]["template"]["spec"]
        [volume] = [item for item in spec["volumes"] if item["name"] == "signing"]
        assert volume["secret"]["secretName"] == "keys"
        assert [item["key"] for item in volume["secret"]["items"]] == ["signing.key"]
        mounting = [
            item["name"]
            for item in (*spec["initContainers"], *spec["containers"])
            if "signing" in {mount["name"] for mount in item["volumeMounts"]}
        ]
        assert mounting == ["publish"]
    assert kubelet.stages_of(plans[0].manifest("Job"))[-1] == "publish"
    unsigned = planned(make.training_job()).manifest("Job")["spec"]["template"]["spec"]
    assert "signing" not in {item["name"] for item in unsigned["volumes"]}


@pytest.mark.parametrize("follows", [True, False])
def test_what_serves_goes_on_when_it_is_refused_and_says_so(follows: bool) -> None:
    serving = make.verified("a", age_seconds=100)
    name = serving.raw["metadata"]["name"]
    subject = make.deployment().spec(model={"name": "churn", "follow": "Latest"} if follows else {"version": name})
    subject = subject.status(stable=revision_of(subject, serving)).condition("Ready", reason="Available")
    children = (workload_of(subject, serving), service_of(subject, serving))
    refused = serving.condition("Verified", "False", "SignatureInvalid", "model.sig is missing")
    plan = planned(subject, refused, *children, settings=STRICT)
    assert plan.conditions["Stalled"] == "True/SignatureInvalid"
    assert plan.conditions["Available"] == "True/Available"
    assert plan.status["stable"]["version"] == name
    assert not plan.deletes
