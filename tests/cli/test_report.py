"""The drift report: everything that was found is in it, it is one sound file, and no text in it becomes markup."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_cli.report.counts import Answer, CountsError, read
from modelwright_cli.report.gather import Gathered
from modelwright_cli.report.page import page
from modelwright_cli.report.view import view
from tests.cli import worlds

Object = dict[str, Any]
GOLDEN = Path(__file__).parent / "golden" / "report.html"
HOSTILE = st.one_of(
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "</title></style><img src=x onerror=alert(1)>",
            '" onload="alert(1)',
            "' style='background:url(//evil)",
            "]]><svg/onload=alert(1)>",
            "&lt;script&gt;",
            "\x00\x1b[31m\u202e\ud800\uffff",
            "javascript:alert(1)",
            "",
        ]
    ),
    st.text(max_size=300),
)


def made(deployment: Object, *answers: Object, problems: tuple[str, ...] = ()) -> str:
    found: tuple[Answer, ...] = tuple(read(str(answer.get("pod")), answer) for answer in answers)
    return page(view(Gathered(deployment, found, problems), "2026-11-22T12:02:00Z"))


def parsed(document: str) -> ET.Element:
    return ET.fromstring(document.removeprefix("<!doctype html>\n"))  # noqa: S314 - our own


def said(document: str) -> str:
    return " ".join(" ".join(parsed(document).itertext()).split())


def whole_world() -> Object:
    quality = {
        "metric": "accuracy",
        "version": "churn-9f2c41ab07",
        "value": 0.91,
        "low": 0.88,
        "high": 0.94,
        "labels": 400,
        "predictions": 1000,
        "coverage": 0.4,
        "cohorts": [
            {"version": "9f2c41ab07", "day": "2026-11-20", "value": 0.93, "low": 0.9, "high": 0.96, "labels": 200},
            {"version": "9f2c41ab07", "day": "2026-11-21", "value": 0.89, "low": 0.84, "high": 0.93, "labels": 200},
        ],
    }
    canary = {
        **worlds.track(4),
        "version": "churn-77aa01cd3e",
        "digest": "sha256:" + "77" * 32,
        "findings": [{"type": "DataDriftDetected", "status": "False", "message": "calm as a canary"}],
    }
    found = worlds.deployment(quality=quality, canary=canary)
    found["spec"]["monitoring"]["quality"] = {"metric": "accuracy", "min": 0.9}
    return found


def test_the_whole_report_is_as_it_was_looked_at(request: pytest.FixtureRequest) -> None:
    document = made(whole_world(), worlds.counts())
    if request.config.getoption("--update-golden"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(document, encoding="utf-8")
    assert document == GOLDEN.read_text(encoding="utf-8"), "if that is meant: pytest --update-golden, and look at it"


def test_the_verdict_and_all_that_was_found_are_in_words() -> None:
    told = said(made(whole_world(), worlds.counts()))
    for words in (
        "Live traffic is no longer what the model was trained on.",
        "2 of the last 3 windows: age (PSI 0.777)",
        "window 11, closed at 2026-11-22T12:01:00Z",
        "PSI 0.777 · at least 0.389 · p 1e-09 · FP32",
        "1.25% missing (in training 0.99%)",
        "0.76% beyond the training data's range",
        "2.50% never seen in training (in training 0.91%)",
        "3 further features are not shown.",
        "accuracy 0.91 (95 %: 0.88 to 0.94)",
        "asked for: 0.9",
        "2 of 2",
        "16 rows (0.09%)",
        "Canary: churn-77aa01cd3e",
        "calm as a canary",
        "RetrainingIdle: nothing calls for a run",
        "nextAllowedAt 2026-11-23T12:00:00Z",
        "Promoted",
    ):
        assert words in told, words


def rects(document: str, kind: str) -> list[ET.Element]:
    space = "{http://www.w3.org/2000/svg}"
    return [item for item in parsed(document).iter(f"{space}rect") if item.get("class") == kind]


def test_bars_are_as_long_as_the_shares() -> None:
    document = made(worlds.deployment(), worlds.counts(features=[worlds.number_column()], prediction=[]))
    trained, live = rects(document, "base"), rects(document, "hot")
    assert len(trained) == 4
    heights = [float(str(item.get("height"))) for item in live if item.get("height") not in {"10", "13"}]
    shares = [100 / 1580, 200 / 1580, 500 / 1580, 780 / 1580]
    for height, share in zip(heights, shares, strict=True):
        assert height / heights[-1] == pytest.approx(share / shares[-1], abs=1e-3)
    assert float(str(trained[0].get("height"))) / heights[-1] == pytest.approx(0.25 / shares[-1], abs=1e-3)


def test_psi_bars_are_sorted() -> None:
    columns = [worlds.number_column(name, figures=worlds.figures(name, psi)) for name, psi in (("a", 0.1), ("b", 0.3))]
    told = said(made(worlds.deployment(), worlds.counts(features=columns)))
    assert told.index("b: PSI 0.3") < told.index("a: PSI 0.1")


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("DataQualityDegraded", "True", "The data that is sent is broken"),
        ("PredictionDriftDetected", "True", "predicts otherwise"),
        ("MonitoringHealthy", "False", "Monitoring itself does not work"),
        ("PredictionDriftDetected", "Unknown", "not enough evidence"),
        ("PredictionDriftDetected", "False", "looks like the data"),
    ],
)
def test_what_matters_most_comes_first(kind: str, status: str, words: str) -> None:
    found = worlds.deployment()
    for item in found["status"]["conditions"]:
        if item["type"] == "DataDriftDetected":
            item["status"] = "False" if kind != "DataQualityDegraded" else "True"
        if item["type"] == kind:
            item["status"] = status
    assert words in said(made(found, worlds.counts()))


def test_without_sidecars_the_status_is_shown_and_the_report_says_so() -> None:
    document = made(worlds.deployment(), problems=("the sidecar of pod x did not say what it counted: no",))
    told = said(document)
    assert "Not at hand: the sidecar of pod x did not say what it counted: no" in told
    assert "from the status: its distributions are not at hand" in told
    assert "age: PSI 0.777" in told
    assert "window 10: features flagged" in told
    assert rects(document, "base") == []


def test_open_windows_of_all_replicas_are_added_until_one_is_closed() -> None:
    column = worlds.number_column(closed=[])
    answers = [worlds.counts(pod=pod, window=None, lines=[], features=[column], prediction=[]) for pod in "ab"]
    told = said(made(worlds.deployment(), *answers))
    assert "40 rows of the open window, which nobody has judged yet" in told
    assert "age: 40 live rows, 400 in training" in told
    assert "not judged yet" in told


def test_rows_of_another_version_or_track_are_not_shown() -> None:
    others = worlds.counts(digest="sha256:" + "00" * 32), worlds.counts(track="canary")
    assert "its distributions are not at hand" in said(made(worlds.deployment(), *others))


def test_many_categories_are_put_together() -> None:
    column = worlds.category_column(categories=[f"c{number}" for number in range(40)])
    told = said(made(worlds.deployment(), worlds.counts(features=[column])))
    assert "(30 others): live" in told


def test_an_estimated_accuracy_is_named_as_such() -> None:
    estimated = {"value": 0.912, "low": 0.9, "high": 0.92, "holdout": 0.93}
    told = said(made(worlds.deployment(estimatedAccuracy=estimated), worlds.counts()))
    assert "0.912 (0.9 to 0.92); 0.93 on the holdout; an estimate, no measurement" in told
    assert "an estimate" not in said(made(worlds.deployment(), worlds.counts()))


def test_a_deployment_that_was_never_monitored_has_a_report() -> None:
    found = worlds.deployment()
    found["status"] = {}
    assert "not enough evidence" in said(made(found))


_EVENTS = re.compile(r"^on", re.IGNORECASE)


@given(name=HOSTILE, categories=st.lists(HOSTILE, max_size=50), message=HOSTILE, pod=HOSTILE)
def test_no_text_becomes_markup(name: str, categories: list[str], message: str, pod: str) -> None:
    found = whole_world()
    found["metadata"]["name"] = name
    found["status"]["conditions"][1] |= {"message": message, "reason": name}
    found["status"]["retraining"] = {name: [{message: name}]}
    found["status"]["monitoring"]["features"][0]["name"] = name
    found["status"]["monitoring"]["quality"]["cohorts"][0]["day"] = message
    columns = [worlds.category_column(name or "x", categories), worlds.number_column(message or "y")]
    document = made(found, worlds.counts(features=columns, pod=pod, problem=message), problems=(message,))
    document.encode("utf-8")
    for item in parsed(document).iter():
        assert item.tag.rpartition("}")[2] in {
            *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "div", "strong", "span"),
            *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary"),
            *("svg", "rect", "line", "circle", "path", "text"),
        }
        assert not any(_EVENTS.match(key) or key in {"href", "src"} for key in item.attrib)
        assert "style" not in item.attrib


def test_nothing_is_fetched_and_nothing_runs() -> None:
    document = made(whole_world(), worlds.counts())
    assert "default-src 'none'" in html.unescape(document)
    assert not re.findall(r"url\(|@import|<script|<link|<img|javascript:", document)
    assert set(re.findall(r"https?://[^\s\"<]+", document)) == {"http://www.w3.org/2000/svg"}


LIES: list[Object] = [
    {"format": 2},
    {"format": 1, "features": [worlds.number_column(edges=[1, 2])]},
    {"format": 1, "features": [worlds.number_column(edges=[1, 2, float("nan")])]},
    {"format": 1, "features": [worlds.number_column(baseline=[1, 2, 3, -4])]},
    {"format": 1, "features": [worlds.number_column(baseline=[1, 2, 3, True])]},
    {"format": 1, "features": [worlds.number_column(open=[1])]},
    {"format": 1, "features": [worlds.number_column(name="")]},
    {"format": 1, "features": [worlds.category_column(categories=["a"] * 100)]},
    {"format": 1, "features": [worlds.number_column(f"f{number}") for number in range(101)]},
    {"format": 1, "open": {"rows": "many"}},
    {"format": 1, "window": worlds.line(1), "features": [worlds.number_column(closed=[1])]},
]


@pytest.mark.parametrize("lie", LIES)
def test_answers_that_cannot_be_are_refused(lie: Object) -> None:
    with pytest.raises(CountsError):
        read("pod", {**worlds.counts(), **lie})


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.sampled_from([*worlds.counts(), *worlds.number_column()]), inner, max_size=12)
        ),
    ),
    st.sampled_from([*worlds.counts()]),
)
def test_whatever_a_pod_says_ends_in_a_report_or_a_refusal(value: Any, field: str) -> None:
    try:
        document = made(worlds.deployment(), {**worlds.counts(), field: value})
    except CountsError:
        return
    parsed(document)
