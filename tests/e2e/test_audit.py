"""From a pod to its data by kubectl alone; documents of a version; and a log outside that shows tampering."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import onnxruntime
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.docs import pages
from tests.e2e.fixtures import DEPLOYMENTS, VALUES, VERSIONS, Object, Team, deployment, is_true, rows_body
from tests.e2e.object_store import PORT, REGION, SECRET, run_store, secret
from tests.e2e.test_cli import run
from tests.support.installation import NAMESPACE, install

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from obstore.store import S3Store

pytestmark = pytest.mark.cluster

EXPORT = "modelwright-audit-export"
HEAD = "modelwright-audit-head"
CARD = {"owner": "risk team", "intendedUse": "screening", "limitations": "not for children", "riskTier": "High"}


@pytest.fixture(scope="module")
def bucket(shared: Team, tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Store]:
    """Install with an export to a real S3 server, which runs when a test says so."""
    found = run_store(shared, tmp_path_factory.mktemp("image"))
    cluster = shared.cluster
    cluster.apply([secret("audit")], NAMESPACE)
    values = {
        "uri": "s3://lake/audit/",
        "endpoint": f"http://store.{shared.namespace}.svc:{PORT}",
        "region": REGION,
        "secretName": "audit",
        "schedule": "0 0 1 1 *",
    }
    install(cluster, *VALUES, *(f"audit.export.{key}={value}" for key, value in values.items()))
    yield found
    install(cluster, *VALUES)
    cluster.delete("secrets", "audit", NAMESPACE)
    assert cluster.get("configmaps", HEAD, NAMESPACE) is not None, "it outlives the export"
    cluster.delete("configmaps", HEAD, NAMESPACE)


@pytest.fixture(scope="module")
def version(shared: Team) -> str:
    """Have a version trained, approved and served; return its name."""
    made = str(shared.train("first", card=CARD)["status"]["modelVersion"])
    assert " is approved by " in run(shared, "approve", f"mv/{made}", "--reason", "as good as before")
    shared.apply(deployment("scores", {"name": "cancer", "follow": "LatestApproved"}, monitoring={}))
    shared.wait(DEPLOYMENTS, "scores", is_true("Ready", "Available"), deadline=90)
    shared.wait(VERSIONS, made, is_true("InUse"))
    return made


def documented(team: Team, **known: str) -> list[str]:
    """Run the commands of the page on lineage as they stand there; return what each printed."""
    page = pages.REPOSITORY / "docs" / "lineage.md"
    commands = re.findall(r"^\$ (kubectl get .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    config = team.cluster.environment["KUBECONFIG"]
    environment = {**os.environ, **team.cluster.environment, **known}
    said: list[str] = []
    for command in commands:
        scoped = command.replace("kubectl get", f"kubectl --kubeconfig {config} -n {team.namespace} get", 1)
        done = subprocess.run(["bash", "-c", scoped], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        said.append(done.stdout)
    return said


def test_from_a_pod_to_its_data_by_kubectl_alone(shared: Team, version: str) -> None:
    made = shared.get(VERSIONS, version)
    digest, provenance = made["spec"]["artifact"]["digest"], made["spec"]["provenance"]
    [pod] = shared.find("pods", "modelwright.dev/name=scores")
    revision = pod["metadata"]["labels"]["modelwright.dev/revision"]
    known = {
        "POD": pod["metadata"]["name"],
        "DIGEST": digest,
        "DEPLOYMENT": "scores",
        "VERSION": version,
        "JOB": "first",
    }
    said = documented(shared, **known)
    data = provenance["data"][0]
    by = made["spec"]["approval"]["by"]
    assert said[:5] == [
        f"scores {revision}",
        digest,
        version,
        f"{revision} {version} {digest}",
        f"first {provenance['trainingJob']['uid']}",
    ]
    assert said[5] == f"{provenance['trainingJob']['uid']} {version} {digest}"
    assert said[6] == f"all sklearn://breast_cancer {data['digest']} {data['rows']}\n"
    images = f"{provenance['image']} {provenance['imageDigest']} {provenance['parametersDigest']} 7"
    assert said[7].strip() == images
    assert json.loads(said[8])["sklearn"]["parameters"] == {"max_iter": 500}
    assert said[9] == f"Approved {by}: as good as before"
    assert f"Approved {by} approved by {by}: as good as before" in said[10]
    assert json.loads(said[11]) == ["scores"]
    assert len(said) == 12
    drawn = run(shared, "lineage", f"pod/{known['POD']}")
    assert f"approved by {by}: as good as before (at " in drawn
    assert data["digest"] in drawn


def test_documents_are_made_of_what_the_cluster_holds(shared: Team, version: str) -> None:
    told = json.loads(run(shared, "dossier", version, "-o", "json"))
    facts = {
        fact["label"]: fact["values"]
        for text in told["texts"]
        for section in text["sections"]
        for fact in section["facts"]
    }
    made = shared.get(VERSIONS, version)
    assert facts["intended use"] == ["screening"]
    assert facts["risk tier"] == ["High"]
    assert any(
        made["spec"]["provenance"]["data"][0]["digest"] in item for item in facts["training, validation and test data"]
    )
    assert any("as good as before" in item for item in facts["approval"])
    assert facts["where it serves"][0].startswith("Deployment scores: serves as stable")
    assert facts["what was found of live traffic"], "the sidecar's conditions"
    assert not facts["declaration"]
    assert "## What is empty" in run(shared, "dossier", version)
    bill = run(shared, "export", "cyclonedx", version)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    component = json.loads(bill)["metadata"]["component"]
    assert component["hashes"][0]["content"] == made["spec"]["artifact"]["digest"].removeprefix("sha256:")
    assert {item["type"] for item in json.loads(bill)["components"]} == {"data", "container"}
    assert "pipeline_tag: tabular-classification" in run(shared, "export", "model-card", version)


def test_mlflow_gets_the_model_out_of_a_pod_that_serves_it(shared: Team, version: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    assert run(shared, "export", "mlflow", version, "--to", str(folder)).startswith("written: ")
    rows = [[float(at)] * 30 for at in range(3)]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    signature = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["signature"]
    named = {item["name"]: item["tensor-spec"] for item in json.loads(signature["inputs"])}
    assert named == {session.get_inputs()[0].name: {"dtype": "float32", "shape": [-1, 30]}}
    said = dict(
        zip(
            (item.name for item in session.get_outputs()),
            session.run(None, {session.get_inputs()[0].name: np.array(rows, np.float32)}),
            strict=True,
        )
    )
    for output in shared.infer("scores", rows_body(rows))["outputs"]:
        np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), said[output["name"]], atol=1e-6)


def export(team: Team, name: str, *, fails: bool = False) -> dict[str, Any]:
    """Run the export once, now; return what it said last."""
    cluster = team.cluster
    cluster.kubectl("create", "job", name, f"--from=cronjob/{EXPORT}", "-n", NAMESPACE)
    if fails:  # its first pod says all there is to say
        cluster.kubectl("patch", "job", name, "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"backoffLimit":0}}')
    wanted = "Failed" if fails else "Complete"

    def over(seen: Object | None) -> bool:
        conditions = ((seen or {}).get("status") or {}).get("conditions") or []
        return any((item["type"], item["status"]) == (wanted, "True") for item in conditions)

    cluster.wait("jobs.batch", name, NAMESPACE, over, deadline=90)
    said = cluster.kubectl("logs", f"job/{name}", "-n", NAMESPACE)
    cluster.delete("jobs.batch", name, NAMESPACE)
    last: dict[str, Any] = json.loads(said.splitlines()[-1])
    return last


def copied(bucket: S3Store, folder: Path) -> Path:
    """Copy the log's objects to this machine."""
    folder.mkdir()
    for page in obstore.list(bucket, "audit"):
        for item in page:
            data = obstore.get(bucket, item["path"]).bytes()
            (folder / item["path"].rpartition("/")[2]).write_bytes(bytes(data))
    return folder


def test_the_exported_log_is_whole_and_shows_tampering(
    shared: Team, version: str, bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The operator's own log has each line once, with who, what, why and which.
    lines = (json.loads(line) for line in shared.installation.logs().splitlines() if line.startswith("{"))
    [logged] = [
        line
        for line in lines
        if (line.get("logger"), line["event"]) == ("modelwright.audit", "Approved")
        and (line["namespace"], line["name"]) == (shared.namespace, version)
    ]
    made = shared.get(VERSIONS, version)
    digest, by = made["spec"]["artifact"]["digest"], made["spec"]["approval"]["by"]
    assert (logged["by"], logged["digest"], logged["kind"]) == (by, digest, "ModelVersion")
    assert logged["message"].endswith("as good as before")

    # The same is exported, once, and what happens later is added.
    first = export(shared, "first")
    assert first["records"] >= 3
    assert export(shared, "again")["head"] == first["head"]
    run(shared, "reject", version, "--reason", "leaks the outcome")
    shared.wait(DEPLOYMENTS, "scores", is_true("ApprovalRequired", "ApprovalRevoked"))
    second = export(shared, "second")
    assert second["sequence"] > first["sequence"]
    remembered = shared.cluster.get("configmaps", HEAD, NAMESPACE)
    assert remembered is not None
    assert remembered["data"]["head"] == second["head"]

    folder = copied(bucket, tmp_path / "audit")
    said = run(shared, "audit", "verify", str(folder), "--head", second["head"])
    assert said.startswith(f"{second['sequence']} records in 2 files are whole")
    every = [json.loads(line) for file in sorted(folder.glob("0*.jsonl")) for line in file.read_text().splitlines()]
    records = [item for item in every if item["namespace"] == shared.namespace]
    approved = next(item for item in records if item["event"] == "Approved" and item["name"] == version)
    assert (approved["by"], approved["digest"]) == (by, digest)
    rejected = next(item for item in records if item["event"] == "ApprovalRejected")
    assert "leaks the outcome" in rejected["message"]

    # One byte, in the copy and in the store: the line is named, there and by the next export.
    name = max(folder.glob("0*.jsonl")).name
    data = (folder / name).read_bytes()
    changed = data.replace(b"leaks the outcome", b"leaks the 0utcome", 1)
    assert changed != data
    at = next(number for number, line in enumerate(changed.splitlines(), 1) if b"0utcome" in line)
    (folder / name).write_bytes(changed)
    said = run(shared, "audit", "verify", str(folder), code=1)
    assert f"{name} line {at}: record " in said
    obstore.put(bucket, f"audit/{name}", changed)
    for key, value in SECRET.items():
        monkeypatch.setenv(key, value)
    endpoint = f"http://{shared.get('services', 'store')['spec']['clusterIP']}:{PORT}"
    said = run(shared, "audit", "verify", "s3://lake/audit", "--endpoint", endpoint, "--region", REGION, code=1)
    assert f"{name} line {at}: record " in said
    run(shared, "approve", f"mv/{version}", "--reason", "as good as before")
    assert f"{name} line {at}: record " in export(shared, "third", fails=True)["problem"]

    # Cut off at its end the log would be whole: what the cluster remembers says it is not.
    obstore.delete(bucket, f"audit/{name}")
    assert "is not in the store" in export(shared, "fourth", fails=True)["problem"]
