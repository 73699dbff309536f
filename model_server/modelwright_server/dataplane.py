"""What the server does with a request, whatever transport brought it: readiness, metadata, inference."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from modelwright_server.errors import ModelFailedError, NotReadyError, OverloadedError
from modelwright_server.http.codec import Codec, InferRequest
from modelwright_server.model import InferenceError, Model
from modelwright_server.telemetry import Telemetry

# A call expected to take longer runs in a thread, so that health checks and other clients do not
# wait for it; a shorter one would lose more to the hand-over.
INLINE_SECONDS = 0.0003
# Calls that may wait for the thread, and what their arrays may take together.
MAX_WAITING = 256
MAX_WAITING_BYTES = 128 << 20


class DataPlane:
    """One model, from the time before it is loaded to the end of the drain."""

    def __init__(self, name: str, version: str, max_rows: int, telemetry: Telemetry) -> None:
        self.name, self.version = name, version
        self._max_rows = max_rows
        self._telemetry = telemetry
        self._model: Model | None = None
        self._codec: Codec | None = None
        self._thread = ThreadPoolExecutor(1, "inference")
        self._waiting = self._waiting_bytes = 0

    @property
    def ready(self) -> bool:
        """Whether traffic is wanted: a model is loaded and the drain has not begun."""
        return self._telemetry.ready

    def attach(self, model: Model) -> None:
        """Begin to serve ``model``."""
        self._codec = Codec(model.schema, self.name, self.version, self._max_rows)
        self._model = model
        self._telemetry.ready = True

    def drain(self) -> None:
        """Want no more traffic; requests that come all the same are answered."""
        self._telemetry.ready = False

    def close(self) -> None:
        """Give up calls that have not begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def metadata(self) -> bytes:
        """Return the model's metadata as JSON.

        Raises:
            NotReadyError: no model is loaded yet.
        """
        return self._loaded()[1].metadata()

    def infer(self, body: bytes | bytearray) -> bytes | asyncio.Future[bytes]:
        """Return the JSON answer to a JSON request, or its future if the model is slow.

        Raises:
            ServingError: also as the future's exception.
        """
        model, codec = self._loaded()
        request = codec.read(body)
        if model.cost.of(request.rows) <= INLINE_SECONDS:
            answer = _answer(model, codec, request)
            self._telemetry.rows += request.rows
            return answer
        size = sum(array.nbytes for array in request.feeds.values())
        if self._waiting >= MAX_WAITING or (self._waiting and self._waiting_bytes + size > MAX_WAITING_BYTES):
            raise OverloadedError(problem=f"{self._waiting} calls wait for the model: try again later")
        self._waiting += 1
        self._waiting_bytes += size
        future = asyncio.get_running_loop().run_in_executor(self._thread, _answer, model, codec, request)
        future.add_done_callback(partial(self._done, request.rows, size))
        return future

    def _done(self, rows: int, size: int, future: asyncio.Future[bytes]) -> None:
        self._waiting -= 1
        self._waiting_bytes -= size
        if not future.cancelled() and future.exception() is None:
            self._telemetry.rows += rows

    def _loaded(self) -> tuple[Model, Codec]:
        if self._model is None or self._codec is None:
            raise NotReadyError(problem=f"model {self.name!r} is still being loaded: try again")
        return self._model, self._codec


def _answer(model: Model, codec: Codec, request: InferRequest) -> bytes:
    """Run the model on a checked request; also called in the thread, so it touches nothing shared."""
    try:
        arrays = model.run(request.feeds, request.outputs)
    except InferenceError as error:
        raise ModelFailedError(problem=f"the model failed: {error}") from error
    return codec.write(request, arrays)
