"""Stage fetch: every data set into the workspace, with the digest of what was read."""

import dataclasses
import time

from modelwright_training import champion, handover, repository, sources
from modelwright_training.contract import (
    REPOSITORY_FOLDER,
    TO_FEATURES,
    TO_PREPARE,
    FetchedData,
    FetchResult,
    Stage,
)
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings
from modelwright_training.workspace import Workspace


def run(settings: Settings) -> FetchResult:
    """Read all data sets of the job.

    Raises:
        StageError: see `sources.read`.

    """
    started = time.monotonic()
    job, workspace = settings.job, Workspace(settings.workspace)
    found: list[FetchedData] = []
    for index, source in enumerate(job.data):
        progress(100 * index // len(job.data), f"reading {source.name}")
        fetched = sources.read(source, settings.stores, settings.workspace)
        workspace.write_table(index, fetched.table)
        found.append(FetchedData(source.name, fetched.digest, fetched.table.num_rows))
        logger.info("%s: %s rows, %s", source.name, fetched.table.num_rows, fetched.digest)
    if job.handed_back:
        folder = settings.handover / (TO_PREPARE if job.features is None else TO_FEATURES)
        for index, source in enumerate(job.data):
            handover.write(folder, source.name, workspace.read_table(index))
    if job.features is not None:
        repository.fetch(job.features.feast, settings.stores, settings.handover / TO_FEATURES / REPOSITORY_FOLDER)
        logger.info("feature store %s", job.features.feast.uri)
    if job.champion is not None:
        champion.fetch(job.champion, settings.stores, settings.workspace)
        logger.info("champion %s: %s", job.champion.version, job.champion.digest)
    notes = {"data": [dataclasses.asdict(data) for data in found], "seconds": time.monotonic() - started}
    workspace.write_notes(Stage.FETCH, notes)
    progress(100, "data read")
    return FetchResult(tuple(found))
