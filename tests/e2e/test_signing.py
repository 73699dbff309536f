"""Only what a trusted key signed is served: trained or imported, and whatever happens to the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelwright_server.contract.signing import parse_keys
from tests.e2e.fixtures import (
    CLAIM,
    DEPLOYMENTS,
    JOBS,
    VALUES,
    VERSIONS,
    Object,
    Team,
    claim,
    condition,
    deployment,
    is_true,
    model_version,
    rows_body,
    training_job,
)
from tests.support.claims import run_in_claim
from tests.support.installation import install

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

_PEM = serialization.Encoding.PEM
_KEY = ec.generate_private_key(ec.SECP256R1())
PRIVATE = _KEY.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
PUBLIC = _KEY.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
[TRUSTED] = parse_keys(PUBLIC)
ROWS = rows_body([[0.5] * 30])
# Copies of one signed artifact, each spoilt in another way.
SPOIL = """
import os, pathlib, shutil
source = pathlib.Path("cancer/{digest}")
for name in ("good", "bent", "changed", "unsigned", "later"):
    shutil.copytree(source, name)
def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
flip(pathlib.Path("bent/model.sig"), pathlib.Path("bent/model.sig").read_bytes().index(b'"sig"') + 20)
flip(pathlib.Path("changed/model.onnx"), 100)
os.remove("unsigned/model.sig")
"""


@pytest.fixture(scope="module")
def strict(installation: Installation) -> Generator[Installation]:
    """Install so that only models signed with our key are let in."""
    cluster = installation.cluster
    try:
        yield install(cluster, *VALUES, f"signing.trustedKeys[0]={PUBLIC}", "signing.required=true")
    finally:  # else what comes after it met only refusals
        install(cluster, *VALUES)


@pytest.fixture
def team(strict: Installation, namespace: str) -> Team:
    """Give a namespace with the claim for models and the key they are signed with."""
    made = Team(strict.cluster, namespace, strict)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys"},
        "stringData": {"signing.key": PRIVATE},
    }
    made.apply(claim(), secret)
    return made


def refused(reason: str) -> Callable[[Object | None], bool]:
    """Tell whether a version was found not to be fit, for that reason."""

    def holds(seen: Object | None) -> bool:
        found = condition(seen, "Verified")
        return (found.get("status"), found.get("reason")) == ("False", reason)

    return holds


@pytest.mark.timeout(600)  # with what the first test of a run sets up
def test_only_what_a_trusted_key_signed_is_served(team: Team) -> None:
    team.apply(
        training_job("signed", signing={"secretName": "keys"}),
        training_job("unsigned", seed=8, trainer={"sklearn": {"estimator": "sklearn.tree.DecisionTreeClassifier"}}),
        training_job("keyless", signing={"secretName": "absent"}),
        deployment("scores", {"name": "cancer", "follow": "Latest"}),
    )
    made, other = (team.wait(JOBS, name, is_true("Complete"), deadline=120) for name in ("signed", "unsigned"))
    version, unsigned = made["status"]["modelVersion"], other["status"]["modelVersion"]
    verified = team.wait(VERSIONS, version, is_true("Verified", "Verified"), deadline=60)
    assert verified["status"]["verification"]["keyId"] == TRUSTED.id
    team.wait(VERSIONS, unsigned, refused("SignatureInvalid"), deadline=60)
    team.apply(deployment("pinned", {"version": unsigned}))
    said = team.wait(DEPLOYMENTS, "pinned", is_true("Stalled", "SignatureInvalid"))
    assert "model.sig is missing" in condition(said, "Stalled")["message"]
    assert not team.find("pods", "modelwright.dev/name=pinned,modelwright.dev/kind=Deployment")
    team.wait(DEPLOYMENTS, "scores", lambda seen: is_true("Ready")(seen) and seen, deadline=60)
    assert team.get(DEPLOYMENTS, "scores")["status"]["stable"]["version"] == version
    assert team.infer("scores", ROWS)["model_name"] == "cancer"

    failed = team.wait(JOBS, "keyless", is_true("Stalled", "SigningKeyInvalid"), deadline=60)
    assert "no Secret absent" in condition(failed, "Stalled")["message"]

    # The key is in the container that publishes, and in no other of the pod.
    [pod] = team.find("pods", "modelwright.dev/name=signed")
    mounting = [
        item["name"]
        for item in (*pod["spec"]["initContainers"], *pod["spec"]["containers"])
        if any(mount["name"] == "signing" for mount in item["volumeMounts"])
    ]
    assert mounting == ["publish"]

    _spoilt_files_are_refused(team, made["status"]["artifact"]["digest"])


def _spoilt_files_are_refused(team: Team, digest: str) -> None:
    """Import copies of what was signed, spoilt before or after they were verified."""
    run_in_claim(team, CLAIM, SPOIL.format(digest=digest.removeprefix("sha256:")))
    expected = {
        "good": None,
        "later": None,
        "bent": "SignatureInvalid",
        "changed": "DigestMismatch",
        "unsigned": "SignatureInvalid",
    }
    team.apply(*(model_version(name, path=name, digest=digest) for name in expected))
    for name, reason in expected.items():
        team.wait(VERSIONS, name, refused(reason) if reason else is_true("Verified"), deadline=60)
    assert team.get(VERSIONS, "good")["status"]["verification"]["keyId"] == TRUSTED.id

    # What was right when it was verified is looked at again before each load.
    run_in_claim(team, CLAIM, "import os; os.remove('good/model.sig'); open('later/model.onnx', 'ab').write(b'x')")
    for name, reason in (("good", "SignatureInvalid"), ("later", "DigestMismatch")):
        team.apply(deployment(f"serving-{name}", {"version": name}))
        team.wait(DEPLOYMENTS, f"serving-{name}", is_true("Stalled", reason), deadline=60)
        assert not team.get(DEPLOYMENTS, f"serving-{name}")["status"].get("stable")
    assert team.infer("scores", ROWS)["model_name"] == "cancer"
