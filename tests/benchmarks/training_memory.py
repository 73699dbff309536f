"""Memory of training: the largest stage beside scikit-learn alone, which reads the same file, splits, fits and scores.

Each is a process of its own; its peak is what the kernel says it had resident at most, mapped files included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright_training import contract
from modelwright_training.contract import Stage
from tests.benchmarks.report import Report, Table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

GOAL_RATIO = 2.5
_MIB = 1 << 20
_STAGES = (Stage.FETCH, Stage.TRAIN, Stage.EVALUATE, Stage.PUBLISH)
_ESTIMATORS = {
    "HistGradientBoosting": ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 20}),
    "logistic regression": ("sklearn.linear_model.LogisticRegression", {"max_iter": 50}),
}
# Numbers that float32 cannot hold exactly, in Parquet's usual row groups.
_WRITE = """
import sys
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

rows, columns = map(int, sys.argv[2:])
random = np.random.default_rng(5)
parts = {f"x{number}": random.normal(size=rows) for number in range(columns)}
score = parts["x0"] + 0.5 * parts["x1"] + random.normal(size=rows)
pq.write_table(pa.table({**parts, "target": (score > 0).astype(np.int64)}), sys.argv[1])
"""
_ALONE = """
import sys
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

table = pd.read_parquet(sys.argv[1])
x, y = table.drop(columns="target"), table["target"]
del table
train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=0.25, stratify=y, random_state=7)
del x, y
models = {
    "HistGradientBoosting": HistGradientBoostingClassifier(max_iter=20, random_state=7),
    "logistic regression": make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(max_iter=50)
    ),
}
model = models[sys.argv[2]].fit(train_x, train_y)
print(model.score(test_x, test_y))
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Add what may be chosen."""
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the Parquet file")
    parser.add_argument("--columns", type=int, default=30, help="its columns beside the target")


def run(chosen: argparse.Namespace) -> Report:
    """Measure on this machine."""
    with tempfile.TemporaryDirectory(prefix="modelwright-bench-") as folder:
        root = Path(folder)
        file = root / "stores" / "lake" / "rows.parquet"
        (root / "stores" / "models").mkdir(parents=True)
        file.parent.mkdir()
        # By another process: on Linux a child's peak begins with what its parent had resident.
        _peak([sys.executable, "-c", _WRITE, str(file), str(chosen.rows), str(chosen.columns)], {})
        found = {name: _measured(root, file, name) for name in _ESTIMATORS}
    rows = [
        (name, *(f"{figures[what]:.0f}" for what in (*_STAGES, "alone")), f"{figures['ratio']:.2f}")
        for name, figures in found.items()
    ]
    title = f"peak memory in MiB, {chosen.rows:,} rows x {chosen.columns} float64 columns; goal: at most {GOAL_RATIO}"
    table = Table(title, ("estimator", *_STAGES, "scikit-learn alone", "largest stage / alone"), tuple(rows))
    return Report(
        "training-memory",
        {"goalRatio": GOAL_RATIO, "rows": chosen.rows, "columns": chosen.columns, "peakMiB": found},
        (table,),
        {"ratio": max(figures["ratio"] for figures in found.values())},
    )


def _measured(root: Path, file: Path, name: str) -> dict[str, float]:
    alone = _peak([sys.executable, "-c", _ALONE, str(file), name], {})
    estimator, parameters = _ESTIMATORS[name]
    job = contract.JobConfig(
        namespace="bench",
        training_job="bench",
        uid="1",
        model="bench",
        data=(contract.DataSource("all", f"pvc://lake/{file.name}", None),),
        target="target",
        task=contract.Task.AUTO,
        columns=contract.Columns((), ()),
        trainer=contract.Trainer(contract.SklearnTrainer(estimator, parameters, contract.Preprocessing.AUTO)),
        evaluation=contract.Evaluation(None, 25),
        seed=7,
        storage=contract.Storage("pvc://models/"),
        source=contract.Source(None, None),
    )
    with tempfile.TemporaryDirectory(dir=root) as pod:
        for part in ("workspace", "artifact"):
            (Path(pod) / part).mkdir()
        environment = {
            contract.ENV_JOB: job.to_json(),
            contract.ENV_WORKSPACE: f"{pod}/workspace",
            contract.ENV_ARTIFACT_DIR: f"{pod}/artifact",
            contract.ENV_STORES_DIR: str(root / "stores"),
            contract.ENV_TERMINATION_LOG: f"{pod}/message",
        }
        peaks = {
            stage.value: _peak([sys.executable, "-m", "modelwright_training", stage.value], environment)
            for stage in _STAGES
        }
    return {**peaks, "alone": alone, "ratio": max(peaks.values()) / alone}


def _peak(command: Sequence[str], environment: dict[str, str]) -> float:
    """Run a command; return the most MiB it had resident.

    Raises:
        AssertionError: it failed.

    """
    started = time.monotonic()
    process: subprocess.Popen[Any] = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{' '.join(command[1:4])} failed: {said[-2000:].decode(errors='replace')}"
    peak = usage.ru_maxrss * 1024 / _MIB  # Linux counts in KiB
    print(f"{' '.join(command[1:4])[:60]!r}: {peak:.0f} MiB, {time.monotonic() - started:.0f} s", file=sys.stderr)
    return peak
