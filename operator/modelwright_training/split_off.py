"""Stage split: what features and prepare left into the workspace, with the digest of what was read."""

import dataclasses
import time
from typing import Any

from modelwright_training import handover
from modelwright_training.contract import FROM_FEATURES, FetchedData, SplitResult, Stage
from modelwright_training.feature_store import notes
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings
from modelwright_training.workspace import Workspace


def run(settings: Settings) -> SplitResult:
    """Take in the tables, and what features says of them.

    Raises:
        StageError: PreparedDataInvalid, naming the file.

    """
    started = time.monotonic()
    job, workspace = settings.job, Workspace(settings.workspace)
    found: list[FetchedData] = []
    if job.handed_back:
        for index, source in enumerate(job.data):
            progress(100 * index // len(job.data), f"reading {source.name}")
            found.append(handover.take_in(settings.handover / job.handed_back, source.name, workspace, index))
            logger.info("%s: %s rows, %s", source.name, found[-1].rows, found[-1].digest)
    said: dict[str, Any] = {"data": [dataclasses.asdict(data) for data in found]}
    if job.features:
        workspace.write_notes(Stage.FEATURES, dataclasses.asdict(notes.read(settings.handover / FROM_FEATURES)))
    workspace.write_notes(Stage.SPLIT, {**said, "seconds": time.monotonic() - started})
    progress(100, "prepared data read")
    return SplitResult(tuple(found))
