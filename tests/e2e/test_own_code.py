"""Code of the user's own, in images of their own: what it sees, what becomes of what it leaves, and how it ends."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.e2e.fixtures import DEPLOYMENTS, JOBS, VERSIONS, Team, claim, condition, deployment, is_true, training_job
from tests.support.claims import write_files

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.cluster

DATA = "lake"
ROWS = 400


def sold() -> pd.DataFrame:
    """Return a table that no estimator takes as it is: amounts are texts."""
    random = np.random.default_rng(5)
    spent = np.round(random.gamma(2.0, 40.0, ROWS), 2)
    calls = random.integers(0, 12, ROWS).astype(float)
    churned = spent - 9 * calls + random.normal(0, 20, ROWS) > 20
    texts = [f"{value:.2f} EUR" for value in spent]
    return pd.DataFrame({"spent": texts, "calls": calls, "churned": np.where(churned, "yes", "no")})


def as_csv(table: pd.DataFrame) -> bytes:
    written = io.StringIO()
    table.to_csv(written, index=False)
    return written.getvalue().encode()


PREPARE = """
    import json, os, pathlib, pandas
    data, out = (pathlib.Path(os.environ[f"MODELWRIGHT_{name}_DIR"]) for name in ("DATA", "OUTPUT"))
    seen = sorted(path.name for path in pathlib.Path("/").iterdir()) + sorted(os.listdir("/workspace"))
    assert not {"stores", "artifact", "handover"} & set(seen), seen
    assert not pathlib.Path("/var/run/secrets/kubernetes.io").exists()
    for folder in (data, pathlib.Path("/")):
        try:
            (folder / "mine").write_text("x")
        except OSError:
            continue
        raise SystemExit(f"{folder} can be written")
    table = pandas.read_parquet(data / "all.parquet")
    table["spent"] = table["spent"].str.removesuffix(" EUR").astype(float)
    table.to_parquet(out / "all.parquet", index=False)
"""


def own(team: Team, code: str, **more: Any) -> Mapping[str, Any]:
    """Return a container with Python and pandas that runs this code: our own image serves as the user's."""
    image = team.installation.images["training"]
    return {"image": image, "command": ["python", "-c"], "args": [textwrap.dedent(code)], **more}


@pytest.fixture(scope="module")
def lake(shared: Team) -> Team:
    """Give the namespace with the table in a claim, and the failing runs on their way."""
    shared.apply(claim(DATA), claim())
    write_files(shared, DATA, {"sold.csv": as_csv(sold())})
    data = {"data": [{"name": "all", "uri": f"pvc://{DATA}/sold.csv"}], "target": "churned"}
    wrong = own(shared, "import sys; print('the table lacks a column', file=sys.stderr); sys.exit(2)")
    shared.apply(
        training_job("wrong", **data, prepare=wrong),
        training_job("flaky", **data, prepare=own(shared, "raise SystemExit('no answer')"), retryLimit=1),
        training_job("forgetful", **data, prepare=own(shared, "print('nothing to do')")),
    )
    return shared


def test_prepared_data_are_learned_from_and_recorded(lake: Team) -> None:
    lake.apply(
        training_job(
            "prepared",
            model="prepared",
            data=[{"name": "all", "uri": f"pvc://{DATA}/sold.csv"}],
            target="churned",
            prepare=own(lake, PREPARE),
        )
    )
    job = lake.wait(JOBS, "prepared", is_true("Complete"), deadline=240)
    names = [stage["name"] for stage in job["status"]["stages"]]
    assert names == ["fetch", "prepare", "split", "train", "evaluate", "publish"]
    resolved = job["status"]["resolved"]
    assert [(item["name"], item["rows"]) for item in resolved["prepared"]] == [("all", ROWS)]
    assert resolved["prepared"][0]["digest"] != resolved["data"][0]["digest"]
    assert [item["stage"] for item in resolved["ownImages"]] == ["prepare"]
    version = lake.get(VERSIONS, job["status"]["modelVersion"])
    assert version["spec"]["provenance"]["prepared"] == resolved["prepared"]

    lake.apply(deployment("prepared", {"version": version["metadata"]["name"]}))
    lake.wait(DEPLOYMENTS, "prepared", is_true("Ready"), deadline=60)
    rows = [[200.0, 0.0], [10.0, 11.0]]
    inputs = [{"name": "input", "shape": [2, 2], "datatype": "FP32", "data": [value for row in rows for value in row]}]
    assert version["spec"]["schema"]["inputs"][0]["columns"] == ["spent", "calls"]
    answer = lake.infer("prepared", {"inputs": inputs}, "/v2/models/prepared/infer")
    outputs = {item["name"]: item["data"] for item in answer["outputs"]}
    assert outputs["label"] == ["yes", "no"]


@pytest.mark.parametrize(
    ("name", "reason", "attempts", "says"),
    [
        ("wrong", "PrepareFailed", 1, "exit code 2: the table lacks a column"),
        ("flaky", "PrepareFailed", 2, "(all 2 attempts failed)"),
        ("forgetful", "PreparedDataInvalid", 1, "prepare left no all.parquet; its output folder is empty"),
    ],
)
def test_preparation_that_fails_is_said(lake: Team, name: str, reason: str, attempts: int, says: str) -> None:
    seen = lake.wait(JOBS, name, is_true("Failed"), deadline=240)
    assert condition(seen, "Stalled")["reason"] == reason
    assert says in condition(seen, "Stalled")["message"]
    assert seen["status"]["attempt"] == attempts
    assert not [version for version in lake.find(VERSIONS) if version["metadata"]["name"].startswith("cancer-")]
