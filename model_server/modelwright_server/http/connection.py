"""One HTTP/1.1 connection: bytes to requests, responses to bytes, in order.

The parser is llhttp (httptools); `head` refuses what that lets pass.  After a refusal nothing further
on the connection is read as a request, so no two parsers can disagree on where one ends.

Requests are answered in the order they came, also when the application answers some later.  A
connection is closed by sending what is left, ending our direction and waiting a little for the
client: closing at once would make the system drop the answer if more had been sent.
"""

import asyncio
import logging
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, cast

import httptools
import orjson

from modelwright_server.http.head import Head, Refusal, too_large
from modelwright_server.http.messages import Request, Response, reason_phrase

if TYPE_CHECKING:
    from modelwright_server.http.listener import Listener

_LOG = logging.getLogger("modelwright.http")


class _Reply:
    """A place in the queue of answers."""

    __slots__ = ("head_only", "keep", "minor", "response")

    def __init__(self, response: Response | None, *, keep: bool, head_only: bool, minor: int) -> None:
        self.response = response
        self.keep = keep
        self.head_only = head_only
        self.minor = minor


class Connection(asyncio.Protocol):
    """The protocol object of one client; `httptools` calls its ``on_…`` methods."""

    __slots__ = (
        "_body",
        "_ended",
        "_eof",
        "_futures",
        "_head",
        "_in_head",
        "_listener",
        "_offered",
        "_parser",
        "_paused",
        "_received",
        "_replies",
        "_since",
        "_stalled",
        "_transport",
        "_unfinished",
        "closing",
        "in_message",
    )

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._replies: deque[_Reply] = deque()
        self._futures: set[asyncio.Future[Response]] = set()
        self._since = 0.0
        self._head = Head()
        self._offered = False
        self._in_head = True
        self._body: bytes | bytearray = b""
        self._received = 0
        self._unfinished = -1
        self._paused = self._stalled = self._ended = self._eof = False
        self.closing = False
        self.in_message = False

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; refuse at once if there are too many clients."""
        self._transport = cast("asyncio.Transport", transport)
        self._since = self._listener.now()
        if not self._listener.enter(self):
            self._refuse((503, "too many connections: try again later"))

    def data_received(self, data: bytes) -> None:
        """Parse what came; requests in it are answered on the way."""
        while not self.closing:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # The parser stops behind a head that offers another protocol, before its body.
                # Offers are not taken up: go on as if there had been none.
                parser, offset = self._parser, upgrade.args[0]
                method, version, keep = parser.get_method(), parser.get_http_version(), parser.should_keep_alive()
                data = self._head.without_offer(method, version, keep=keep) + data[offset:]
                self._parser = httptools.HttpRequestParser(self)
                continue
            except httptools.HttpParserCallbackError:
                _LOG.exception("answering a request failed")
                self._refuse((500, "the server failed: its log says why"))
            except httptools.HttpParserError:
                self._refuse((400, "this is not valid HTTP/1.1"))
            break
        if self._in_head and self.in_message:
            # Of the piece in which the head began, its share is not known: count from the next on.
            self._unfinished = 0 if self._unfinished < 0 else self._unfinished + len(data)
            if self._unfinished > self._listener.limits.head:
                self._refuse((431, "the request's head is too long"))

    def eof_received(self) -> bool:
        """Close, unless answers are still due."""
        self.closing = self._eof = True
        return bool(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Forget everything; nobody waits for the answers any more."""
        self.closing = self._ended = True
        for future in self._futures:
            future.cancel()
        self._replies.clear()
        self._drop_body()
        self._listener.leave(self)

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its answers."""
        self._stalled = True
        self._since = self._listener.now()
        self._update_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._stalled = False
        self._since = self._listener.now()
        self._update_reading()

    # The parser's side

    def on_message_begin(self) -> None:
        """Begin a request."""
        if not self.closing:
            self._head = Head()
            self._offered = False
            self.in_message = self._in_head = True
            self._unfinished = -1
            self._since = self._listener.now()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        if refusal := self._head.add_target(url, self._listener.limits):
            self._refuse(refusal)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        refusal = self._head.add_size(name, value, self._listener.limits)
        if self._in_head:
            refusal = self._head.add(name, value) or refusal
        if refusal:
            self._refuse(refusal)

    def on_headers_complete(self) -> None:
        """Check the head; refuse what must not be read further."""
        self._in_head = False
        method, version = self._parser.get_method(), self._parser.get_http_version()
        if refusal := self._head.check(method, version, self._listener.limits):
            self._refuse(refusal)
        elif self._parser.should_upgrade():
            self._offered = True
        elif self._head.expects and self._head.has_body and version == "1.1" and not (self._replies or self.closing):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.closing:
            return
        if self._received + len(data) > self._listener.limits.body:
            self._refuse(too_large(self._listener.limits))
            return
        if not self._listener.reserve(len(data)):
            self._refuse((503, "too many large requests at once: try again later"))
            return
        self._received += len(data)
        if not self._body:
            self._body = data
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            self._body = bytearray(self._body)
            self._body += data

    def on_message_complete(self) -> None:
        """Answer the request, now or later."""
        if self.closing or self._offered:
            return
        method = self._parser.get_method()
        head_only = method == b"HEAD"
        if head_only:
            method = b"GET"
        keep = self._parser.should_keep_alive()
        minor = 1 if self._parser.get_http_version() == "1.1" else 0
        request = Request(method, self._head.target, self._head.headers, self._body)
        self._drop_body()
        self.in_message = False
        self._since = self._listener.now()
        response = self._listener.application(request)
        if isinstance(response, Response):
            reply = _Reply(response, keep=keep, head_only=head_only, minor=minor)
            if not self._replies:
                self._send(reply)
                return
            self._replies.append(reply)
        else:
            reply = _Reply(None, keep=keep, head_only=head_only, minor=minor)
            self._replies.append(reply)
            self._futures.add(response)
            response.add_done_callback(lambda future: self._answered(reply, future))
        self._update_reading()

    # Between both

    @property
    def idle(self) -> bool:
        """Whether no request is being read or answered."""
        return not (self.in_message or self._replies or self.closing)

    def expire(self, now: float) -> None:
        """Act on a client that takes too long; called once in a while."""
        limits, waited = self._listener.limits, now - self._since
        if self._ended or self._stalled:
            unread = self._stalled or self._transport.get_write_buffer_size() > 0
            if waited > (limits.stalled_seconds if unread else limits.linger_seconds):
                self._transport.abort()
        elif self.in_message:
            if waited > (limits.head_seconds if self._in_head else limits.request_seconds):
                self._refuse((408, "the request took too long to arrive"))
        elif self.idle and waited > limits.idle_seconds:
            self._end()

    def abort(self) -> None:
        """Cut the client off."""
        self._transport.abort()

    def finish(self) -> None:
        """Close an idle connection; one in use closes after its last answer."""
        if self.idle:
            self._end()

    def _drop_body(self) -> None:
        self._listener.release(self._received)
        self._received = 0
        self._body = b""

    def _answered(self, reply: _Reply, future: asyncio.Future[Response]) -> None:
        """Send what has become ready, in order."""
        self._futures.discard(future)
        if self._ended or future.cancelled():
            return
        reply.response = future.result()
        while self._replies and self._replies[0].response is not None:
            self._send(self._replies.popleft())
        if self._eof and not self._replies:
            self._end()
        self._update_reading()

    def _send(self, reply: _Reply) -> None:
        """Write one answer; the last one ends the connection."""
        response = cast("Response", reply.response)
        last = not reply.keep or self._listener.draining
        self._transport.write(_encoded(response, head_only=reply.head_only, last=last, minor=reply.minor))
        if last:
            self._end()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with an error behind the answers that are due, and read no further."""
        if self.closing:
            return
        self.closing = True
        self.in_message = False
        self._drop_body()
        status, problem = refusal
        self._listener.refused(status)
        reply = _Reply(Response(status, orjson.dumps({"error": problem})), keep=False, head_only=False, minor=1)
        if self._replies:
            self._replies.append(reply)
        else:
            self._send(reply)

    def _end(self) -> None:
        """End our direction; the client ends the other, or `expire` does."""
        if self._ended:
            return
        self.closing = self._ended = True
        self._since = self._listener.now()
        self._replies.clear()
        self._drop_body()
        if self._eof:
            self._transport.close()
            return
        self._transport.write_eof()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()  # to see the client's end

    def _update_reading(self) -> None:
        """Read only while answers are taken and not too many are due."""
        pause = self._stalled or len(self._replies) >= self._listener.limits.pending
        if pause != self._paused and not self.closing and not self._transport.is_closing():
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()


@cache
def _start(status: int, content_type: bytes) -> bytes:
    """Return the first lines of a response."""
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n" % (status, reason_phrase(status), content_type)


def _encoded(response: Response, *, head_only: bool, last: bool, minor: int) -> bytes:
    """Return a response's bytes."""
    fields = b"Allow: %b\r\n" % response.allow if response.allow else b""
    if last:
        fields += b"Connection: close\r\n"
    elif minor == 0:
        fields += b"Connection: keep-alive\r\n"
    start = _start(response.status, response.content_type)
    body = b"" if head_only else response.body
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (start, fields, len(response.body), body)
