"""The alerting rules and the dashboard ask for what there is."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import Any

import promql_parser
import pytest
import yaml

from modelwright_operator.decide import conditions
from modelwright_operator.reasons import Reason
from tests.chart.conftest import CHART
from tests.cluster.settings import REPOSITORY
from tests.docs import pages

_METRICS = REPOSITORY / "docs" / "reference" / "metrics.md"
_RULES: list[dict[str, Any]] = list(
    chain.from_iterable(
        group["rules"]
        for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    )
)


_DASHBOARD: dict[str, Any] = json.loads(
    (CHART / "files" / "dashboards" / "modelwright.json").read_text(encoding="utf-8")
)
_QUERIES = [target["expr"] for panel in _DASHBOARD["panels"] for target in panel.get("targets", ())]


def _check(query: str) -> None:
    """Check that a query can be read and names what exists."""
    promql_parser.parse(query)
    known = {name for part in ("Operator", "Model server") for name in pages.names(_METRICS, part)}
    for metric in re.findall(r"modelwright_[a-z_]+", query):
        assert metric in known or metric.removesuffix("_count").removesuffix("_bucket") in known
    types = {value for name, value in vars(conditions).items() if name.isupper() and isinstance(value, str)}
    for listed in re.findall(r'\btype=~?"([\w|]+)"', query):
        assert set(listed.split("|")) <= types
    for listed in re.findall(r'reason=~"([\w|]+)"', query):
        assert set(listed.split("|")) <= set(Reason)


@pytest.mark.parametrize("query", _QUERIES)
def test_a_panel_of_the_dashboard_asks_for_what_exists(query: str) -> None:
    filled = query.replace("$__rate_interval", "5m").replace("$namespace", "shop").replace("$model", "churn")
    assert "$" not in filled
    _check(filled)


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_metrics_conditions_and_reasons_that_exist(rule: dict[str, Any]) -> None:
    _check(rule["expr"])
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert {"summary", "description"} == rule["annotations"].keys()
