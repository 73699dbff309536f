"""A writer that never waits and a reader beside it, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelwright_server.ring import Record, RingReader, layout
from tests.ring import rings

ROOT = Path(__file__).parents[2]
WRITE = """if True:
    import itertools, sys
    from pathlib import Path
    from tests.ring import rings
    ring = rings.create(Path(sys.argv[1]), capacity=int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in itertools.islice(itertools.count(), int(sys.argv[3]) or None):
        rings.append(ring, number % 3 + 1)
    print(ring.written_rows, flush=True)
"""


def start(folder: Path, capacity: int, records: int) -> subprocess.Popen[str]:
    """Start a writer that waits for a line; it writes that many records, or without end."""
    command = [sys.executable, "-c", WRITE, str(folder), str(capacity), str(records)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def check(records: list[Record], reader: RingReader, lost_before: tuple[int, int] = (0, 0)) -> int:
    """Check what was read of one writer; return the number of rows appended up to the last record."""
    assert reader.damaged == 0
    rows_before, records_before = lost_before
    found = rings.row_numbers(records)
    assert found == sorted(set(found))
    assert len(found) + reader.lost_rows - rows_before == found[-1] + 1
    assert len(records) + reader.lost_records - records_before == records[-1].sequence
    return found[-1] + 1


@pytest.mark.parametrize("capacity", [rings.SMALL, layout.DEFAULT_CAPACITY])
def test_every_row_arrives_or_is_counted(tmp_path: Path, capacity: int) -> None:
    process = start(tmp_path, capacity, 60_000)
    with process, rings.open_ring(tmp_path) as reader:
        begin(process)
        records: list[Record] = []
        while process.poll() is None:
            records += reader.poll()
        records += reader.poll()
        assert process.stdout is not None
        assert check(records, reader) == int(process.stdout.readline()) == 120_000


def test_killed_writers_leave_whole_records_and_are_followed(tmp_path: Path) -> None:
    rings.create(tmp_path)
    reader = rings.open_ring(tmp_path)
    for number in range(4):
        process = start(tmp_path, rings.SMALL, 0)
        assert not reader.poll()  # the end of the file before
        assert reader.restarts == number + 1
        lost = reader.lost_rows, reader.lost_records
        with process:
            begin(process)
            records: list[Record] = []
            while len(records) < 500:
                assert process.poll() is None
                records += reader.poll()
            process.kill()
        records += reader.poll()
        check(records, reader, lost)
