"""The command line: `python -m tests.demo`."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.settings import REPOSITORY, ClusterError
from tests.demo import loop, predictions
from tests.demo.progress import DemoError, Narrator, follow
from tests.e2e.fixtures import DEPLOYMENTS, JOBS, VERSIONS, rows_body
from tests.support.clusters import end_tidily, fresh_namespace, keep, running_cluster
from tests.support.installation import NAMESPACE as SYSTEM
from tests.support.installation import RELEASE, Installation, install

if TYPE_CHECKING:
    from tests.cluster.client import Cluster
    from tests.demo.progress import Voice

QUICKSTART = REPOSITORY / "examples" / "quickstart"
NAME = "breast-cancer"
NAMESPACE = "modelwright-demo"
LOOP_NAMESPACE = "modelwright-demo-loop"
_REQUEST = Path("build") / "demo" / "request.json"
_DEADLINE_SECONDS = 300.0

_DESCRIPTION = """\
Runs the quickstart on a real Kubernetes: brings the cluster up, builds and loads the images, installs the chart,
applies examples/quickstart, follows it until the model is served, and sends it the rows held out in training.
Then examples/loop: traffic shifts, drift is noticed, a new version is trained, tried on some requests and promoted.
A cluster that did not run before is removed at the end, else only the demo's namespaces are.
"""
_EPILOG = "environment: KEEP=1 leaves everything running, to look around in."


def tell(installation: Installation, namespace: str, say: Voice) -> None:
    """Apply the quickstart in a namespace, follow it, and check what is served.

    Raises:
        DemoError: something is stalled or late, or what is served is not what was trained.
    """
    cluster = installation.cluster
    cluster.kubectl("apply", "-f", str(QUICKSTART), "-n", namespace)
    say("quickstart", f"applied to the namespace {namespace}")
    job = cluster.get(JOBS, NAME, namespace)
    if job is None:
        message = f"{QUICKSTART.name} has no TrainingJob {NAME}"
        raise DemoError(message)
    with ThreadPoolExecutor(1) as pool:
        training_here = pool.submit(predictions.holdout, job, installation.images)
        follow(cluster, namespace, NAME, say, deadline=_DEADLINE_SECONDS)
        held = training_here.result()
    served = cluster.get(DEPLOYMENTS, NAME, namespace) or {}
    version = cluster.get(VERSIONS, served["status"]["stable"]["version"], namespace) or {}
    path = f"/v2/models/{served['status']['stable']['model']}/infer"
    say("requests", f"sending the {len(held.rows)} rows held out, one request each, to {served['status']['url']}{path}")
    verdict = predictions.ask(cluster, namespace, NAME, path, held)
    say("requests", "answered")
    _report(verdict, version, len(held.rows))
    if (problem := predictions.judge(verdict, version)) is not None:
        raise DemoError(problem)
    _show(cluster, namespace, path, held)


def _report(verdict: predictions.Verdict, version: dict[str, predictions.Object], rows: int) -> None:
    recorded = {metric["name"]: metric["value"] for metric in version["spec"]["metrics"]}
    print(f"\n{'metric on the ' + str(rows) + ' rows':28} {'served':>10} {version['metadata']['name']:>26}")
    for name, value in verdict.metrics.items():
        print(f"{name:28} {value:>10g} {recorded.get(name, float('nan')):>26g}")
    print(f"Largest difference of a probability to scikit-learn's own: {verdict.difference:.1e}\n")


def _show(cluster: Cluster, namespace: str, path: str, held: predictions.Holdout) -> None:
    print(f"$ kubectl get mlops --namespace {namespace}")
    print(cluster.kubectl("get", "mlops", "--namespace", namespace))
    service = cluster.get("services", NAME, namespace) or {}
    request = REPOSITORY / _REQUEST
    request.parent.mkdir(parents=True, exist_ok=True)
    body = json.dumps(rows_body([held.rows[0].tolist()]))
    request.write_text(body + "\n", encoding="utf-8")
    print(f"$ curl --json @{_REQUEST} http://{service['spec']['clusterIP']}{path}")
    print(cluster.http(NAME, namespace, path, method="POST", body=body.encode()).body.decode(), end="\n\n")


def _farewell() -> None:
    if not keep():
        print(
            "The demo's namespaces are removed, and the cluster unless it ran before. To look around: KEEP=1 make demo"
        )
        return
    print("Everything is left running, since KEEP is set. To use kubectl and helm with this cluster:")
    print('  eval "$(python3 -m tests.cluster env)"')
    print("Clean up:")
    print(f"  kubectl delete namespace {NAMESPACE} {LOOP_NAMESPACE}; helm uninstall {RELEASE} --namespace {SYSTEM}")
    print("  make cluster-down")


def _run(say: Narrator) -> None:
    say("cluster", "bringing it up, or finding it running")
    with running_cluster() as cluster:
        say("cluster", "up; building and loading the images, installing the chart")
        installation = install(cluster, feast=False)
        say("cluster", f"Modelwright is installed in the namespace {SYSTEM}")
        with fresh_namespace(cluster, NAMESPACE) as namespace:
            tell(installation, namespace, say)
            say("demo", "what is served is what was trained")
        with fresh_namespace(cluster, LOOP_NAMESPACE) as namespace:
            say("loop", "now a model whose traffic shifts: examples/loop")
            loop.close(installation, namespace, say)
            say("demo", "drift was noticed, a new version trained, tried, promoted, and fits")


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=_DESCRIPTION, epilog=_EPILOG)
    parser.parse_args()
    end_tidily()
    say = Narrator()
    code = 1
    try:
        _run(say)
        code = 0
    except (DemoError, ClusterError, OSError, AssertionError) as error:
        say("demo", f"failed: {error}")
    except KeyboardInterrupt:
        say("demo", "interrupted")
        code = 130
    say("demo", "ended")
    _farewell()
    return code


if __name__ == "__main__":
    sys.exit(main())
