"""A valid job, and what is left of the way from data to a compared model, for tests that vary one thing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from modelwright_training import contract, convert, dataset, evaluate, parity, pipeline, train
from modelwright_training.__main__ import main
from modelwright_training.contract import (
    Columns,
    DataSource,
    Evaluation,
    Failure,
    JobConfig,
    Preprocessing,
    Result,
    Schema,
    SklearnTrainer,
    Source,
    Stage,
    Storage,
    Task,
    Trainer,
    parse_message,
)
from modelwright_training.runtime import Runtime

HIST_CLASSIFIER = "sklearn.ensemble.HistGradientBoostingClassifier"
HIST_REGRESSOR = "sklearn.ensemble.HistGradientBoostingRegressor"
LOGISTIC = "sklearn.linear_model.LogisticRegression"

JOB = JobConfig(
    namespace="team",
    training_job="churn-1",
    uid="3a5e",
    model="churn",
    data=(DataSource("train", "sklearn://breast_cancer", None),),
    target="target",
    task=Task.AUTO,
    columns=Columns((), ()),
    trainer=Trainer(SklearnTrainer(HIST_CLASSIFIER, {}, Preprocessing.AUTO)),
    evaluation=Evaluation(None, 25),
    seed=7,
    storage=Storage("pvc://models/"),
    source=Source(None, None),
)


def job(
    estimator: str = HIST_CLASSIFIER,
    parameters: Mapping[str, Any] | None = None,
    *,
    uri: str = "sklearn://breast_cancer",
    preprocessing: Preprocessing = Preprocessing.AUTO,
    **changes: Any,
) -> JobConfig:
    trainer = Trainer(SklearnTrainer(estimator, parameters or {}, preprocessing))
    return replace(JOB, **{"trainer": trainer, "data": (DataSource("train", uri, None),), **changes})


@dataclass(frozen=True)
class Model:
    """A fitted, converted and compared model."""

    data: dataset.Dataset
    fitted: Any
    converted: convert.Converted
    runtime: Runtime
    report: parity.Report
    schema: Schema


def make(config: JobConfig, tables: Mapping[str, Any] | None = None, estimator: Any = None) -> Model:
    """Go all the way in this process; `estimator` replaces the one the job names."""
    task = train.task_of(config)
    data = dataset.prepare(config, task, tables) if tables else dataset.load(config, task)
    if estimator is None:
        fitted, _ = train.fit(config, data)
    else:
        built = pipeline.build(estimator, data.features, config.sklearn.preprocessing)
        fitted = built.fit(data.train.values.native(), data.train.target)
    converted = convert.to_onnx(fitted, data.features, task)
    runtime = Runtime(converted)
    missing = pipeline.takes_missing(fitted, config.sklearn.preprocessing)
    report = parity.check(fitted, runtime, data, missing=missing)
    return Model(data, fitted, converted, runtime, report, evaluate.schema(converted, nullable=report.nullable))


@dataclass(frozen=True)
class Pod:
    """The folders of a training pod; stages run in this process, or as commands with `environment`."""

    root: Path

    @property
    def artifact(self) -> Path:
        return self.root / "artifact"

    @property
    def measures(self) -> Path:
        return self.root / "measures"

    @property
    def store(self) -> Path:
        return self.root / "stores" / "models"

    def environment(self, config: JobConfig) -> dict[str, str]:
        return {
            contract.ENV_JOB: config.to_json(),
            contract.ENV_WORKSPACE: str(self.root / "workspace"),
            contract.ENV_ARTIFACT_DIR: str(self.artifact),
            contract.ENV_MEASURES_DIR: str(self.measures),
            contract.ENV_STORES_DIR: str(self.root / "stores"),
            contract.ENV_HANDOVER_DIR: str(self.root / "handover"),
            contract.ENV_TERMINATION_LOG: str(self.root / "termination-log"),
        }

    def message(self, stage: Stage) -> Result | Failure | None:
        return parse_message((self.root / "termination-log").read_text(encoding="utf-8"), stage)

    def run(
        self, config: JobConfig, monkeypatch: pytest.MonkeyPatch, own: Mapping[Stage, Callable[[], None]] | None = None
    ) -> list[Result]:
        """Run the stages; all must succeed. `own` stands in for the user's images."""
        for name, value in self.environment(config).items():
            monkeypatch.setenv(name, value)
        results: list[Result] = []
        for stage in config.stages:
            if own and stage in own:
                own[stage]()
                continue
            code = main([stage])
            result = self.message(stage)
            assert code == 0, result
            assert result is not None
            assert not isinstance(result, Failure)
            results.append(result)
        return results


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
