"""`python -m tests.benchmarks soak`: does the server's memory grow, and does it err, under a long mixed load?"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.report import Report, Table
from tests.benchmarks.serving import servers
from tests.benchmarks.serving.clients import Tally, work
from tests.benchmarks.serving.cores import BenchmarkError, prepare
from tests.benchmarks.serving.models import model

if TYPE_CHECKING:
    import argparse

    from tests.benchmarks.serving.cores import Process

_WARM_UP_SECONDS = 120.0
_SAMPLE_SECONDS = 5.0
_TELL_SAMPLES = 60
SLOPE_GOAL = 1.0
"""MiB an hour."""


@dataclass(frozen=True)
class Sample:
    """Memory in MiB at some seconds after the load began."""

    seconds: float
    anonymous: float
    pss: float
    rss: float


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the command line's options."""
    parser.add_argument("--minutes", type=float, default=30.0, help="how long; 30 by default")
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second in all; 400 by default")


def run(chosen: argparse.Namespace) -> Report:
    """Load a server and watch its memory."""
    prepare()
    tally, samples, served = Tally(), list[Sample](), model("linear")
    seconds = 60.0 * chosen.minutes
    with servers.modelwright(served) as running:
        before = running.process.cpu_seconds()

        async def all_at_once() -> None:
            watching = asyncio.create_task(_watch(running.process, samples, tally))
            await work(running, served, tally, chosen.rate, seconds)
            watching.cancel()

        asyncio.run(all_at_once())
        if running.process.ended:
            message = f"the server ended; its last line: {running.process.last_words()}"
            raise BenchmarkError(message)
        cpu = running.process.cpu_seconds() - before
    return _report(tally, samples, seconds, cpu)


async def _watch(process: Process, samples: list[Sample], tally: Tally) -> None:
    started = time.monotonic()
    while True:
        memory = process.anonymous_mib(), process.pss_mib(), process.rss_mib()
        samples.append(Sample(time.monotonic() - started, *memory))
        if len(samples) % _TELL_SAMPLES == 0:
            last, asked = samples[-1], tally.answers.total()
            text = f"{last.seconds / 60:.0f} min: {asked} requests, {tally.errors} errors, {last.anonymous:.2f} MiB"
            print(f"  {text}", file=sys.stderr, flush=True)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _report(tally: Tally, samples: list[Sample], seconds: float, cpu: float) -> Report:
    warm_up = min(_WARM_UP_SECONDS, seconds / 4)
    settled = [sample for sample in samples if sample.seconds >= warm_up]
    slope = _slope_per_hour(settled)
    first, last = settled[0], settled[-1]
    headline = {
        "soak_minutes": seconds / 60,
        "soak_requests": tally.answers.total(),
        "soak_errors": tally.errors,
        "soak_slope_mib_per_hour": slope,
        "soak_anonymous_mib_after_warm_up": first.anonymous,
        "soak_anonymous_mib_at_end": last.anonymous,
        "soak_pss_mib_at_end": last.pss,
        "soak_rss_mib_at_end": last.rss,
        "soak_server_cores": cpu / seconds,
    }
    found = (
        (
            f"memory slope after {warm_up:.0f} s, MiB/h",
            f"<= {SLOPE_GOAL:g}",
            f"{slope:.2f}",
            _met(slope <= SLOPE_GOAL),
        ),
        ("answers other than expected", "0", str(tally.errors), _met(tally.errors == 0)),
        ("anonymous memory after warm-up / at the end, MiB", "", f"{first.anonymous:.2f} / {last.anonymous:.2f}", ""),
        ("PSS / RSS at the end, MiB", "", f"{last.pss:.1f} / {last.rss:.1f}", ""),
        ("requests in all", "", f"{tally.answers.total():,}", ""),
        ("server's CPU, cores", "", f"{cpu / seconds:.2f}", ""),
    )
    tables = [Table(f"Mixed load of {seconds / 60:g} minutes", ("", "goal", "found", ""), found)]
    tables.append(
        Table("Requests", ("", "answered"), tuple((kind, str(n)) for kind, n in sorted(tally.answers.items())))
    )
    if tally.problems:
        tables.append(Table("Problems (the first ones)", ("",), tuple((text[:200],) for text in tally.problems)))
    figures = {"answers": tally.answers, "problems": tally.problems, "samples": samples}
    return Report("soak", figures, tuple(tables), headline)


def _met(holds: bool) -> str:
    return "met" if holds else "NOT MET"


def _slope_per_hour(samples: list[Sample]) -> float:
    """Return the least-squares slope of the memory that is no file's."""
    if len(samples) < 3:
        message = "too few samples for a slope: run longer"
        raise BenchmarkError(message)
    slope, _ = np.polyfit([sample.seconds for sample in samples], [sample.anonymous for sample in samples], 1)
    return float(slope) * 3600
