"""Requests for inference over REST, from the time they are read to their answer."""

import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, cast

from modelwright_server.batching import Batch
from modelwright_server.errors import BadRequestError, ModelFailedError, NotReadyError, OverloadedError, ServingError
from modelwright_server.http.compression import TooLargeError, UnsupportedCodingError
from modelwright_server.http.exchange import Exchange
from modelwright_server.http.known import Form
from modelwright_server.http.messages import error_body
from modelwright_server.http.outputs import NotFiniteError
from modelwright_server.record import Record
from modelwright_server.tensors import Array, InferRequest

if TYPE_CHECKING:
    from modelwright_server.http.rest import RestApplication
    from modelwright_server.journal import Journal

OCTETS = b"application/octet-stream"
RESPONSES = -2  # the place of complete responses among a batch's texts
After = Callable[[int, float, Sequence[Array] | None], None]
_LOG = logging.getLogger("modelwright.rest")
_STATUS: dict[type[ServingError], int] = {
    BadRequestError: 400,
    ModelFailedError: 500,
    NotFiniteError: 422,
    NotReadyError: 503,
    OverloadedError: 503,
    TooLargeError: 413,
    UnsupportedCodingError: 415,
}


class RestExchange(Exchange):
    """A request to the REST port, which waits for the model if it is one for inference.

    Attributes:
        application: who answers it.
        request: what is asked of the model.
        form: how the answer is to be written.
        started: when the request was complete, by `time.perf_counter`.
        size: bytes of the body, once it has been read.
        data: all of the request, if it is worth remembering.
        spent: seconds that had gone by at the canary before.
        after: is told of the answer: its status, what it took, and the rows of the model's outputs if there are any.
    """

    application: "RestApplication"
    request: InferRequest
    form: Form
    started: float
    size = 0
    data = b""
    spent = 0.0
    after: After | None = None

    def own(self) -> None:
        """Have it answered here."""
        self.application.infer(self)

    def answered(self, batch: Batch, start: int) -> None:
        """Send the model's answer."""
        application, request = self.application, self.request
        if self.form.plain and self.ordinary and application.journal is None:
            responses = batch.texts.get(RESPONSES) or application.plain_responses(batch)
            if responses:
                self.send_response(responses[start])
                seconds = perf_counter() - self.started + self.spent
                application.count(200, seconds)
                if self.after is not None:
                    self.after(200, seconds, batch.rows(start, 1))
                return
        body, json_size = application.codec.write(request, self.form, batch, start)
        fields = application.labels
        prediction_id = b""
        if request.rows == 1:
            prediction_id = batch.prediction_id(start)
            fields = b"%bX-Prediction-Id: %b\r\n" % (fields, prediction_id)
        if json_size is None:
            self.send(200, body, fields)
            seconds = perf_counter() - self.started + self.spent
            application.count(200, seconds)
        else:
            fields += b"Inference-Header-Content-Length: %d\r\n" % json_size
            self.send(200, body, fields, OCTETS)
            seconds = perf_counter() - self.started + self.spent
            application.count_raw(seconds, batch, start, request.rows)
        if application.journal is not None:
            self.note(200, seconds, rows=request.rows, size=len(body), prediction_id=prediction_id)
        if self.after is not None:
            self.after(200, seconds, batch.rows(start, request.rows))

    def failed(self, error: Exception) -> None:
        """Send an error; what is not one of those foreseen is logged, and the client is told that."""
        if isinstance(error, ServingError):
            self.finish(_STATUS[type(error)], error_body(str(error)))
        else:
            _LOG.error("answering a request failed", exc_info=error)
            self.finish(500, error_body("the server failed: its log says why"))

    def finish(self, status: int, body: bytes) -> None:
        """Send an answer without rows, and count it."""
        self.send(status, body, self.application.labels)
        seconds = perf_counter() - self.started + self.spent
        self.application.count(status, seconds)
        if self.application.journal is not None:
            self.note(status, seconds, rows=0, size=len(body), prediction_id=b"")
        if self.after is not None:
            self.after(status, seconds, None)

    def note(  # noqa: PLR0913 - what is noted
        self, status: int, seconds: float, *, rows: int, size: int, prediction_id: bytes, track: str = ""
    ) -> None:
        """Tell the journal; ``track`` is named if it is not the server's own."""
        get = self.headers.get
        record = Record(
            protocol="rest",
            method=self.method,
            path=self.target.partition(b"?")[0],
            status=status,
            seconds=seconds,
            rows=rows,
            bytes_in=self.size or len(self.body),
            bytes_out=size,
            client=self.client,
            user_agent=get(b"user-agent", b""),
            prediction_id=prediction_id,
            traceparent=get(b"traceparent", b""),
            tracestate=get(b"tracestate", b""),
            track=track,
        )
        cast("Journal", self.application.journal).write(record)


class WholeExchange(RestExchange):
    """A request for inference that came whole, with nothing unusual in its head."""

    method = b"POST"
    version = "1.1"
    keep = True

    def begin(self) -> None:
        """Have it answered."""
        self.application.infer(self)


class RepeatedExchange(WholeExchange):
    """One that was recognised by its bytes, and is read already."""

    def own(self) -> None:
        """Have it answered here."""
        try:
            self.application.dataplane.submit(self)
        except ServingError as error:
            self.failed(error)

    begin = own
