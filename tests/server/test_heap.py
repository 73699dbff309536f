"""The server's threads take their memory from one heap."""

import platform
from itertools import pairwise
from pathlib import Path

import pytest

from tests.server.grpc.client import connected, request
from tests.server.process import Server

ROW = {"name": "input", "datatype": "FP32", "shape": [1, 30], "data": [0.5] * 30}
ANONYMOUS_FIELDS = 5  # of a line about memory that is no file's
HEAP_BYTES = 64 << 20
"""What glibc sets aside for a further heap, at a multiple of it: the part in use, then what nobody may touch."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other heaps")
def test_threads_have_no_heaps_of_their_own(logistic: Server) -> None:
    with connected(logistic.grpc_port) as stub:
        for _ in range(10):
            stub.infer(request([ROW], raw=True))
    assert further_heaps(logistic.process.pid) == []


def further_heaps(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    found: list[str] = []
    for used, spare in pairwise(line.split() for line in lines):
        begin, end = used[0].split("-")[0], spare[0].split("-")[1]
        size = int(end, 16) - int(begin, 16)
        if spare[1] == "---p" and len(used) == ANONYMOUS_FIELDS and size == HEAP_BYTES and not int(begin, 16) % size:
            found.append(used[0])
    return found
