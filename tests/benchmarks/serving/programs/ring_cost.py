"""What handing rows to monitoring costs a request: `RingWriter.append` in a loop, in a process on the server's core.

`python ring_cost.py SCHEMA.json` prints microseconds of CPU time for records of 1, 16 and 64 rows.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from modelwright_server import schema
from modelwright_server.ring import RingWriter

_APPENDS, _SPANS = 20_000, 7
MEMORY = Path("/dev/shm")  # noqa: S108 - the ring's place in a pod is such a file system


def microseconds(writer: RingWriter, features: int, rows: int) -> float:
    """Return the CPU time of one append: the values of so many requests of one row, and the outputs of their batch."""
    feeds = [bytes(4 * features)] * rows
    outputs = [memoryview(bytes(8 * rows)), memoryview(bytes(8 * rows))]
    spans: list[float] = []
    for _ in range(_SPANS):
        started = time.thread_time()
        for _ in range(_APPENDS):
            writer.append(rows, [*feeds, *outputs])
        spans.append((time.thread_time() - started) / _APPENDS)
    return 1e6 * statistics.median(spans)


def main() -> None:
    """Measure in the file system that the ring has in a pod."""
    signature = schema.parse(Path(sys.argv[1]).read_bytes())
    features = signature.inputs[0].shape[1]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        digest = "sha256:" + "0" * 64
        writer = RingWriter.create(Path(folder), "ring-0", signature, model="m", version="v", digest=digest)
        print(json.dumps({str(rows): microseconds(writer, features, rows) for rows in (1, 16, 64)}))
        if writer.dropped_rows:
            message = f"the ring dropped {writer.dropped_rows} rows"
            raise AssertionError(message)


if __name__ == "__main__":
    main()
