"""The alerting rules ask for what there is."""

from __future__ import annotations

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


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_metrics_conditions_and_reasons_that_exist(rule: dict[str, Any]) -> None:
    promql_parser.parse(rule["expr"])
    known = {name for part in ("Operator", "Model server") for name in pages.names(_METRICS, part)}
    for metric in re.findall(r"modelwright_[a-z_]+", rule["expr"]):
        assert metric in known or metric.removesuffix("_count") in known
    assert set(re.findall(r'\btype="(\w+)"', rule["expr"])) <= {
        value for name, value in vars(conditions).items() if name.isupper() and isinstance(value, str)
    }
    for listed in re.findall(r'reason=~"([\w|]+)"', rule["expr"]):
        assert set(listed.split("|")) <= set(Reason)
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert {"summary", "description"} == rule["annotations"].keys()
