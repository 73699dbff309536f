"""Flux itself brings the quickstart, waits for its health, heals, and prunes; and nobody fights over anything."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.settings import REPOSITORY
from tests.e2e.fixtures import DEPLOYMENTS, JOBS, OURS, VERSIONS, Object, Team, condition, is_true
from tests.support.flux import flux

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.cluster

NAME = "breast-cancer"
QUIET_SECONDS = 20


def quickstart(namespace: str) -> list[Object]:
    """Return the objects of the quickstart, as a folder in git has them for a namespace."""
    objects: list[Object] = []
    for path in sorted((REPOSITORY / "examples" / "quickstart").glob("*.yaml")):
        objects.extend(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return [{**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in objects]


def versions_of(team: Team) -> dict[str, tuple[int, str]]:
    """Return generation and resourceVersion of everything that the team has, of Flux and of the operator."""
    return {
        f"{resource}/{item['metadata']['name']}": (
            item["metadata"].get("generation", 0),
            item["metadata"]["resourceVersion"],
        )
        for resource in (*OURS, "deployments.apps", "services", "persistentvolumeclaims")
        for item in team.find(resource)
    }


def test_flux_brings_waits_heals_and_prunes(team: Team, tmp_path: Path) -> None:
    with flux(team.cluster, team.namespace, tmp_path) as tool:
        everything = quickstart(team.namespace)
        found = tool.wait(tool.commit(everything))
        assert "Applied revision" in condition(found, "Ready")["message"]
        assert is_true("Complete")(team.get(JOBS, NAME)), "ready means trained"
        deployment = team.get(DEPLOYMENTS, NAME)
        assert is_true("Ready")(deployment), "ready means serving"

        _nobody_fights(team)

        team.patch(DEPLOYMENTS, NAME, {"spec": {"replicas": 1}})
        team.wait(DEPLOYMENTS, NAME, lambda seen: seen is not None and seen["spec"]["replicas"] == 2)
        team.wait(DEPLOYMENTS, NAME, is_true("Ready"))

        missing: dict[str, Any] = {**everything[0], "metadata": {"name": "lost", "namespace": team.namespace}}
        missing["spec"] = {"model": {"version": "none-0000000000"}}
        started = time.monotonic()
        broken = tool.wait(tool.commit([*everything, missing]), ready="False")
        assert time.monotonic() - started < 60, "what cannot come is not waited for"
        assert "Deployment/" in condition(broken, "Ready")["message"]

        version = team.get(JOBS, NAME)["status"]["modelVersion"]
        tool.wait(tool.commit([item for item in everything if item["kind"] != "Deployment"]))
        assert not team.find(DEPLOYMENTS)
        assert team.get(VERSIONS, version), "what the operator made is not Flux's to prune"


def _nobody_fights(team: Team) -> None:
    """Flux applies everything again every two seconds: nothing is written by anybody."""
    before = versions_of(team)
    deadline = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        assert versions_of(team) == before
        time.sleep(1)
