"""A Feast repository as a team has one: programs that run where Feast is, and the job that asks for its features."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelwright_training import contract
from modelwright_training.contract import DataSource, Feast, FeatureSource, JobConfig
from tests.training.builders import JOB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.training.builders import Pod

URI = "pvc://lake/features"
CONFIGURATION = """\
project: shop
provider: local
registry: data/registry.db
online_store: {type: sqlite, path: data/online.db}
entity_key_serialization_version: 3
"""

# Of each customer there are values of three days; the customer 2 has two of one day, the later one written last.
FILES = """
from pathlib import Path
import numpy as np, pandas as pd
Path("data").mkdir()
days = pd.to_datetime(["2025-01-01", "2025-01-02", "2025-01-03"], utc=True)
rows = [(customer, day, day, 10.0 * customer + number, customer + number, "ab"[number % 2])
        for customer in (1, 2, 3) for number, day in enumerate(days)]
rows.append((2, days[2], days[2] + pd.Timedelta("2h"), 77.0, 77, "z"))
rows.sort(key=lambda row: row[4], reverse=True)
stats = pd.DataFrame(rows, columns=["customer", "day", "written", "spent", "calls", "plan"])
stats.to_parquet("data/stats.parquet")
prices = pd.DataFrame({"at": days, "price": [1.5, 2.5, 3.5]})
prices.to_parquet("data/prices.parquet")
"""

APPLY = """
from datetime import timedelta
from feast import *
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import *
customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
source = FileSource(name="stats", path="data/stats.parquet", timestamp_field="day", created_timestamp_column="written")
stats = FeatureView(name="stats", entities=[customer], ttl=timedelta(days=2), source=source, schema=[
    Field(name="spent", dtype=Float64), Field(name="calls", dtype=Int64), Field(name="plan", dtype=String)])
prices = FeatureView(name="prices", entities=[], ttl=timedelta(0), schema=[Field(name="price", dtype=Float64)],
    source=FileSource(name="prices", path="data/prices.parquet", timestamp_field="at"))

@on_demand_feature_view(sources=[stats], schema=[Field(name="twice", dtype=Float64)])
def doubled(rows):
    import pandas as pd
    return pd.DataFrame({"twice": rows["spent"] * 2})

objects = [customer, source, stats, prices, doubled,
    FeatureService(name="churn", features=[stats[["spent", "plan"]], prices]),
    FeatureService(name="pairs", features=[
        stats[["spent"]].with_name("buyer").with_join_key_map({"customer": "buyer"}),
        stats[["spent"]].with_name("seller").with_join_key_map({"customer": "seller"})]),
    FeatureService(name="computed", features=[doubled])]
store = FeatureStore(".")
"""
APPLIED = "store.apply(objects)\n"


def shop(more: str = "", configuration: str = CONFIGURATION) -> str:
    """Return the program that makes the repository; `more` changes the objects before they are applied."""
    written = f"open('feature_store.yaml', 'w').write({configuration!r})\n"
    return written + FILES + APPLY + more + APPLIED


def job(*names: str, **asked: Any) -> JobConfig:
    """Return a job with these data sets that asks for the service `churn`, or for what is given."""
    if not asked.keys() & {"service", "features"}:
        asked["service"] = "churn"
    asked = {"uri": URI, "timestamp": "seen", **asked}
    sources = tuple(DataSource(name, f"pvc://lake/{name}.parquet", None) for name in names or ("all",))
    return replace(JOB, data=sources, target="churned", features=FeatureSource(Feast(**asked)))


def give(pod: Pod, tables: Mapping[str, pa.Table]) -> Path:
    """Do what fetch does: put the tables where the stage finds them; return the folder for the repository."""
    given = pod.root / "handover" / contract.TO_FEATURES
    for name, table in tables.items():
        pq.write_table(table, given / f"{name}.parquet")
    return given / contract.REPOSITORY_FOLDER
