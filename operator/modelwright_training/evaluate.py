"""Stage evaluate: convert, compare, measure, and write the artifact.

The files listed in the manifest depend on nothing but the job's settings, the data and the seed; what was measured or
happens to be so (durations, releases, names, addresses) goes to report.json, which the digest does not cover.
"""

import json
import platform
import time
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from modelwright_server import artifact
from modelwright_training import (
    answers,
    candidate,
    challenge,
    gates,
    groups,
    importance,
    measure,
    reference,
    samples,
    searched,
    train,
)
from modelwright_training.contract import EvaluateResult, JobConfig, Metric, Schema, Stage
from modelwright_training.convert import Converted
from modelwright_training.dataset import Dataset
from modelwright_training.features import Kind
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings
from modelwright_training.strict_json import encode
from modelwright_training.workspace import Workspace

_LIBRARIES = ("modelwright", "numpy", "onnx", "onnxmltools", "onnxruntime", "scikit-learn", "skl2onnx")


def run(settings: Settings) -> EvaluateResult:
    """Make the artifact.

    Raises:
        StageError: ConversionFailed or ParityFailed, or what preparing the data raises.

    """
    started = time.monotonic()
    job, workspace = settings.job, Workspace(settings.workspace)
    progress(0, "preparing the data")
    data = train.load(job, workspace)
    found = candidate.load(settings, workspace, data)
    runtime, report, classes = found.runtime, found.report, found.classes
    summary = report.summary if report is not None else None
    if summary is not None:
        logger.info("parity: %s rows, largest difference %.3g", summary.rows, summary.max_difference)
    progress(80, "measuring on the holdout")
    given = answers.given(runtime, data, data.holdout, classes)
    metrics = measure.measure(given)
    for metric in metrics:
        logger.info("%s: %s", metric.name, metric.value)
    sliced = groups.measured(given, data.slices, job.evaluation.min_slice_rows or 1)
    fetched = workspace.read_notes(Stage.FETCH)
    signature = schema(found.converted, nullable=found.nullable)
    noticed = reference.write(settings.artifact, data, runtime, signature)
    for line in noticed:
        logger.warning("%s", line)
    card = _card(job, data, fetched["data"], workspace) | found.made_of
    challenged = challenge.challenge(job, settings.workspace, data, given, card)
    judged = (
        *gates.judge(job.gates, {metric.name: metric.value for metric in metrics}, groups.observed(sliced)),
        *challenged.gates,
    )
    _write(settings.artifact, found.converted.model, signature, _metrics(data, metrics, sliced), card)
    if (search := searched.record(job)) is not None:
        _write_json(settings.artifact / searched.FILE, search)
    _write_json(settings.artifact / "columns.json", {"columns": data.columns})
    seconds = {
        "fetch": fetched["seconds"],
        **({} if job.trainer.container else {"train": found.notes["seconds"]}),
        "evaluate": time.monotonic() - started,
    }
    warned = [*found.notes["warnings"], *found.warnings, *noticed]
    said = {"parity": asdict(report) if report is not None else None, "warnings": warned, "seconds": seconds}
    said["gates"] = gates.report(job.gates, judged)
    said["importance"] = asdict(importance.measure(runtime, data, classes, job.seed))
    _write_json(
        settings.artifact / artifact.REPORT,
        {**said, **challenged.report, **_circumstances(job), **_tuning(job), **_feature_store(job, workspace)},
    )
    if job.latency is not None:
        some = np.arange(min(len(data.holdout), samples.ROWS))
        samples.write(settings.measures, data.holdout.values.take(some).feed())
    manifest = artifact.write(settings.artifact)
    logger.info("artifact: %s, %s bytes", manifest.digest, manifest.size)
    progress(100, "evaluated")
    return EvaluateResult(data.task, data.rows, metrics, summary, judged, challenged.problem, found.warnings)


def schema(converted: Converted, *, nullable: bool) -> Schema:
    """Return what the model takes and gives; missing numbers only where it may be asked about them.

    Tensors of whole numbers, truth values and texts have no NaN.
    """
    found = converted.schema
    if not nullable:
        return found
    inputs = (replace(tensor, nullable=True) if tensor.datatype == Kind.FLOAT else tensor for tensor in found.inputs)
    return replace(found, inputs=tuple(inputs))


def _write(
    folder: Path, model: onnx.ModelProto, signature: Schema, metrics: dict[str, Any], card: dict[str, Any]
) -> None:
    (folder / artifact.MODEL).write_bytes(model.SerializeToString(deterministic=True))
    _write_json(folder / artifact.SCHEMA, encode(signature))
    _write_json(folder / "metrics.json", metrics)
    _write_json(folder / "card.json", card)


def _write_json(path: Path, document: Any) -> None:  # noqa: ANN401 - JSON
    path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _metrics(data: Dataset, metrics: tuple[Metric, ...], sliced: tuple[groups.Measured, ...]) -> dict[str, Any]:
    found = {"task": data.task, "rows": encode(data.rows), "metrics": encode(metrics)}
    return {**found, "slices": groups.document(sliced)} if sliced else found


def _card(job: JobConfig, data: Dataset, fetched: list[dict[str, Any]], workspace: Workspace) -> dict[str, Any]:
    """Say what the model is; no name of a job or address, so that the same run elsewhere gives the same digest."""
    return {
        "model": job.model,
        "task": data.task,
        "target": job.target,
        **({} if job.positive_label is None else {"positiveLabel": str(data.positive)}),
        "columns": encode(job.columns),
        "trainer": encode(job.trainer),
        "evaluation": encode(job.evaluation),
        "seed": job.seed,
        "source": encode(job.source),
        "data": fetched,
        "rows": encode(data.rows),
        **_tuning(job),
        **({"prepare": encode(job.prepare)} if job.prepare else {}),
        **({"prepared": workspace.read_notes(Stage.SPLIT)["data"]} if job.handed_back else {}),
        **({"features": workspace.read_notes(Stage.FEATURES)["features"]} if job.features else {}),
    }


def _feature_store(job: JobConfig, workspace: Workspace) -> dict[str, Any]:
    """Return how features were joined; a registry changes where its features do not, so this is not the card's."""
    if job.features is None:
        return {}
    said = workspace.read_notes(Stage.FEATURES)
    return {"features": {part: said[part] for part in ("missing", "registry", "sources", "feast")}}


def _tuning(job: JobConfig) -> dict[str, Any]:
    found = searched.summary(job)
    return {} if found is None else {"tuning": found}


def _circumstances(job: JobConfig) -> dict[str, Any]:
    return {
        "trainingJob": {"namespace": job.namespace, "name": job.training_job, "uid": job.uid},
        "data": encode(job.data),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in _LIBRARIES}},
        "platform": platform.machine(),
    }
