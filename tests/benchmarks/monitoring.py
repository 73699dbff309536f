"""`python -m tests.benchmarks monitoring`: what monitoring costs the server, and what the sidecar needs."""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from modelwright_drift import counts, document, summary, verdict
from modelwright_drift.baseline import Baseline, Numeric
from modelwright_monitor.tally import Tally
from modelwright_server import artifact
from modelwright_server.contract import monitoring
from modelwright_server.ring import RingWriter
from modelwright_server.schema import parse
from tests.benchmarks import report
from tests.benchmarks.routing import loss
from tests.benchmarks.serving import servers
from tests.benchmarks.serving.cores import SERVER_CORE, BenchmarkError, Process, prepare
from tests.benchmarks.serving.models import FEATURES, OUTPUTS, VERSION, model
from tests.benchmarks.serving.payloads import json_payload
from tests.monitor.fake_api import FakeApi, certificate
from tests.monitor.replicas import REVISION, free_port

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from tests.benchmarks.serving.models import BenchmarkModel

_PAIRS = 20
_RULES = {"window": {"rows": 10_000_000, "minSeconds": 3600, "maxSeconds": 604_800}}  # counted, and never closed
_IDLE_SECONDS = 10.0
_READY_SECONDS = 30.0
_BASELINE_ROWS = 10_000
_LARGE_ROWS, _ROUNDS = 1_000_000, 5
_RECORDS = 20_000
GOALS = {
    "throughput_loss_percent": "at most 5",
    "sidecar_microseconds_row": "at most 1",
    "rows_lost_percent": "0",
    "ring_write_microseconds": "at most 1",
    "drift_rows_per_second_core": "at least 4 million",
    "window_evaluation_milliseconds": "at most 1",
    "sidecar_pss_mib": "at most 64",
    "idle_cpu_percent": "at most 1",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the command line's options."""
    parser.add_argument("--realtime", action="store_true", help="all other work stands still (as root)")


def run(chosen: argparse.Namespace) -> report.Report:
    """Measure all of it."""
    prepare(realtime=chosen.realtime)
    served = model("linear")
    baseline = _baseline(served)
    drift, evaluation = _counting(baseline), _evaluation(baseline)
    with tempfile.TemporaryDirectory() as folder:
        ring = _ring_write(served, Path(folder))
    losses, row, uncounted, pss, idle = _serving(served, baseline)
    loss_spread = report.spread(losses)
    figures = {
        "throughput_loss_percent": loss_spread.median,
        "sidecar_microseconds_row": row,
        "rows_lost_percent": uncounted,
        "ring_write_microseconds": ring,
        "drift_rows_per_second_core": drift,
        "window_evaluation_milliseconds": evaluation,
        "sidecar_pss_mib": pss,
        "idle_cpu_percent": idle,
    }
    shown = {
        **{name: f"{value:.3g}" for name, value in figures.items()},
        "throughput_loss_percent": str(loss_spread),
        "drift_rows_per_second_core": f"{drift / 1e6:.1f} million",
    }
    rows = tuple((name, GOALS[name], shown[name]) for name in figures)
    return report.Report(
        "monitoring",
        {"losses_percent": losses},
        (report.Table("Monitoring, 30 features", ("", "goal", "measured"), rows),),
        figures,
    )


def _baseline(served: BenchmarkModel) -> Baseline:
    """Return what training would have left beside the model, of rows as clients send them."""
    rng = np.random.default_rng(1)
    inputs = served.rows[rng.integers(0, len(served.rows), _BASELINE_ROWS)]
    features = tuple(summary.numeric(f"feature{at}", "FP32", inputs[:, at]) for at in range(FEATURES))
    labels, probabilities = served.expected(len(served.rows))
    label = summary.categorical(OUTPUTS[0], "INT64", map(str, labels.tolist()))
    score = summary.numeric(f"{OUTPUTS[1]}[1]", "FP32", probabilities[:, 1], computed=True)
    return Baseline(features, (label, score))


def _counting(baseline: Baseline) -> float:
    """Return the rows a second that one core counts on the decision bins, the best of a few rounds."""
    features = [feature for feature in baseline.features if isinstance(feature, Numeric)]
    matrix = np.random.default_rng(2).standard_normal((_LARGE_ROWS, len(features)), dtype=np.float32)
    return _LARGE_ROWS / min(_timed(lambda: counts.count_matrix(features, matrix)) for _ in range(_ROUNDS))


def _evaluation(baseline: Baseline) -> float:
    """Return the milliseconds in which a window is judged."""
    tally = Tally.empty(baseline)
    window = [counts.zeros(feature) for feature in baseline.features]
    rng = np.random.default_rng(3)
    for feature, drawn in zip(baseline.features, window, strict=True):
        drawn[: len(feature.counts)] = rng.multinomial(2000, np.array(feature.counts) / sum(feature.counts))
    assert len(window) == len(tally.features)
    return 1000 * statistics.median(
        _timed(lambda: verdict.judge(baseline.features, window, verdict.Settings())) for _ in range(200)
    )


def _ring_write(served: BenchmarkModel, folder: Path) -> float:
    """Return the microseconds of writing one answered row to the ring, the best of a few rounds."""
    schema = parse((served.folder / artifact.SCHEMA).read_bytes())
    ring = RingWriter.create(folder, "ring-0", schema, model="bench", version=VERSION, digest="sha256:" + "0" * 64)
    row = served.rows[:1]
    parts = [row.tobytes(), np.zeros(1, np.int64).tobytes(), np.zeros((1, 2), np.float32).tobytes()]

    def write() -> None:
        append = ring.append
        for _ in range(_RECORDS):
            append(1, parts)

    return 1e6 * min(_timed(write) for _ in range(_ROUNDS)) / _RECORDS


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _serving(served: BenchmarkModel, baseline: Baseline) -> tuple[list[float], float, float, float, float]:
    """Return throughput lost in percent, pair by pair; then what the sidecar takes.

    That is CPU time in microseconds for each row under load, the percent of rows it was too late for, memory in MiB,
    and CPU in percent when nothing is asked.

    The server without has no ring, and nobody beside it; the other one shares its core with the sidecar.
    """
    payload = json_payload(served, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("ring", "windows", "control", "credentials"):
            (folder / each).mkdir()
        _artifact(served, baseline, folder / "model")
        ring = str(folder / "ring")
        with (
            servers.modelwright(served, ring_dir="") as plain,
            servers.modelwright(served, ring_dir=ring, revision=REVISION) as watched,
            _sidecar(folder) as (sidecar, port),
        ):
            time.sleep(1)
            before = sidecar.cpu_seconds()
            time.sleep(_IDLE_SECONDS)
            idle = 100 * (sidecar.cpu_seconds() - before) / _IDLE_SECONDS
            used, (counted, lost) = sidecar.cpu_seconds(), _rows(port)
            losses = [loss(plain, watched, payload, at)[0] for at in range(_PAIRS)]
            used = sidecar.cpu_seconds() - used
            time.sleep(1)
            counted, lost = _rows(port)[0] - counted, _rows(port)[1] - lost
            pss = sidecar.pss_mib()
    return losses, 1e6 * used / counted, 100 * lost / (counted + lost), pss, idle


def _rows(port: int) -> tuple[float, float]:
    """Return the rows that the sidecar has counted, and those it has lost."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        found = {sample.name: sample.value for family in families for sample in family.samples}
    return found[monitoring.METRIC_ROWS], found[monitoring.METRIC_LOST]


def _artifact(served: BenchmarkModel, baseline: Baseline, folder: Path) -> None:
    shutil.copytree(served.folder, folder)
    (folder / "baseline.json").write_bytes(document.dump(baseline))


@contextmanager
def _sidecar(folder: Path) -> Iterator[tuple[Process, int]]:
    """Run the sidecar on the server's core, beside an API server that asks it to monitor; give its port, too."""
    credentials = folder / "credentials"
    certificate(credentials)
    api = FakeApi(credentials)
    api.up()
    port = free_port(["127.0.0.1"])
    environment = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(api.port),
        "MODELWRIGHT_NAMESPACE": "team",
        "MODELWRIGHT_DEPLOYMENT": "churn",
        "MODELWRIGHT_REVISION": REVISION,
        "MODELWRIGHT_CONTROL_DIR": str(folder / "control"),
        "MODELWRIGHT_CREDENTIALS_DIR": str(credentials),
        "MODELWRIGHT_RING_DIR": str(folder / "ring"),
        "MODELWRIGHT_MODEL_DIR": str(folder / "model"),
        "MODELWRIGHT_WINDOWS_DIR": str(folder / "windows"),
        "MODELWRIGHT_WINDOW_PORT": str(port),
    }
    command = [sys.executable, "-m", "modelwright_monitor"]
    try:
        with Process(command, servers.LOGS / "sidecar.log", environment, [SERVER_CORE]) as process:
            api.put({"stable": {"revision": REVISION, "version": VERSION}}, spec={"monitoring": _RULES})
            end = time.monotonic() + _READY_SECONDS
            while not (folder / "control" / "traffic.json").exists() or not servers.listens(port):
                if process.ended or time.monotonic() > end:
                    message = f"the sidecar does not start; its last line: {process.last_words()}"
                    raise BenchmarkError(message)
                time.sleep(0.05)
            yield process, port
    finally:
        api.down()
