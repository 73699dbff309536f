"""Conditions as a metric."""

from __future__ import annotations

from prometheus_client import generate_latest

from modelwright_operator import naming
from modelwright_operator.cluster.store import Store
from modelwright_operator.cluster.telemetry import Telemetry, conditions
from tests.support import builders as make


def test_each_condition_is_a_series_as_long_as_it_stands() -> None:
    store, telemetry = Store(), Telemetry()
    telemetry.observe_conditions(lambda: conditions(store))
    held = make.deployment().condition("Ready", reason="Available").condition("RolledBack", "False", 'say "no"')
    store.put(naming.DEPLOYMENTS, held.raw)
    labels = f'kind="Deployment",name="churn",namespace="{make.NAMESPACE}"'
    page = generate_latest(telemetry.registry).decode()
    lines = [line for line in page.splitlines() if "modelwright_condition{" in line]
    assert [sorted(line.partition("{")[2].rpartition("}")[0].split(",")) for line in lines] == [
        sorted([*labels.split(","), 'reason="Available"', 'status="True"', 'type="Ready"']),
        sorted([*labels.split(","), 'reason="say \\"no\\""', 'status="False"', 'type="RolledBack"']),
    ]
    store.remove(naming.DEPLOYMENTS, make.NAMESPACE, "churn")
    assert "modelwright_condition{" not in generate_latest(telemetry.registry).decode()
