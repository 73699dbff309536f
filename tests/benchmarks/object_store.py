"""How fast data come from an object store, beside a plain loop over obstore that keeps the bytes and hashes nothing."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import S3Store

from modelwright_server.stores import Access, ObjectAddress
from modelwright_server.stores.objects import Bucket
from modelwright_server.stores.sink import Sink
from tests.benchmarks.report import Report, Table, spread
from tests.support.object_store import BUCKET, REGION, ObjectStore, running_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_MIB = 1 << 20
_GOAL = 0.8
_SHAPES = {"one object of 256 MiB": (1, 256), "64 objects of 2 MiB": (64, 2)}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's options."""
    parser.add_argument("--rounds", type=int, default=7, help="pairs of measurements of each shape (default 7)")


def run(chosen: argparse.Namespace) -> Report:
    """Measure both ways in turns; what counts is the median of the pairs' ratios."""
    with tempfile.TemporaryDirectory() as folder, running_store(Path(folder) / "s3") as store:
        found = {name: _measure(store, Path(folder), shape, chosen.rounds) for name, shape in _SHAPES.items()}
    ratios = {name: statistics.median(a / b for a, b in zip(*pair, strict=True)) for name, pair in found.items()}
    rows = tuple(
        (name, str(spread(ours)), str(spread(plain)), f"{ratios[name]:.2f}", f"≥ {_GOAL:.2f}")
        for name, (ours, plain) in found.items()
    )
    columns = ("shape", "fetch, MiB/s", "plain loop, MiB/s", "ratio", "goal")
    return Report(
        "store",
        {name: {"fetchMiBPerSecond": ours, "plainMiBPerSecond": plain} for name, (ours, plain) in found.items()},
        (Table("Reading from an S3 server on the same machine", columns, rows),),
        {"lowestRatio": min(ratios.values())},
    )


def _measure(store: ObjectStore, folder: Path, shape: tuple[int, int], rounds: int) -> tuple[list[float], list[float]]:
    count, size = shape
    data = os.urandom(size * _MIB)
    keys = [f"bench-{size}/{number:03}.bin" for number in range(count)]
    for key in keys:
        store.put(key, data)
    config: Any = {name.lower(): value for name, value in store.credentials.items()}
    config |= {"endpoint": store.endpoint, "region": REGION}
    client = S3Store(BUCKET, config=config, client_options={"allow_http": True})
    bucket = Bucket(ObjectAddress("s3", BUCKET, ""), Access(store.endpoint, REGION, "bench", store.credentials))

    def fetch(path: Path) -> int:
        total = 0
        for found in bucket.find(f"bench-{size}/*.bin", count):
            with path.open("wb") as file:
                sink = Sink(file, size * _MIB, found.path)
                bucket.download(found, sink)
                total += sink.size
        return total

    def plain(path: Path) -> int:
        total = 0
        for key in keys:
            with path.open("wb") as file:
                total += sum(file.write(chunk) for chunk in obstore.get(client, key))
        return total

    ways: tuple[Callable[[Path], int], ...] = (fetch, plain)
    speeds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for index in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            total = ways[index](folder / "scratch")
            seconds = time.perf_counter() - started
            assert total == count * size * _MIB
            if number:  # the first pair warms up
                speeds[index].append(total / _MIB / seconds)
    return speeds
