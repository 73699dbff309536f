"""Check an ONNX file without running it: only standard operators, nothing outside the file.

Every serving pod's init container does this, so it takes next to no memory and little time.  The few
fields that matter are found by walking protobuf's wire format
(https://protobuf.dev/programming-guides/encoding/): lengths lead from field to field, and what is of
no interest, numbers above all, is skipped unread.  Standard library only.

Refused is what would make the runtime open another file (external data), or run code that the file
does not name openly (model-local functions, other operator domains).  So that no other reader can
find what is not seen here, encodings that readers may take differently are refused as well: groups,
padded tags, lengths that leave the message around them.
"""

import re
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

from modelwright_server.contract import Cause
from modelwright_server.rejection import ModelRejectedError

DOMAINS = frozenset({b"", b"ai.onnx", b"ai.onnx.ml"})
MAX_DEPTH = 30  # of graphs in graphs: protobuf's own readers end at 100 messages, three for each graph
MAX_FIELDS = 2_000_000  # that are not skipped in runs; bounds the time this takes

_VARINT, _LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}
_MORE = 128  # a varint's byte from here on is followed by another
_MAX_SIZE = (1 << 31) - 1  # of a message, and so of a file

# Many numbers or short texts in a row, as tree models have them: attributes' floats, ints and strings.
_RUN = re.compile(
    rb"(?:\x3d.{4})++|(?:\x40[\x80-\xff]{0,9}+[\x00-\x7f])++|(?:\x4a(?:%s))++"
    % b"|".join(b"\\x%02x.{%d}" % (size, size) for size in range(24)),
    re.DOTALL,
)
_RUN_TAGS = b"\x3d\x40\x4a"


def _tags(**numbers: int) -> dict[int, str]:
    """Return field names by tag, for fields with a length, from names and numbers of ``onnx.proto``."""
    return {number << 3 | _LENGTH: name for name, number in numbers.items()}


MODEL = _tags(graph=7, opset_import=8, training_info=20, functions=25)
OPERATOR_SET = _tags(domain=1)
GRAPH = _tags(node=1, initializer=5, sparse_initializer=15)
NODE = _tags(op_type=4, attribute=5, domain=7)
ATTRIBUTE = _tags(t=5, g=6, tensors=10, graphs=11, sparse_tensor=22, sparse_tensors=23)
SPARSE_TENSOR = _tags(values=1, indices=2)
TENSOR = _tags(external_data=13) | {14 << 3 | _VARINT: "data_location"}


def check(path: Path) -> None:
    """Check an ONNX file.

    Raises:
        ModelRejectedError: names the operator, domain or tensor kind that is refused.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size > _MAX_SIZE:
            raise _not_onnx(problem=f"has {size} bytes, more than any ONNX file")
        if size == 0:
            raise _not_onnx(problem="is empty")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            check_bytes(data)


def check_bytes(data: bytes | mmap) -> None:
    """Check the bytes of an ONNX file, as `check`."""
    _Walk(data).model()


def _not_onnx(*, problem: str) -> ModelRejectedError:
    return ModelRejectedError(Cause.NOT_ONNX, problem=f"model.onnx {problem}: export the model as ONNX again")


def _shown(name: bytes) -> str:
    return repr(name[:80].decode("utf-8", "replace"))


class _Walk:
    """One walk through a file."""

    def __init__(self, data: bytes | mmap) -> None:
        self._data = data
        self._left = MAX_FIELDS

    def model(self) -> None:
        graphs: list[tuple[int, int]] = []
        for name, start, end in self._fields(MODEL, 0, len(self._data)):
            if name == "graph":
                graphs.append((start, end))
            elif name == "opset_import":
                for _, at, to in self._fields(OPERATOR_SET, start, end):
                    _check_domain(self._data[at:to], "the model imports")
            else:
                problem = "model.onnx has functions or training steps of its own: inline or remove them before saving"
                raise ModelRejectedError(Cause.LOCAL_FUNCTIONS, problem=problem)
        if len(graphs) != 1:
            raise _not_onnx(problem=f"is not an ONNX model: it has {len(graphs)} graphs")
        if not self._graph(*graphs[0], depth=1):
            raise _not_onnx(problem="is not an ONNX model: its graph has no node")

    def _graph(self, start: int, end: int, depth: int) -> int:
        """Check a graph and return the number of its nodes."""
        if depth > MAX_DEPTH:
            raise _not_onnx(problem=f"has graphs in graphs, more than {MAX_DEPTH} deep")
        nodes = 0
        for name, at, to in self._fields(GRAPH, start, end):
            if name == "node":
                nodes += 1
                self._node(at, to, depth)
            else:
                self._tensor(name, at, to)
        return nodes

    def _node(self, start: int, end: int, depth: int) -> None:
        operator, domains = b"", list[bytes]()
        for name, at, to in self._fields(NODE, start, end):
            if name == "op_type":
                operator = self._data[at:to]
            elif name == "domain":
                domains.append(self._data[at:to])
            else:
                self._attribute(at, to, depth)
        for domain in domains:
            _check_domain(domain, f"operator {_shown(operator)} is of")

    def _attribute(self, start: int, end: int, depth: int) -> None:
        for name, at, to in self._fields(ATTRIBUTE, start, end):
            if name in {"g", "graphs"}:
                self._graph(at, to, depth + 1)
            else:
                self._tensor(name, at, to)

    def _tensor(self, kind: str, start: int, end: int) -> None:
        if kind.startswith("sparse"):
            for _, at, to in self._fields(SPARSE_TENSOR, start, end):
                self._tensor("dense", at, to)
            return
        for name, at, to in self._fields(TENSOR, start, end):
            if name == "external_data" or any(byte & 127 for byte in self._data[at:to]):
                problem = "model.onnx keeps tensors in other files (external data): save it as one file"
                raise ModelRejectedError(Cause.EXTERNAL_DATA, problem=problem)

    def _fields(self, wanted: dict[int, str], at: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Yield name, start and end of the wanted fields' contents in the message from ``at`` to ``end``."""
        data = self._data
        while at < end:
            tag = data[at]
            if tag in _RUN_TAGS and (run := _RUN.match(data, at, end)):
                at = run.end()
                continue
            self._left -= 1
            if self._left < 0:
                problem = f"model.onnx has more than {MAX_FIELDS} parts, which takes too long to read: make it smaller"
                raise ModelRejectedError(Cause.TIMED_OUT, problem=problem)
            tag, at = (tag, at + 1) if tag < _MORE else self._number(at, padded=False)
            if (kind := tag & 7) == _LENGTH:
                size, start = self._number(at)
                at = start + size
            elif kind == _VARINT:
                start, (_, at) = at, self._number(at, longest=10)
            elif kind in _FIXED:
                start, at = at, at + _FIXED[kind]
            else:
                raise _not_onnx(problem="is not an ONNX model, or damaged")
            if at > end or tag < 1 << 3:
                raise _not_onnx(problem="is not an ONNX model, or cut off")
            if name := wanted.get(tag):
                yield name, start, at

    def _number(self, at: int, *, longest: int = 5, padded: bool = True) -> tuple[int, int]:
        """Return a varint, and where it ends."""
        value = shift = 0
        for byte in self._data[at : at + longest]:
            value |= (byte & 127) << shift
            shift += 7
            if byte < _MORE:
                if byte or padded or shift == 7:  # noqa: PLR2004 - bits in a byte
                    return value, at + shift // 7
                break
        raise _not_onnx(problem="is not an ONNX model, or damaged")


def _check_domain(domain: bytes, subject: str) -> None:
    if domain not in DOMAINS:
        problem = f"{subject} the operator domain {_shown(domain)}: only ONNX's own ('', 'ai.onnx.ml') are run"
        raise ModelRejectedError(Cause.UNSUPPORTED_OPERATOR, problem=problem)
