"""Captured rows on a real cluster: each once, whatever is killed or away, and a model trained from them."""

from __future__ import annotations

import http.client
import io
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer

from modelwright_server.contract import capture, monitoring
from tests.e2e.fixtures import DEPLOYMENTS, JOBS, Object, Team, condition, deployment, is_true, rows_body, training_job
from tests.e2e.object_store import ACCESS, BUCKET, run_store, secret
from tests.e2e.test_feedback import pods, post
from tests.e2e.test_sidecar import KILL_WORKER, MEASURE, MIB, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from obstore.store import S3Store

pytestmark = pytest.mark.cluster

FEATURES, TARGETS = load_breast_cancer(return_X_y=True)
NAMES = load_breast_cancer().feature_names.tolist()
REDACTED = ["mean radius", "worst texture"]
CAPTURE = {"uri": f"s3://{BUCKET}/captured", **ACCESS, "redact": REDACTED, "flushSeconds": 5}
RULES = {
    "quality": {"metric": "accuracy", "min": 0.5, "maxLabelDelaySeconds": 86400, "minLabels": 50},
    "capture": CAPTURE,
}
BATCH = 20


class Captured:
    """What the store has of a Deployment, and which rows were asked for."""

    def __init__(self, team: Team, store: S3Store, name: str) -> None:
        self.team, self.store, self.name = team, store, name
        self.prefix = f"captured/{team.namespace}/{name}"
        self.rows: dict[str, int] = {}  # of the data, by prediction id
        self._at = 0

    def ask(self, requests: int, rows: int = BATCH) -> None:
        """Ask for predictions."""
        for _ in range(requests):
            at = [(self._at + offset) % len(FEATURES) for offset in range(rows)]
            self._at += rows
            body = {**rows_body(FEATURES[at].tolist()), "outputs": [{"name": "label"}, {"name": "prediction_id"}]}
            outputs = {item["name"]: item["data"] for item in self.team.infer(self.name, body)["outputs"]}
            self.rows |= dict(zip(outputs["prediction_id"], at, strict=True))

    def keys(self, kind: str = "version=") -> list[str]:
        found = [item["path"] for page in obstore.list(self.store, self.prefix) for item in page]
        return sorted(key for key in found if key.startswith(f"{self.prefix}/{kind}"))

    def table(self, kind: str = "version=") -> pa.Table:
        tables = [pq.read_table(io.BytesIO(obstore.get(self.store, key).bytes())) for key in self.keys(kind)]
        return pa.concat_tables(tables) if tables else pa.table({capture.PREDICTION_ID: []})

    def complete(self, kind: str = "version=") -> bool:
        return self.table(kind).num_rows >= len(self.rows)


def metrics(address: str) -> dict[str, float]:
    """Return the capture container's counts by outcome, and its gauges by name."""
    connection = http.client.HTTPConnection(address, capture.PORT, timeout=10)
    try:
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
    finally:
        connection.close()
    rows = {found[1]: float(found[2]) for found in re.finditer(rf'{capture.METRIC_ROWS}{{.*outcome="(\w+)"}} (\d+)', page)}
    gauges = {found[1]: float(found[2]) for found in re.finditer(r"^(modelwright_capture_w\w+){.*} (\d+)$", page, re.M)}
    return rows | gauges


def kill_worker(team: Team, pod: str) -> None:
    team.cluster.kubectl("exec", pod, "-n", team.namespace, "-c", "capture", "--", "python", "-c", KILL_WORKER)


@pytest.fixture
def store(team: Team, tmp_path: Path) -> S3Store:
    """Give a store, its Secret, and a version to serve."""
    made = run_store(team, tmp_path)
    team.apply(secret())
    return made


def test_rows_are_in_the_store_once_and_a_model_is_trained_from_them(team: Team, store: S3Store) -> None:
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}, monitoring=RULES))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    captured = Captured(team, store, "scores")
    captured.ask(10)
    (pod,) = pods(team)
    kill_worker(team, pod)
    captured.ask(10)
    captured.ask(20, rows=1)
    eventually(captured.complete)
    each_row_is_there_once(captured)
    takes_little(team, pod)


def each_row_is_there_once(captured: Captured) -> None:
    table = captured.table()
    assert sorted(table[capture.PREDICTION_ID].to_pylist()) == sorted(captured.rows)
    assert not set(REDACTED) & set(table.column_names)
    assert set(table[capture.PREDICTION_TRACK].to_pylist()) == {"stable"}
    kept = [name for name in NAMES if name not in REDACTED]
    expected = FEATURES[[captured.rows[text] for text in table[capture.PREDICTION_ID].to_pylist()]].astype(np.float32)
    for name in kept:
        assert np.array_equal(table[name].to_numpy(), expected[:, NAMES.index(name)]), name


def takes_little(team: Team, pod: str) -> None:
    said = team.cluster.kubectl("exec", pod, "-n", team.namespace, "-c", "capture", "--", "python", "-c", MEASURE)
    pss = json.loads(said)["pss"]
    print(f"capture takes {pss / MIB:.1f} MiB")
    assert pss <= 64 * MIB
