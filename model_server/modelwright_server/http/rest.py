"""The Open Inference Protocol's REST paths, and the metrics page, as applications for a listener.

Maps paths to the data plane and its errors to status codes; knows nothing of sockets.
"""

import logging
from collections.abc import Callable
from functools import cache
from importlib import metadata
from time import perf_counter
from urllib.parse import unquote_to_bytes, urlsplit

import orjson

from modelwright_server import contract, telemetry
from modelwright_server.batching import Batch
from modelwright_server.dataplane import DataPlane
from modelwright_server.errors import BadRequestError, ModelFailedError, NotReadyError, OverloadedError, ServingError
from modelwright_server.http import openapi
from modelwright_server.http.codec import Codec, Form, NotFiniteError
from modelwright_server.http.compression import CODINGS, TooLargeError, inflate
from modelwright_server.http.messages import Exchange, error_body
from modelwright_server.telemetry import Telemetry
from modelwright_server.tensors import InferRequest

OCTETS = b"application/octet-stream"

_LOG = logging.getLogger("modelwright.rest")
_Handler = Callable[[Exchange], None]
_STATUS: dict[type[ServingError], int] = {
    BadRequestError: 400,
    ModelFailedError: 500,
    NotFiniteError: 422,
    NotReadyError: 503,
    OverloadedError: 503,
    TooLargeError: 413,
}
_CODING = b"content-encoding"
_JSON_SIZE = b"inference-header-content-length"
_MODELS_SEGMENTS = ["", "v2", "models"]
_LONGEST_NUMBER = 19


class RestApplication:
    """Answers the requests of clients."""

    def __init__(self, dataplane: DataPlane, counts: Telemetry, max_body: int) -> None:
        self.dataplane = dataplane
        self.counts = counts
        self._max_body = max_body
        self._codec: Codec | None = None
        self.labels = b"Modelwright-Version: %b\r\n" % dataplane.version.encode("ascii", "replace")
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
            self._routes[f"{path}/infer".encode()] = (b"POST", self._infer)

    def __call__(self, exchange: Exchange) -> None:
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

    def _server(self, exchange: Exchange) -> None:
        document = {"name": "modelwright", "version": _version(), "extensions": ["binary_tensor_data"]}
        exchange.send(200, orjson.dumps(document))

    def _openapi(self, exchange: Exchange) -> None:
        plane = self.dataplane
        try:
            signature = plane.signature
        except NotReadyError as error:
            exchange.send(503, error_body(str(error)))
            return
        document = openapi.document(signature.schema, plane.name, plane.version, signature.max_rows, _version())
        exchange.send(200, orjson.dumps(document))

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

    def _infer(self, exchange: Exchange) -> None:
        """Have an inference request answered; count it and what it took."""
        started = perf_counter()
        try:
            codec = self._codec or self.codec
            if exchange.headers:
                body, json_size = self._unpacked(exchange)
                request, form = codec.read(body, json_size)
            else:
                request, form = codec.read(exchange.body)
            self.dataplane.submit(_Inference(self, codec, exchange, request, form, started))
        except ServingError as error:
            status, problem = _STATUS[type(error)], str(error)
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer
            _LOG.exception("answering a request failed")
            status, problem = 500, "the server failed: its log says why"
        else:
            return
        self.finish(exchange, started, status, error_body(problem))

    def finish(  # noqa: PLR0913, PLR0917 - called for every request
        self,
        exchange: Exchange,
        started: float,
        status: int,
        body: bytes,
        fields: bytes = b"",
        content_type: bytes = b"application/json",
    ) -> None:
        """Send the answer to an inference request and count it."""
        exchange.send(status, body, fields, content_type)
        self.counts.answered(status, perf_counter() - started)

    def _unpacked(self, exchange: Exchange) -> tuple[bytes | bytearray, int | None]:
        """Return a request's body without its content coding, and how many bytes of it are JSON, if that was said.

        Raises:
            BadRequestError: a header is wrong.
            TooLargeError: inflated, the body is larger than allowed.
        """
        headers, body = exchange.headers, exchange.body
        coding = headers.get(_CODING, b"identity").strip().lower()
        if coding in CODINGS:
            body = inflate(body, coding, self._max_body)
        elif coding != b"identity":
            raise UnsupportedCodingError(problem="Content-Encoding must be gzip, deflate or identity")
        size = headers.get(_JSON_SIZE)
        if size is None:
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


class _Inference:
    """An inference request that waits for the model."""

    __slots__ = ("_application", "_codec", "_exchange", "_form", "request", "started")

    def __init__(  # noqa: PLR0913, PLR0917 - made once for every request
        self,
        application: RestApplication,
        codec: Codec,
        exchange: Exchange,
        request: InferRequest,
        form: Form,
        started: float,
    ) -> None:
        self._application = application
        self._codec = codec
        self._exchange = exchange
        self._form = form
        self.request = request
        self.started = started

    @property
    def gone(self) -> bool:
        """Whether the client went away."""
        return self._exchange.gone

    def answered(self, batch: Batch, start: int) -> None:
        """Send the answer."""
        request, application = self.request, self._application
        body, json_size = self._codec.write(request, self._form, batch, start)
        fields = application.labels
        if request.rows == 1:
            fields += b"X-Prediction-Id: %b\r\n" % batch.prediction_id(start)
        if json_size is None:
            application.finish(self._exchange, self.started, 200, body, fields)
        else:
            fields += b"Inference-Header-Content-Length: %d\r\n" % json_size
            application.finish(self._exchange, self.started, 200, body, fields, OCTETS)

    def failed(self, error: ServingError) -> None:
        """Send the error."""
        self._application.finish(self._exchange, self.started, _STATUS[type(error)], error_body(str(error)))


class MetricsApplication:
    """Answers whoever collects metrics."""

    def __init__(self, counts: Telemetry) -> None:
        self._counts = counts

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        if _path(exchange.target) != contract.METRICS_PATH.encode():
            exchange.send(404, error_body(f"unknown path: metrics are at {contract.METRICS_PATH}"))
        elif exchange.method != b"GET":
            exchange.send(405, error_body("this path takes GET"), b"Allow: GET, HEAD\r\n")
        else:
            exchange.send(200, self._counts.render(), content_type=telemetry.CONTENT_TYPE)


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
