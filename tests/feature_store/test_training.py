"""From data and a repository on a claim to a model: all stages, those with Feast in the real library."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from modelwright_server import artifact
from modelwright_training.contract import (
    Columns,
    EvaluateResult,
    FeaturesResult,
    FetchResult,
    Preprocessing,
    PublishResult,
    SklearnTrainer,
    SplitResult,
    Stage,
    Trainer,
)
from tests.feature_store import repositories
from tests.training.builders import read_json

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

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


def test_the_features_are_learned_from_and_keys_and_time_are_not(
    feast: Worker, pod: Pod, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pod.root / "stores/lake").mkdir()
    shutil.copytree(shop, pod.root / "stores/lake/features")
    table = orders()
    pq.write_table(table, pod.root / "stores/lake/all.parquet")
    config = replace(
        repositories.job(features=("stats:calls", "prices:price")),
        columns=Columns((), (), time="seen"),
        trainer=Trainer(SklearnTrainer("sklearn.tree.DecisionTreeClassifier", {}, Preprocessing.AUTO)),
    )
    environment = pod.environment(config)

    joined: list[FeaturesResult] = []

    def join() -> None:
        assert feast.stage(environment) == 0, pod.message(Stage.FEATURES)
        said = pod.message(Stage.FEATURES)
        assert isinstance(said, FeaturesResult)
        joined.append(said)

    results = pod.run(config, monkeypatch, {Stage.FEATURES: join})
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
    assert report["features"]["missing"] == {"calls": 0, "price": 0}
    assert (report["features"]["registry"], report["features"]["sources"]) == (joined[0].registry, joined[0].sources)
