"""The dashboard's pages, beside an API server that has what a test gives it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelwright_cli.access import Cluster
from modelwright_cli.dashboard import routes, words
from modelwright_cli.dashboard.frame import Place
from modelwright_cli.dashboard.routes import Site
from modelwright_cli.dashboard.shelf import Shelf
from modelwright_cli.errors import Fault
from tests.cli import a_namespace, worlds
from tests.cli.a_namespace import NEW, OLD
from tests.cli.conftest import CORE, OURS, Clock, FakeApi, Object
from tests.cli.test_report import HOSTILE

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PAGES = ("/", "/deployments/churn", f"/versions/{OLD}", "/jobs/churn-1", "/jobs/churn-3")


def parsed(document: str) -> ET.Element:
    return ET.fromstring(document.removeprefix("<!doctype html>\n"))  # noqa: S314 - our own


def told(document: str) -> str:
    return " ".join(" ".join(parsed(document).itertext()).split())


def page(site: Site, path: str) -> str:
    status, document = routes.answer(site, path, NOW)
    assert status == 200, document
    return told(document)


def test_the_list_says_what_serves_what_is_tried_and_what_is_wrong(api: FakeApi, site: Site) -> None:
    a_namespace.fill(api)
    said = page(site, "/")
    for wanted in (
        "4 Deployments 2 rolling out 3 need attention 1 training now 2 versions",
        "churn Rolling out",
        f"stable {OLD} 90 %",
        f"canary {NEW} 10 %",
        "DriftDetected 2 of the last 3 windows: age (PSI 0.777)",
        "leads Waits for approval",
        "pricing RolledBack",
        "churn-77aa01cd3e was rolled back: 12 of 40 answers failed",
        "fraud Ready",
        "churn-3 churn Running 43 % train",
        "churn-4 churn GateFailed",
        f"churn-1 churn Complete {OLD} accuracy 0.912 1 h ago".replace("1 h", "60 min"),
        f"{OLD} churn Approved accuracy 0.912 churn-1 churn",
    ):
        assert wanted in said, f"{wanted}\n{said}"
    assert said.index("leads") < said.index("fraud"), "what needs somebody comes first"


def test_a_rollout_is_told_step_by_step_with_its_evidence(api: FakeApi, site: Site) -> None:
    a_namespace.fill(api)
    said = page(site, "/deployments/churn")
    for wanted in (
        "100 % copied (done) ≥ 200 requests, ≥ 60 s",
        "10 % (now) ≥ 200 requests, ≥ 60 s",
        "50 % (to come) ≥ 200 requests, ≥ 60 s, approval",
        "Takes over (to come)",
        "Really answered 9.8 %",
        "waits for 58 more requests of the 200 that the step asks for",
        "relative risk between 0.2 and 2.1, 1.5 is tolerated",
        "2 10 % 142 0 1280 2 (0.16%; 2 failed)",
        "880 of 899",
    ):
        assert wanted in said, f"{wanted}\n{said}"


def test_drift_lineage_history_and_events_are_on_the_page(api: FakeApi, site: Site) -> None:
    a_namespace.fill(api)
    said = page(site, "/deployments/churn")
    for wanted in (
        "Live traffic is no longer what the model was trained on.",
        "age: 1580 live rows, 400 in training",
        "TrainingJob churn-1 LogisticRegression seed 7",
        "approved by ana@example.org",
        "stable, 90 % of requests 3 of 3 pods ready",
        "canary, 10 % of requests 1 of 1 pods ready",
        f"customers s3://lake/c.csv {worlds.DIGEST}, 6000 rows",
        f"Promoted 0 s ago {OLD} at last",
        "DriftDetected 5 min ago 2 of the last 3 windows: age (PSI 0.777) (3 times)",
        "RolloutHealthy Unknown Undecided more evidence is needed",
    ):
        assert wanted in said, f"{wanted}\n{said}"
    assert "not of churn" not in said


def test_versions_and_jobs_have_pages(api: FakeApi, site: Site) -> None:
    a_namespace.fill(api)
    said = page(site, f"/versions/{OLD}")
    for wanted in (
        "Approved by ana@example.org : tried in March",
        "accuracy 0.9123 0.8923 to 0.9323 holdout",
        worlds.DIGEST,
    ):
        assert wanted in said, f"{wanted}\n{said}"
    assert f"kubectl modelwright approve mv/{NEW} -n team" in page(site, f"/versions/{NEW}")
    said = page(site, "/jobs/churn-1")
    for wanted in ("fetch succeeded", "accuracy at least 0.9 0.9123 Passed", "it took 12 s"):
        assert wanted in said, f"{wanted}\n{said}"
    assert "43 % train: under way" in page(site, "/jobs/churn-3")
    assert "accuracy 0.81 is less than 0.9" in page(site, "/jobs/churn-4")


def test_what_is_not_there_is_said(api: FakeApi, site: Site) -> None:
    a_namespace.fill(api)
    for path, said in (
        ("/deployments/nobody", "There is no Deployment nobody here."),
        ("/deployments/", "There is no such page."),
        ("/etc/passwd", "There is no such page."),
        ("/deployments/../..%2Fsecrets", "There is no Deployment ../../secrets here."),
    ):
        status, document = routes.answer(site, path, NOW)
        assert status == 404
        assert said in told(document)
    assert not any("secrets" in path for _, path, _ in api.asked)


def test_a_right_that_is_missing_is_named_and_the_rest_is_shown(api: FakeApi, site: Site) -> None:
    a_namespace.fill(api)
    refused = {"message": 'pods is forbidden: User "ana" cannot list resource "pods"'}
    api.answers[f"{CORE}/pods"] = (403, refused)
    said = page(site, "/deployments/churn")
    assert 'User "ana" cannot list resource "pods": ask an administrator for that right' in said
    assert "age: PSI 0.777" in said, "what the status has"
    assert "Promoted" in said


def test_an_api_server_that_is_away_leaves_what_it_said_last(api: FakeApi, site: Site, clock: Clock) -> None:
    a_namespace.fill(api)
    assert "churn Rolling out" in page(site, "/")
    path = f"{OURS}/modeldeployments"
    before = api.answers[path]
    api.answers[path] = (503, {"message": "etcd is away"})
    clock.now = 40
    said = page(site, "/")
    assert "etcd is away (what is shown is 40 s old)" in said
    assert "churn Rolling out" in said
    api.answers[path] = (403, {"message": "not any more"})
    clock.now = 80
    assert "churn Rolling out" not in page(site, "/"), "what one may not see any more is not shown"
    api.answers[path] = before
    clock.now = 120
    assert "Not at hand" not in page(site, "/")


def test_many_pages_ask_as_seldom_as_one(api: FakeApi, site: Site, clock: Clock) -> None:
    a_namespace.fill(api)
    for _ in range(20):
        page(site, "/")
    lists = [path for _, path, _ in api.asked]
    assert len(lists) == 3
    clock.now = 1.5
    page(site, "/")
    assert len(api.asked) == 6
    assert {method for method, _, _ in api.asked} == {"GET"}


def test_slow_answers_are_asked_for_less_often(api: FakeApi, site: Site, clock: Clock) -> None:
    a_namespace.fill(api)
    listed = api.answers[f"{OURS}/modelversions"]
    assert isinstance(listed, dict)

    def slow(_: Object) -> Object:
        clock.now += 2
        return listed

    api.answers[f"{OURS}/modelversions"] = slow
    page(site, "/")
    asked = len([path for _, path, _ in api.asked if "modelversions" in path])
    clock.now += 9
    page(site, "/")
    assert len([path for _, path, _ in api.asked if "modelversions" in path]) == asked, "a sixth of the time at most"


_LINKS = re.compile(r"/(deployments|versions|jobs)/[^/?#]+|/|#content|/dashboard\.css|/favicon\.svg|/dashboard\.js")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=HOSTILE, message=HOSTILE)
def test_no_text_becomes_markup(api: FakeApi, cluster: Cluster, name: str, message: str) -> None:
    message = message.encode("utf-8", "replace").decode()  # the API server's JSON has nothing else
    name = name.encode("utf-8", "replace").decode()
    api.answers.clear()
    seen = a_namespace.rolling()
    seen["status"]["conditions"].append(worlds.condition("Stalled", "True", name, message))
    seen["status"]["rollout"] |= {"message": message, "version": name, "awaiting": name}
    seen["status"]["rollout"]["evidence"]["message"] = message
    seen["status"]["history"].append({"at": message, "event": name, "version": name, "message": message})
    seen["status"]["stable"]["version"] = name
    seen["status"]["url"] = message
    a_namespace.fill(api, seen, a_namespace.other(name or "x", worlds.condition(name, message, name, message)))
    listed = api.answers[f"{OURS}/modelversions"]
    assert isinstance(listed, dict)
    listed["items"][0]["spec"]["approval"] |= {"by": name, "reason": message}
    listed["items"][0]["spec"]["provenance"]["data"][0] |= {"name": name, "uri": message, "digest": message}
    events = api.answers[f"{CORE}/events"]
    assert isinstance(events, dict)
    events["items"][0] |= {"message": message, "reason": name, "lastTimestamp": message}
    site = Site(Shelf(cluster), Place(name, message))
    for path in (*PAGES, f"/deployments/{name}"):
        _, document = routes.answer(site, path, NOW)
        document.encode("utf-8")
        for item in parsed(document).iter():
            assert item.tag.rpartition("}")[2] not in {"iframe", "object", "embed", "img", "base", "form", "style"}
            assert item.tag != "script" or item.attrib == {"src": "/dashboard.js"}
            assert "style" not in item.attrib
            assert not any(key.lower().startswith("on") for key in item.attrib)
            for key in ("href", "src"):
                assert key not in item.attrib or _LINKS.fullmatch(item.attrib[key]), item.attrib


def test_ages_are_said_with_their_largest_unit() -> None:
    for seconds, said in (
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172800, "2 d"),
    ):
        assert words.lasted(seconds) == said
    assert words.ago("yesterday", NOW) == ""
    assert words.ago("2026-11-22T11:00:00", NOW) == "", "without a zone it is no moment"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "status",
                        "spec",
                        "conditions",
                        "rollout",
                        "traffic",
                        "steps",
                        "evidence",
                        "history",
                        "metadata",
                        "name",
                        "stable",
                        "canary",
                        "weight",
                        "type",
                        "monitoring",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
    )
)
def test_whatever_an_object_is_it_has_a_page(value: Any) -> None:
    seen: Object = {"metadata": {"name": "x"}, "spec": {"rollout": value}, "status": value, "kind": "Deployment"}

    class Fixed(Shelf):
        def items(self, kind: str, labels: str = "") -> tuple[list[Object], str]:  # noqa: ARG002 - all the same
            return ([] if labels else [seen]), ""

    site = Site(Fixed(Cluster(None, "team")), Place("team", ""))
    for path in ("/", "/deployments/x", "/versions/x", "/jobs/x"):
        parsed(routes.answer(site, path, NOW)[1])


def test_sidecars_are_asked_for_once_in_a_while(api: FakeApi, site: Site, clock: Clock) -> None:
    a_namespace.fill(api)
    for _ in range(5):
        page(site, "/deployments/churn")
        clock.now += 1.1
    counts = [path for _, path, _ in api.asked if path.endswith("/proxy/counts")]
    assert len(counts) == len(set(counts)) == 4


def test_a_fault_of_the_first_look_ends_as_a_page(site: Site) -> None:
    with pytest.raises(Fault):
        site.shelf._cluster.list("Deployment")
    assert "Not at hand" in page(site, "/")
