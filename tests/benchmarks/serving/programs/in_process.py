"""What the model alone takes: `python in_process.py MODEL.onnx ROWS.npy` prints seconds a call by number of rows.

Each is the median over spans in which the process had its core for itself, of wall clock time.
"""

import json
import statistics
import sys
import time
from typing import Any

import numpy as np
from onnx_session import OUTPUTS, load

_SPAN_SECONDS = 0.25
_SPANS, _MOST_SPANS = 3, 12
_SHARE = 0.97
"""Of a span's time the process must have run, for the span to count."""


def main() -> None:
    """Measure 1 and 64 rows."""
    session = load(sys.argv[1])
    rows = np.load(sys.argv[2])
    print(json.dumps({str(count): seconds(session, rows[:count]) for count in (1, 64)}))


def seconds(session: Any, rows: Any) -> float:
    """Return the seconds of a call."""
    spans: list[tuple[float, float]] = []
    while len(spans) < _MOST_SPANS and sum(share > _SHARE for share, _ in spans) < _SPANS:
        calls, started, used = 0, time.perf_counter(), time.thread_time()
        while time.perf_counter() - started < _SPAN_SECONDS:
            session.run(OUTPUTS, {"input": rows})
            calls += 1
        took = time.perf_counter() - started
        spans.append(((time.thread_time() - used) / took, took / calls))
    best = sorted(spans, reverse=True)[:_SPANS]
    return statistics.median(each for _, each in best)


if __name__ == "__main__":
    main()
