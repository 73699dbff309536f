"""Whether a file's bytes are the text that a CSV parser may be given, found out in little memory.

The parser needs its longest line in memory, and says little about bytes that are no UTF-8.
"""

import codecs
from typing import IO

MAX_LINE = 16 << 20  # bytes
_CHUNK = 1 << 20
_MARKS = {
    b"\xff\xfe": "is encoded in UTF-16; save it as UTF-8",
    b"\xfe\xff": "is encoded in UTF-16; save it as UTF-8",
    b"\x1f\x8b": "is compressed by gzip; unpack it, or use Parquet, which is compressed in itself",
    b"PK\x03\x04": "is a zip archive or a spreadsheet; unpack it, or save it as CSV",
    b"PAR1": "is Parquet; let its name end in .parquet",
    b"ARROW1": "is Arrow IPC; let its name end in .arrow",
}


def problem(stream: IO[bytes]) -> str | None:
    """Return what is wrong with the text, as the end of a sentence about the file; None if nothing is.

    The stream is read from where it stands to its end, or to the first problem.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    start = stream.read(_CHUNK)
    for mark, said in _MARKS.items():
        if start.startswith(mark):
            return said
    line, length, chunk = 1, 0, start
    while chunk:
        if b"\0" in chunk:
            return "has zero bytes, so it is UTF-16 or no text; save it as UTF-8"
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return _not_utf8(error, line)
        first, last = _breaks(chunk)
        if length + first > MAX_LINE:
            break
        length = length + len(chunk) if last < 0 else len(chunk) - last - 1
        line += chunk.count(b"\n")
        chunk = stream.read(_CHUNK)
    if chunk or length > MAX_LINE:
        return f"has a line longer than {MAX_LINE >> 20} MiB (line {line}); a CSV file has a line for each row"
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "ends in the middle of a character; it may have been cut off"
    return None


def _breaks(chunk: bytes) -> tuple[int, int]:
    """Return where the first line ends and the last one begins; the chunk's length and -1 if no line ends."""
    ends = [(chunk.find(mark), chunk.rfind(mark)) for mark in (b"\n", b"\r")]
    found = [end for end in ends if end[0] >= 0]
    return (min(end[0] for end in found), max(end[1] for end in found)) if found else (len(chunk), -1)


def _not_utf8(error: UnicodeDecodeError, line: int) -> str:
    at = line + bytes(error.object[: error.start]).count(b"\n")
    byte = error.object[error.start]
    return f"is not UTF-8: line {at} has the byte 0x{byte:02x}; save it as UTF-8 (it may be Windows-1252 or Latin-1)"
