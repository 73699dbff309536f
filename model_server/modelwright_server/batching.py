"""Calls of the model: requests that are there at the same time share one, and none waits for another.

Requests decoded in one turn of the event loop are answered by one call at the turn's end; no timer is
involved, so a request that comes alone is answered at once.  A call expected to take long leaves
the event loop for a thread, and what comes meanwhile is the next call there.  Quick calls go on
beside it, so that one large request does not hold up the small ones.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Protocol

from modelwright_server.errors import ModelFailedError, OverloadedError, ServingError
from modelwright_server.model import Cost, InferenceError, Model
from modelwright_server.prediction import Issuer
from modelwright_server.tensors import Array, InferRequest, Signature

# A call expected to take longer runs in a thread, so that health checks and other clients do not
# wait for it; a shorter one would lose more to the hand-over.
INLINE_SECONDS = 0.0003
# What a call costs beside the model: joining, splitting, counting; in the thread also two changes of threads.
_OVERHEAD_SECONDS = 5e-6
_THREAD_SECONDS = 100e-6
# How many rows requests share a call for: a row costs at most this factor of the least, and the call takes this long.
_WORTH = 1.1
_SOON_SECONDS = 0.005
# Requests that may wait for quick calls and for slow ones, and what their values may take together.
MAX_QUICK = 16_384
MAX_SLOW = 256
MAX_WAITING_BYTES = 128 << 20

_LOG = logging.getLogger("modelwright.batching")


class Waiter(Protocol):
    """Who waits for an answer; one of the methods is called, once, on the event loop, if not `gone`.

    Attributes:
        request: what is asked.
        started: when the request was complete, by `time.perf_counter`.
    """

    request: InferRequest
    started: float

    @property
    def gone(self) -> bool:
        """Whether nobody wants the answer any more."""
        ...

    def answered(self, batch: "Batch", start: int) -> None:
        """Take the answer: of each array in ``batch`` the rows from ``start`` on, as many as were asked."""
        ...

    def failed(self, error: ServingError) -> None:
        """Take the error."""
        ...


class Batch:
    """The answer of one call of the model.

    Attributes:
        arrays: every output of the model in the schema's order, with the rows of all requests.
        texts: what transports keep here, so that it is made once for all requests.
        finite: no text so far says that a number is not finite.
        mark: of the first row's prediction, whether its id is asked for or not.
        time: of the predictions, nanoseconds since 1970.
    """

    __slots__ = ("_ids", "_issuer", "arrays", "finite", "mark", "texts", "time")

    def __init__(self, arrays: list[Array], issuer: Issuer) -> None:
        self.arrays = arrays
        self.texts: dict[int, list[bytes]] = {}
        self._issuer = issuer
        self.mark, self.time = issuer.take(len(arrays[0]))
        self._ids: list[bytes] | None = None
        self.finite = True

    def rows(self, start: int, count: int) -> list[Array]:
        """Return some rows of each output."""
        return [array[start : start + count] for array in self.arrays]

    def prediction_id(self, row: int) -> bytes:
        """Return the id of the prediction in a row."""
        return self.prediction_ids(row, 1)[0]

    def prediction_ids(self, start: int, rows: int) -> list[bytes]:
        """Return the ids of the predictions in some rows."""
        if self._ids is None:
            self._ids = self._issuer.ids(self.arrays, self.mark, self.time)
        return self._ids[start : start + rows]


# Inputs by name, and outputs, of a call.
_Ran = tuple[dict[str, Array], list[Array]]


class Recorder(Protocol):
    """Who is told of each call that answered."""

    def __call__(self, rows: int, arrays: Sequence[Array], mark: int, time: int) -> None:
        """Take the inputs, then the outputs, in the schema's order, and mark and time of the predictions."""
        ...


class Observer(Protocol):
    """Who counts requests and calls.

    Attributes:
        in_flight: requests that wait for the model or are being answered.
        queued: those that wait.
        overloaded: requests refused because too many wait.
    """

    in_flight: int
    queued: int
    overloaded: int

    def called(self, requests: int, rows: int, waited: float, seconds: float) -> None:
        """Count a call, how long its oldest request waited for it, and what it took."""
        ...


class _Lane:
    """Requests in the order they came."""

    def __init__(self, most_waiting: int) -> None:
        self.most_waiting = most_waiting
        self.waiting: deque[Waiter] = deque()
        self.size = 0
        self.gone = 0
        self._alone = 0

    def take_all(self, most_rows: int) -> tuple[list[Waiter], int]:
        """Return all requests and their rows if these are few enough for one call, else nothing."""
        waiting = self.waiting
        if len(waiting) > most_rows or self._alone:
            return [], 0
        batch = list(waiting)
        rows = sum([waiter.request.rows for waiter in batch]) if len(batch) > 1 else batch[0].request.rows
        if rows > most_rows:
            return [], 0
        waiting.clear()
        self.size = 0
        return batch, rows

    def put_back(self, batch: Sequence[Waiter]) -> None:
        """Take the requests of a call that failed again, each for a call of its own: only one may be at fault."""
        self.waiting.extendleft(reversed(batch))
        self.size += sum(waiter.request.size for waiter in batch)
        self._alone += len(batch)

    def take(self, most_rows: int) -> tuple[list[Waiter], int]:
        """Return the requests of the next call and their rows; a request alone may have more than a call takes.

        Empty only if none is left.
        """
        batch: list[Waiter] = []
        rows = 0
        waiting = self.waiting
        while waiting:
            waiter = waiting[0]
            more = rows + waiter.request.rows
            if batch and (self._alone or more > most_rows):
                break
            waiting.popleft()
            self.size -= waiter.request.size
            if waiter.gone:
                self.gone += 1
                self._alone -= bool(self._alone)
                continue
            batch.append(waiter)
            rows = more
            if self._alone:
                self._alone -= 1
                break
        return batch, rows


class Batcher:
    """Runs the model for whoever waits."""

    def __init__(  # noqa: PLR0913 - what a call of the model touches
        self,
        model: Model,
        signature: Signature,
        issuer: Issuer,
        observer: Observer,
        *,
        most_rows: int,
        recorder: Recorder | None = None,
    ) -> None:
        self._model = model
        self._slots = signature.slots
        self._issuer = issuer
        self._observer = observer
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "inference")
        self._quick_rows = rows_within(model.cost, INLINE_SECONDS)
        self._worth = worthwhile_rows(model.cost, most_rows)
        self._quick = _Lane(MAX_QUICK)
        self._slow = _Lane(MAX_SLOW)
        self._computing: _Lane | None = None  # whose call the thread runs
        self._call_soon: Callable[..., object] = self._loop.call_soon

    @property
    def waiting(self) -> int:
        """Number of requests that wait for the model."""
        return len(self._quick.waiting) + len(self._slow.waiting)

    def submit(self, waiter: Waiter) -> None:
        """Answer a request in this turn of the event loop, or when the thread comes to it.

        Raises:
            OverloadedError: too many wait already.
        """
        request, observer = waiter.request, self._observer
        quick = request.rows <= self._quick_rows
        lane = self._quick if quick else self._slow
        waiting = lane.waiting
        if waiting and (len(waiting) >= lane.most_waiting or lane.size + request.size > MAX_WAITING_BYTES):
            observer.overloaded += 1
            raise OverloadedError(problem=f"{len(waiting)} requests wait for the model: try again later")
        waiting.append(waiter)
        lane.size += request.size
        observer.in_flight += 1
        observer.queued += 1
        if not quick:
            self._start()
        elif len(waiting) == 1:
            self._call_soon(self._flush)

    def close(self) -> None:
        """Give up calls that have not begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _flush(self) -> None:
        """Run one call for quick requests; if more wait, the next comes after a look at the sockets.

        Many of them together may take longer than the event loop can wait: then the thread takes them, if it is idle.
        If it runs such a call already, they wait for its end: on the core it has they could only slow it down.
        """
        lane = self._quick
        if not lane.waiting or self._computing is lane:
            return
        batch, rows = self._take(lane, self._quick_rows if self._computing else self._worth)
        if batch:
            if rows > self._quick_rows:
                self._compute(lane, batch, rows)
            else:
                begun = perf_counter()
                try:
                    inputs, arrays = self._run([waiter.request for waiter in batch], rows)
                except Exception as error:  # noqa: BLE001 - the requests must be answered
                    self._fail(lane, batch, error, begun)
                else:
                    self._settle(batch, inputs, arrays, rows, begun)
        if lane.waiting and self._computing is not lane:
            self._call_soon(self._flush)

    def _start(self) -> None:
        """Hand the next slow call to the thread, if it is idle."""
        if not self._computing and self._slow.waiting:
            batch, rows = self._take(self._slow, self._worth)
            if batch:
                self._compute(self._slow, batch, rows)

    def _take(self, lane: _Lane, most_rows: int) -> tuple[list[Waiter], int]:
        """Take the requests of the next call, and forget those that nobody waits for."""
        observer = self._observer
        if lane is self._quick:
            batch, rows = lane.take_all(most_rows)
            if batch:
                observer.queued -= len(batch)
                return batch, rows
        batch, rows = lane.take(most_rows)
        observer.queued -= len(batch) + lane.gone
        if lane.gone:
            observer.in_flight -= lane.gone
            lane.gone = 0
        return batch, rows

    def _compute(self, lane: _Lane, batch: list[Waiter], rows: int) -> None:
        """Have the thread run a call."""
        self._computing = lane
        begun = perf_counter()
        requests = [waiter.request for waiter in batch]
        future = self._loop.run_in_executor(self._thread, self._run, requests, rows)
        future.add_done_callback(lambda done: self._done(lane, batch, rows, begun, done))

    def _done(self, lane: _Lane, batch: list[Waiter], rows: int, begun: float, future: "asyncio.Future[_Ran]") -> None:
        """Answer the requests of the thread's call and hand it the next."""
        self._computing = None
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._settle(batch, *future.result(), rows, begun)
        else:
            self._fail(lane, batch, error, begun)
        self._start()
        if self._quick.waiting:
            self._call_soon(self._flush)

    def _run(self, requests: Sequence[InferRequest], rows: int) -> "_Ran":
        """Run the model once; also called in the thread, so it touches nothing shared."""
        feeds = {
            slot.spec.name: slot.stack([request.feeds[slot.position] for request in requests], rows)
            for slot in self._slots
        }
        return feeds, self._model.run(feeds, rows)

    def _settle(
        self, waiters: Sequence[Waiter], inputs: Mapping[str, Array], arrays: list[Array], rows: int, begun: float
    ) -> None:
        """Give each request its rows."""
        self._observer.called(len(waiters), rows, begun - waiters[0].started, perf_counter() - begun)
        self._observer.in_flight -= len(waiters)
        batch = Batch(arrays, self._issuer)
        start = 0
        for waiter in waiters:
            try:
                waiter.answered(batch, start)
            except Exception as error:  # noqa: BLE001 - one that cannot be said must not take the others along
                waiter.failed(_failure(error))
            start += waiter.request.rows
        if self._recorder is not None:
            self._recorder(rows, [*inputs.values(), *arrays], batch.mark, batch.time)

    def _fail(self, lane: _Lane, waiters: Sequence[Waiter], error: BaseException, begun: float) -> None:
        """Tell the request, or find out which of several the model fails on."""
        if len(waiters) > 1:
            lane.put_back(waiters)
            self._observer.queued += len(waiters)
            return
        self._observer.in_flight -= 1
        self._observer.called(1, 0, begun - waiters[0].started, perf_counter() - begun)
        waiters[0].failed(_failure(error))


def _failure(error: BaseException) -> ServingError:
    if isinstance(error, ServingError):
        return error
    if isinstance(error, InferenceError):
        return ModelFailedError(problem=f"the model failed: {error}")
    _LOG.error("answering a request failed", exc_info=error)
    return ModelFailedError(problem="the server failed: its log says why")


def rows_within(cost: Cost, seconds: float) -> int:
    """Return the most rows that a call is expected to answer within ``seconds``, 0 if none."""
    low, high = 0, 1 << 24
    while low < high:
        middle = (low + high + 1) // 2
        if cost.of(middle) <= seconds:
            low = middle
        else:
            high = middle - 1
    return low


def worthwhile_rows(cost: Cost, most_rows: int) -> int:
    """Return how many rows of several requests a call may take, at most ``most_rows``.

    That is the greatest number at which a row costs hardly more than it can cost at all, in a call that ends soon.
    The greatest, since costs were measured in a row, with the model in the processor's caches: between other work a
    call costs more, and more so the fewer rows share that.
    """
    sizes = [rows for rows in cost.rows if rows < most_rows] + [most_rows]
    seconds = {rows: cost.of(rows) for rows in sizes}
    each = {rows: (seconds[rows] + _overhead(seconds[rows])) / rows for rows in sizes}
    soon = [rows for rows in sizes if seconds[rows] <= _SOON_SECONDS] or sizes[:1]
    least = min(each[rows] for rows in soon)
    return max(rows for rows in soon if each[rows] <= least * _WORTH)


def _overhead(seconds: float) -> float:
    """Return what a call that takes so long costs beside the model."""
    return _OVERHEAD_SECONDS if seconds <= INLINE_SECONDS else _THREAD_SECONDS
