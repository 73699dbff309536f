"""The commands as people type them: what is shown, what is asked of the API server, what an error says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import typer

from modelwright_cli.app import app
from tests.cli import worlds
from tests.cli.conftest import CORE, OURS, FakeApi
from tests.docs.commands import commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Object = dict[str, Any]
Run = "Callable[..., str]"
COMMANDS = sorted(commands(typer.main.get_command(app)))
REVISION, OTHER = "0123456789", "3b1f09c2aa"


def serving(**rollout: Any) -> Object:
    """Return a Deployment that serves, and tries another version if a rollout is given."""
    found = worlds.deployment()
    found["metadata"]["generation"] = found["status"]["observedGeneration"] = 3
    found["status"]["conditions"].append(worlds.condition("Ready", "True", "Available", "answers requests"))
    found["status"] |= {
        "replicas": 2,
        "readyReplicas": 2,
        "stable": {"version": "churn-9f2c41ab07", "revision": REVISION},
    }
    if rollout:
        found["spec"]["rollout"] = {"steps": [{"weight": 5, "hold": {"minRequests": 200}}, {"weight": 50}]}
        found["status"]["canary"] = {"version": "churn-77aa01cd3e", "revision": OTHER}
        found["status"]["rollout"] = {"revision": OTHER, "version": "churn-77aa01cd3e", "steps": 2, **rollout}
    return found


def version(name: str = "churn-9f2c41ab07", **provenance: Any) -> Object:
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "model": "churn",
            "approval": {"state": "Approved", "by": "ana@example.org", "reason": "as good as before"},
            "artifact": {"uri": "s3://models/churn/9f", "digest": worlds.DIGEST},
            "metrics": [{"name": "roc_auc", "value": 0.91, "low": 0.9, "high": 0.92, "dataset": "holdout"}],
            "provenance": {
                "trainingJob": {"name": "nightly", "uid": "u-1"},
                "data": [{"name": "train", "uri": "s3://lake/churn.csv", "digest": "sha256:da7a", "rows": 500}],
                "imageDigest": "sha256:1234",
                "parametersDigest": "sha256:5678",
                "seed": 7,
                **provenance,
            },
        },
        "status": {"conditions": [worlds.condition("Verified", "True", "Verified", "")]},
    }


def job(uid: str = "u-1") -> Object:
    sklearn = {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 0.5}}
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "nightly", "namespace": "team", "uid": uid},
        "spec": {"trainer": {"sklearn": sklearn}},
        "status": {},
    }


def pod(revision: str = REVISION, phase: str = "Running") -> Object:
    return {
        "metadata": {
            "name": f"churn-{revision}-7c9d8f6b54-aaaaa",
            "labels": {"modelwright.dev/name": "churn", "modelwright.dev/revision": revision},
        },
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def listed(*items: Object) -> Object:
    return {"metadata": {}, "items": list(items)}


def served(api: FakeApi, *pods: Object) -> None:
    api.put(serving(), version(), job())
    for item in pods:
        api.answers[f"{CORE}/pods/{item['metadata']['name']}"] = item
    api.answers[f"{CORE}/pods"] = listed(*pods)
    workload = {
        "metadata": {"name": f"churn-{REVISION}", "labels": {"modelwright.dev/revision": REVISION}},
        "spec": {"replicas": 2},
        "status": {"readyReplicas": 2},
    }
    api.answers["/apis/apps/v1/namespaces/team/deployments"] = listed(workload)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(run: Callable[..., str], command: str) -> None:
    said = run(*command.split(), "--help")
    assert f"Example: kubectl modelwright {command} " in said


def test_help_comes_quickly_and_without_a_client() -> None:
    program = (
        "import sys; from modelwright_cli import app; sys.exit('kubernetes' in sys.modules or 'rich' in sys.modules)"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True)
    assert time.monotonic() - began < 5


def test_get_lists_what_matters(run: Callable[..., str], api: FakeApi) -> None:
    api.put(serving(phase="Stepping", step=1, weight=5, awaiting="Requests"))
    head, line = run("get").splitlines()
    assert head.split() == ["NAME", "READY", "VERSION", "REPLICAS", "ROLLOUT", "DRIFT", "DATA", "QUALITY", "RETRAINING"]
    assert line.split() == [
        *("churn", "True", "churn-9f2c41ab07", "2/2", "Stepping", "1/2", "5%", "(Requests)", "data", "ok", "-"),
        "RetrainingIdle",
    ]
    assert "2 of the last 3 windows: age (PSI 0.777)" in run("get", "churn")
    assert json.loads(run("get", "-o", "json"))["items"][0]["metadata"]["name"] == "churn"


def test_an_empty_namespace_is_said_to_be_so(run: Callable[..., str], api: FakeApi) -> None:
    api.answers[f"{OURS}/modeldeployments".replace("team", "elsewhere")] = listed()
    assert run("get", "--context", "other") == "namespace elsewhere has no Deployment of Modelwright\n"


def test_pages_of_a_list_are_followed(run: Callable[..., str], api: FakeApi) -> None:
    def page(request: Object) -> Object:
        first = {"metadata": {"continue": "next"}, "items": [serving()]}
        return listed() if request["query"].get("continue") == ["next"] else first

    api.answers[f"{OURS}/modeldeployments"] = page
    assert len(run("get").splitlines()) == 2


def test_lineage_goes_from_the_pod_to_the_data(run: Callable[..., str], api: FakeApi) -> None:
    served(api, pod())
    for name in ("churn", "mdep/churn", "pod/churn-0123456789-7c9d8f6b54-aaaaa"):
        said = run("lineage", name)
        assert said.splitlines() == [
            "Deployment churn",
            "├─ Pod churn-0123456789-7c9d8f6b54-aaaaa (stable, revision 0123456789, Running)",
            "├─ ModelVersion churn-9f2c41ab07, verified (Verified)",
            f"│  ├─ artifact s3://models/churn/9f {worlds.DIGEST}",
            "│  ├─ metrics",
            "│  │  └─ roc_auc 0.91 (0.9 to 0.92) on holdout",
            "│  ├─ approved by ana@example.org: as good as before",
            "│  ├─ TrainingJob nightly (uid u-1)",
            "│  │  ├─ estimator sklearn.linear_model.LogisticRegression",
            "│  │  ├─ parameter C=0.5",
            "│  │  ├─ image digest sha256:1234",
            "│  │  ├─ parameters sha256:5678",
            "│  │  └─ seed 7",
            "│  └─ data",
            "│     └─ train s3://lake/churn.csv sha256:da7a, 500 rows",
            "└─ rollouts and approvals",
            "   └─ 2026-11-22T12:00:00Z Promoted churn-9f2c41ab07: at last",
        ]
    assert json.loads(run("lineage", "mv/churn-9f2c41ab07", "-o", "json"))["below"][0]["name"].startswith("artifact")


def test_a_job_of_the_same_name_is_not_taken_for_the_one_that_made_it(run: Callable[..., str], api: FakeApi) -> None:
    api.put(version(), job(uid="another"))
    said = run("lineage", "mv/churn-9f2c41ab07")
    assert "TrainingJob nightly (uid u-1), no longer there" in said
    assert "estimator" not in said


def test_tree_shows_what_runs(run: Callable[..., str], api: FakeApi) -> None:
    served(api, pod())
    assert run("tree", "churn").splitlines() == [
        "Deployment churn, rollout -",
        "└─ stable: workload churn-0123456789 churn-9f2c41ab07 (2/2 ready)",
        "   └─ Pod churn-0123456789-7c9d8f6b54-aaaaa (Running, ready)",
    ]


def event(kind: str, name: str, message: str, **more: Any) -> Object:
    about = {"kind": kind, "name": name, "apiVersion": more.pop("group", "v1")}
    return {"involvedObject": about, "type": "Normal", "reason": "Something", "message": message, **more}


def test_events_are_those_of_the_object_and_its_children(run: Callable[..., str], api: FakeApi) -> None:
    ours = "modelwright.dev/v1alpha1"
    api.answers[f"{CORE}/events"] = listed(
        event("Deployment", "churn", "of ours", group=ours, lastTimestamp="2026-11-22T12:00:02Z", count=3),
        event("Pod", f"churn-{REVISION}-x", "of a \x1b[31mpod", lastTimestamp="2026-11-22T12:00:01Z"),
        event("TrainingJob", f"churn-retrain-{REVISION}", "of a run", group=ours, eventTime="2026-11-22T12:00:03Z"),
        event("Deployment", "churn-eu", "of another", group=ours),
        event("Pod", f"churn-eu-{REVISION}-x", "of another's pod"),
        event("Deployment", "churn", "of kubernetes' own", group="apps/v1"),
    )
    lines = run("events", "churn").splitlines()[1:]
    told = [line.split("Something   ")[1] for line in lines]
    assert told == ["of a ?[31mpod", "of ours (3 times)", "of a run"]
    assert "an hour" in run("events", "tj/nothing")


def test_compare_puts_intervals_and_origins_side_by_side(run: Callable[..., str], api: FakeApi) -> None:
    other = version("churn-77aa01cd3e", seed=8)
    other["spec"]["metrics"] = [{"name": "roc_auc", "value": 0.95, "low": 0.94, "high": 0.96, "dataset": "holdout"}]
    api.put(version(), other, job())
    said = run("compare", "churn-9f2c41ab07", "churn-77aa01cd3e")
    assert "roc_auc   holdout   0.91 (0.9 to 0.92)   0.95 (0.94 to 0.96)   +0.04        apart" in said
    assert any(line.split() == ["seed", "7", "8", "differs"] for line in said.splitlines())
    assert any(line.split() == ["data", "train", "sha256:da7a", "sha256:da7a"] for line in said.splitlines())
    found = json.loads(run("compare", "churn-9f2c41ab07", "churn-77aa01cd3e", "-o", "json"))
    assert found["metrics"][0]["difference"] == pytest.approx(0.04)


def test_watch_ends_with_the_promotion(run: Callable[..., str], api: FakeApi) -> None:
    looks = [
        serving(phase="Starting", step=0, weight=0, awaiting="Pods"),
        serving(phase="Stepping", step=1, weight=5, awaiting="Requests", message="100 of 200 requests"),
        serving(phase="Stepping", step=1, weight=5, awaiting="Requests", message="100 of 200 requests"),
        serving(phase="Promoting", step=2, weight=50),
        {**serving(), "metadata": {"name": "churn", "generation": 3}},
    ]
    api.answers[f"{OURS}/modeldeployments/churn"] = lambda _: looks.pop(0)
    lines = run("watch", "churn").splitlines()
    assert len(lines) == 4
    assert lines[1] == (
        "[....................] churn-77aa01cd3e Stepping step 1/2, weight 5 %, waits for Requests: 100 of 200 requests"
    )
    assert lines[-1] == "promoted: churn-9f2c41ab07 answers"


def test_watch_ends_with_1_after_a_rollback_and_when_the_time_is_over(run: Callable[..., str], api: FakeApi) -> None:
    back = serving()
    back["status"]["conditions"].append(worlds.condition("Stalled", "True", "RolledBack", "12 of 20 answers failed"))
    api.put(back)
    said = run("watch", "churn", code=1)
    assert "RolledBack: 12 of 20 answers failed" in said
    assert "error: churn was not promoted" in said
    api.put(serving(phase="Stepping", step=1, weight=5))
    assert "error: churn was not decided within 1 s" in run("watch", "churn", "--timeout", "1", code=1)


def test_watch_outlives_an_api_server_that_is_away(run: Callable[..., str], api: FakeApi) -> None:
    looks: list[Object | tuple[int, Object]] = [(500, {"message": "not now"}), serving()]
    api.answers[f"{OURS}/modeldeployments/churn"] = lambda _: looks.pop(0)
    assert run("watch", "churn") == "nothing is being rolled out: churn-9f2c41ab07 answers\n"


@pytest.mark.parametrize("action", ["approve", "promote", "abort"])
def test_what_is_asked_names_revision_and_step(run: Callable[..., str], api: FakeApi, action: str) -> None:
    api.put(serving(phase="Stepping", step=2, weight=50))
    assert f"{action} {OTHER}/2 asked of churn" in run(action, "churn")
    method, path, body = api.asked[-1]
    assert (method, path) == ("PATCH", f"{OURS}/modeldeployments/churn")
    assert body == {"metadata": {"annotations": {f"modelwright.dev/{action}": f"{OTHER}/2"}}}


def test_a_version_is_approved_and_rejected_in_the_users_own_name(run: Callable[..., str], api: FakeApi) -> None:
    me = {"status": {"userInfo": {"username": "ana@example.org"}}}
    api.answers["/apis/authentication.k8s.io/v1/selfsubjectreviews"] = me
    api.put(version("v"))
    assert run("approve", "mv/v", "--reason", "why") == "ModelVersion v is approved by ana@example.org\n"
    approval = {"state": "Approved", "by": "ana@example.org", "reason": "why"}
    assert api.asked[-1] == ("PATCH", f"{OURS}/modelversions/v", {"spec": {"approval": approval}})
    assert run("reject", "v") == "ModelVersion v is rejected by ana@example.org\n"
    assert api.asked[-1][2]["spec"]["approval"] == {"state": "Rejected", "by": "ana@example.org", "reason": None}
    assert "a step's approval has no --reason" in run("approve", "churn", "--reason", "why", code=1)


def test_retry_names_what_was_rolled_back_last(run: Callable[..., str], api: FakeApi) -> None:
    found = serving()
    found["status"]["rejected"] = [
        {"revision": "a", "attempts": 1, "at": "2026-11-22T11:00:00Z"},
        {"revision": OTHER, "attempts": 2, "at": "2026-11-22T12:00:00Z"},
    ]
    api.put(found)
    run("retry", "churn")
    annotations = api.asked[-1][2]["metadata"]["annotations"]
    assert annotations == {"modelwright.dev/retry": f"{OTHER}/2", "modelwright.dev/abort": None}


def test_the_serving_image_that_is_to_be_had_is_asked_for(run: Callable[..., str], api: FakeApi) -> None:
    found = serving()
    api.put(found)
    assert "nothing answers for churn yet" in run("upgrade-serving", "churn", code=1)
    found["status"]["serving"] = {"image": "serving:1"}
    api.put(found)
    assert run("upgrade-serving", "churn") == "churn runs the operator's serving image already: serving:1\n"
    assert {method for method, _, _ in api.asked} == {"GET"}
    found["status"]["serving"] = {"image": "serving:1", "available": "serving:2"}
    api.put(found)
    assert "serving:2 asked of churn, in the place of serving:1" in run("upgrade-serving", "churn")
    wanted = {"metadata": {"annotations": {"modelwright.dev/serving-image": "serving:2"}}}
    assert api.asked[-1] == ("PATCH", f"{OURS}/modeldeployments/churn", wanted)


def test_there_must_be_something_to_steer(run: Callable[..., str], api: FakeApi) -> None:
    api.put(serving())
    assert "no rollout of churn is under way" in run("promote", "churn", code=1)
    assert "nothing of churn was rolled back" in run("retry", "churn", code=1)
    assert {method for method, _, _ in api.asked} == {"GET"}


def test_a_report_is_written_and_printed(run: Callable[..., str], api: FakeApi, tmp_path: Path) -> None:
    api.put(worlds.deployment())
    api.answers[f"{CORE}/pods"] = listed(pod(), pod(OTHER, "Pending"))
    api.answers[f"{CORE}/pods/{pod()['metadata']['name']}:8084/proxy/counts"] = worlds.counts()
    assert run("report", "churn") == "churn-drift.html: Live traffic is no longer what the model was trained on.\n"
    assert "age: 1580 live rows" in (tmp_path / "churn-drift.html").read_text(encoding="utf-8")
    assert run("report", "churn", "-o", "-").startswith("<!doctype html>")
    assert "cannot be written" in run("report", "churn", "-o", "nowhere/x.html", code=1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {"message": 'pods "x" is forbidden'}), "ask an administrator for that right"),
        ((503, {"message": "no endpoints"}), "no endpoints"),
        (["no object"], "no JSON object"),
        ({"format": 7}, "format '7' is not known"),
        ({"padding": "x" * (5 << 20)}, "more than 4194304 bytes"),
    ],
)
def test_sidecars_that_say_nothing_of_use_are_named(
    run: Callable[..., str], api: FakeApi, answer: Any, words: str
) -> None:
    api.put(worlds.deployment())
    api.answers[f"{CORE}/pods"] = listed(pod())
    api.answers[f"{CORE}/pods/{pod()['metadata']['name']}:8084/proxy/counts"] = answer
    said = run("report", "churn")
    assert f"not at hand: the sidecar of pod {pod()['metadata']['name']} did not say" in said
    assert words in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("get", "nobody"), 1, "Deployment nobody is not in namespace team: `kubectl get mdep -n team`"),
        (("get", "--context", "none"), 1, "the kubeconfig has no context none: `kubectl config get-contexts`"),
        (("get", "--kubeconfig", "/nowhere"), 1, "no cluster is configured"),
        (("lineage", "secret/x"), 1, "names nothing that this command knows: give mdep/NAME, mv/NAME, pod/NAME"),
        (("get", "-o", "xml"), 2, "xml"),
        (("nothing",), 2, "nothing"),
        (("watch", "churn", "--timeout", "0"), 2, "--timeout"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(
    run: Callable[..., str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = run(*arguments, code=code)
    assert words in said
    assert code == 2 or (said.startswith("error: ") and said.count("\n") == 1)


def test_an_api_server_that_is_not_there_is_named(run: Callable[..., str], api: FakeApi) -> None:
    api.shutdown()
    api.server_close()
    said = run("get", code=1)
    assert "cannot be reached" in said
    assert f"127.0.0.1:{api.server_port}" in said
    assert said.count("\n") == 1
