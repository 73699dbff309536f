"""A newer serving image: an upgrade restarts nothing, `upgrade-serving` rolls it out, and no request is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import images
from tests.cluster import load
from tests.cluster.commands import run as run_command
from tests.e2e.fixtures import DEPLOYMENTS, VALUES, Object, Team, deployment, is_true, new_revision
from tests.e2e.rollouts import address, phase
from tests.e2e.test_cli import run
from tests.images.engines import find_engine
from tests.support.installation import Installation, install
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.cluster

ROLLOUT: Object = {"steps": [{"weight": 20, "approval": "Required"}], "postPromotionWatchSeconds": 0}


@pytest.fixture
def patched(installation: Installation) -> Generator[str]:
    """Give the serving image under another name, in the cluster; the installation is put back afterwards."""
    engine, image = find_engine(), f"{installation.images['serving']}-patched"
    built = images.build(["serving"])["serving"]
    run_command([engine.program, "tag", built, image])
    load([image])
    yield image
    install(installation.cluster, *VALUES)
    if engine.image_id(image):  # a build meanwhile removes what it did not make
        engine.remove(image)


def pods(team: Team, name: str) -> dict[str, str]:
    """Return the uids of a Deployment's pods, and the image of each one's server."""
    found = team.find("pods", f"modelwright.dev/name={name},modelwright.dev/kind=Deployment")
    return {
        item["metadata"]["uid"]: item["spec"]["containers"][0]["image"]
        for item in found
        if "deletionTimestamp" not in item["metadata"]
    }


@pytest.mark.timeout(600)  # with what the first test of a run sets up
def test_a_newer_serving_image_is_rolled_out_where_it_is_asked_for(team: Team, patched: str) -> None:
    version = str(team.train("first")["status"]["modelVersion"])
    team.apply(deployment("plain", {"version": version}), deployment("stepped", {"version": version}, rollout=ROLLOUT))
    old = team.installation.images["serving"]
    for name in ("plain", "stepped"):
        seen = team.wait(DEPLOYMENTS, name, is_true("Ready", "Available"))
        assert seen["status"]["serving"] == {"image": old}
    before = {name: pods(team, name) for name in ("plain", "stepped")}
    revision = str(team.get(DEPLOYMENTS, "plain")["status"]["stable"]["revision"])

    Installation(team.cluster, {**team.installation.images, "serving": patched}).upgrade(*VALUES)
    for name, running in before.items():
        team.wait(DEPLOYMENTS, name, lambda seen: seen and seen["status"]["serving"].get("available") == patched)
        assert pods(team, name) == running, "an upgrade restarts nothing"
    assert len(team.find("deployments.apps")) == 2

    with Clients(address(team, "plain"), channels=1, pace=50) as load_:
        assert f"{patched} asked of plain" in run(team, "upgrade-serving", "plain")
        seen = team.wait(DEPLOYMENTS, "plain", new_revision(revision))
        team.wait(DEPLOYMENTS, "plain", lambda _: len(team.find("deployments.apps")) == 2)
    assert set(load_.answers) == set(load_.calls) == {version}, (load_.answers, load_.calls)
    assert seen["status"]["stable"]["version"] == version
    assert set(pods(team, "plain").values()) == {patched}
    team.wait(DEPLOYMENTS, "plain", lambda seen: seen and seen["status"]["serving"] == {"image": patched})
    assert "runs the operator's serving image already" in run(team, "upgrade-serving", "plain")

    # With steps the image goes by the steps; until then the old one answers.
    run(team, "upgrade-serving", "stepped")
    seen = team.wait(DEPLOYMENTS, "stepped", phase("Stepping", version, 20))
    assert seen["status"]["stable"]["version"] == seen["status"]["canary"]["version"] == version
    assert seen["status"]["serving"] == {"image": old, "available": patched}
    assert set(pods(team, "stepped").values()) == {old, patched}
    run(team, "promote", "stepped")
    team.wait(DEPLOYMENTS, "stepped", phase("Complete"))
    team.wait(DEPLOYMENTS, "stepped", lambda seen: seen and seen["status"]["serving"] == {"image": patched})
    team.wait(DEPLOYMENTS, "stepped", lambda _: set(pods(team, "stepped").values()) == {patched})
