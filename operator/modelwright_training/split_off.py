"""Stage split: what features and prepare left into the workspace, with its digest; rows to train on out of it."""

import dataclasses
import time

from modelwright_training import handover
from modelwright_training.contract import FROM_FEATURES, TO_TRAIN, FetchedData, SplitResult, Stage
from modelwright_training.feature_store import notes
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings
from modelwright_training.workspace import Workspace


def run(settings: Settings) -> SplitResult:
    """Take in the tables and what features says of them, and hand over what an own training image learns from.

    Raises:
        StageError: PreparedDataInvalid, naming the file; GateInvalid, DataInvalid or TargetInvalid.

    """
    started = time.monotonic()
    job, workspace = settings.job, Workspace(settings.workspace)
    found = _taken_in(settings, workspace, job.handed_back) if job.handed_back else ()
    if job.features:
        workspace.write_notes(Stage.FEATURES, dataclasses.asdict(notes.read(settings.handover / FROM_FEATURES)))
    odd = _handed_over(settings, workspace) if job.trainer.container else ()
    said = {"data": [dataclasses.asdict(data) for data in found], "warnings": odd}
    workspace.write_notes(Stage.SPLIT, {**said, "seconds": time.monotonic() - started})
    progress(100, "data handed over")
    return SplitResult(found, odd)


def _taken_in(settings: Settings, workspace: Workspace, folder: str) -> tuple[FetchedData, ...]:
    found: list[FetchedData] = []
    sources = settings.job.data
    for index, source in enumerate(sources):
        progress(80 * index // len(sources), f"reading {source.name}")
        found.append(handover.take_in(settings.handover / folder, source.name, workspace, index))
        logger.info("%s: %s rows, %s", source.name, found[-1].rows, found[-1].digest)
    return tuple(found)


def _handed_over(settings: Settings, workspace: Workspace) -> tuple[str, ...]:
    """Write the rows to train on; return sentences about what is odd about them."""
    # Only here is scikit-learn needed, whose import takes longer than reading a table.
    from modelwright_training import gates, leakage, train, training_rows  # noqa: PLC0415

    job = settings.job
    gates.check(job.gates, job.task, probabilities=True)
    progress(80, "splitting the rows")
    data = train.load(job, workspace)
    gates.check_classes(job.gates, binary=data.positive is not None)
    odd = (*leakage.check(data), *leakage.between_parts(data))
    for line in odd:
        logger.warning("%s", line)
    logger.info("rows: %s to train on, %s held out", len(data.train), len(data.holdout))
    training_rows.write(settings.handover / TO_TRAIN, job, data)
    return odd
