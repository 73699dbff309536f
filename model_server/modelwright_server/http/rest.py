"""The Open Inference Protocol's REST paths, and the metrics page, as applications for a listener.

Maps paths to the data plane and its errors to status codes; knows nothing of sockets.
"""

import asyncio
from collections.abc import Callable
from functools import cache, cached_property, partial
from importlib import metadata
from time import perf_counter
from urllib.parse import unquote_to_bytes, urlsplit

import orjson

from modelwright_server import contract
from modelwright_server.batching import Batch
from modelwright_server.dataplane import DataPlane
from modelwright_server.errors import BadRequestError, NotReadyError
from modelwright_server.http import openapi
from modelwright_server.http.codec import Codec
from modelwright_server.http.compression import CODINGS, TooLargeError, UnsupportedCodingError, inflate
from modelwright_server.http.connection import Connection
from modelwright_server.http.exchange import Exchange
from modelwright_server.http.inference import RESPONSES, RepeatedExchange, RestExchange, WholeExchange
from modelwright_server.http.messages import JSON, KEPT_HEADERS, error_body, response_start
from modelwright_server.http.repeats import Repeats
from modelwright_server.http.turns import LARGE, Turns
from modelwright_server.journal import Journal
from modelwright_server.telemetry import Telemetry

_Handler = Callable[[RestExchange], None]
# Beside those that say what a body means, what the journal notes.
NOTED_HEADERS = KEPT_HEADERS | {b"user-agent", b"traceparent", b"tracestate"}
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
        self.count: Callable[[int, float], None] = telemetry.rest.answered
        self.count_raw: Callable[[float, Batch, int, int], None] = self._counted_raw
        self.journal = journal
        self._max_body = max_body
        self._codec: Codec | None = None
        self._repeats = Repeats()
        self._turns = Turns(telemetry.answered, _WAITING_BODIES * max_body)
        self.labels = self._plain_response = b""
        self.label(contract.STABLE)
        self.recall: Callable[[Connection, bytes], RestExchange | None] = self.recalled
        self.take: Callable[[Connection, bytes, bytes | None, bytes, bool], RestExchange] = self.taken
        model = f"/v2/models/{dataplane.name}"
        self._infer_path = f"{model}/infer".encode()
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

    def count_with(
        self, count: Callable[[int, float], None], count_raw: Callable[[float, Batch, int, int], None] | None
    ) -> None:
        """Have answers counted by these: by status and seconds; a 200 with raw values with its rows of a batch."""
        self.count, self.count_raw = count, count_raw or self._counted_raw

    def _counted_raw(self, seconds: float, _: Batch, __: int, ___: int) -> None:
        self.count(200, seconds)

    def label(self, track: str) -> None:
        """Name the version, and this track, in all further answers."""
        version = self.dataplane.version.encode("ascii", "replace")
        self.labels = b"%b: %b\r\n%b: %b\r\n" % (
            contract.VERSION_HEADER.encode(),
            version,
            contract.TRACK_HEADER.encode(),
            track.encode(),
        )
        labels = self.labels.replace(b"%", b"%%")
        fields = b"X-Prediction-Id: %b\r\nContent-Length: %d\r\n\r\n%b"
        self._plain_response = response_start(200, JSON) + labels + fields

    def route(self, infer: "_Handler | None") -> None:
        """Have ``infer`` take the requests for inference that name no version; None: they are answered here."""
        self._repeats = Repeats()  # what was remembered went by the headers that mattered until now
        self._routes[self._infer_path] = (b"POST", infer or self.infer)
        if infer is None:
            self.recall, self.take = self.recalled, self.taken

    def __call__(self, exchange: RestExchange) -> None:
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

    def infer(self, exchange: RestExchange) -> None:
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

    async def _infer_large(self, exchange: RestExchange) -> None:
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

    def _submit(self, exchange: RestExchange) -> None:
        """Give a request that has been read to the model."""
        exchange.size = len(exchange.body)
        exchange.body = b""  # read, and the model may take its time
        self.dataplane.submit(exchange)

    def recalled(
        self, connection: Connection, data: bytes, kind: type[RepeatedExchange] = RepeatedExchange
    ) -> RepeatedExchange | None:
        """Return the inference request in ``data`` if it repeats an earlier one."""
        try:
            found = self._repeats.read(data)
        except BadRequestError:
            return None  # the long way says what is wrong
        if found is None:
            return None
        exchange = kind(connection)
        exchange.started = perf_counter()
        exchange.application = self
        exchange.request, exchange.form = found
        return exchange

    def taken(  # noqa: PLR0913, PLR0917 - what a shortcut is given
        self,
        connection: Connection,
        body: bytes,
        json_size: bytes | None,
        data: bytes,
        worth: bool,  # noqa: FBT001
        kind: type[WholeExchange] = WholeExchange,
    ) -> WholeExchange:
        """Return the inference request with this body; ``data`` is all of it, and worth remembering or not."""
        exchange = kind(connection)
        exchange.application = self
        exchange.body = body
        if worth:
            exchange.data = data
        if json_size is not None:
            exchange.headers = {_JSON_SIZE: json_size}
        return exchange

    def _learn(self, codec: Codec, exchange: RestExchange, json_size: int | None) -> None:
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
        batch.texts[RESPONSES] = responses
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
