"""Training in images of the user's own: from rows to served predictions, and how it goes wrong."""
# ruff: noqa: PD011 - `values` is the training package's own attribute, not pandas'

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from modelwright_training import contract, training_rows
from modelwright_training.dataset import Dataset, load
from tests.docs.pages import EXAMPLES, documents, read
from tests.e2e.fixtures import DEPLOYMENTS, JOBS, VERSIONS, Team, claim, condition, deployment, is_true, training_job
from tests.support.claims import write_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.cluster

DATA = "lake"
ROWS = 480


def calls() -> pd.DataFrame:
    random = np.random.default_rng(8)
    table = pd.DataFrame(
        {
            "plan": random.choice(["basic", "plus", "pro"], ROWS),
            "spent": np.round(random.gamma(2.0, 40.0, ROWS), 2),
            "calls": random.integers(0, 12, ROWS).astype(float),
            "region": random.choice(["north", "south"], ROWS),
        }
    )
    left = table["spent"] - 9 * table["calls"] + 30 * (table["plan"] == "pro") + random.normal(0, 20, ROWS) > 20
    table["calls"] = table["calls"].mask(table.index % 11 == 5)
    return table.assign(churned=np.where(left, "yes", "no"))


def as_csv(table: pd.DataFrame) -> bytes:
    written = io.StringIO()
    table.to_csv(written, index=False)
    return written.getvalue().encode()


FILES = {
    "calls.csv": (DATA, as_csv(calls())),
    "customers.csv": ("churn-data", (EXAMPLES / "csv" / "customers.csv").read_bytes()),
}

LOOK = """
    import json, os, pathlib
    data, out = (pathlib.Path(os.environ[f"MODELWRIGHT_{name}_DIR"]) for name in ("DATA", "OUTPUT"))
    told = json.loads((data / "columns.json").read_text())
"""
CLOSED = """
    seen = sorted(path.name for path in pathlib.Path("/").iterdir())
    assert not {"stores", "artifact", "handover"} & set(seen), seen
    assert sorted(os.listdir("/workspace")) == ["data", "model"], os.listdir("/workspace")
    assert sorted(os.listdir(data)) == ["columns.json", "train.parquet"], os.listdir(data)
"""
PIPELINE = """
    import joblib, pandas
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    rows = pandas.read_parquet(data / "train.parquet")
    texts = [feature["name"] for feature in told["features"] if feature["type"] == "Text"]
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer((encode, texts), remainder="passthrough")
    seed = int(os.environ["MODELWRIGHT_SEED"])
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=30, random_state=seed))
    model.fit(rows[[feature["name"] for feature in told["features"]]], rows[told["target"]])
    joblib.dump(model, out / "model.joblib")
    print('progress: {"percent": 100, "message": "fitted"}')
"""


EXPORT = """
    import numpy, pandas
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    rows = pandas.read_parquet(data / "train.parquet")
    x = rows[[feature["name"] for feature in told["features"]]].to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, rows[told["target"]])
    exported = to_onnx(model, x.astype(numpy.float32), options={id(model): {"zipmap": False}})
    (out / "model.onnx").write_bytes(exported.SerializeToString())
    pandas.DataFrame({"label": model.predict(x)}).to_parquet(out / "predictions.parquet")
"""


def script(*parts: str) -> str:
    return "".join(textwrap.dedent(part) for part in parts)


def trainer(team: Team, *parts: str, **more: Any) -> Mapping[str, Any]:
    """Return a trainer that runs this code: our own image serves as the user's."""
    image = team.installation.images["training"]
    return {"container": {"image": image, "command": ["python", "-c"], "args": [script(*parts)], **more}}


@pytest.fixture(scope="module")
def lake(shared: Team) -> Team:
    """Give the namespace with the table in a claim, and the failing runs on their way."""
    shared.apply(claim(DATA), claim("churn-data"), claim())
    for name, (claimed, content) in FILES.items():
        write_files(shared, claimed, {name: content})
    failing = {
        "wrong": ("import sys; print('no convergence', file=sys.stderr); sys.exit(2)",),
        "forgetful": ("print('nothing to do')",),
        "foreign": (
            LOOK,
            """
            import joblib
            class Scaler: pass
            joblib.dump(Scaler(), out / "model.joblib")
            """,
        ),
        "greedy": ("bytearray(512 << 20)",),
    }
    for name, parts in failing.items():
        limits = {"resources": {"limits": {"memory": "128Mi"}}} if name == "greedy" else {}
        shared.apply(training_job(name, task="Classification", trainer=trainer(shared, *parts, **limits)))
    return shared


def served(team: Team, name: str, feed: Mapping[str, Any]) -> Mapping[str, Any]:
    kinds = {"f": "FP32", "O": "BYTES", "i": "INT64", "b": "BOOL"}
    inputs = [
        {"name": key, "shape": list(rows.shape), "datatype": kinds[rows.dtype.kind], "data": rows.ravel().tolist()}
        for key, rows in feed.items()
    ]
    for tensor in inputs:
        tensor["data"] = [None if value != value else value for value in tensor["data"]]  # noqa: PLR0124 - NaN
    answer = team.infer(name, {"inputs": inputs}, f"/v2/models/{name}/infer")
    return {item["name"]: np.array(item["data"]).reshape(item["shape"]) for item in answer["outputs"]}


def test_what_an_own_image_fitted_is_served_as_it_predicts(lake: Team, tmp_path: Path) -> None:
    lake.apply(
        training_job(
            "own",
            model="own",
            data=[{"name": "all", "uri": f"pvc://{DATA}/calls.csv"}],
            target="churned",
            task="Classification",
            columns={"drop": ["region"]},
            trainer=trainer(lake, LOOK, CLOSED, PIPELINE),
            evaluation={"holdoutPercent": 25, "slices": ["region"], "minSliceRows": 30, "latency": {}},
            gates=[
                {"metric": "accuracy", "min": 0.6},
                {"metric": "accuracy", "min": 0.5, "slice": "region"},
                {"metric": "sizeBytes", "max": 10_000_000},
            ],
        )
    )
    job = lake.wait(JOBS, "own", is_true("Complete"), deadline=240)
    names = [stage["name"] for stage in job["status"]["stages"]]
    assert names == ["fetch", "split", "train", "evaluate", "latency", "publish"]
    assert [item["stage"] for item in job["status"]["resolved"]["ownImages"]] == ["train"]
    assert {gate["verdict"] for gate in job["status"]["gates"]} == {"Passed"}
    version = lake.get(VERSIONS, job["status"]["modelVersion"])

    lake.apply(deployment("own", {"version": version["metadata"]["name"]}))
    native, holdout = again(lake, job, tmp_path, ["-c", script(LOOK, PIPELINE)], {})
    rows = holdout.native()[list(native.feature_names_in_)]
    lake.wait(DEPLOYMENTS, "own", is_true("Ready"), deadline=60)
    answer = served(lake, "own", holdout.feed())
    assert np.isnan(holdout.numbers).any()
    assert answer["label"].tolist() == native.predict(rows).tolist()
    assert np.abs(answer["probabilities"] - native.predict_proba(rows)).max() < 1e-5


def again(
    team: Team, job: Mapping[str, Any], folder: Path, code: Sequence[str], given: Mapping[str, str]
) -> tuple[Any, Any]:
    """Run the user's code here on the same rows; return what it fitted, and the values of the holdout."""
    data = rows_of(team, job, folder, code, given)
    return joblib.load(folder / "model" / contract.MODEL_JOBLIB), data.holdout.values


def rows_of(team: Team, job: Mapping[str, Any], folder: Path, code: Sequence[str], given: Mapping[str, str]) -> Dataset:
    """Run the user's code here, on the rows its pod saw; return them."""
    spec = team.get("jobs.batch", job["status"]["job"])["spec"]["template"]["spec"]
    told = {item["name"]: item.get("value", "") for item in spec["containers"][0]["env"]}
    config = contract.JobConfig.from_json(told[contract.ENV_JOB])
    for name, (claimed, content) in FILES.items():
        (folder / claimed).mkdir()
        (folder / claimed / name).write_bytes(content)
    for name in ("data", "model"):
        (folder / name).mkdir()
    data = load(config, config.task, folder)
    training_rows.write(folder / "data", config, data)
    dirs = {contract.ENV_DATA_DIR: str(folder / "data"), contract.ENV_OUTPUT_DIR: str(folder / "model")}
    told_own = {**given, **dirs, contract.ENV_SEED: str(config.seed), contract.ENV_TASK: str(config.task)}
    subprocess.run([sys.executable, *code], env={**os.environ, **told_own}, check=True)
    return data


@pytest.mark.parametrize("booster", ["xgboost", "lightgbm"])
def test_the_example_image_is_served_as_it_predicts(lake: Team, booster: str, tmp_path: Path) -> None:
    [job] = documents(read(EXAMPLES / "container" / "training.yaml"))
    name = job["metadata"]["name"] = f"churn-{booster}"
    job["spec"]["model"] = name
    own = job["spec"]["trainer"]["container"]
    own["image"] = lake.installation.images["trainer-example"]
    own["env"][0]["value"] = booster
    lake.apply(job)
    done = lake.wait(JOBS, name, is_true("Complete"), deadline=240)
    lake.apply(deployment(name, {"version": done["status"]["modelVersion"]}))
    environment = {variable["name"]: variable["value"] for variable in own["env"]}
    native, holdout = again(lake, done, tmp_path, [str(EXAMPLES / "container" / "train.py")], environment)
    rows = holdout.native()[list(native.feature_names_in_)]
    lake.wait(DEPLOYMENTS, name, is_true("Ready"), deadline=60)
    answer = served(lake, name, holdout.feed())
    assert answer["label"].tolist() == np.array(["no", "yes"])[native.predict(rows)].tolist()
    assert np.abs(answer["probabilities"] - native.predict_proba(rows)).max() < 1e-5


def test_an_onnx_model_of_an_own_image_is_served_as_it_is(lake: Team, tmp_path: Path) -> None:
    lake.apply(training_job("given", model="given", task="Classification", trainer=trainer(lake, LOOK, EXPORT)))
    job = lake.wait(JOBS, "given", is_true("Complete"), deadline=240)
    assert not job["status"].get("warnings")
    lake.apply(deployment("given", {"version": job["status"]["modelVersion"]}))
    data = rows_of(lake, job, tmp_path, ["-c", script(LOOK, EXPORT)], {})
    lake.wait(DEPLOYMENTS, "given", is_true("Ready"), deadline=60)
    rows = data.holdout.values.feed()
    given = onnxruntime.InferenceSession(tmp_path / "model" / contract.MODEL_ONNX)
    labels, probabilities = given.run(None, {given.get_inputs()[0].name: rows["input"]})
    answer = served(lake, "given", rows)
    assert answer["label"].tolist() == np.asarray(labels).tolist()
    assert np.abs(answer["probabilities"] - probabilities).max() < 1e-6


@pytest.mark.parametrize(
    ("name", "reason", "says"),
    [
        ("wrong", "TrainingFailed", "your image of stage train ended with exit code 2: no convergence"),
        ("forgetful", "ModelInvalid", "train left no model.joblib; its output folder is empty"),
        ("foreign", "ModelInvalid", "needs code that only the image has"),
        ("greedy", "OutOfMemory", "raise spec.trainer.container.resources.limits.memory"),
    ],
)
def test_an_own_trainer_that_fails_is_said_once(lake: Team, name: str, reason: str, says: str) -> None:
    seen = lake.wait(JOBS, name, is_true("Failed"), deadline=240)
    assert condition(seen, "Stalled")["reason"] == reason
    assert says in condition(seen, "Stalled")["message"]
    assert seen["status"]["attempt"] == 1
    assert not [version for version in lake.find(VERSIONS) if version["metadata"]["name"].startswith("cancer-")]
