"""Compressed bodies: whole or refused, and never larger than allowed."""

import contextlib
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server.errors import BadRequestError
from modelwright_server.http.compression import CODINGS, TooLargeError, inflate

LIMIT = 1 << 20
TEXT = b'{"inputs":[]}' * 100
PACKED, EMPTY_MEMBER = (gzip.compress(data, mtime=0) for data in (TEXT, b""))  # no clock in the names of tests


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
}


def test_every_coding_is_tested() -> None:
    assert set(COMPRESS) == CODINGS


@given(st.binary(max_size=2000), st.sampled_from(sorted(COMPRESS)))
def test_what_was_compressed_comes_back(data: bytes, coding: bytes) -> None:
    assert inflate(COMPRESS[coding](data), coding, len(data)) == data
    assert inflate(bytearray(COMPRESS[coding](data)), coding, len(data)) == data


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_gzip_members_are_joined(parts: list[bytes]) -> None:
    assert inflate(b"".join(map(gzip.compress, parts)), b"gzip", LIMIT) == b"".join(parts)


def test_members_and_pieces_that_do_not_meet() -> None:
    data = [random.Random(at).randbytes(40_000 + 7 * at) for at in range(12)]
    assert inflate(b"".join(map(gzip.compress, data)), b"gzip", LIMIT) == b"".join(data)
    assert inflate(zlib.compress(b"".join(data)), b"deflate", LIMIT) == b"".join(data)


@pytest.mark.parametrize("coding", sorted(COMPRESS))
def test_the_limit_is_exact(coding: bytes) -> None:
    body = COMPRESS[coding](TEXT)
    assert inflate(body, coding, len(TEXT)) == TEXT
    with pytest.raises(TooLargeError, match=f"larger than {len(TEXT) - 1} bytes once it is inflated"):
        inflate(body, coding, len(TEXT) - 1)


@pytest.mark.parametrize(
    ("body", "coding", "says"),
    [
        (b"", b"gzip", "not gzip, as its Content-Encoding says: it is cut off"),
        (b"", b"deflate", "not deflate.*cut off"),
        (TEXT, b"gzip", "not gzip.*incorrect header check"),
        (TEXT, b"deflate", "not deflate.*incorrect header check"),
        (PACKED[:-1], b"gzip", "cut off"),
        (PACKED[:-9], b"gzip", "cut off"),
        (zlib.compress(TEXT)[:-1], b"deflate", "cut off"),
        (PACKED + EMPTY_MEMBER[:5], b"gzip", "cut off"),
        (PACKED + b"\0", b"gzip", "cut off"),
        (PACKED + b"\0\0", b"gzip", "incorrect header check"),
        (zlib.compress(TEXT) + b"\0", b"deflate", "more follows behind its end"),
        (PACKED[:-8] + b"\1\2\3\4" + PACKED[-4:], b"gzip", "incorrect data check"),
        (PACKED[:-4] + b"\1\2\3\4", b"gzip", "incorrect length check"),
        (zlib.compress(TEXT), b"gzip", "incorrect header check"),
        (PACKED, b"deflate", "incorrect header check"),
        (raw_deflate(TEXT), b"deflate", "not deflate"),
    ],
)
def test_broken_bodies(body: bytes, coding: bytes, says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        inflate(body, coding, LIMIT)


@given(st.binary(max_size=200), st.sampled_from(sorted(COMPRESS)), st.data())
def test_random_damage_gives_the_named_errors_only(data: bytes, coding: bytes, draw: st.DataObject) -> None:
    body = bytearray(COMPRESS[coding](data))
    at = draw.draw(st.integers(0, len(body) - 1))
    body[at : at + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=4))
    with contextlib.suppress(BadRequestError, TooLargeError):
        assert len(inflate(body, coding, LIMIT)) <= LIMIT


@pytest.mark.parametrize("coding", sorted(COMPRESS))
def test_a_bomb_takes_no_memory_beyond_the_limit(coding: bytes) -> None:
    bomb = COMPRESS[coding](bytes(256 << 20))
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        inflate(bomb, coding, LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * LIMIT


def test_a_flood_of_empty_members_is_refused() -> None:
    assert inflate(EMPTY_MEMBER * 4096, b"gzip", LIMIT) == b""
    with pytest.raises(BadRequestError, match="more than 4096 members"):
        inflate(EMPTY_MEMBER * 800_000, b"gzip", LIMIT)
