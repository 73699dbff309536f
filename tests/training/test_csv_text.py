"""Bytes that are no text for a CSV parser: found in little memory, and said."""

import io
import tracemalloc

import pytest

from modelwright_training import csv_text

MIB = 1 << 20


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n1,2\n",
        b"\xef\xbb\xbfa,b\r\n1,2\r\n",
        "a,b\nÄ,ö\n".encode(),
        b"a\r" * MIB,
        ("é" * (MIB // 2) + "\n").encode() * 3,  # characters across the borders of what is read at once
        b"x" * csv_text.MAX_LINE + b"\n",
    ],
    ids=["nothing", "plain", "bom", "umlauts", "cr", "borders", "longest"],
)
def test_text_is_text(content: bytes) -> None:
    assert csv_text.problem(io.BytesIO(content)) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-be"), "zero bytes"),
        ("a,b\n1,2\n".encode("utf-16-le"), "zero bytes"),
        ("name\nok\nMüller\n".encode("cp1252"), "line 3 has the byte 0xfc"),
        (b"a\n" * MIB + b"\xff\n", f"line {MIB + 1} has the byte 0xff"),
        (b"a,b\n1,\xc3", "middle of a character"),
        (b"\x1f\x8b\x08\x00abc", "compressed by gzip"),
        (b"PK\x03\x04xl/workbook", "zip archive or a spreadsheet"),
        (b"PAR1....", "is Parquet"),
        (b"ARROW1\0\0", "is Arrow"),
        (b"a\n" + b"x" * (csv_text.MAX_LINE + 1), "a line longer than 16 MiB (line 2)"),
        (b"a\n" + b"x" * (csv_text.MAX_LINE + 1) + b"\nb\n", "a line longer than 16 MiB (line 2)"),
    ],
)
def test_what_is_no_text_is_said(content: bytes, said: str) -> None:
    assert said in (csv_text.problem(io.BytesIO(content)) or "")


class Endless(io.RawIOBase):
    """A line of ten gibibytes, made while it is read."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "reads without a limit"
        self.given += size
        return b"1," * (size // 2) if self.given < 10 << 30 else b""


def test_an_endless_line_is_refused_in_little_memory() -> None:
    stream = Endless()
    tracemalloc.start()
    try:
        said = csv_text.problem(stream)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "a line longer than 16 MiB (line 1)" in (said or "")
    assert stream.given < csv_text.MAX_LINE + 3 * MIB
    assert peak < 8 * MIB
