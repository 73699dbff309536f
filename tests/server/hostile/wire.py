"""Bytes of requests, and what came back."""

import json
import re
import socket
from dataclasses import dataclass
from typing import Any

from tests.server.process import DEADLINE, INFER, Server, read_all

ROW = [1.5] * 30
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def infer_body(**changes: Any) -> bytes:
    """A request for one row of `logistic`, or its tensor changed."""
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 30], "data": ROW} | changes
    return json.dumps({"inputs": [tensor]}).encode()


def post(*headers: str, body: bytes = b"", path: str = INFER) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode("latin-1") + body


def sized(body: bytes, *headers: str) -> bytes:
    return post(f"Content-Length: {len(body)}", *headers, body=body)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)


@dataclass(frozen=True)
class Reply:
    status: int
    head: bytes
    body: bytes


def replies(data: bytes) -> list[Reply]:
    """All answers in what a connection gave; fails if anything else is in it."""
    found: list[Reply] = []
    while data:
        start, _, rest = data.partition(b"\r\n\r\n")
        match = re.match(rb"HTTP/1\.1 (\d{3}) ", start)
        assert match, data[:200]
        status = int(match[1])
        if status == 100:
            data = rest
            continue
        length = re.search(rb"\r\nContent-Length: (\d+)", start)
        assert length, start
        size = int(length[1])
        assert len(rest) >= size, (start, len(rest))
        found.append(Reply(status, start, rest[:size]))
        data = rest[size:]
    return found


def exchange(server: Server, data: bytes, *, shut: bool = False) -> list[Reply]:
    """Send bytes as they are; return the answers up to the end."""
    with connect(server) as connection:
        connection.sendall(data)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        return replies(read_all(connection))
