"""The head of one HTTP request: what of it decides how the request is read, and the rules it must keep.

Pure: told the headers one by one, says what is wrong.  llhttp has checked the syntax by then; left
to this are sizes, versions, hosts, and every spelling of a body's length that two parsers could read
differently.
"""

from modelwright_server.http.messages import Limits

Refusal = tuple[int, str]

_NONE: dict[bytes, bytes] = {}
_CODING = b"transfer-encoding"
_VERSIONS = frozenset({"1.0", "1.1"})
LONGEST_NUMBER = 19
# Of no concern here, but to llhttp, which hears of each.
_FOR_THE_PARSER = frozenset({b"connection", b"proxy-connection", b"upgrade"})
# Spellings that are remembered, and how long one may be.
_MOST_NAMES = 1024
_LONGEST_NAME = 64


class HeaderNames:
    """Which headers matter, by their names in any spelling.

    Nearly all headers are of no concern, and the same names come again and again: what a spelling
    stands for is looked up once, for a bounded number of spellings.

    Attributes:
        known: for a spelling the name in lower case; nothing if the header is of no concern.
        dull: spellings of headers that change nothing, neither here nor in how the parser frames a message.
    """

    __slots__ = ("_always", "_watched", "dull", "known")

    def __init__(self, kept: frozenset[bytes]) -> None:
        self._always = self._watched = frozenset({b"host", b"content-length", _CODING, b"expect"}) | kept
        self.known: dict[bytes, bytes] = {}
        self.dull: set[bytes] = set()

    def watch(self, names: frozenset[bytes]) -> None:
        """Have these matter as well, in lower case, in place of those before."""
        self._watched = self._always | names
        self.known.clear()
        self.dull.clear()

    def key(self, name: bytes) -> bytes:
        """Return the lower-case name of a header that matters, else nothing."""
        key = name.lower()
        if key not in self._watched:
            key = b""
        if len(self.known) < _MOST_NAMES and len(name) <= _LONGEST_NAME:
            self.known[name] = key
            if not key and name.lower() not in _FOR_THE_PARSER:
                self.dull.add(name)
        return key


class Head:
    """One request's head while it is read.

    Attributes:
        method: as sent, once the head is complete.
        target: the request target as far as it has come.
        version: HTTP version, once the head is complete.
        headers: what the application sees, and the transfer coding; names in lower case.
        length: the body's stated length, 0 if none was stated.
        expects: whether the client waits to be told to go on.
        hosts: number of Host headers.
    """

    # Defaults are the class's, so that a new one, made for every request, costs nothing.
    method = b""
    target = b""
    version = ""
    headers = _NONE
    length = 0
    expects = False
    hosts = 0
    _count = 0
    _size = 0

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return self.length > 0 or _CODING in self.headers

    def add_size(self, name: bytes, value: bytes, limits: Limits) -> Refusal | None:
        """Take the size of a header, or of a trailer."""
        self._count += 1
        self._size += len(name) + len(value)
        if self._size > limits.head or self._count > limits.headers:
            return 431, f"the request has more than {limits.headers} headers or {limits.head} bytes of them"
        return None

    def add(self, key: bytes, value: bytes) -> Refusal | None:
        """Take a header that matters, by its key."""
        refusal: Refusal | None = None
        if key == b"host":
            self.hosts += 1
        elif key == b"content-length":
            if value.isdigit() and len(value) <= LONGEST_NUMBER:
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

    def check(self, limits: Limits) -> Refusal | None:
        """Judge the complete head."""
        if self.version not in _VERSIONS:
            return 505, "only HTTP/1.1 and HTTP/1.0 are spoken here"
        if self.hosts != 1 and (self.hosts or self.version == "1.1"):
            return 400, "a request needs exactly one Host header"
        if self.length > limits.body:
            return too_large(limits)
        if self.method == b"CONNECT":
            return 405, "this is no proxy"
        if _CODING in self.headers and self.version == "1.0":
            return 400, "HTTP/1.0 has no transfer codings"
        return None

    def without_offer(self, *, keep: bool) -> bytes:
        """Return the head, as far as it matters, without the offer of another protocol."""
        lines = [b"%b %b HTTP/%b" % (self.method, self.target, self.version.encode())]
        lines += [b"%b: %b" % item for item in self.headers.items()]
        lines += [b"Host: -"] * self.hosts
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
