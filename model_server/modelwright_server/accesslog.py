"""The access log: one JSON object a line for each answered inference request, on stdout.

The server's own events are on stderr, which stays readable and is never held up by a reader of this.
Lines are written whole, also where several processes share a pipe: a write of at most PIPE_BUF bytes
is not mixed with another's, and no line is longer than that.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import orjson

from modelwright_server import trace_context
from modelwright_server.record import Record, address, text
from modelwright_server.telemetry import GRPC_CODES

MAX_PATH = 256
MAX_AGENT = 128
_MAX_ID = 128
_PIPE_BUF = 4096


def line(ended_ns: int, record: Record) -> bytes:
    """Return the line of a request answered at that time (nanoseconds since 1970)."""
    grpc = record.protocol == "grpc"
    fields: dict[str, object] = {
        "time": f"{datetime.fromtimestamp(ended_ns / 1e9, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        "event": "answered",
        "protocol": record.protocol,
        "client": address(record.client),
        "method": text(record.method, _MAX_ID),
        "path": text(record.path, MAX_PATH),
        "status": GRPC_CODES[record.status] if grpc else record.status,
        "seconds": round(record.seconds, 6),
        "rows": record.rows,
        "bytesIn": record.bytes_in,
        "bytesOut": record.bytes_out,
    }
    if record.prediction_id:
        fields["predictionId"] = text(record.prediction_id, _MAX_ID)
    if record.traceparent and (context := trace_context.parse(record.traceparent)):
        fields["traceId"] = context.trace_id
    if record.track:
        fields["track"] = record.track
    if record.user_agent:
        fields["userAgent"] = text(record.user_agent, MAX_AGENT)
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


class AccessLog:
    """Writes lines to a file descriptor; the end of a backlog."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor

    def consume(self, batch: Sequence[tuple[int, Record]]) -> int:
        """Write a line for each; return how many could not be written, for example to a closed pipe."""
        lost = 0
        for block, lines in _blocks(line(*entry) for entry in batch):
            try:
                os.write(self._descriptor, block)  # all of it: no more than a pipe takes at once
            except OSError:
                lost += lines
        return lost


def _blocks(lines: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Join lines to blocks of at most what a pipe takes at once, and say how many are in each."""
    block, size = list[bytes](), 0
    for item in lines:
        if block and size + len(item) > _PIPE_BUF:
            yield b"".join(block), len(block)
            block, size = [], 0
        block.append(item)
        size += len(item)
    if block:
        yield b"".join(block), len(block)
