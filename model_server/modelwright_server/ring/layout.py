r"""The file of a ring, byte by byte; every number is little-endian.

    offset  bytes  field
    0       8      magic, ``b"\x89MWRING\n"``
    8       4      version of this layout
    12      4      offset of the records, a multiple of 4096
    16      8      capacity: bytes for records
    24      4      bytes of the document
    28      4      crc32 of the document
    32      16     nonce of the writer, random for each
    64      8      head: bytes published since the start, a multiple of 8; only ever grows
    72      8      records dropped: too large to be written
    80      8      rows in them
    128     …      document, JSON: model, version, digest, track, schema (as in schema.json)

The records' area is four segments, used round and round.  Byte ``p`` since the start lies in segment
``p // (capacity / 4)`` since the start and at ``offset + p % capacity`` in the file.  A record never crosses
the end of a segment, so each segment begins with a record, and a reader that was lapped goes on there.

    offset  bytes  field of a record
    0       8      sequence: 1 for the first record, then one more for each
    8       8      rows in all records before this one
    16      8      time, nanoseconds since 1970
    24      4      size of the record, a multiple of 8
    28      4      rows
    32      8      mark: number of the first row's prediction id, the others' follow; highest bit: made on the canary
    40      …      values: each input, then each output, in the order of the schema; zeros up to a multiple of 8
    size-8  8      sequence again

Values are raw tensors of the Open Inference Protocol, row by row; a text is its length in 4 bytes and its
UTF-8, cut to 64 bytes.  Where a segment has room left but not for the next record, the sequence there is 0;
less room than an empty record takes is skipped.

Publishing: the writer stores a record's bytes, then the new head.  Before it begins a segment it publishes
the segment's start as head.  With head in segment ``s``, the segments ``s-3`` to ``s`` are therefore intact (the
last one up to head); a reader copies, reads the head again, and drops what became older than ``s-3`` meanwhile.
CPUs that reorder stores are told not to by a lock taken between; should one do so nevertheless, the two
sequences of a record differ.
"""

import struct
from typing import Final

MAGIC: Final = b"\x89MWRING\n"
VERSION: Final = 2

PREAMBLE: Final = struct.Struct("<8sIIQII16s")
WORDS: Final = struct.Struct("<QQQ")
WORDS_AT: Final = 64
DOCUMENT_AT: Final = 128
PAGE: Final = 4096

RECORD: Final = struct.Struct("<QQQIIQ")
TRAILER: Final = struct.Struct("<Q")
OVERHEAD: Final = RECORD.size + TRAILER.size
ALIGNMENT: Final = 8
SEGMENTS: Final = 4

DEFAULT_CAPACITY: Final = 1 << 22  # half a second of the fastest server: its readers can sleep
MAX_CAPACITY: Final = 1 << 26
MAX_DOCUMENT: Final = 1 << 22
MAX_TEXT: Final = 64


class RingError(Exception):
    """A file is not a ring, or its contents contradict themselves; the text says which file and how."""

    def __init__(self, subject: object, problem: str) -> None:
        super().__init__(f"{subject} {problem}")


def records_at(document: int) -> int:
    """Return the offset of the records behind a document of that many bytes."""
    return (DOCUMENT_AT + document + PAGE - 1) // PAGE * PAGE


def is_capacity(number: int) -> bool:
    """Tell whether a ring can have that many bytes for records."""
    return PAGE * SEGMENTS <= number <= MAX_CAPACITY and number % (PAGE * SEGMENTS) == 0
