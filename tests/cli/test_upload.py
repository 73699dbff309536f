"""`upload`, beside an API server and a kubectl that do what a test says."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from modelwright_cli.errors import Fault
from modelwright_cli.uploading import place, pod_of
from tests.cli.conftest import CORE, FakeApi, Object

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLAIMS, PODS = f"{CORE}/persistentvolumeclaims", f"{CORE}/pods"
TABLE = b"age,left\n1,no\n"
READY = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
# Notes its arguments, takes the file as the pod's shell would, and says its digest.
KUBECTL = """#!/bin/sh
printf '%s\\n' "$@" > "$NOTES/arguments"
cat > "$NOTES/taken"
sha256sum "$NOTES/taken"
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "Customers 2026.csv"
    file.write_bytes(TABLE)
    return file


@pytest.fixture
def made(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Object]:
    """Give the pods that were made, and gone; a kubectl is in the path."""
    folder = tmp_path / "programs"
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(KUBECTL, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(tmp_path))
    pods: list[Object] = []

    def create(request: Object) -> Object:
        pod = request["body"]
        pods.append(pod)

        def seen(again: Object) -> Object:
            if again["method"] == "DELETE":
                pod["gone"] = True
            return READY

        api.answers[f"{PODS}/{pod['metadata']['name']}"] = seen
        return dict(pod)

    api.answers[PODS] = create
    api.answers[CLAIMS] = lambda request: dict(request["body"])
    return pods


def test_a_file_is_brought_where_the_draft_looks_for_it(
    run: Callable[..., str], api: FakeApi, made: list[Object], table: Path, tmp_path: Path
) -> None:
    said = run("upload", str(table))
    digest = hashlib.sha256(TABLE).hexdigest()
    assert f"pvc://customers-2026-data/Customers_2026.csv: {len(TABLE)} bytes, sha256:{digest}" in said
    assert "PersistentVolumeClaim customers-2026-data was made (1Gi)" in said
    assert (tmp_path / "taken").read_bytes() == TABLE
    arguments = (tmp_path / "arguments").read_text(encoding="utf-8").splitlines()
    [pod] = made
    assert arguments[:5] == ["exec", "-i", "-n", "team", pod["metadata"]["name"]]
    assert arguments[-1] == "/data/Customers_2026.csv"
    assert pod["gone"]
    [claim] = [body for method, path, body in api.asked if (method, path) == ("POST", CLAIMS)]
    last = json.loads(claim["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert last["spec"] == claim["spec"], "so that `kubectl apply` of the draft says nothing"


def test_a_claim_that_is_there_is_left_as_it_is(
    run: Callable[..., str], api: FakeApi, made: list[Object], table: Path
) -> None:
    api.answers[f"{CLAIMS}/lake"] = {"metadata": {"name": "lake"}}
    run("upload", str(table), "--to", "pvc://lake/2026/x.csv", "--context", "main", "--image", "own/shell:1")
    assert not [path for method, path, _ in api.asked if (method, path) == ("POST", CLAIMS)]
    assert made[0]["spec"]["containers"][0]["image"] == "own/shell:1"


def test_what_did_not_arrive_whole_is_said(
    run: Callable[..., str], made: list[Object], table: Path, tmp_path: Path
) -> None:
    program = tmp_path / "programs" / "kubectl"
    program.write_text("#!/bin/sh\ncat > /dev/null; echo 00ff x\n", encoding="utf-8")
    assert "what arrived is not" in run("upload", str(table), code=1)
    program.write_text("#!/bin/sh\necho 'pods/exec is forbidden' >&2; exit 1\n", encoding="utf-8")
    said = run("upload", str(table), code=1)
    assert "pods/exec is forbidden" in said
    assert all(pod["gone"] for pod in made), "a pod that was made is removed, whatever happens"


def test_a_pod_that_does_not_run_is_told_with_its_image(
    run: Callable[..., str], api: FakeApi, made: list[Object], table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
    monkeypatch.setitem(READY, "status", waiting)
    said = run("upload", str(table), code=1)
    assert "ImagePullBackOff" in said
    assert "busybox:1.37 (--image)" in said
    assert made[0]["gone"]
    api.answers[PODS] = (403, {"message": "pods is forbidden"})
    assert "ask an administrator for that right" in run("upload", str(table), code=1)


def test_the_pod_has_no_right_and_passes_the_restricted_profile() -> None:
    spec = pod_of("x", "claim", "image")["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    [container] = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("uri", ["s3://bucket/x.csv", "pvc://claim", "pvc:///x.csv", "pvc://claim/../x.csv", "x.csv"])
def test_only_files_in_claims_are_addresses(uri: str) -> None:
    with pytest.raises(Fault, match="is no file in a claim"):
        place(uri)


def test_a_file_that_is_not_there_is_said(run: Callable[..., str]) -> None:
    assert "cannot be read (No such file or directory)" in run("upload", "nothing.csv", code=1)
