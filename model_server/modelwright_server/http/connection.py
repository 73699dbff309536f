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
from typing import TYPE_CHECKING, cast

import httptools

from modelwright_server.http.exchange import Exchange
from modelwright_server.http.head import LONGEST_NUMBER, Refusal, too_large
from modelwright_server.http.messages import error_body
from modelwright_server.http.whole import WholeReader

if TYPE_CHECKING:
    from modelwright_server.http.listener import Listener

_LOG = logging.getLogger("modelwright.http")


class Connection(asyncio.Protocol):
    """The protocol object of one client; `httptools` calls its ``on_…`` methods.

    Attributes:
        closing: nothing further is read as a request.
        in_message: a request is being read.
        listener: whose connection it is.
        lost: the transport is gone.
    """

    __slots__ = (
        "_counting",
        "_due",
        "_ended",
        "_eof",
        "_exchange",
        "_going_on",
        "_held",
        "_in_head",
        "_known",
        "_limits",
        "_make",
        "_none",
        "_offered",
        "_parser",
        "_paused",
        "_received",
        "_since",
        "_stalled",
        "_transport",
        "_unfinished",
        "_whole",
        "closing",
        "in_message",
        "listener",
        "lost",
    )

    def __init__(self, listener: "Listener") -> None:
        self.listener = listener
        self._limits = listener.limits
        self._known = listener.names.known
        self._make = listener.exchange
        shortcut = listener.shortcut
        self._whole = WholeReader(shortcut, listener.names, listener.limits) if shortcut is not None else None
        self._parser = httptools.HttpRequestParser(self)
        self._due: deque[Exchange] = deque()
        self._held: deque[Exchange] = deque()  # of those due, the last, which the application has not been given
        self._going_on = False
        self._since = 0.0
        self._exchange = self._none = Exchange(self)
        self._offered = False
        self._in_head = self._counting = True
        self._received = 0
        self._unfinished = 0
        self._paused = self._stalled = self._ended = self._eof = False
        self.closing = self.in_message = self.lost = False

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; refuse at once if there are too many clients."""
        self._transport = cast("asyncio.Transport", transport)
        self._since = self.listener.clock
        if not self.listener.enter(self):
            self._refuse((503, "too many connections: try again later"))

    def data_received(self, data: bytes) -> None:
        """Take what came; requests in it are answered on the way."""
        exchange: Exchange | None = None
        if self._whole is not None and not (self.in_message or self.closing or self._held or self._stalled):
            exchange = self._whole.exchange(self, data)
        if exchange is None:
            self._parse(data)
        else:
            self._since = self.listener.clock
            self._due.append(exchange)
            exchange.begin()
            if len(self._due) >= self._limits.pending:
                self._update_reading()

    def _parse(self, data: bytes) -> None:
        """Parse what came."""
        limits, exchange, received = self._limits, self._exchange, self._received
        # Headers need not be counted one by one where the piece they are in bounds them already.
        self._counting = self.in_message or len(data) > limits.head or data.count(b"\n") > limits.headers
        while not self.closing:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # The parser stops behind a head that offers another protocol, before its body.
                # Offers are not taken up: go on as if there had been none.
                parser, offset = self._parser, upgrade.args[0]
                data = self._exchange.without_offer(keep=parser.should_keep_alive()) + data[offset:]
                self._parser = httptools.HttpRequestParser(self)
                self._counting = True
                self._offered = False
                continue
            except httptools.HttpParserError:
                self._refuse((400, "this is not valid HTTP/1.1"))
            break
        if self.in_message:
            # What is neither a new request nor a part of a body is a head, a trailer or a chunk's extension, which the
            # parser may keep to itself as long as they last.
            if self._exchange is not exchange or self._received != received:
                self._unfinished = 0
            else:
                self._unfinished += len(data)
                if self._unfinished > limits.head:
                    self._refuse((431, "the request's head, a trailer or a chunk's extension is too long"))

    def eof_received(self) -> bool:
        """Close, unless answers are still due."""
        self.closing = self._eof = True
        return bool(self._due)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Forget everything; nobody waits for the answers any more."""
        self.closing = self._ended = self.lost = True
        self._due.clear()
        self._held.clear()
        self._drop_body()
        self.listener.leave(self)
        # They know this connection: with them it would wait for the garbage collector.
        del self._parser, self._exchange, self._none

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its answers."""
        self._stalled = True
        self._since = self.listener.clock
        self._update_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._stalled = False
        self._since = self.listener.clock
        self._update_reading()
        if self._held:
            self._go_on_soon()

    # The parser's side

    def on_message_begin(self) -> None:
        """Begin a request."""
        if not self.closing:
            self._exchange = self._make(self)
            self.in_message = self._in_head = True
            self._since = self.listener.clock

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        exchange = self._exchange
        exchange.target = exchange.target + url if exchange.target else url
        if len(exchange.target) > self._limits.target:
            self._refuse((414, f"the request target is longer than {self._limits.target} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        key = self._known.get(name)
        if not self._counting:
            if key == b"":
                return
            if self._in_head:
                if key == b"host":
                    self._exchange.hosts += 1
                    return
                if key == b"content-length" and value.isdigit() and len(value) < LONGEST_NUMBER:
                    self._exchange.length = int(value)
                    return
        if key is None:
            key = self.listener.names.key(name)
        refusal = self._exchange.add_size(name, value, self._limits) if self._counting else None
        if key and self._in_head:
            refusal = self._exchange.add(key, value) or refusal
        if refusal:
            self._refuse(refusal)
            raise httptools.HttpParserError  # not to be told of thousands more

    def on_headers_complete(self) -> None:
        """Check the head; refuse what must not be read further."""
        self._in_head = False
        exchange, parser = self._exchange, self._parser
        exchange.method, exchange.version = parser.get_method(), parser.get_http_version()
        refusal = None
        if (
            exchange.version != "1.1"
            or exchange.hosts != 1
            or exchange.length > self._limits.body
            or exchange.method != b"POST"
        ):
            refusal = exchange.check(self._limits)
        if refusal:
            self._refuse(refusal)
        elif parser.should_upgrade():
            self._offered = True
        elif exchange.expects and exchange.has_body and exchange.version == "1.1" and not (self._due or self.closing):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.closing:
            return
        size, exchange = len(data), self._exchange
        if self._received + size > self._limits.body:
            self._refuse(too_large(self._limits))
        elif size == exchange.length:
            exchange.body = data  # whole, in one piece: taken and given on without a detour
        elif not self.listener.reserve(size):
            self._refuse((503, "too many large requests at once: try again later"))
        else:
            self._received += size
            if isinstance(exchange.body, bytearray):
                exchange.body += data
            else:
                exchange.body = bytearray(data)

    def on_message_complete(self) -> None:
        """Hand the request on, to be answered now or later."""
        if self.closing or self._offered:
            return
        exchange = self._exchange
        self._exchange = self._none  # what came and what was answered must not stay for as long as the client does
        if exchange.method == b"HEAD":
            exchange.method, exchange.head_only = b"GET", True
        exchange.keep = self._parser.should_keep_alive()
        if self._received:
            self.listener.release(self._received)
            self._received = 0
        self.in_message = False
        self._since = self.listener.clock
        self._due.append(exchange)
        if self._stalled or self._held or len(self._due) > self._limits.pending:
            self._held.append(exchange)  # a piece of data can bring thousands, and their answers would need room
        else:
            self._hand_on(exchange)
        if len(self._due) >= self._limits.pending:
            self._update_reading()

    # Between both

    @property
    def idle(self) -> bool:
        """Whether no request is being read or answered."""
        return not (self.in_message or self._due or self.closing)

    @property
    def client(self) -> str:
        """Address of the client, for the log."""
        peer = self._transport.get_extra_info("peername")
        return "" if not peer else f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"

    def answered(self, exchange: Exchange) -> None:
        """Send what has become ready, in the order of the requests."""
        due = self._due
        if self._ended or not due or due[0] is not exchange:
            return
        if len(due) == 1:
            due.popleft()
            self._transport.write(exchange.response)
            last = not exchange.keep
        else:
            last = self._send_due()
        if last or (self._eof and not due):
            self._end()
        elif self._paused:
            self._update_reading()
        if self._held:
            self._go_on_soon()

    def expire(self, now: float, tolerance: float) -> None:
        """Act on a client that takes too long; called once in a while, with the error of the clock."""
        limits, waited = self._limits, now - self._since - tolerance
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

    def _hand_on(self, exchange: Exchange) -> None:
        """Have a request answered, now or later."""
        try:
            self.listener.application(exchange)
        except Exception:  # noqa: BLE001 - logged, and the client is told
            _LOG.exception("answering a request failed")
            self.listener.refused(500)
            exchange.keep = False
            exchange.send(500, error_body("the server failed: its log says why"))

    def _go_on_soon(self) -> None:
        if not self._going_on:
            self._going_on = True
            self.listener.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Hand on requests that were held, while their answers are taken."""
        self._going_on = False
        held, due = self._held, self._due
        while held and not self._stalled and len(due) - len(held) < self._limits.pending:
            self._hand_on(held.popleft())

    def _send_due(self) -> bool:
        """Write the answers that need wait for no other; return whether one of them is the last."""
        ready: list[bytes] = []
        due, last = self._due, False
        while due and due[0].response and not last:
            exchange = due.popleft()
            ready.append(exchange.response)
            last = not exchange.keep
        self._transport.write(b"".join(ready))
        return last

    def _drop_body(self) -> None:
        self.listener.release(self._received)
        self._received = 0
        self._exchange.body = b""

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with an error behind the answers that are due, and read no further."""
        if self.closing:
            return
        self.closing = True
        self.in_message = False
        self._drop_body()
        status, problem = refusal
        self.listener.refused(status)
        exchange = Exchange(self)
        self._due.append(exchange)
        exchange.send(status, error_body(problem))

    def _end(self) -> None:
        """End our direction; the client ends the other, or `expire` does."""
        if self._ended:
            return
        self.closing = self._ended = True
        self._since = self.listener.clock
        self._due.clear()
        self._held.clear()
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
        pause = self._stalled or len(self._due) >= self._limits.pending
        if pause != self._paused and not self.closing and not self._transport.is_closing():
            self._paused = pause
            (self._transport.pause_reading if pause else self._transport.resume_reading)()
