"""The dashboard and the report in a real Chromium."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import pytest

from modelwright_cli.access import connect
from modelwright_cli.dashboard.frame import Place
from modelwright_cli.dashboard.routes import Site
from modelwright_cli.dashboard.server import Dashboard
from modelwright_cli.dashboard.shelf import Shelf
from modelwright_cli.options import Target
from tests.cli import a_namespace, worlds
from tests.cli.test_report import made, whole_world

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.cli.conftest import FakeApi
    from tests.support.browser import Browser

LIVE = "document.getElementById('live').className === 'on'"
# The least contrast of a text with what is behind it, and which text that is; texts that cannot be seen do not count.
CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  let worst = [99, ''];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.nodeValue.trim() || !element.checkVisibility()) continue;
    if (element.closest('title, .unseen, progress')) continue;
    let behind = element;
    while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
    const style = getComputedStyle(element);
    const colour = element.namespaceURI.endsWith('svg') ? style.fill : style.color;
    const [one, other] = [light(rgba(colour)), light(rgba(getComputedStyle(behind || document.body).backgroundColor))];
    const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
    if (ratio < worst[0]) worst = [ratio, `${element.outerHTML.slice(0, 200)}: ${walker.currentNode.nodeValue}`];
  }
  return worst;
})()"""


@pytest.fixture
def dashboard(api: FakeApi, kubeconfig: Path) -> Generator[Dashboard]:
    a_namespace.fill(api)
    cluster = connect(Target(kubeconfig=str(kubeconfig)))
    server = Dashboard(Site(Shelf(cluster), Place("team", "https://api.example")), 0)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def enter(chromium: Browser, dashboard: Dashboard, path: str = "/") -> None:
    chromium.open(dashboard.address(dashboard.token))
    if path != "/":
        chromium.open(f"http://127.0.0.1:{dashboard.server_port}{path}")
    chromium.until(LIVE)


def nothing_foreign(chromium: Browser, dashboard: Dashboard) -> None:
    """Nothing but the dashboard was asked for anything, and the browser found nothing to complain of."""
    assert chromium.complaints == []
    assert chromium.asked
    for address in chromium.asked:
        assert address.startswith((f"http://127.0.0.1:{dashboard.server_port}/", "about:")), address


def test_what_changes_is_shown_and_all_else_stays(chromium: Browser, api: FakeApi, dashboard: Dashboard) -> None:
    enter(chromium, dashboard, "/deployments/churn")
    chromium.run("document.querySelector('#rollout').kept = document.querySelector('.steps').kept = true")
    chromium.run("document.querySelector('details[open]').open = false")
    chromium.run("document.querySelector('.crumbs a').focus(); window.scrollTo(0, 300)")
    chromium.run("getSelection().selectAllChildren(document.querySelector('h1'))")
    listed = api.answers["/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments"]
    assert isinstance(listed, dict)
    status = listed["items"][0]["status"]
    status["rollout"] |= {"step": 3, "weight": 50, "awaiting": "Resume", "message": "waits for a <b>human</b>"}
    status["conditions"].append(worlds.condition("ApprovalRequired", "True", "AwaitingApproval", "step 3 of 3"))
    chromium.until("document.body.innerText.includes('waits for a <b>human</b>')")
    said = chromium.text()
    assert "Waits for approval" in said
    assert "kubectl modelwright approve churn -n team" in said
    assert chromium.run("document.querySelector('#rollout').kept && document.querySelector('.steps').kept")
    assert chromium.run("document.querySelector('.steps [aria-current=step] strong').innerText") == "50 %"
    assert chromium.run("document.querySelector('.bar .fill-canary').width.baseVal.value") == 50
    assert chromium.run("document.querySelector('#rollout ~ details').open") is False, "as the reader left it"
    assert chromium.run("document.activeElement.innerText") == "Models"
    assert chromium.run("getSelection().toString()") == "churn"
    assert chromium.run("scrollY") > 200
    # What is gone goes, and others move up.
    del listed["items"][0]["status"]["rollout"]
    chromium.until("!document.querySelector('.steps')")
    assert chromium.run("document.querySelector('#rollout').kept")
    nothing_foreign(chromium, dashboard)


def test_cards_come_and_go_in_order(chromium: Browser, api: FakeApi, dashboard: Dashboard) -> None:
    enter(chromium, dashboard)
    names = "[...document.querySelectorAll('article h3')].map(item => item.innerText).join()"
    assert chromium.run(names) == "churn,leads,pricing,fraud"
    chromium.run("for (const card of document.querySelectorAll('article')) card.was = card.innerText.split('\\n')[0]")
    listed = api.answers["/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments"]
    assert isinstance(listed, dict)
    fraud = listed["items"][1]
    fraud["status"]["conditions"].append(worlds.condition("ModelStale", "True", "TooOld", "a year old"))
    listed["items"][:] = [item for item in listed["items"] if item["metadata"]["name"] != "leads"]
    listed["items"].append(a_namespace.other("aaa", worlds.condition("Ready", "True", "Available", "")))
    chromium.until(f"{names} === 'churn,fraud,pricing,aaa'")
    kept = "[...document.querySelectorAll('article')].map(card => card.was ?? '').join()"
    assert chromium.run(kept) == "churn,fraud,pricing,", "each card is still the same element"
    nothing_foreign(chromium, dashboard)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/deployments/churn", f"/versions/{a_namespace.OLD}", "/jobs/churn-3"])
def test_texts_can_be_read_and_pages_fit(
    chromium: Browser, dashboard: Dashboard, scheme: Literal["light", "dark"], path: str
) -> None:
    chromium.prefer(scheme)
    enter(chromium, dashboard, path)
    ratio, which = chromium.run(CONTRAST)
    assert ratio >= 4.5, which
    levels = chromium.run("[...document.querySelectorAll('h1, h2, h3, h4')].map(item => Number(item.nodeName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    assert chromium.run("[...document.querySelectorAll('button, a, svg, progress')].every(item => "
                        "(item.innerText || item.getAttribute('aria-label') || item.querySelector('title') || "
                        "item.getAttribute('aria-hidden')))"), "everything has a name"  # fmt: skip
    chromium.size(360, 700)
    assert chromium.run("document.documentElement.scrollWidth") <= 360
    nothing_foreign(chromium, dashboard)


def test_colours_are_the_readers_choice(chromium: Browser, dashboard: Dashboard) -> None:
    behind = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(13, 17, 23)"
    chromium.prefer("dark")
    enter(chromium, dashboard)
    assert chromium.run(behind) == dark
    theme = "document.getElementById('theme')"
    for said, colour in (("light", light), ("dark", dark)):
        chromium.run(f"{theme}.click()")
        assert chromium.run(f"{theme}.getAttribute('aria-label')") == f"Colours: {said}"
        chromium.until(f"{behind} === '{colour}'")
    chromium.prefer("light")
    chromium.open(f"http://127.0.0.1:{dashboard.server_port}/")
    assert chromium.run(behind) == dark, "what was chosen lasts"
    chromium.until(LIVE)
    chromium.run(f"{theme}.click()")
    chromium.until(f"{behind} === '{light}'")


def test_the_keyboard_is_enough(chromium: Browser, dashboard: Dashboard) -> None:
    enter(chromium, dashboard)
    chromium.key("Tab", 9)
    assert chromium.run("document.activeElement.innerText") == "Skip to content"
    chromium.run("document.activeElement.click()")
    chromium.key("Tab", 9)
    assert chromium.run("document.activeElement.innerText") == "churn"
    chromium.run("document.activeElement.click()")
    chromium.until("document.title === 'churn · Modelwright'")


def test_texts_of_others_stay_texts(chromium: Browser, api: FakeApi, dashboard: Dashboard) -> None:
    enter(chromium, dashboard)
    listed = api.answers["/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments"]
    assert isinstance(listed, dict)
    evil = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script><a href='javascript:pwned=1'>x</a>"
    listed["items"][3]["status"]["conditions"][1]["message"] = evil
    chromium.until("document.body.innerText.includes('<script>window.pwned=1</script>')")
    assert chromium.run("window.pwned") is None
    assert chromium.run("document.querySelectorAll('main img, main script').length") == 0
    nothing_foreign(chromium, dashboard)


def test_it_says_when_it_is_not_live_any_more(chromium: Browser, api: FakeApi, dashboard: Dashboard) -> None:
    enter(chromium, dashboard)
    listed = api.answers["/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments"]
    api.answers["/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments"] = (503, {"message": "etcd is away"})
    chromium.until("document.body.innerText.includes('etcd is away')")
    assert "churn" in chromium.text()
    api.answers["/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments"] = listed
    chromium.until("!document.body.innerText.includes('etcd is away')")
    dashboard.token = "of another run"  # noqa: S105 - nobody's
    chromium.until("document.getElementById('live').innerText.startsWith('Started anew: open the address')")
    assert "churn" in chromium.text(), "what was shown stays"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_shown_from_its_file(chromium: Browser, tmp_path: Path, scheme: Literal["light", "dark"]) -> None:
    file = tmp_path / "churn-drift.html"
    file.write_text(made(whole_world(), worlds.counts()), encoding="utf-8")
    chromium.prefer(scheme)
    chromium.open(file.as_uri())
    assert "Live traffic is no longer what the model was trained on." in chromium.text()
    ratio, which = chromium.run(CONTRAST)
    assert ratio >= 4.5, which
    assert chromium.run(
        "[...document.querySelectorAll('svg.plot')].every(item => item.getBoundingClientRect().width > 200)"
    )
    bars = chromium.run("[...document.querySelectorAll('rect.hot')].map(item => getComputedStyle(item).fill)")
    assert set(bars) == {"rgb(188, 76, 0)" if scheme == "light" else "rgb(240, 136, 62)"}
    chromium.size(360, 700)
    assert chromium.run("document.documentElement.scrollWidth") <= 360
    assert chromium.complaints == []
    assert chromium.asked == [file.as_uri()]
