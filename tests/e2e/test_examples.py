"""Every example is applied to a real cluster; those for orchestrators do there what their engines would do."""

from __future__ import annotations

import json
import runpy
import shlex
import sys
import types
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import kubernetes
import pytest
import yaml

from modelwright_operator import naming
from modelwright_operator.reasons import Reason
from tests.cluster.binaries import ARGO_WORKFLOWS, module_folder
from tests.cluster.fixtures import make_namespace
from tests.docs import pages
from tests.e2e.fixtures import JOBS, VERSIONS, Object, Team, claim, is_true

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from tests.cluster.client import Cluster
    from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

ARGO = pages.EXAMPLES / "argo-workflows"
AIRFLOW = pages.EXAMPLES / "airflow" / "churn_nightly.py"
FOLDERS = sorted({path.parent for path in pages.EXAMPLES.rglob("*.yaml")} - {ARGO})
MISTAKES = {Reason.INVALID_SPEC, Reason.NAME_CONFLICT, Reason.FORBIDDEN, Reason.CHILD_REJECTED}
# No pod may run: what the operator makes of an example is looked at by the API server, and there it ends.
NO_PODS = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-pods"},
    "spec": {"hard": {"pods": "0"}},
}


def objects_of(folder: Path) -> list[Object]:
    return [item for path in sorted(folder.glob("*.yaml")) for item in pages.documents(pages.read(path))]


def test_every_example_is_taken_by_the_api_server_and_the_operator(installation: Installation) -> None:
    cluster = installation.cluster
    applied: list[tuple[Team, Object]] = []
    with ExitStack() as stack:
        for folder in FOLDERS:
            team = Team(cluster, make_namespace(cluster, folder.name), installation)
            stack.callback(cluster.delete, "namespaces", team.namespace)
            team.apply(NO_PODS)
            mine = [item for item in objects_of(folder) if item["kind"] != "Pod"]
            team.apply(*mine)
            applied += [(team, item) for item in mine if item["apiVersion"] == naming.API_VERSION]
        assert len(applied) > 20
        for team, item in applied:
            plural = {"TrainingJob": JOBS, "ModelVersion": VERSIONS}.get(
                item["kind"], "modeldeployments.modelwright.dev"
            )
            seen = team.wait(plural, item["metadata"]["name"], decided, deadline=90)
            reasons = {one["reason"] for one in seen["status"]["conditions"]}
            assert not reasons & MISTAKES, (item["metadata"]["name"], seen["status"]["conditions"])


def decided(seen: Object | None) -> bool:
    return bool(conditions_of(seen))


def is_established(seen: Object | None) -> bool:
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions_of(seen))


def conditions_of(seen: Object | None) -> list[Object]:
    return ((seen or {}).get("status") or {}).get("conditions") or []


@contextmanager
def workflows(cluster: Cluster) -> Generator[None]:
    """Have the definition of Argo's Workflow, as its project publishes it, in the cluster."""
    module = module_folder(ARGO_WORKFLOWS, "github.com/argoproj/argo-workflows/v3")
    file = module / "manifests/base/crds/full/argoproj.io_workflows.yaml"
    cluster.kubectl("apply", "--server-side", "-f", str(file))
    name = "workflows.argoproj.io"
    try:
        cluster.wait("customresourcedefinitions.apiextensions.k8s.io", name, None, is_established)
        yield
    finally:
        cluster.kubectl("delete", f"crd/{name}", "--wait=false")
        cluster.kubectl("wait", "--for=delete", f"crd/{name}", "--timeout=60s")


def test_a_workflow_of_argo_trains_with_the_rights_of_its_account(team: Team) -> None:
    cluster, space = team.cluster, ("-n", team.namespace)
    team.apply(claim())
    cluster.kubectl("apply", "-f", str(ARGO / "rights.yaml"), *space)
    with workflows(cluster):
        made = cluster.kubectl("create", "-f", str(ARGO / "workflow.yaml"), *space, "-o", "json")
    workflow = json.loads(made)["spec"]
    templates = {item["name"]: item for item in workflow["templates"]}
    account = f"--as=system:serviceaccount:{team.namespace}:{workflow['serviceAccountName']}"

    train = templates["train"]
    job = json.loads(
        cluster.kubectl("create", "-f", "-", account, *space, "-o", "json", stdin=train["resource"]["manifest"])
    )["metadata"]["name"]
    [output] = train["outputs"]["parameters"]
    path = output["valueFrom"]["jsonPath"]
    assert cluster.kubectl("get", "trainingjob", job, account, *space, "-o", f"jsonpath={path}") == job

    called = [step["template"] for [step] in templates["nightly"]["steps"]]
    assert called == ["train", "ended", "succeeded"]
    for name in called[1:]:
        container = templates[name]["container"]
        words = [word.replace("{{inputs.parameters.job}}", job) for word in container["args"]]
        assert container["command"] == ["kubectl"]
        assert "{{" not in shlex.join(words)
        cluster.kubectl(*words, account, *space)
    assert is_true("Complete")(team.get(JOBS, job))

    # A run that fails ends, too, and is told from one that does not.
    manifest = yaml.safe_load(train["resource"]["manifest"])
    manifest["spec"]["data"][0]["uri"] = "sklearn://no_such_data"
    failed = json.loads(cluster.kubectl("create", "-f", "-", *space, "-o", "json", stdin=json.dumps(manifest)))
    words = [
        word.replace("{{inputs.parameters.job}}", failed["metadata"]["name"])
        for word in templates["ended"]["container"]["args"]
    ]
    cluster.kubectl(*words, account, *space)
    with pytest.raises(Exception, match="timed out"):
        cluster.kubectl(
            "wait", f"trainingjob/{failed['metadata']['name']}", "--for=condition=Complete", "--timeout=1s", *space
        )


class Airflow(types.ModuleType):
    """A stand-in for `airflow.sdk`: tasks are run as they are called, sensors until they hold."""

    def __init__(self, namespace: str, until: Callable[[Callable[[], bool]], None]) -> None:
        super().__init__("airflow.sdk")
        self.results: dict[str, Any] = {}
        self.dags: list[Object] = []

        class Task:
            def __init__(self, result: object) -> None:
                self.result = result

            def __rshift__(self, other: Task) -> Task:
                return other

        def run(function: Callable[..., Any], *arguments: Any) -> Task:
            function.__globals__["NAMESPACE"] = namespace
            self.results[function.__name__] = function(*(item.result for item in arguments))
            return Task(self.results[function.__name__])

        def task(function: Callable[..., Any] | None = None, **options: Any) -> Any:
            if function is None:
                assert options
                return task
            return lambda *arguments: run(function, *arguments)

        def sensor(**options: Any) -> Any:
            assert options["mode"] == "reschedule", "a sensor must not hold a worker"

            def decorated(function: Callable[..., bool]) -> Any:
                def waits(*arguments: Any) -> Task:
                    until(lambda: bool(run(function, *arguments).result))
                    return Task(None)

                return waits

            return decorated

        def dag(**options: Any) -> Any:
            self.dags.append(options)
            return lambda function: function

        task.sensor = sensor  # type: ignore[attr-defined]
        self.task, self.dag = task, dag


def test_a_dag_of_airflow_trains_and_hands_its_version_on(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is run as it is; only `airflow.sdk` is a stand-in, and the cluster is real."""
    team.apply(claim())

    def until(holds: Callable[[], bool]) -> None:
        team.wait(JOBS, sdk.results["train"], lambda _: holds(), deadline=120)

    sdk = Airflow(team.namespace, until)
    monkeypatch.setitem(sys.modules, "airflow", types.ModuleType("airflow"))
    monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
    monkeypatch.setenv("KUBECONFIG", str(team.cluster.kubeconfig))
    monkeypatch.setattr(kubernetes.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(team.cluster.kubeconfig))
    runpy.run_path(str(AIRFLOW))
    [dag] = sdk.dags
    assert dag["schedule"] == "0 3 * * *"
    assert sdk.results["ended"] is True
    version = team.get(VERSIONS, sdk.results["version"])
    assert version["spec"]["provenance"]["trainingJob"]["name"] == sdk.results["train"]

    # And a run that fails fails the task, with the reason.
    text = AIRFLOW.read_text(encoding="utf-8").replace("sklearn://breast_cancer", "sklearn://no_such_data")
    with pytest.raises(RuntimeError, match="DataNotFound"):
        exec(compile(text, AIRFLOW.name, "exec"), {"__name__": "dag"})  # noqa: S102 - the example, with other data
