"""From data and a repository on a claim to a model: all stages, those with Feast in the real library."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelwright_server import artifact
from modelwright_training.contract import (
    FROM_FEATURES,
    FROM_PREPARE,
    Columns,
    EvaluateResult,
    FetchResult,
    OwnCode,
    Preprocessing,
    PublishResult,
    SklearnTrainer,
    SplitResult,
    Stage,
    Trainer,
)
from modelwright_training.feature_store import notes
from modelwright_training.workspace import Workspace
from tests.feature_store import repositories
from tests.training.builders import read_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from modelwright_training.contract import JobConfig
    from tests.support.feast_library import Worker
    from tests.training.builders import Pod


def orders() -> pa.Table:
    """Return rows whose class only the features tell: what a customer had spent by then."""
    random = np.random.default_rng(3)
    customers = random.integers(1, 4, 120)
    days = random.integers(0, 3, 120)
    late = random.integers(0, 1440, 120)
    seen = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(days * 1440 + late, unit="min")
    spent = 10 * customers + days
    table = {"customer": customers, "seen": seen, "noise": random.normal(size=120), "churned": spent >= 21}
    return pa.table({**table, "churned": np.where(table["churned"], "yes", "no")})


@pytest.fixture
def config(pod: Pod, shop: Path) -> JobConfig:
    """Give a job whose data and repository lie on a claim."""
    (pod.root / "stores/lake").mkdir()
    shutil.copytree(shop, pod.root / "stores/lake/features")
    pq.write_table(orders(), pod.root / "stores/lake/all.parquet")
    return replace(
        repositories.job(features=("stats:calls", "prices:price")),
        columns=Columns((), (), time="seen"),
        trainer=Trainer(SklearnTrainer("sklearn.tree.DecisionTreeClassifier", {}, Preprocessing.AUTO)),
    )


def joining(feast: Worker, pod: Pod, config: JobConfig) -> Callable[[], None]:
    """Return what runs the stage where Feast is."""
    environment = pod.environment(config)

    def join() -> None:
        assert feast.stage(environment) == 0, pod.message(Stage.FEATURES)

    return join


def test_the_features_are_learned_from_and_keys_and_time_are_not(
    feast: Worker, pod: Pod, config: JobConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = pod.run(config, monkeypatch, {Stage.FEATURES: joining(feast, pod, config)})
    assert list(config.stages) == ["fetch", "features", "split", "train", "evaluate", "publish"]
    fetched, split, _, evaluated, published = results
    assert isinstance(fetched, FetchResult)
    assert isinstance(split, SplitResult)
    assert isinstance(evaluated, EvaluateResult)
    assert isinstance(published, PublishResult)
    assert split.data[0].digest != fetched.data[0].digest
    assert published.schema is not None
    inputs = [(item.name, item.columns, item.nullable) for item in published.schema.inputs]
    assert inputs == [("input", ("noise", "calls", "price"), True)]
    assert {metric.name: metric.value for metric in evaluated.metrics}["accuracy"] > 0.9
    card, report = read_json(pod.artifact / "card.json"), read_json(pod.artifact / artifact.REPORT)
    assert (card["features"], card["prepared"][0]["digest"]) == (["calls", "price"], split.data[0].digest)
    said = notes.read(pod.root / "handover" / FROM_FEATURES)
    assert report["features"] == {
        "missing": {"calls": 0, "price": 0},
        "registry": said.registry,
        "sources": said.sources,
        "feast": said.feast,
    }


def test_an_own_image_prepares_what_features_left(
    feast: Worker, pod: Pod, config: JobConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, prepare=OwnCode("registry.test/prepare:1", "sha256:" + "5" * 64))
    (pod.root / "handover" / FROM_PREPARE).mkdir()

    def prepare() -> None:
        table = pq.read_table(pod.root / "handover" / FROM_FEATURES / "all.parquet")
        assert table.column_names == ["customer", "seen", "noise", "churned", "calls", "price"]
        pq.write_table(table.drop(["customer", "noise"]), pod.root / "handover" / FROM_PREPARE / "all.parquet")

    own = {Stage.FEATURES: joining(feast, pod, config), Stage.PREPARE: prepare}
    published = pod.run(config, monkeypatch, own)[-1]
    assert isinstance(published, PublishResult)
    assert published.schema is not None
    assert [item.columns for item in published.schema.inputs] == [("calls", "price")]  # the key may be gone already


def test_trials_of_a_search_notice_that_features_changed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_notes(Stage.FETCH, {"data": [{"name": "all", "digest": "a"}]})
    seen = {workspace.data_digest()}
    for said in (
        {"registry": "b", "sources": "c"},
        {"registry": "d", "sources": "c"},
        {"registry": "b", "sources": "e"},
    ):
        workspace.write_notes(Stage.FEATURES, said)
        seen.add(workspace.data_digest())
    assert len(seen) == 4
