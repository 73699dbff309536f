"""`kubectl modelwright dashboard` on a real cluster, in a real browser: a rollout and drift while they happen."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, condition, deployment
from tests.e2e.rollouts import ROLLOUT, address, phase, removed_afterwards, serves, want
from tests.e2e.test_cli import ended, run, start, viewer
from tests.e2e.test_monitoring import RULES, SHIFTED_NAME, Traffic
from tests.support.pictures import shrink

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator

    from tests.support.browser import Browser

pytestmark = pytest.mark.cluster

NAME = "screening"
PICTURES = os.environ.get("MODELWRIGHT_PICTURES", "")
LIVE = "document.getElementById('live').className === 'on'"
STEPS: list[Object] = [
    {"weight": 20, "hold": {"minSeconds": 1, "minRequests": 20}},
    {"weight": 50, "hold": {"minSeconds": 1, "minRequests": 100}, "approval": "Required"},
]


@contextmanager
def shown(team: Team, *arguments: str) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """Have the dashboard of the team's namespace; give its address and the command."""
    process = start(team, "dashboard", "--port", "0", *arguments)
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert f"models of namespace {team.namespace}: http://127.0.0.1:" in first, first + process.stdout.read()
        yield first.rpartition(" ")[2].strip(), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def picture(browser: Browser, name: str, height: int | None = None) -> None:
    """Keep a picture for the documentation, where a folder for them is named, in both schemes of colours."""
    if PICTURES:
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            file = Path(PICTURES) / f"{name}-{scheme}.png"
            browser.picture(file, height)
            shrink(file)


def sees(browser: Browser, words: str, seconds: float = 60) -> None:
    """Wait for words on the page, which is never loaded anew."""
    browser.until(f"document.getElementById('content').innerText.includes({words!r})", seconds)


def report_is_shown(team: Team, browser: Browser, file: Path) -> None:
    """The report that can be kept, in the same browser."""
    run(team, "report", NAME, "-o", str(file))
    asked = len(browser.asked)
    browser.open(file.as_uri())
    assert "Drift report" in browser.text()
    later = [item for item in browser.asked[asked:] if not item.startswith("http://127.0.0.1:")]
    assert later == [file.as_uri()], "the dashboard asks until it is left"


def test_a_rollout_and_drift_are_shown_while_they_happen(
    trials: Team, first: str, second: str, chromium: Browser, tmp_path: Path
) -> None:
    rollout = {**ROLLOUT, "steps": STEPS, "analysis": {"toleratedBadPercent": 20}}
    with removed_afterwards(trials, NAME), shown(trials, "--no-open") as (entrance, process):
        home, _, token = entrance.partition("?token=")
        chromium.open(entrance)
        chromium.until(LIVE)
        assert token not in chromium.run("location.href + document.documentElement.outerHTML")
        chromium.run("window.kept = true")
        trials.apply(deployment(NAME, {"version": first}, replicas=2, monitoring=RULES, rollout=rollout))
        sees(chromium, NAME)
        trials.wait(DEPLOYMENTS, NAME, serves(first))
        chromium.until(f"document.querySelector('[data-key={NAME}]').innerText.includes('Ready')")
        assert chromium.run("window.kept"), "nobody loaded the page anew"

        with Traffic(address(trials, NAME), shift=0.8, pace=25) as traffic:
            chromium.open(f"{home}deployments/{NAME}")
            chromium.until(LIVE)
            chromium.run("window.kept = true")
            sees(chromium, "DriftDetected")
            sees(chromium, f"{SHIFTED_NAME}\nPSI ")
            chromium.until("document.querySelectorAll('.grid rect.hot').length > 5")
            want(trials, NAME, second)
            trials.wait(DEPLOYMENTS, NAME, phase("Stepping", second, 50), deadline=90)
            sees(chromium, "Waits for approval")
            sees(chromium, f"kubectl modelwright approve {NAME} -n {trials.namespace}")
            chromium.until("document.querySelector('.bar .fill-canary').width.baseVal.value === 50")
            sees(chromium, "canary, 50 % of requests")
            assert second in chromium.text()
            picture(chromium, "dashboard-deployment", 1560)
            if PICTURES:
                chromium.open(home)
                chromium.until(LIVE)
                picture(chromium, "dashboard")
                chromium.open(f"{home}deployments/{NAME}")
                chromium.until(LIVE)
                chromium.run("window.kept = true")
            seen = trials.get(DEPLOYMENTS, NAME)
            assert str(condition(seen, "ApprovalRequired")["message"]) in chromium.text()
            run(trials, "approve", NAME)
            sees(chromium, "Promoted")
            chromium.until(f"document.querySelector('.traffic').innerText.startsWith('stable {second}')")
            assert chromium.run("window.kept")

            report_is_shown(trials, chromium, tmp_path / "report.html")

            for path in (f"versions/{second}", "jobs/second"):
                chromium.open(f"{home}{path}")
                chromium.until(LIVE)
            sees(chromium, "publish\nsucceeded")
        assert not traffic.failures
        assert chromium.complaints == []
        assert all(item.startswith((home, "about:", "file:")) for item in chromium.asked)

        process.send_signal(signal.SIGINT)
        assert "Traceback" not in ended(process)
        chromium.until("document.getElementById('live').innerText === 'The command does not answer'")


def test_whoever_may_see_less_is_told_what_to_ask_for(
    trials: Team, first: str, chromium: Browser, tmp_path: Path
) -> None:
    assert first
    kubeconfig = viewer(trials, tmp_path)
    with shown(trials, "--no-open", "--kubeconfig", str(kubeconfig)) as (entrance, _):
        chromium.open(entrance)
        chromium.until(LIVE)
        sees(chromium, first)
        assert "Not at hand" not in chromium.text(), "who may look at objects may see all of this"
    space = ("-n", trials.namespace)
    trials.cluster.kubectl("delete", "rolebinding", "viewer", *space)
    refused = run(trials, "dashboard", "--no-open", "--kubeconfig", str(kubeconfig), code=1)
    assert "modeldeployments.modelwright.dev is forbidden" in refused
    assert "ask an administrator for that right" in refused
    trials.cluster.kubectl("delete", "serviceaccount", "viewer", *space)
