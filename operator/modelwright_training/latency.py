"""Stage latency: time the ONNX model under the resources, and by the code, that will serve it.

It sees the artifact, read-only, and some of the holdout's rows. What it finds goes beside the artifact, since no two
measurements are alike; publish puts it into the report.
"""

import gc
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from modelwright_server import artifact, model
from modelwright_server.rejection import ModelRejectedError
from modelwright_training import gates, measures, samples
from modelwright_training.contract import LatencyResult, Reason
from modelwright_training.errors import StageError
from modelwright_training.log import logger, progress
from modelwright_training.measures import Measurement, Timing
from modelwright_training.samples import Feeds
from modelwright_training.settings import Settings

REPEATS = 3
CALLS = 1000  # of one repeat, if there is time
SECONDS = 5.0  # of one repeat
FEWEST_CALLS = 20  # of one repeat, however long they take
_DIGITS = 4


def run(settings: Settings) -> LatencyResult:
    """Time the model, and leave the measurement for publish.

    Raises:
        StageError: ArtifactInvalid, when the server's code cannot load or run the model under these resources.

    """
    wanted = settings.job.latency
    if wanted is None:
        message = "the job has no spec.evaluation.latency: this stage should not be there"
        raise ValueError(message)
    try:
        feeds = samples.read(settings.measures)
        size = (settings.artifact / artifact.MODEL).stat().st_size
        loaded = model.load(settings.artifact, threads=wanted.threads)
        timings: list[Timing] = []
        for repeat in range(REPEATS):
            progress(100 * repeat // REPEATS, f"timing calls of {wanted.rows} rows")
            timings.append(timed(loaded, feeds, wanted.rows))
    except (ModelRejectedError, artifact.ArtifactError, model.InferenceError, KeyError, ValueError) as error:
        message = (
            f"the server cannot run the model under spec.evaluation.latency ({error}); raise its resources, or choose"
            " another estimator"
        )
        raise StageError(Reason.ARTIFACT_INVALID, message) from error
    best = LatencyResult(
        min(found.p50_milliseconds for found in timings), min(found.p99_milliseconds for found in timings), size
    )
    found = (best.p50_milliseconds, best.p99_milliseconds, best.size_bytes)
    measures.write(settings.measures, Measurement(wanted.rows, wanted.threads, *found, tuple(timings)))
    judged = gates.judge(settings.job.gates, {metric.name: metric.value for metric in best.metrics}, timed=True)
    for metric in best.metrics:
        logger.info("%s: %s", metric.name, metric.value)
    progress(100, "timed")
    return replace(best, gates=judged)


def timed(loaded: model.Model, feeds: Feeds, rows: int) -> Timing:
    """Time calls one after the other, each with the next rows of the sample.

    Percentiles are nearest-rank, so each is a time that was seen; with fewer than 100 calls the 99th is the longest.

    Raises:
        model.InferenceError: the model fails.

    """
    seconds: list[float] = []
    upcoming = _cycled(feeds, rows)
    gc.collect()
    gc.disable()  # no cycles are made here; a collection would be counted as the model's
    try:
        end = time.perf_counter() + SECONDS
        while len(seconds) < CALLS and (len(seconds) < FEWEST_CALLS or time.perf_counter() < end):
            call = next(upcoming)
            start = time.perf_counter()
            loaded.run(call, rows)
            seconds.append(time.perf_counter() - start)
    finally:
        gc.enable()
    p50, p99, longest = np.percentile(np.array(seconds) * 1e3, [50, 99, 100], method="inverted_cdf")
    return Timing(len(seconds), *(float(f"{value:.{_DIGITS}g}") for value in (p50, p99, longest)))


def _cycled(feeds: Feeds, rows: int) -> Iterator[Feeds]:
    """Yield the next rows, from the first again after the last."""
    start = 0
    while True:
        wanted = np.arange(start, start + rows)
        yield {name: array.take(wanted, axis=0, mode="wrap") for name, array in feeds.items()}
        start += rows
