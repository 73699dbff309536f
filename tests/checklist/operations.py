"""Rows on what those do who install it: most of them take a cluster and minutes, and tests of the suite show them."""

from __future__ import annotations

import json
import subprocess
import time

from modelwright_server.contract import monitoring
from tests.checklist.row import DEPLOYMENT, NAME, Row, World, must, passed, reported, tests
from tests.cluster.binaries import PROMLINT, ensure_binaries
from tests.cluster.settings import ClusterError
from tests.support.installation import CHART
from tests.support.installation import NAMESPACE as SYSTEM

_PAGE_SECONDS = 30.0


def _helm(world: World) -> str:
    world.cluster.helm("lint", "--strict", str(CHART))
    try:
        world.cluster.helm("template", "m", str(CHART), "--set", "noSuchValue=1")
    except ClusterError as error:
        must("noSuchValue" in str(error), error)
    else:
        must(holds=False, found="an unknown value is taken")
    node = "tests/chart/test_installation.py::test_an_upgrade_with_the_same_values_changes_nothing"
    upgraded = reported(world.report, [node]) if world.report is not None else passed(node)
    return f"no complaint; noSuchValue is named; upgrade: {upgraded}"


def _restricted(world: World) -> str:
    labels = json.loads(world.cluster.kubectl("get", "namespace", world.namespace, "-o", "json"))["metadata"]["labels"]
    must(labels.get("pod-security.kubernetes.io/enforce") == "restricted", labels)
    pods = json.loads(world.kubectl("get", "pods", "-o", "json"))["items"]
    phases = sorted({pod["status"]["phase"] for pod in pods})
    must(phases and set(phases) <= {"Running", "Succeeded"}, phases)
    return f"{len(pods)} pods in a restricted namespace: {', '.join(phases)}"


def _metrics(world: World) -> str:
    """Look at the pages of the operator, of a server and of its sidecar, which has one while it monitors."""
    world.kubectl("patch", DEPLOYMENT, "--type=merge", "-p", '{"spec": {"monitoring": {"drift": {}}}}')
    program = str(ensure_binaries((PROMLINT,), print)[PROMLINT])
    served = world.kubectl(
        "get", "pods", "-l", f"modelwright.dev/name={NAME},modelwright.dev/kind=Deployment", "-o", "name"
    )
    pod = served.split()[0].removeprefix("pod/")
    pages = {
        "operator": (SYSTEM, world.installation.operator_pod(), 9090),
        "server": (world.namespace, pod, 8082),
        "sidecar": (world.namespace, pod, monitoring.WINDOW_PORT),
    }
    found: list[str] = []
    for name, (namespace, at, port) in pages.items():
        page = _page(world, f"/api/v1/namespaces/{namespace}/pods/{at}:{port}/proxy/metrics")
        done = subprocess.run([program], input=page, capture_output=True, text=True, check=False)
        must(done.returncode == 0, f"{name}: {done.stdout}{done.stderr}")
        found.append(f"{name} {sum(line.startswith('# TYPE') for line in page.splitlines())}")
    return f"no objection; families: {', '.join(found)}"


def _page(world: World, path: str) -> str:
    end = time.monotonic() + _PAGE_SECONDS
    while True:
        try:
            return world.cluster.kubectl("get", "--raw", path)
        except ClusterError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


ROWS = (
    tests(27, "Argo CD's health", "tests/gitops"),
    tests(28, "Flux", "tests/e2e/test_flux.py"),
    Row(29, "Helm", "helm lint --strict; an unknown value; helm upgrade with the same values", _helm),
    Row(30, "restricted", "kubectl label ns … pod-security.kubernetes.io/enforce=restricted", _restricted),
    tests(31, "least RBAC", "tests/e2e/test_identities.py", "tests/chart/test_rights.py"),
    tests(32, "HA", "tests/e2e/test_high_availability.py"),
    tests(
        33,
        "namespaced mode",
        "tests/chart/test_installation.py::test_in_chosen_namespaces_the_chart_itself_gives_the_sidecars_their_rights",
    ),
    tests(34, "Open Inference Protocol", "tests/server/test_batches.py", "tests/server/grpc/test_inference.py"),
    tests(35, "drain", "tests/e2e/test_serving.py"),
    tests(36, "weights", "tests/e2e/test_rollout.py"),
    Row(37, "metrics", "kubectl get --raw …/proxy/metrics | promlint (what promtool check metrics uses)", _metrics),
    tests(38, "uninstall", "tests/e2e/test_release.py"),
    tests(39, "first model", "tests/demo/test_newcomer.py"),
    tests(40, "offline", "tests/chart/test_image_references.py"),
)
