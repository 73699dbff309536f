"""Columns with a role and a schema, through to a version; data unlike their schema, through to a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.e2e.fixtures import JOBS, VERSIONS, Team, claim, condition, is_true, training_job
from tests.support.claims import write_files

pytestmark = pytest.mark.cluster

ROWS = 400
SCHEMA: list[dict[str, Any]] = [
    {"name": "age", "type": "Integer", "min": 18, "max": 89},
    {"name": "plan", "type": "Text", "nullable": True, "categories": ["basic", "plus"]},
    {"name": "day", "type": "Date"},
    {"name": "weight", "type": "Number", "min": 0},
]


def table() -> pd.DataFrame:
    """Return customers in no order of time; what decides their leaving is another before the last hundred days."""
    random = np.random.default_rng(3)
    made = pd.DataFrame(
        {
            "day": pd.date_range("2025-01-01", periods=ROWS).strftime("%Y-%m-%d"),
            "customer": (np.arange(ROWS) + 1) // 2,  # one has rows on both sides of the border
            "age": random.integers(18, 90, ROWS),
            "plan": random.choice(["basic", "plus", ""], ROWS),
            "weight": random.integers(1, 4, ROWS) / 2,
        }
    )
    score = (made["age"] - 50) / 10 * np.where(np.arange(ROWS) < ROWS - 100, 1, -1)
    made["churned"] = np.where(score + random.normal(0, 0.5, ROWS) > 0, "yes", "no")
    return made.sample(frac=1, random_state=1)


def test_roles_and_schema_lead_to_a_version_or_a_reason(shared: Team) -> None:
    settings: dict[str, Any] = {
        "model": "churn",
        "data": [{"name": "all", "uri": "pvc://lake/customers.csv"}],
        "target": "churned",
        "positiveLabel": "no",
        "columns": {"time": "day", "group": "customer", "weight": "weight"},
        "evaluation": {"holdoutPercent": 25},
    }
    narrow = [{**SCHEMA[0], "max": 30}]
    shared.apply(claim("lake"), claim())
    write_files(shared, "lake", {"customers.csv": table().to_csv(index=False).encode()})
    shared.apply(
        training_job("roles", **settings, schema=SCHEMA),
        training_job("unlike", **settings, schema=narrow),
    )
    refused = shared.wait(JOBS, "unlike", is_true("Failed"), deadline=90)
    assert condition(refused, "Failed")["reason"] == "DataInvalid"
    said = condition(refused, "Failed")["message"]
    assert "data set 'all': column 'age' goes up to 89, above the max 30 in spec.schema" in said
    assert refused["status"]["attempt"] == 1

    job = shared.wait(JOBS, "roles", is_true("Complete"), deadline=120)
    version = shared.get(VERSIONS, job["status"]["modelVersion"])
    inputs = {item["name"]: item["datatype"] for item in version["spec"]["schema"]["inputs"]}
    assert inputs == {"age": "INT64", "plan": "BYTES"}
    # Judged on the newest rows, where the opposite holds: rows drawn at random would say otherwise.
    metrics = {item["name"]: item["value"] for item in job["status"]["metrics"]}
    assert metrics["accuracy"] < 0.3
    assert job["status"]["warnings"] == ["training rows left out, since their groups are among the newest held out: 1"]
