"""Pictures for the documentation: a browser's PNG with 256 colours, which is a third of its size."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST = 256


def shrink(file: Path) -> None:
    """Write a picture of eight-bit RGB or RGBA anew, in its most frequent colours."""
    pixels = _read(file.read_bytes())
    height, width, _ = pixels.shape
    flat = pixels.reshape(-1, 3).astype(np.uint32)
    codes = flat[:, 0] << 16 | flat[:, 1] << 8 | flat[:, 2]
    colours, places, counts = np.unique(codes, return_inverse=True, return_counts=True)
    palette = colours[np.argsort(counts)[::-1][:_MOST]]
    parts = np.stack([palette >> 16, palette >> 8 & 255, palette & 255], axis=1).astype(np.int32)
    nearest = np.empty(len(colours), np.uint8)
    for at, code in enumerate(colours.tolist()):
        wanted = np.array([code >> 16, code >> 8 & 255, code & 255])
        nearest[at] = int(np.abs(parts - wanted).sum(axis=1).argmin())
    rows = nearest[places].reshape(height, width)
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes(), 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", parts.astype(np.uint8).tobytes()), (b"IDAT", data), (b"IEND", b""))
    file.write_bytes(_SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _read(content: bytes) -> NDArray[np.uint8]:
    at, data, width, height, samples = len(_SIGNATURE), b"", 0, 0, 3
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, chunk = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, _, colours = struct.unpack(">IIBB", chunk[:10])
            samples = 4 if colours == 6 else 3
        data += chunk if kind == b"IDAT" else b""
        at += 12 + length
    raw = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * samples)
    rows = np.zeros((height, width * samples), np.uint8)
    before = np.zeros(width * samples, np.uint8)
    for row in range(height):
        before = _unfiltered(int(raw[row, 0]), raw[row, 1:], before, samples)
        rows[row] = before
    return rows.reshape(height, width, samples)[:, :, :3]


def _unfiltered(kind: int, line: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Return a row of a picture; the formulas are the format's."""
    if kind == 0:
        return line
    if kind == 2:
        return line + above
    if kind == 1:
        return line.reshape(-1, step).cumsum(axis=0, dtype=np.uint64).astype(np.uint8).reshape(-1)
    out, up = bytearray(line.tobytes()), above.tobytes()
    for at in range(len(out)):
        left = out[at - step] if at >= step else 0
        corner = up[at - step] if at >= step else 0
        out[at] = (out[at] + ((left + up[at]) // 2 if kind == 3 else _paeth(left, up[at], corner))) & 255
    return np.frombuffer(bytes(out), np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    far = (abs(guess - left), abs(guess - up), abs(guess - corner))
    return (left, up, corner)[far.index(min(far))]
