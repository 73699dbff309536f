"""The ring: how a serving process hands the rows it answered to monitoring, through a memory-mapped file.

One process writes one file, any number of readers follow it; nobody waits for anybody.  What a reader
was too slow for is overwritten, and counted exactly.  `layout` describes the file.  Needs numpy and
the standard library; nothing here knows onnxruntime.
"""

from modelwright_server.ring.batch import Batch
from modelwright_server.ring.folder import check_size, ring_names
from modelwright_server.ring.layout import RingError
from modelwright_server.ring.reader import RingReader
from modelwright_server.ring.record import Origin, Record, most_row_bytes
from modelwright_server.ring.writer import NONCE_BYTES, RingWriter, cut_texts

__all__ = [
    "NONCE_BYTES",
    "Batch",
    "Origin",
    "Record",
    "RingError",
    "RingReader",
    "RingWriter",
    "check_size",
    "cut_texts",
    "most_row_bytes",
    "ring_names",
]
