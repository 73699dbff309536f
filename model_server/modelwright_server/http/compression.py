"""Content codings of request bodies, inflated within a limit, so that a small body cannot become a large one.

``deflate`` is the zlib format, as RFC 9110 §8.4.1.2 has it; the bare stream that some browsers once sent under that
name is refused, since nothing tells the two apart for certain.
"""

import zlib
from typing import Final

from modelwright_server.errors import BadRequestError, ServingError

GZIP: Final = b"gzip"
DEFLATE: Final = b"deflate"
# RFC 9110 §8.4.1.3: x-gzip is to be taken for gzip.
CODINGS = frozenset({GZIP, b"x-gzip", DEFLATE})

# zlib hands back a copy of what follows a member, and members can be 20 bytes of nothing: both bounds keep a body of
# them from costing more than its size.  Blocked gzip (64 KiB a member) stays within for 256 MiB.
_PIECE = 64 << 10
_MEMBERS = 4096


class TooLargeError(ServingError):
    """The body is larger than allowed once it is inflated."""


class UnsupportedCodingError(ServingError):
    """The body has a content coding that is not taken."""


def inflate(body: bytes | bytearray, coding: bytes, limit: int) -> bytes:
    """Return ``body`` without its coding (one of `CODINGS`); takes memory for at most twice ``limit`` bytes.

    A gzip body may have several members (RFC 1952 §2.2), whose contents are joined.

    Raises:
        BadRequestError: the body is not in that coding, is cut off or goes on behind its end.
        TooLargeError: the contents are larger than ``limit`` bytes.
    """
    name = DEFLATE if coding == DEFLATE else GZIP
    window = zlib.MAX_WBITS if name == DEFLATE else zlib.MAX_WBITS | 16  # 16: with gzip's header and check sum
    rest = memoryview(body)
    parts: list[bytes] = []
    room = limit
    for _ in range(_MEMBERS if name == GZIP else 1):
        stream = zlib.decompressobj(window)
        while not stream.eof:
            if not rest:
                raise _broken(name, "it is cut off")
            piece, rest = rest[:_PIECE], rest[_PIECE:]
            try:
                part = stream.decompress(piece, room + 1)
            except zlib.error as error:
                raise _broken(name, str(error)) from None
            room -= len(part)
            if room < 0:
                raise TooLargeError(problem=f"the body is larger than {limit} bytes once it is inflated")
            parts.append(part)
        rest = memoryview(body)[len(body) - len(rest) - len(stream.unused_data) :]
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise _broken(name, "more follows behind its end" if name == DEFLATE else f"it has more than {_MEMBERS} members")


def _broken(name: bytes, problem: str) -> BadRequestError:
    return BadRequestError(problem=f"the body is not {name.decode()}, as its Content-Encoding says: {problem}")
