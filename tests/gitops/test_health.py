"""What GitOps tools make of our objects, by their own libraries: gopher-lua as in Argo CD, kstatus, and Flux's CEL."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.chart.conftest import CHART
from tests.cluster.binaries import GITOPS, ensure_binaries
from tests.support import builders as make
from tests.table.planning import planned, revision_of, service_of, workload_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Raw = dict[str, Any]
FILES = CHART / "files" / "gitops"

A, B = make.verified("a", age_seconds=100), make.verified("b", age_seconds=50)
NAMES = [maker.raw["metadata"]["name"] for maker in (A, B)]
STRICT = replace(make.SETTINGS, approval_required_from="Low")


def after(subject: make.Maker, *others: Any, **options: Any) -> Raw:
    """Return an object as it is after a pass of the operator."""
    status = planned(subject, *others, **options).status
    generation = subject.raw["metadata"]["generation"]
    assert status["observedGeneration"] == generation
    return subject.status(**status).stored()


def serving(wanted: make.Maker = A) -> tuple[make.Maker, tuple[Any, ...]]:
    subject = make.deployment(version=wanted.raw["metadata"]["name"])
    subject.status(stable=revision_of(subject, A))
    return subject, (A, B, workload_of(subject, A), service_of(subject, A))


def at_rest() -> Raw:
    subject, others = serving()
    return after(subject, *others)


def changed() -> Raw:
    found = at_rest()
    return {**found, "metadata": {**found["metadata"], "generation": 2}}


def deleting() -> Raw:
    found = at_rest()
    return {**found, "metadata": {**found["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}}


def replacing() -> Raw:
    subject, others = serving(B)
    return after(subject, *others)


def waiting_for_a_step() -> Raw:
    condition = {"status": "True", "reason": "ApprovalRequired", "message": "step 1 waits"}
    subject = make.deployment(version=NAMES[1]).status(observedGeneration=1)
    return subject.condition("Ready", **condition).condition("ApprovalRequired", **condition).stored()


def complete() -> make.Maker:
    job = make.training_job().status(attempt=1, modelVersion=NAMES[0], observedGeneration=1)
    return job.condition("Ready", reason="Succeeded").condition("Complete", reason="Succeeded")


def failed() -> make.Maker:
    job = make.training_job().status(attempt=1, observedGeneration=1)
    job.condition("Ready", "False", "DataInvalid", "no rows").condition("Failed", reason="DataInvalid")
    return job.condition("Stalled", reason="DataInvalid", message="no rows")


def stopped() -> make.Maker:
    job = make.training_job().spec(suspend=True).status(attempt=1, observedGeneration=1)
    return job.condition("Suspended", reason="Suspended", message="spec.suspend is true")


SITUATIONS: dict[str, tuple[Callable[[], Raw], str, str]] = {
    "a Deployment nobody has looked at": (
        lambda: make.deployment(version=NAMES[0]).stored(),
        "Progressing",
        "InProgress",
    ),
    "a job nobody has looked at": (lambda: make.training_job().stored(), "Progressing", "InProgress"),
    "a version nobody has looked at": (lambda: make.model_version().stored(), "Progressing", "InProgress"),
    "a job that begins": (lambda: after(make.training_job()), "Progressing", "InProgress"),
    "a job that ended well": (lambda: complete().stored(), "Healthy", "Current"),
    "a job that failed": (lambda: failed().stored(), "Degraded", "Failed"),
    "a template": (lambda: after(make.training_job().spec(suspend=True)), "Healthy", "Current"),
    "a job that was stopped": (lambda: stopped().stored(), "Suspended", "Current"),
    "a version that is checked": (lambda: after(make.model_version()), "Progressing", "InProgress"),
    "a version that is in order": (lambda: after(make.verified()), "Healthy", "Current"),
    "a version that waits for an approval": (lambda: after(make.verified(), settings=STRICT), "Healthy", "Current"),
    "a Deployment of a version that is not there": (
        lambda: after(make.deployment(version="none")),
        "Degraded",
        "Failed",
    ),
    "a Deployment that comes up": (lambda: after(make.deployment(version=NAMES[0]), A), "Progressing", "InProgress"),
    "a Deployment at rest": (at_rest, "Healthy", "Current"),
    "a Deployment that was just changed": (changed, "Progressing", "InProgress"),
    "a Deployment whose next version comes up": (replacing, "Progressing", "InProgress"),
    "a Deployment without an approved version": (
        lambda: after(make.deployment(version=NAMES[0]), A, settings=STRICT),
        "Suspended",
        "InProgress",
    ),
    "a step that waits for an approval": (waiting_for_a_step, "Suspended", "Current"),
}


@pytest.fixture(scope="module")
def judge() -> Callable[[list[Raw]], list[dict[str, dict[str, str]]]]:
    program = ensure_binaries((GITOPS,), print)[GITOPS]

    def run(objects: list[Raw], script: Path = FILES / "argocd-health.lua") -> list[dict[str, dict[str, str]]]:
        done = subprocess.run(
            [program, script, FILES / "flux-health.yaml"],
            input=json.dumps(objects),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        verdicts: list[dict[str, dict[str, str]]] = json.loads(done.stdout)
        return verdicts

    return run


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_tool_sees_what_is_the_case(judge: Callable[..., list[Any]], situation: str) -> None:
    made, argo, kstatus = SITUATIONS[situation]
    [verdict] = judge([made()])
    assert (verdict["argo"]["status"], verdict["kstatus"]["status"]) == (argo, kstatus), verdict
    assert verdict["flux"]["status"] == kstatus, "what is shipped for Flux says what Flux finds by itself"


def test_what_is_being_deleted_is_under_way(judge: Callable[..., list[Any]]) -> None:
    [verdict] = judge([deleting()])
    assert (verdict["argo"]["status"], verdict["kstatus"]["status"]) == ("Progressing", "Terminating")


def test_people_are_told_what_the_condition_says(judge: Callable[..., list[Any]]) -> None:
    broken, waiting = judge([failed().stored(), waiting_for_a_step()])
    assert broken["argo"]["message"] == "no rows"
    assert waiting["argo"]["message"] == "step 1 waits"


def test_argo_cd_gets_the_script_for_each_kind(render: Callable[..., list[Raw]]) -> None:
    assert not [item for item in render() if item["kind"] == "ConfigMap"]
    [made] = [item for item in render(gitops={"argocdHealth": True}) if item["kind"] == "ConfigMap"]
    assert made["metadata"] == {"name": "argocd-cm"}
    script = (FILES / "argocd-health.lua").read_text(encoding="utf-8")
    kinds = ("TrainingJob", "ModelVersion", "Deployment")
    assert made["data"] == {f"resource.customizations.health.modelwright.dev_{kind}": script for kind in kinds}
