"""Numbers from elsewhere that roll a healthy canary back, or let it go on, read by the operator on the real cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, condition, deployment
from tests.e2e.rollouts import ROLLOUT, phase, removed_afterwards, serves, want
from tests.e2e.test_serving import clients
from tests.support.pods import restricted_pod, service

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

STEP: Object = {"weight": 50, "hold": {"minSeconds": 1, "minRequests": 20}}
HOOK: Object = {"name": "revenue", "hook": {"service": "judge", "port": 8080, "path": "/revenue"}, "intervalSeconds": 5}
QUERY: Object = {"name": "p99", "prometheus": {"query": 'p99{version="$canary"}'}, "max": 0.5, "intervalSeconds": 5}


def judge(image: str) -> list[Object]:
    """Return a pod that answers a hook with 0.4, and every query of Prometheus with 0.2, and its two Services."""
    answers = {
        "revenue": json.dumps({"value": 0.4}),
        "query": json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1, "0.2"]}}),
    }
    items = [{"key": "revenue", "path": "revenue"}, {"key": "query", "path": "api/v1/query"}]
    container: Object = {
        "image": image,
        "command": ["python", "-m", "http.server", "8080", "--directory", "/answers"],
        "readinessProbe": {"httpGet": {"path": "/revenue", "port": 8080}, "periodSeconds": 1},
        "volumeMounts": [{"name": "answers", "mountPath": "/answers"}],
    }
    volume = {"name": "answers", "configMap": {"name": "answers", "items": items}}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "answers"}, "data": answers},
        restricted_pod("judge", container, volumes=[volume]),
        service("judge", "judge", 8080),
        service("prometheus", "judge", 9090, 8080),
    ]


def awaiting(words: str) -> Callable[[Object | None], bool]:
    """Tell whether the rollout says that it waits for something."""
    return lambda seen: words in ((seen or {}).get("status", {}).get("rollout") or {}).get("message", "")


def test_checks_hold_a_step_pass_it_and_roll_back(trials: Team, first: str, second: str) -> None:
    team = trials
    query, hook = {**QUERY, "max": 0.5}, {**HOOK, "min": 0.9, "failureLimit": 2}
    rules = {**ROLLOUT, "steps": [STEP], "postPromotionWatchSeconds": 0}
    with removed_afterwards(team, "checked", "refused"):
        team.apply(
            deployment("checked", {"version": first}, rollout={**rules, "analysis": {"checks": [query]}}),
            deployment("refused", {"version": first}, rollout={**rules, "analysis": {"checks": [query, hook]}}),
        )
        for name in ("checked", "refused"):
            team.wait(DEPLOYMENTS, name, serves(first))
        with clients(team, "checked"), clients(team, "refused") as load:
            want(team, "checked", second)
            held = team.wait(DEPLOYMENTS, "checked", awaiting("cannot be asked"), deadline=90)
            assert held["status"]["rollout"]["checks"][0]["reason"] == "MetricUnavailable"
            team.apply(*judge(team.installation.images["serving"]))
            done = team.wait(DEPLOYMENTS, "checked", phase("Complete"), deadline=120)
            assert done["status"]["stable"]["version"] == second
            assert done["status"]["rollout"]["checks"][0]["value"] == 0.2
            want(team, "refused", second)
            gone = team.wait(DEPLOYMENTS, "refused", phase("RolledBack"), deadline=90)
        assert condition(gone, "RolledBack")["reason"] == "CheckFailed", gone["status"]
        assert "revenue is 0.4, below min 0.9" in condition(gone, "RolledBack")["message"]
        assert set(load.answers) | set(load.calls) <= {first, second}
