"""Features of a Feast repository on a claim: joined to the rows as of their time, learned from, served, recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.cluster import load as load_image
from tests.e2e.fixtures import DEPLOYMENTS, JOBS, VERSIONS, Team, claim, condition, deployment, is_true, training_job
from tests.support.claims import write_files
from tests.support.feast_library import worker

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # its image is large, and loaded by no other test

# Daily figures of thirty customers, of which some days are missing; what is older than three days does not count.
REPOSITORY = """
from datetime import timedelta
from pathlib import Path
import numpy as np, pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64
Path("data").mkdir()
random = np.random.default_rng(8)
days = pd.date_range("2025-01-01", periods=30, tz="UTC")
rows = pd.DataFrame([(customer, day) for customer in range(30) for day in days], columns=["customer", "day"])
rows["spent"] = np.round(random.gamma(2.0, 40.0, len(rows)), 2)
rows["calls"] = random.integers(0, 12, len(rows))
rows = rows.sample(frac=0.3, random_state=1)
rows.to_parquet("data/stats.parquet", index=False)
Path("feature_store.yaml").write_text(
    "project: shop\\nprovider: local\\nregistry: data/registry.db\\nentity_key_serialization_version: 3\\n")
customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
stats = FeatureView(name="stats", entities=[customer], ttl=timedelta(days=3),
    source=FileSource(name="stats", path="data/stats.parquet", timestamp_field="day"),
    schema=[Field(name="spent", dtype=Float64), Field(name="calls", dtype=Int64)])
FeatureStore(".").apply([customer, stats, FeatureService(name="churn", features=[stats])])
"""
COLUMNS = ["visits", "spent", "calls"]


def visits(seed: int, rows: int) -> pd.DataFrame:
    """Return visits of customers, two of whom no feature is known of."""
    random = np.random.default_rng(seed)
    seen = pd.Timestamp("2025-01-04", tz="UTC") + pd.to_timedelta(random.integers(0, 26 * 24 * 60, rows), unit="min")
    return pd.DataFrame(
        {"customer": random.integers(0, 32, rows), "seen": seen, "visits": random.integers(1, 9, rows).astype(float)}
    )


def known(rows: pd.DataFrame, stats: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with what was known of them, by pandas alone."""
    exact = "datetime64[ns, UTC]"
    found = pd.merge_asof(
        rows.astype({"seen": exact}).reset_index().sort_values("seen"),
        stats.astype({"day": exact}).sort_values("day"),
        left_on="seen",
        right_on="day",
        by="customer",
        tolerance=pd.Timedelta(days=3),
    )
    return found.set_index("index").sort_index()[[*rows.columns, "spent", "calls"]]


def with_label(rows: pd.DataFrame, stats: pd.DataFrame) -> pd.DataFrame:
    values = known(rows, stats)
    score = values["spent"].fillna(70) / 40 - values["calls"].fillna(5) / 4 + values["visits"] / 8
    return rows.assign(churned=np.where(score > score.median(), "yes", "no"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    with worker() as feast:
        feast.make(folder, REPOSITORY)
    return folder


def asked(**feast: Any) -> dict[str, Any]:
    """Return the spec of a job that asks for features."""
    feast = {"uri": "pvc://lake/shop", "service": "churn", "timestamp": "seen", **feast}
    data = [{"name": name, "uri": f"pvc://lake/{name}.csv"} for name in ("train", "test")]
    return {
        "model": "churn",
        "data": data,
        "target": "churned",
        "evaluation": {"holdout": "test"},
        "features": {"feast": feast},
    }


def test_features_lead_to_a_model_that_predicts_as_the_native_one(shared: Team, repository: Path) -> None:
    load_image([shared.installation.images["feast"]])
    stats = pd.read_parquet(repository / "data/stats.parquet")
    tables = {"train": with_label(visits(1, 400), stats), "test": with_label(visits(2, 100), stats)}
    shared.apply(claim("lake"), claim())
    files = {f"{name}.csv": table.to_csv(index=False).encode() for name, table in tables.items()}
    for path in ("feature_store.yaml", "data/registry.db", "data/stats.parquet"):
        files[f"shop/{path}"] = (repository / path).read_bytes()
    write_files(shared, "lake", files)
    shared.apply(
        training_job("joined", **asked()),
        training_job("unknown", **asked(service="chrun")),
        training_job("elsewhere", **asked(uri="pvc://lake/shop/data")),
    )

    job = shared.wait(JOBS, "joined", is_true("Complete"), deadline=240)
    stages = [stage["name"] for stage in job["status"]["stages"]]
    assert stages == ["fetch", "features", "split", "train", "evaluate", "publish"]
    resolved = job["status"]["resolved"]
    assert (resolved["features"]["names"], resolved["features"]["feastVersion"][:4]) == (["spent", "calls"], "0.67")
    assert [(item["name"], item["rows"]) for item in resolved["prepared"]] == [("train", 400), ("test", 100)]
    version = shared.get(VERSIONS, job["status"]["modelVersion"])
    assert version["spec"]["provenance"]["features"] == resolved["features"]
    assert version["spec"]["schema"]["inputs"][0]["columns"] == COLUMNS  # neither key nor time

    shared.apply(deployment("churn", {"version": version["metadata"]["name"]}))
    shared.wait(DEPLOYMENTS, "churn", is_true("Ready"), deadline=60)
    training, holdout = (known(tables[name], stats) for name in ("train", "test"))
    assert 0 < training["spent"].isna().sum() < 200
    native = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=500))
    native.fit(training[COLUMNS].astype(np.float32).astype(float), tables["train"]["churned"])
    rows = holdout[COLUMNS].astype(np.float32).astype(float)
    data = [None if np.isnan(value) else value for value in rows.to_numpy().ravel().tolist()]
    sent = {"inputs": [{"name": "input", "shape": [len(rows), 3], "datatype": "FP32", "data": data}]}
    answer = shared.infer("churn", sent, "/v2/models/churn/infer")
    outputs = {item["name"]: item["data"] for item in answer["outputs"]}
    assert np.allclose(np.reshape(outputs["probabilities"], (-1, 2)), native.predict_proba(rows), atol=1e-4)
    assert outputs["label"] == native.predict(rows).tolist()

    for name, says in (("unknown", "there is no feature service 'chrun'"), ("elsewhere", "is no Feast repository")):
        refused = shared.wait(JOBS, name, is_true("Failed"), deadline=120)
        assert condition(refused, "Failed")["reason"] == "FeaturesInvalid"
        assert says in condition(refused, "Stalled")["message"]
        assert refused["status"]["attempt"] == 1
