"""Stage split: what prepare left into the workspace, with the digest of what was read."""

import dataclasses
import time

from modelwright_training import handover
from modelwright_training.contract import FROM_PREPARE, FetchedData, SplitResult, Stage
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings
from modelwright_training.workspace import Workspace


def run(settings: Settings) -> SplitResult:
    """Take in prepare's tables.

    Raises:
        StageError: PreparedDataInvalid, naming the file.

    """
    started = time.monotonic()
    job, workspace = settings.job, Workspace(settings.workspace)
    found: list[FetchedData] = []
    if job.prepare:
        for index, source in enumerate(job.data):
            progress(100 * index // len(job.data), f"reading what prepare left for {source.name}")
            found.append(handover.take_in(settings.handover / FROM_PREPARE, source.name, workspace, index))
            logger.info("%s: %s rows, %s", source.name, found[-1].rows, found[-1].digest)
    notes = {"data": [dataclasses.asdict(data) for data in found], "seconds": time.monotonic() - started}
    workspace.write_notes(Stage.SPLIT, notes)
    progress(100, "prepared data read")
    return SplitResult(tuple(found))
