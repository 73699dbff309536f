"""The Open Inference Protocol's REST paths, and the metrics page, as applications for a listener.

Maps paths to the data plane and its errors to status codes; knows nothing of sockets.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import cache, partial
from importlib import metadata
from urllib.parse import unquote_to_bytes, urlsplit

import orjson

from modelwright_server import contract, telemetry
from modelwright_server.dataplane import DataPlane
from modelwright_server.errors import BadRequestError, ModelFailedError, NotReadyError, OverloadedError, ServingError
from modelwright_server.http.messages import Request, Response
from modelwright_server.telemetry import Telemetry

_LOG = logging.getLogger("modelwright.rest")
_Handler = Callable[[Request], "Response | asyncio.Future[Response]"]
_STATUS: dict[type[ServingError], int] = {
    BadRequestError: 400,
    ModelFailedError: 500,
    NotReadyError: 503,
    OverloadedError: 503,
}
_MODELS_SEGMENTS = ["", "v2", "models"]


class RestApplication:
    """Answers the requests of clients."""

    def __init__(self, dataplane: DataPlane, counts: Telemetry) -> None:
        self._dataplane = dataplane
        self._counts = counts
        model = f"/v2/models/{dataplane.name}"
        versioned = f"{model}/versions/{dataplane.version}"
        self._routes: dict[bytes, tuple[bytes, _Handler]] = {
            b"/v2": (b"GET", self._server),
            contract.LIVE_PATH.encode(): (b"GET", self._live),
            contract.READY_PATH.encode(): (b"GET", self._ready),
        }
        for path in (model, versioned):
            self._routes[path.encode()] = (b"GET", self._metadata)
            self._routes[f"{path}/ready".encode()] = (b"GET", self._model_ready)
            self._routes[f"{path}/infer".encode()] = (b"POST", self._infer)

    def __call__(self, request: Request) -> Response | asyncio.Future[Response]:
        """Return the response to ``request``, or its future."""
        found = self._routes.get(request.target)
        if found is None:
            path = _path(request.target)
            found = self._routes.get(path)
            if found is None:
                return self._unknown(path)
        method, handler = found
        if request.method != method:
            allowed = b"GET, HEAD" if method == b"GET" else method
            shown = request.method.decode("ascii", "replace")
            return _error(405, f"this path takes {allowed.decode()}, not {shown}", allow=allowed)
        return handler(request)

    def _server(self, _: Request) -> Response:
        return _json({"name": "modelwright", "version": _version(), "extensions": []})

    def _live(self, _: Request) -> Response:
        return _json({"live": True})

    def _ready(self, _: Request) -> Response:
        ready = self._dataplane.ready
        return _json({"ready": ready}, 200 if ready else 503)

    def _model_ready(self, _: Request) -> Response:
        ready = self._dataplane.ready
        return _json({"name": self._dataplane.name, "ready": ready}, 200 if ready else 503)

    def _metadata(self, _: Request) -> Response:
        try:
            return Response(200, self._dataplane.metadata())
        except ServingError as error:
            return _failure(error)

    def _infer(self, request: Request) -> Response | asyncio.Future[Response]:
        """Answer an inference request; count it and what it took."""
        start = time.perf_counter()
        self._counts.in_flight += 1
        if request.headers and (refusal := _refusal(request)):
            return self._counted(refusal, start)
        try:
            answer = self._dataplane.infer(request.body)
        except ServingError as error:
            return self._counted(_failure(error), start)
        if isinstance(answer, bytes):
            return self._counted(Response(200, answer), start)
        response: asyncio.Future[Response] = answer.get_loop().create_future()
        answer.add_done_callback(partial(self._settle, response, start))
        response.add_done_callback(lambda _: answer.cancel())  # of use when the client went away
        return response

    def _settle(self, response: asyncio.Future[Response], start: float, answer: asyncio.Future[bytes]) -> None:
        """Turn a slow answer, or what became of it, into a response."""
        if answer.cancelled() or response.done():
            self._counts.in_flight -= 1
            return
        problem = answer.exception()
        if problem is None:
            settled = Response(200, answer.result())
        elif isinstance(problem, ServingError):
            settled = _failure(problem)
        else:
            _LOG.error("answering a request failed", exc_info=problem)
            settled = _error(500, "the server failed: its log says why")
        response.set_result(self._counted(settled, start))

    def _counted(self, response: Response, start: float) -> Response:
        self._counts.in_flight -= 1
        self._counts.answered(response.status, time.perf_counter() - start)
        return response

    def _unknown(self, path: bytes) -> Response:
        """Say which part of a path is unknown."""
        segments = path.decode("utf-8", "replace").split("/")
        name, version = self._dataplane.name, self._dataplane.version
        if segments[:3] == _MODELS_SEGMENTS and len(segments) > 3:  # noqa: PLR2004 - /v2/models/NAME
            if segments[3] != name:
                return _error(404, f"unknown model {segments[3]!r:.80}: this server has {name!r}")
            if segments[4:5] == ["versions"] and segments[5:6] != [version]:
                return _error(404, f"unknown version {'/'.join(segments[5:6])!r:.80} of {name!r}: it is {version!r}")
        return _error(404, f"unknown path {'/'.join(segments)!r:.80}: see the Open Inference Protocol, from /v2 on")


class MetricsApplication:
    """Answers whoever collects metrics."""

    def __init__(self, counts: Telemetry) -> None:
        self._counts = counts

    def __call__(self, request: Request) -> Response:
        """Return the response to ``request``."""
        path = _path(request.target)
        if path != contract.METRICS_PATH.encode():
            return _error(404, f"unknown path: metrics are at {contract.METRICS_PATH}")
        if request.method != b"GET":
            return _error(405, "this path takes GET", allow=b"GET, HEAD")
        return Response(200, self._counts.render(), telemetry.CONTENT_TYPE)


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


def _refusal(request: Request) -> Response | None:
    """Return the answer to a request whose body is not plain JSON."""
    coding = request.headers.get(b"content-encoding", b"identity")
    if coding.lower() != b"identity":
        return _error(415, "the body must not be compressed: Content-Encoding is not supported")
    if b"inference-header-content-length" in request.headers:
        return _error(400, "binary tensor data is not supported: send the tensors' data as JSON")
    return None


def _json(document: object, status: int = 200) -> Response:
    return Response(status, orjson.dumps(document))


def _failure(error: ServingError) -> Response:
    return _error(_STATUS[type(error)], str(error))


def _error(status: int, problem: str, *, allow: bytes = b"") -> Response:
    return Response(status, orjson.dumps({"error": problem}), allow=allow)
