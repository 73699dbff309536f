"""The head of one HTTP request: what of it decides how the request is read, and the rules it must keep.

Pure: told the headers one by one, says what is wrong.  llhttp has checked the syntax by then; left
to this are sizes, versions, hosts, and every spelling of a body's length that two parsers could read
differently.
"""

from modelwright_server.http.messages import KEPT_HEADERS, Limits

Refusal = tuple[int, str]

_NONE: dict[bytes, bytes] = {}
_CODING = b"transfer-encoding"
_WATCHED = frozenset({b"host", b"content-length", _CODING, b"expect"}) | KEPT_HEADERS
_VERSIONS = frozenset({"1.0", "1.1"})
_LONGEST_NUMBER = 19


class Head:
    """One request's head while it is read.

    Attributes:
        target: the request target as far as it has come.
        headers: what the application sees, and the transfer coding; names in lower case.
        length: the body's stated length, 0 if none was stated.
        expects: whether the client waits to be told to go on.
    """

    __slots__ = ("_count", "_hosts", "_size", "expects", "headers", "length", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers = _NONE
        self.length = 0
        self.expects = False
        self._count = self._hosts = self._size = 0

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return self.length > 0 or _CODING in self.headers

    def add_target(self, part: bytes, limits: Limits) -> Refusal | None:
        """Take a part of the target."""
        self.target += part
        if len(self.target) > limits.target:
            return 414, f"the request target is longer than {limits.target} bytes"
        return None

    def add_size(self, name: bytes, value: bytes, limits: Limits) -> Refusal | None:
        """Take the size of a header, or of a trailer."""
        self._count += 1
        self._size += len(name) + len(value)
        if self._size > limits.head or self._count > limits.headers:
            return 431, f"the request has more than {limits.headers} headers or {limits.head} bytes of them"
        return None

    def add(self, name: bytes, value: bytes) -> Refusal | None:
        """Take a header."""
        key = name.lower()
        if key not in _WATCHED:
            return None
        refusal: Refusal | None = None
        if key == b"host":
            self._hosts += 1
        elif key == b"content-length":
            if value.isdigit() and len(value) <= _LONGEST_NUMBER:
                self.length = int(value)
            else:
                refusal = 400, "Content-Length must be a whole number"
        elif key == b"expect":
            self.expects = True
            if value.lower() != b"100-continue":
                refusal = 417, "the only expectation that can be met is 100-continue"
        else:
            if key == _CODING and (value.lower() != b"chunked" or key in self.headers):
                refusal = 501, "the only transfer coding is a single 'chunked'"
            self.headers = {**self.headers, key: value}
        return refusal

    def check(self, method: bytes, version: str, limits: Limits) -> Refusal | None:
        """Judge the complete head."""
        if version not in _VERSIONS:
            return 505, "only HTTP/1.1 and HTTP/1.0 are spoken here"
        if self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            return 400, "a request needs exactly one Host header"
        if _CODING in self.headers and version == "1.0":
            return 400, "HTTP/1.0 has no transfer codings"
        if self.length > limits.body:
            return too_large(limits)
        if method == b"CONNECT":
            return 405, "this is no proxy"
        return None

    def without_offer(self, method: bytes, version: str, *, keep: bool) -> bytes:
        """Return the head, as far as it matters, without the offer of another protocol."""
        lines = [b"%b %b HTTP/%b" % (method, self.target, version.encode())]
        lines += [b"%b: %b" % item for item in self.headers.items()]
        lines += [b"Host: -"] * self._hosts
        if self.length:
            lines.append(b"Content-Length: %d" % self.length)
        if self.expects:
            lines.append(b"Expect: 100-continue")
        if not keep:
            lines.append(b"Connection: close")
        return b"\r\n".join([*lines, b"", b""])


def too_large(limits: Limits) -> Refusal:
    """Return the refusal of a body above the limit."""
    return 413, f"the body is larger than {limits.body} bytes"
