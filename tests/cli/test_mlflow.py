"""`export mlflow`: a folder that MLflow loads, of nothing but the version's own bytes."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import yaml
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from modelwright_server import artifact
from tests.cli.test_documents import NAME, deployment, job, version
from tests.support import mlflow_library

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import FakeApi

ROWS = np.array([[20, 0], [40, 1], [60, 0], [80, 1]], np.float32)
LOAD = """
import json, sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
said = model.predict(np.array(json.loads(sys.argv[2]), np.float32))
info = mlflow.models.get_model_info(sys.argv[1])
native = mlflow.onnx.load_model(sys.argv[1])
print(json.dumps({
    "outputs": {name: np.asarray(values).tolist() for name, values in said.items()},
    "inputs": [item.name for item in info.signature.inputs],
    "origin": info.metadata["modelwright"],
    "graph": [item.name for item in native.graph.input],
}))
"""


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Give an artifact of a small classifier."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    trained = LogisticRegression().fit(ROWS, [0, 0, 1, 1])
    converted = to_onnx(trained, ROWS, options={"zipmap": False}, target_opset=17)
    (folder / artifact.MODEL).write_bytes(converted.SerializeToString())
    (folder / artifact.SCHEMA).write_text("{}", encoding="utf-8")
    artifact.write(folder)
    return folder


def known(api: FakeApi, stored: Path, **spec: Any) -> None:
    """Have a version with that artifact."""
    session = onnxruntime.InferenceSession(stored / artifact.MODEL)
    made = version(**spec)
    made["spec"]["artifact"] = {"uri": "s3://models/churn/9f", "digest": artifact.build(stored).digest}
    made["spec"]["schema"]["inputs"][0]["name"] = session.get_inputs()[0].name
    api.put(made, job(), deployment())


def test_the_folder_is_what_mlflow_asks_for(
    run: Callable[..., str], api: FakeApi, stored: Path, tmp_path: Path
) -> None:
    known(api, stored)
    to = tmp_path / "out" / "model"
    assert run("export", "mlflow", NAME, "--to", str(to), "--artifact", str(stored)).startswith(f"written: {to}")
    assert (to / "model.onnx").read_bytes() == (stored / "model.onnx").read_bytes()
    told = yaml.safe_load((to / "MLmodel").read_text(encoding="utf-8"))
    assert set(told["flavors"]) == {"onnx", "python_function"}
    assert told["flavors"]["python_function"]["loader_module"] == "mlflow.onnx"
    assert json.loads(told["signature"]["inputs"])[0]["tensor-spec"] == {"dtype": "float32", "shape": [-1, 2]}
    origin = told["metadata"]["modelwright"]
    assert (origin["version"], origin["metrics"]["holdout.roc_auc"]) == (NAME, 0.91)
    assert origin["approval"]["by"] == "ana"
    assert "onnxruntime" in (to / "requirements.txt").read_text(encoding="utf-8")
    assert "is there already" in run("export", "mlflow", NAME, "--to", str(to), "--artifact", str(stored), code=1)


def test_what_is_not_the_versions_own_is_not_written(
    run: Callable[..., str], api: FakeApi, stored: Path, tmp_path: Path
) -> None:
    known(api, stored)
    arguments = ("export", "mlflow", NAME, "--to", str(tmp_path / "model"), "--artifact", str(stored))
    model = stored / "model.onnx"
    whole = model.read_bytes()
    for changed in (whole[:-1], whole + b"\0", whole[:-1] + bytes([whole[-1] ^ 1])):
        model.write_bytes(changed)
        assert "model.onnx is not what the digest of" in run(*arguments, code=1)
    artifact.write(stored)  # whole in itself, and another one
    assert "it is another version's" in run(*arguments, code=1)
    model.unlink()
    (stored / "manifest.json").unlink()
    assert "manifest.json cannot be read" in run(*arguments, code=1)
    assert not (tmp_path / "model").exists()


def test_without_a_pod_that_serves_it_a_copy_is_asked_for(
    run: Callable[..., str], api: FakeApi, stored: Path, tmp_path: Path
) -> None:
    known(api, stored)
    api.answers["/api/v1/namespaces/team/pods"] = {"metadata": {}, "items": []}
    said = run("export", "mlflow", NAME, "--to", str(tmp_path / "model"), code=1)
    assert "no pod serves churn-9f2c41ab07: copy its artifact" in said


@pytest.mark.skipif(mlflow_library.python() is None, reason="MLflow is not installed: make mlflow")
def test_mlflow_itself_loads_it_and_predicts_the_same(
    run: Callable[..., str], api: FakeApi, stored: Path, tmp_path: Path
) -> None:
    known(api, stored)
    to = tmp_path / "model"
    run("export", "mlflow", NAME, "--to", str(to), "--artifact", str(stored))
    command = [str(mlflow_library.python()), "-c", LOAD, str(to), json.dumps(ROWS.tolist())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    session = onnxruntime.InferenceSession(stored / artifact.MODEL)
    names = [item.name for item in session.get_outputs()]
    expected = dict(zip(names, session.run(None, {session.get_inputs()[0].name: ROWS}), strict=True))
    assert said["outputs"].keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(np.asarray(said["outputs"][name], np.asarray(values).dtype), values)
    assert said["inputs"] == said["graph"] == [session.get_inputs()[0].name]
    assert said["origin"]["digest"] == artifact.build(stored).digest
