"""REST's part of routing: requests to the canary, its answers to the client, copies for comparison.

Only while the table gives the canary some traffic; otherwise nothing of this is in the way of a request.  A request
that came whole is sent on as it came, with one header more; of any other the head is made anew, since it was not kept.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import cast

from modelwright_server.batching import Batch
from modelwright_server.contract import CANARY, FORWARDED_HEADER, TRACK_HEADER, VERSION_HEADER
from modelwright_server.http.connection import Connection
from modelwright_server.http.head import HeaderNames
from modelwright_server.http.inference import OCTETS, RepeatedExchange, RestExchange, WholeExchange
from modelwright_server.http.messages import JSON
from modelwright_server.http.rest import RestApplication
from modelwright_server.routing import answers
from modelwright_server.routing.answers import Answer, BrokenAnswerError, Outcome
from modelwright_server.routing.breaker import Breaker
from modelwright_server.routing.choice import GUARD, Choice
from modelwright_server.routing.pool import Payload, Pool
from modelwright_server.routing.route import Route, rows_finite
from modelwright_server.routing.shadow import MOST_UNDER_WAY, Copy, Reply, Shadow
from modelwright_server.routing.traffic import COPIES, FORWARDS, Traffic
from modelwright_server.tensors import Array

PROTOCOL = "rest"
MOST_FORWARDS = 256  # under way at the same time, each on a connection of its own
_BODIES = 4  # of the largest size, of all that are under way
_SMALL = 32 << 10  # to copy so much is cheaper than to write two pieces
_OK, _NOT_FINITE, _SERVER_ERROR = 200, 422, 500
_FAILURE = frozenset(Outcome) - {Outcome.ANSWERED}
_LABELS = frozenset({TRACK_HEADER.lower().encode(), VERSION_HEADER.lower().encode()})
_TRACK_LINE = f"{TRACK_HEADER}: {CANARY}\r\n".encode()
_NOT_SENT_ON = frozenset({b"transfer-encoding", GUARD})
_LOG = logging.getLogger("modelwright.routing")


class _Routed:
    """A request that came whole, all of which is kept until it is known where it goes."""

    forwarding: "RestForwarding"
    whole = b""


class _RoutedWhole(_Routed, WholeExchange):
    def begin(self) -> None:
        self.forwarding.begin(self, self.whole)


class _RoutedRepeated(_Routed, RepeatedExchange):
    def begin(self) -> None:
        self.forwarding.begin(self, self.whole)


class RestForwarding:
    """Routes the requests for inference of one application."""

    def __init__(
        self, application: RestApplication, names: HeaderNames, traffic: Traffic, shadow: Shadow, max_body: int
    ) -> None:
        """Follow the traffic table from now on.

        Args:
            application: answers requests on this track.
            names: the headers that its listener looks at.
            traffic: says where requests go.
            shadow: sends copies.
            max_body: bytes of the largest request.
        """
        self._application = application
        self._names = names
        self._traffic = traffic
        self._shadow = shadow
        self._max_body = max_body
        self._route: Route | None = None
        self._address: tuple[str, int] | None = None
        self._pool: Pool | None = None
        self._copies: Pool | None = None
        self._guard = b""
        self._start = application.starts[0]
        self._count = application.count
        traffic.follow(self._changed)
        self._changed()

    def close(self) -> None:
        """End what is under way; its clients were answered or are gone."""
        for pool in (self._pool, self._copies):
            if pool is not None:
                pool.close()

    def begin(self, exchange: RestExchange, whole: bytes = b"") -> None:
        """Have a request for inference answered by whose turn it is; ``whole`` is all of it, if it came so."""
        route = self._route
        if route is None:
            exchange.own()
            return
        choice = route.choose(exchange.headers)
        if choice is Choice.STABLE:
            self._own(exchange, route, whole)
        elif choice is Choice.APART:
            exchange.own()
        elif not route.forwards:  # a gateway sent it here for its header
            route.matched()
            exchange.own()
        else:
            self._forward(exchange, route, whole, matched=choice is Choice.MATCHED)

    def _changed(self) -> None:
        """Follow the table."""
        application, given = self._application, self._traffic.route
        application.label(self._traffic.track)
        route = given if given is not None and given.active else None
        if given is not None and route is None:
            application.count_with(*_counting(given, self._count))
        else:
            application.count_with(self._count, None)
        before, self._route = self._route, route
        self._connect((route.canary.host, route.canary.rest_port) if route is not None and route.forwards else None)
        if route is not None:
            self._guard = f"{FORWARDED_HEADER}: {route.stable}\r\n".encode()
        watched = frozenset[bytes]() if route is None else route.watched
        if watched != (frozenset[bytes]() if before is None else before.watched):
            self._names.watch(watched)
            application.route(None if route is None else self._infer)
            if route is not None:
                application.recall, application.take = self._recall, self._take

    def _connect(self, address: tuple[str, int] | None) -> None:
        """Have pools for this address."""
        if address == self._address:
            return
        for pool in (self._pool, self._copies):
            if pool is not None:
                pool.retire()
        self._address = address
        self._pool = self._copies = None
        if address is not None:
            size = _BODIES * self._max_body
            self._pool = Pool(*address, most=MOST_FORWARDS, most_request_bytes=size, most_answer_bytes=size)
            self._copies = Pool(
                *address, most=MOST_UNDER_WAY, most_request_bytes=size, most_answer_bytes=answers.MAX_PARSED
            )

    # Requests

    def _recall(self, connection: Connection, data: bytes) -> RestExchange | None:
        if not data.startswith(self._start):
            return self._application.recalled(connection, data)
        exchange = self._application.recalled(connection, data, _RoutedRepeated)
        if exchange is not None:
            self._keep(cast("_RoutedRepeated", exchange), data)
        return exchange

    def _take(
        self,
        connection: Connection,
        body: bytes,
        json_size: bytes | None,
        data: bytes,
        worth: bool,  # noqa: FBT001 - as the shortcut gives it
    ) -> RestExchange:
        if not data.startswith(self._start):
            return self._application.taken(connection, body, json_size, data, worth)
        exchange = self._application.taken(connection, body, json_size, data, worth, _RoutedWhole)
        self._keep(cast("_RoutedWhole", exchange), data)
        return exchange

    def _keep(self, exchange: _Routed, data: bytes) -> None:
        exchange.forwarding = self
        exchange.whole = data

    def _infer(self, exchange: RestExchange) -> None:
        exchange.application = self._application
        self.begin(exchange)

    def _own(self, exchange: RestExchange, route: Route, whole: bytes) -> None:
        """Have a request answered here; count it, and copy it if its turn has come."""
        if route.shadows and route.copies():
            exchange.after = partial(self._copy, route, self._payload(exchange, whole))
        else:
            exchange.after = partial(_count, route)
        exchange.own()

    def _forward(self, exchange: RestExchange, route: Route, whole: bytes, *, matched: bool) -> None:
        """Send a request to the canary, or answer it here if that is no use."""
        exchange.started = perf_counter()
        breaker = self._traffic.breaker(PROTOCOL, FORWARDS)
        done = partial(self._ended, exchange, route, breaker, matched)
        payload = self._payload(exchange, whole)
        if not (breaker.allows() and cast("Pool", self._pool).send(payload, route.seconds, done)):
            route.skipped(PROTOCOL, matched=matched)
            exchange.own()

    def _payload(self, exchange: RestExchange, whole: bytes) -> Payload:
        """Return a request as the canary is to get it."""
        if whole:
            at = len(self._start)
            if len(whole) <= _SMALL:
                return (b"".join((self._start, self._guard, whole[at:])),)
            return (self._start + self._guard, memoryview(whole)[at:])
        fields = [b"%b: %b\r\n" % item for item in exchange.headers.items() if item[0] not in _NOT_SENT_ON]
        body = exchange.body
        head = b"%bHost: canary\r\n%b%bContent-Length: %d\r\n\r\n" % (
            self._start,
            self._guard,
            b"".join(fields),
            len(body),
        )
        return (head, body)

    # Answers

    def _ended(
        self,
        exchange: RestExchange,
        route: Route,
        breaker: Breaker,
        matched: bool,  # noqa: FBT001 - by `partial`
        result: Answer | Outcome,
    ) -> None:
        """Relay the canary's answer, or have the request answered here."""
        seconds = perf_counter() - exchange.started
        try:
            outcome = answers.judged(result) if isinstance(result, Answer) else result
            (breaker.failed if outcome in _FAILURE else breaker.succeeded)()
            route.forwarded(PROTOCOL, outcome, seconds, matched=matched)
            if exchange.gone:
                return
            if isinstance(result, Answer) and outcome is Outcome.ANSWERED:
                self._relay(exchange, route, result, seconds)
                return
        except Exception:  # noqa: BLE001 - logged, and the client is answered
            _LOG.exception("relaying an answer failed")
            if exchange.response:
                return
        exchange.spent = seconds
        exchange.started = perf_counter()
        exchange.own()

    def _relay(self, exchange: RestExchange, route: Route, answer: Answer, seconds: float) -> None:
        head = answer.head
        fields = head.fields
        version = fields.get(VERSION_HEADER.lower().encode()) or route.canary.version.encode()
        lines = [line for line in head.lines if line.partition(b":")[0].lower() not in _LABELS]
        lines += b"%b: %b" % (VERSION_HEADER.encode(), version), _TRACK_LINE
        kind = JSON if answers.content_type(answer) == JSON else OCTETS
        exchange.send(head.status, bytes(answer.body), b"\r\n".join(lines), kind)
        if self._application.journal is not None:
            rows = answers.outputs(answer)[0].rows if head.status == _OK else 0
            prediction_id = fields.get(answers.PREDICTION_ID, b"")
            size = len(answer.body)
            exchange.note(head.status, seconds, rows=rows, size=size, prediction_id=prediction_id, track=CANARY)

    def _copy(
        self, route: Route, payload: Payload, status: int, seconds: float, arrays: Sequence[Array] | None
    ) -> None:
        """Count a request that was answered here, and have it copied."""
        _count(route, status, seconds, arrays)
        pool = self._copies
        if pool is None or arrays is None or route is not self._traffic.route:
            return

        def send(reply: Reply) -> bool:
            return pool.send(payload, route.seconds, lambda result: reply(_outputs(result)))

        breaker = self._traffic.breaker(PROTOCOL, COPIES)
        size = sum(map(len, payload))
        self._shadow.offer(
            Copy(size=size, send=send, arrays=arrays, seconds=seconds, counts=route.step.shadow, breaker=breaker)
        )


def _counting(
    route: Route, count: Callable[[int, float], None]
) -> tuple[Callable[[int, float], None], Callable[[float, Batch, int, int], None]]:
    """Return what counts the answers given here while no request goes elsewhere, with next to no time."""
    answered, slow_seconds = route.answered, route.slow_seconds

    def counted(status: int, seconds: float) -> None:
        count(status, seconds)
        if seconds > slow_seconds or status >= _NOT_FINITE:
            route.own(seconds, error=status >= _SERVER_ERROR, invalid=status == _NOT_FINITE)
        else:
            answered.requests += 1

    def counted_raw(seconds: float, batch: Batch, start: int, rows: int) -> None:
        count(_OK, seconds)
        route.own(seconds, error=False, invalid=not rows_finite(batch.rows(start, rows)))

    return counted, counted_raw


def _count(route: Route, status: int, seconds: float, arrays: Sequence[Array] | None) -> None:
    """Count a request that was answered here."""
    invalid = status == _NOT_FINITE or (arrays is not None and not rows_finite(arrays))
    route.own(seconds, error=status >= _SERVER_ERROR, invalid=invalid)


def _outputs(result: Answer | Outcome) -> Sequence[answers.Output] | Outcome:
    """Return what a copy's answer says."""
    if isinstance(result, Outcome):
        return result
    if result.head.status != _OK:
        return Outcome.REFUSED
    try:
        return answers.outputs(result)
    except BrokenAnswerError:
        return Outcome.BROKEN
