"""Captured rows on a real cluster: each once, whatever is killed or away, and a model trained from them."""

from __future__ import annotations

import http.client
import io
import json
import re
import time
from typing import TYPE_CHECKING

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer

from modelwright_server.contract import capture
from tests.e2e.fixtures import (
    DEPLOYMENTS,
    JOBS,
    VERSIONS,
    Object,
    Team,
    condition,
    deployment,
    is_true,
    new_revision,
    rows_body,
    training_job,
)
from tests.e2e.object_store import ACCESS, BUCKET, PORT, access, run_store, secret
from tests.e2e.test_feedback import pods, post
from tests.e2e.test_sidecar import KILL_WORKER, MEASURE, MIB, eventually
from tests.support.pods import restricted_pod, service

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
SINK_PORT = 8080


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
        return bool(self.table(kind).num_rows >= len(self.rows))


def metrics(address: str) -> dict[str, float]:
    """Return the capture container's rows by what became of them, and its gauges by name."""
    connection = http.client.HTTPConnection(address, capture.PORT, timeout=10)
    try:
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
    finally:
        connection.close()
    rows = re.findall(rf'^{capture.METRIC_ROWS}{{.*outcome="(\w+)"}} (\d+)$', page, re.MULTILINE)
    gauges = re.findall(r"^(modelwright_capture_w\w+){.*} (\d+)$", page, re.MULTILINE)
    return {name: float(value) for name, value in (*rows, *gauges)}


def kill_worker(team: Team, pod: str) -> None:
    team.cluster.kubectl("exec", pod, "-n", team.namespace, "-c", "capture", "--", "python", "-c", KILL_WORKER)


@pytest.fixture
def store(team: Team, tmp_path: Path) -> S3Store:
    """Give a store in the namespace."""
    return run_store(team, tmp_path)


def test_rows_are_in_the_store_once_and_a_model_is_trained_from_them(team: Team, store: S3Store) -> None:
    team.apply(secret())
    version = team.train("first")["status"]["modelVersion"]
    team.apply(
        deployment("scores", {"version": version}, monitoring=RULES),
        training_job("live", **FROM_LIVE),
        training_job("nowhere", data=[{"name": "live", "captured": {"deployment": "absent"}}]),
    )
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    team.wait(JOBS, "nowhere", is_true("Stalled", "CaptureNotFound"))
    captured = Captured(team, store, "scores")
    captured.ask(10)
    [(pod, address)] = pods(team).items()
    kill_worker(team, pod)
    captured.ask(10)
    captured.ask(20, rows=1)
    labelled = gets_labels(captured, team.get("services", "scores")["spec"]["clusterIP"])
    eventually(captured.complete)
    each_row_is_there_once(captured)
    takes_little(team, pod)
    learns_from_labelled_rows(team, labelled)
    refuses_what_is_no_feature(team, version)
    captured.ask(3)  # which nobody has sent when the pod ends
    team.patch(DEPLOYMENTS, "scores", {"spec": {"replicas": 0}})
    eventually(lambda: address not in pods(team).values(), deadline=60)
    each_row_is_there_once(captured)


FROM_LIVE: Object = {
    "data": [{"name": "live", "captured": {"deployment": "scores"}}],
    "columns": {"time": "prediction_time"},
    "suspend": True,
}


def gets_labels(captured: Captured, service: str) -> int:
    """Post labels for some rows, some of them twice; return for how many."""
    items: list[Object] = [
        {"prediction_id": text, "label": int(TARGETS[at])} for text, at in list(captured.rows.items())[:250]
    ]
    eventually(lambda: opens(service))
    for start in range(0, len(items), 50):
        assert post(service, items[start : start + 50])[1]["accepted"] == 50
    wrong = [{**item, "label": 1 - item["label"]} for item in items[:20]]
    assert post(service, wrong)[1]["duplicates"] == 20
    eventually(lambda: captured.table("labels/").num_rows >= len(items) + len(wrong))
    return len(items)


def opens(service: str) -> bool:
    try:
        return post(service, {})[0] == 400
    except OSError:
        return False


def learns_from_labelled_rows(team: Team, labelled: int) -> None:
    team.patch(JOBS, "live", {"spec": {"suspend": False}})
    seen = team.wait(JOBS, "live", is_true("Complete"), deadline=120)
    [data] = seen["status"]["resolved"]["data"]
    assert data["rows"] == labelled
    assert data["uri"] == f"s3://{BUCKET}/captured/{team.namespace}/scores"
    made = team.get(VERSIONS, seen["status"]["modelVersion"])
    assert made["spec"]["schema"]["inputs"][0]["columns"] == [name for name in NAMES if name not in REDACTED]
    accuracy = next(item["value"] for item in seen["status"]["metrics"] if item["name"] == "accuracy")
    assert accuracy > 0.85, "labels and rows belong together"


def refuses_what_is_no_feature(team: Team, version: str) -> None:
    capturing = {**RULES, "capture": {**CAPTURE, "redact": ["mean radios"]}}
    team.patch(DEPLOYMENTS, "scores", {"spec": {"monitoring": capturing}})
    seen = team.wait(DEPLOYMENTS, "scores", is_true("Stalled", "RedactUnknown"))
    assert "'mean radios', which is no feature of" in condition(seen, "Stalled")["message"]
    assert seen["status"]["stable"]["version"] == version
    assert condition(seen, "Available")["status"] == "True"
    team.patch(DEPLOYMENTS, "scores", {"spec": {"monitoring": RULES}})
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))


def test_serving_goes_on_while_the_store_is_away(team: Team, store: S3Store) -> None:
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}, monitoring={"capture": {**CAPTURE, "secretName": "absent"}}))
    seen = team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    away = {"capture": {**CAPTURE, **access("away")}}
    team.apply(secret(), deployment("scores", {"version": version}, monitoring=away))
    team.wait(DEPLOYMENTS, "scores", new_revision(seen["status"]["stable"]["revision"]))
    eventually(lambda: len(pods(team)) == 1, deadline=60)
    captured = Captured(team, store, "scores")
    captured.ask(2)
    [(pod, address)] = pods(team).items()
    eventually(lambda: metrics(address)["modelwright_capture_works"] == 0)
    fills_the_disk(captured, address)
    assert restarts(team, pod) == {"capture": 0, "monitor": 0, "server": 0}
    assert team.get("pods", pod)["status"]["phase"] == "Running"
    assert is_true("Ready")(team.get(DEPLOYMENTS, "scores"))

    eventually(lambda: metrics(address)["chosen"] + metrics(address)["lost"] == len(captured.rows))
    before = metrics(address)
    team.apply(service("away", "store", PORT))
    print(f"{before['dropped']:.0f} of {before['chosen']:.0f} rows were dropped")
    eventually(lambda: metrics(address)["modelwright_capture_works"] == 1, deadline=60)
    eventually(lambda: metrics(address)["written"] >= before["chosen"] - before["dropped"], deadline=90)
    counted = metrics(address)
    ids = captured.table()[capture.PREDICTION_ID].to_pylist()
    assert len(ids) == len(set(ids)) == counted["written"]
    assert counted["written"] + counted["dropped"] == counted["chosen"]
    assert counted["chosen"] + counted["lost"] == len(captured.rows)


def fills_the_disk(captured: Captured, address: str) -> None:
    """Ask until there is no room for rows."""
    deadline = time.monotonic() + 60
    while not metrics(address)["dropped"]:
        captured.ask(2, rows=4000)
        assert time.monotonic() < deadline, metrics(address)


def restarts(team: Team, pod: str) -> dict[str, int]:
    status = team.get("pods", pod)["status"]
    found = [*status["initContainerStatuses"], *status["containerStatuses"]]
    return {item["name"]: item["restartCount"] for item in found if item["name"] != "fetch"}


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


_SINK = f"""
import http.server, json
class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(json.dumps([dict(self.headers), body]), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", {SINK_PORT}), Sink).serve_forever()
"""


def test_payloads_reach_a_sink_as_cloudevents(team: Team) -> None:
    sink = {"image": team.installation.images["serving"], "command": ["python", "-c", _SINK]}
    team.apply(restricted_pod("sink", sink), service("sink", "sink", 80, SINK_PORT))
    version = team.train("first")["status"]["modelVersion"]
    log = {"url": f"http://sink.{team.namespace}.svc/events", "redact": REDACTED}
    team.apply(deployment("scores", {"version": version}, monitoring={"payloadLog": log}))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    body = {**rows_body(FEATURES[:3].tolist()), "outputs": [{"name": "label"}, {"name": "prediction_id"}]}
    ids: list[str] = []
    labels: list[int] = []
    for _ in range(20):
        outputs = {item["name"]: item["data"] for item in team.infer("scores", body)["outputs"]}
        ids += outputs["prediction_id"]
        labels += outputs["label"]

    def events() -> list[tuple[Object, Object]]:
        lines = team.cluster.kubectl("logs", "sink", "-n", team.namespace).splitlines()
        return [
            ({name.lower(): value for name, value in headers.items()}, sent) for headers, sent in map(json.loads, lines)
        ]

    eventually(lambda: len(events()) >= 2 * len(ids))
    kind = "org.kubeflow.serving.inference"
    asked = {headers["ce-id"]: sent for headers, sent in events() if headers["ce-type"] == f"{kind}.request"}
    answered = {headers["ce-id"]: sent for headers, sent in events() if headers["ce-type"] == f"{kind}.response"}
    assert asked.keys() == answered.keys() == set(ids)
    for name, label in zip(ids, labels, strict=True):
        assert next(item["data"] for item in answered[name]["outputs"] if item["name"] == "label") == [label]
    [row] = asked[ids[0]]["inputs"]
    hidden = {NAMES.index(name) for name in REDACTED}
    for at, value in enumerate(row["data"]):
        assert value is None if at in hidden else value == pytest.approx(FEATURES[0][at], rel=1e-6)
