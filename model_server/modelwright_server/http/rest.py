"""The Open Inference Protocol's REST paths, and the metrics page, as applications for a listener.

Maps paths to the data plane and its errors to status codes; knows nothing of sockets.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import cache, cached_property, partial
from importlib import metadata
from time import perf_counter
from typing import cast
from urllib.parse import unquote_to_bytes, urlsplit

import orjson

from modelwright_server import contract
from modelwright_server.batching import Batch
from modelwright_server.dataplane import DataPlane
from modelwright_server.errors import BadRequestError, ModelFailedError, NotReadyError, OverloadedError, ServingError
from modelwright_server.http import openapi
from modelwright_server.http.codec import Codec
from modelwright_server.http.compression import CODINGS, TooLargeError, inflate
from modelwright_server.http.connection import Connection
from modelwright_server.http.exchange import Exchange
from modelwright_server.http.known import Form
from modelwright_server.http.messages import JSON, KEPT_HEADERS, error_body, response_start
from modelwright_server.http.outputs import NotFiniteError
from modelwright_server.http.repeats import Repeats
from modelwright_server.http.turns import LARGE, Turns
from modelwright_server.journal import Journal
from modelwright_server.record import Record
from modelwright_server.telemetry import Telemetry
from modelwright_server.tensors import InferRequest

OCTETS = b"application/octet-stream"

_LOG = logging.getLogger("modelwright.rest")
_Handler = Callable[["RestExchange"], None]
_STATUS: dict[type[ServingError], int] = {
    BadRequestError: 400,
    ModelFailedError: 500,
    NotFiniteError: 422,
    NotReadyError: 503,
    OverloadedError: 503,
    TooLargeError: 413,
}
# Beside those that say what a body means, what the journal notes.
NOTED_HEADERS = KEPT_HEADERS | {b"user-agent", b"traceparent", b"tracestate"}
_RESPONSES = -2  # the place of complete responses among a batch's texts
_CODING = b"content-encoding"
_JSON_SIZE = b"inference-header-content-length"
_MODELS_SEGMENTS = ["", "v2", "models"]
_LONGEST_NUMBER = 19
_WAITING_BODIES = 4  # of the largest size


class RestApplication:
    """Answers the requests of clients."""

    def __init__(
        self, dataplane: DataPlane, telemetry: Telemetry, max_body: int, journal: Journal | None = None
    ) -> None:
        self.dataplane = dataplane
        self.count = telemetry.rest.answered
        self.journal = journal
        self._max_body = max_body
        self._codec: Codec | None = None
        self._repeats = Repeats()
        self._turns = Turns(telemetry.answered, _WAITING_BODIES * max_body)
        self.labels = b"Modelwright-Version: %b\r\n" % dataplane.version.encode("ascii", "replace")
        labels = self.labels.replace(b"%", b"%%")
        fields = b"X-Prediction-Id: %b\r\nContent-Length: %d\r\n\r\n%b"
        self._plain_response = response_start(200, JSON) + labels + fields
        model = f"/v2/models/{dataplane.name}"
        versioned = f"{model}/versions/{dataplane.version}"
        self._routes: dict[bytes, tuple[bytes, _Handler]] = {
            b"/v2": (b"GET", self._server),
            b"/openapi.json": (b"GET", self._openapi),
            contract.LIVE_PATH.encode(): (b"GET", self._live),
            contract.READY_PATH.encode(): (b"GET", self._ready),
        }
        for path in (model, versioned):
            self._routes[path.encode()] = (b"GET", self._metadata)
            self._routes[f"{path}/ready".encode()] = (b"GET", self._model_ready)
            self._routes[f"{path}/infer".encode()] = (b"POST", self.infer)
        self.starts = tuple(f"POST {path}/infer HTTP/1.1\r\n".encode() for path in (model, versioned))

    def __call__(self, exchange: "RestExchange") -> None:
        """Answer a request, now or later."""
        found = self._routes.get(exchange.target)
        if found is None:
            path = _path(exchange.target)
            found = self._routes.get(path)
            if found is None:
                exchange.send(404, error_body(self._unknown(path)))
                return
        method, handler = found
        if exchange.method == method:
            handler(exchange)
        else:
            allowed = b"GET, HEAD" if method == b"GET" else method
            problem = f"this path takes {allowed.decode()}, not {exchange.method.decode('ascii', 'replace')}"
            exchange.send(405, error_body(problem), b"Allow: %b\r\n" % allowed)

    @property
    def codec(self) -> Codec:
        """The messages of the model.

        Raises:
            NotReadyError: no model is loaded yet.
        """
        if self._codec is None:
            self._codec = Codec(self.dataplane.signature, self.dataplane.name, self.dataplane.version)
        return self._codec

    @cached_property
    def description(self) -> bytes:
        """The OpenAPI description.

        Raises:
            NotReadyError: no model is loaded yet.
        """
        plane, signature = self.dataplane, self.dataplane.signature
        document = openapi.document(signature.schema, plane.name, plane.version, signature.max_rows, _version())
        return orjson.dumps(document)

    def _server(self, exchange: Exchange) -> None:
        document = {"name": "modelwright", "version": _version(), "extensions": ["binary_tensor_data"]}
        exchange.send(200, orjson.dumps(document))

    def _openapi(self, exchange: Exchange) -> None:
        try:
            exchange.send(200, self.description)
        except NotReadyError as error:
            exchange.send(503, error_body(str(error)))

    def _live(self, exchange: Exchange) -> None:
        exchange.send(200, b'{"live":true}')

    def _ready(self, exchange: Exchange) -> None:
        ready = self.dataplane.ready
        exchange.send(200 if ready else 503, orjson.dumps({"ready": ready}))

    def _model_ready(self, exchange: Exchange) -> None:
        ready = self.dataplane.ready
        exchange.send(200 if ready else 503, orjson.dumps({"name": self.dataplane.name, "ready": ready}))

    def _metadata(self, exchange: Exchange) -> None:
        try:
            exchange.send(200, self.codec.metadata())
        except NotReadyError as error:
            exchange.send(503, error_body(str(error)))

    def infer(self, exchange: "RestExchange") -> None:
        """Have an inference request answered."""
        exchange.started = perf_counter()
        exchange.application = self
        try:
            codec = self._codec or self.codec
            body, json_size = exchange.body, None
            large = len(body) > LARGE
            if exchange.headers and not large:
                try:
                    body, json_size = self._unpacked(exchange, LARGE)
                except TooLargeError:
                    large = True  # whether too large is found out when its turn comes
            if large:
                self._turns.add(len(body), partial(self._infer_large, exchange))
                return
            exchange.request, exchange.form = codec.read(body, json_size)
            if exchange.data:
                self._learn(codec, exchange, json_size)
            self._submit(exchange)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            exchange.failed(error)

    async def _infer_large(self, exchange: "RestExchange") -> None:
        """Have an inference request answered whose body takes long to read; inflate it beside the event loop."""
        if exchange.gone:
            return
        try:
            body, json_size = exchange.body, None
            if exchange.headers:
                unpacked = partial(self._unpacked, exchange, self._max_body)
                body, json_size = await asyncio.get_running_loop().run_in_executor(None, unpacked)
            exchange.request, exchange.form = self.codec.read(body, json_size)
            self._submit(exchange)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            exchange.failed(error)

    def _submit(self, exchange: "RestExchange") -> None:
        """Give a request that has been read to the model."""
        exchange.size = len(exchange.body)
        exchange.body = b""  # read, and the model may take its time
        self.dataplane.submit(exchange)

    def recall(self, connection: Connection, data: bytes) -> "RepeatedExchange | None":
        """Return the inference request in ``data`` if it repeats an earlier one."""
        try:
            found = self._repeats.read(data)
        except BadRequestError:
            return None  # the long way says what is wrong
        if found is None:
            return None
        exchange = RepeatedExchange(connection)
        exchange.started = perf_counter()
        exchange.application = self
        exchange.request, exchange.form = found
        return exchange

    def take(self, connection: Connection, body: bytes, json_size: bytes | None, data: bytes) -> "WholeExchange":
        """Return the inference request with this body."""
        exchange = WholeExchange(connection)
        exchange.application = self
        exchange.body = body
        exchange.data = data
        if json_size is not None:
            exchange.headers = {_JSON_SIZE: json_size}
        return exchange

    def _learn(self, codec: Codec, exchange: "RestExchange", json_size: int | None) -> None:
        """Remember a request, if its head came before."""
        data, exchange.data = exchange.data, b""
        at = len(data) - len(exchange.body)
        if not self._repeats.came_before(data[:at]):
            return
        if json_size is None:
            if (known := codec.known(exchange.body)) is not None:
                self._repeats.learn(data, at, known)
        elif (raw := codec.known_raw(exchange.request, exchange.form)) is not None:
            self._repeats.learn_raw(data, at + json_size, raw)

    def plain_responses(self, batch: Batch) -> list[bytes]:
        """Return the responses to plain requests for each row of a call, or nothing if a value is not finite."""
        answers = self.codec.plain_answers(batch)
        if answers is None:
            return []
        ids = batch.prediction_ids(0, len(answers))
        template = self._plain_response
        responses = [template % (of, len(answer), answer) for of, answer in zip(ids, answers, strict=True)]
        batch.texts[_RESPONSES] = responses
        return responses

    def _unpacked(self, exchange: Exchange, limit: int) -> tuple[bytes | bytearray, int | None]:
        """Return a request's body without its content coding, and how many bytes of it are JSON, if that was said.

        Raises:
            BadRequestError: a header is wrong.
            TooLargeError: inflated, the body is larger than that.
        """
        headers, body = exchange.headers, exchange.body
        coding = headers.get(_CODING, b"identity").strip().lower()
        if coding in CODINGS:
            body = inflate(body, coding, min(limit, self._max_body))
        elif coding != b"identity":
            raise UnsupportedCodingError(problem="Content-Encoding must be gzip, deflate or identity")
        if (size := headers.get(_JSON_SIZE)) is None:
            return body, None
        if not size.isdigit() or len(size) > _LONGEST_NUMBER:
            raise BadRequestError(problem="Inference-Header-Content-Length must be a whole number")
        return body, int(size)

    def _unknown(self, path: bytes) -> str:
        """Say which part of a path is unknown."""
        segments = path.decode("utf-8", "replace").split("/")
        name, version = self.dataplane.name, self.dataplane.version
        if segments[:3] == _MODELS_SEGMENTS and len(segments) > 3:  # noqa: PLR2004 - /v2/models/NAME
            if segments[3] != name:
                return f"unknown model {segments[3]!r:.80}: this server has {name!r}"
            if segments[4:5] == ["versions"] and segments[5:6] != [version]:
                return f"unknown version {'/'.join(segments[5:6])!r:.80} of {name!r}: it is {version!r}"
        return f"unknown path {'/'.join(segments)!r:.80}: see the Open Inference Protocol, from /v2 on"


class UnsupportedCodingError(ServingError):
    """The body has a content coding that is not taken."""


_STATUS[UnsupportedCodingError] = 415


class RestExchange(Exchange):
    """A request to the REST port, which waits for the model if it is one for inference.

    Attributes:
        application: who answers it.
        request: what is asked of the model.
        form: how the answer is to be written.
        started: when the request was complete, by `time.perf_counter`.
        size: bytes of the body, once it has been read.
        data: all of the request, if it is worth remembering.
    """

    application: RestApplication
    request: InferRequest
    form: Form
    started: float
    size = 0
    data = b""

    def answered(self, batch: Batch, start: int) -> None:
        """Send the model's answer."""
        application, request = self.application, self.request
        if self.form.plain and self.ordinary and application.journal is None:
            responses = batch.texts.get(_RESPONSES) or application.plain_responses(batch)
            if responses:
                self.send_response(responses[start])
                application.count(200, perf_counter() - self.started)
                return
        body, json_size = application.codec.write(request, self.form, batch, start)
        fields = application.labels
        prediction_id = b""
        if request.rows == 1:
            prediction_id = batch.prediction_id(start)
            fields = b"%bX-Prediction-Id: %b\r\n" % (fields, prediction_id)
        if json_size is None:
            self.send(200, body, fields)
        else:
            fields += b"Inference-Header-Content-Length: %d\r\n" % json_size
            self.send(200, body, fields, OCTETS)
        seconds = perf_counter() - self.started
        application.count(200, seconds)
        if application.journal is not None:
            self._note(200, seconds, request.rows, len(body), prediction_id)

    def failed(self, error: Exception) -> None:
        """Send an error; what is not one of those foreseen is logged, and the client is told that."""
        if isinstance(error, ServingError):
            self.finish(_STATUS[type(error)], error_body(str(error)))
        else:
            _LOG.error("answering a request failed", exc_info=error)
            self.finish(500, error_body("the server failed: its log says why"))

    def finish(self, status: int, body: bytes) -> None:
        """Send an answer without rows, and count it."""
        self.send(status, body)
        seconds = perf_counter() - self.started
        self.application.count(status, seconds)
        if self.application.journal is not None:
            self._note(status, seconds, 0, len(body), b"")

    def _note(self, status: int, seconds: float, rows: int, size: int, prediction_id: bytes) -> None:
        """Tell the journal."""
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

    def begin(self) -> None:
        """Have it answered."""
        try:
            self.application.dataplane.submit(self)
        except ServingError as error:
            self.failed(error)


@cache
def _version() -> str:
    return metadata.version("modelwright")


def _path(target: bytes) -> bytes:
    """Return a target's path, decoded, without query; also of a target with scheme and host."""
    if not target.startswith(b"/"):
        try:
            target = urlsplit(target).path
        except ValueError:
            return b""
    return unquote_to_bytes(target.partition(b"?")[0])
