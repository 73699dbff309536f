"""What the server does with a request, whatever transport brought it: readiness, signature, inference."""

from collections.abc import Callable, Sequence
from typing import NoReturn

from modelwright_server.batching import Batch, Batcher, Waiter
from modelwright_server.errors import NotReadyError
from modelwright_server.model import Model
from modelwright_server.prediction import Issuer
from modelwright_server.ring import RingWriter, cut_texts, most_row_bytes
from modelwright_server.schema import Schema
from modelwright_server.telemetry import Telemetry
from modelwright_server.tensors import Array, Signature

# Records of one call, each a sixteenth of the ring at most.
_RECORDS = 8

__all__ = ["Batch", "DataPlane", "Waiter"]


class DataPlane:
    """One model, from the time before it is loaded to the end of the drain.

    Attributes:
        name: the model's name in paths and answers.
        version: its version's.
        submit: has a request answered; never blocks; raises `NotReadyError` before a model is loaded, `OverloadedError`
            if too many requests wait already.
    """

    def __init__(self, name: str, version: str, max_rows: int, telemetry: Telemetry, *, batch_rows: int = 1) -> None:
        self.name, self.version = name, version
        self._max_rows = max_rows
        self._batch_rows = batch_rows
        self._telemetry = telemetry
        self._signature: Signature | None = None
        self._batcher: Batcher | None = None
        self._issuer: Issuer | None = None
        self.submit: Callable[[Waiter], None] = self._refuse

    @property
    def ready(self) -> bool:
        """Whether traffic is wanted: a model is loaded and the drain has not begun."""
        return self._telemetry.ready

    @property
    def signature(self) -> Signature:
        """What the model takes and gives.

        Raises:
            NotReadyError: no model is loaded yet.
        """
        if self._signature is None:
            raise self._not_ready()
        return self._signature

    @property
    def waiting(self) -> int:
        """Number of requests that wait for the model."""
        return self._batcher.waiting if self._batcher is not None else 0

    def attach(self, model: Model, issuer: Issuer, ring: RingWriter | None = None) -> None:
        """Begin to serve ``model``, on the running event loop."""
        signature = Signature(model.schema, self._max_rows)
        recorder = _Recorder(ring, model.schema) if ring is not None else None
        self._batcher = Batcher(
            model, signature, issuer, self._telemetry, most_rows=self._batch_rows, recorder=recorder
        )
        self._signature = signature
        self._issuer = issuer
        self.submit = self._batcher.submit
        self._telemetry.ready = True

    def serve(self, track: str) -> None:
        """Count for this track, and name it in the ids of predictions, from now on."""
        self._telemetry.track = track
        if self._issuer is not None:
            self._issuer.serve(track)

    def drain(self) -> None:
        """Want no more traffic; requests that come all the same are answered."""
        self._telemetry.ready = False

    def close(self) -> None:
        """Give up calls that have not begun."""
        if self._batcher is not None:
            self._batcher.close()

    def _refuse(self, _: Waiter) -> NoReturn:
        raise self._not_ready()

    def _not_ready(self) -> NotReadyError:
        return NotReadyError(problem=f"model {self.name!r} is still being loaded: try again")


class _Recorder:
    """Writes each answered call into the ring that monitoring reads.

    Calls with many rows become several records; what would take more than half of the ring is lost, and counted.
    """

    def __init__(self, ring: RingWriter, schema: Schema) -> None:
        self._append = ring.append
        self._drop = ring.drop
        self._record_rows = max(1, ring.record_values // most_row_bytes(schema))
        self._most_rows = self._record_rows * _RECORDS

    def __call__(self, rows: int, arrays: Sequence[Array], mark: int, time: int) -> None:
        """Write the arrays of one call in their raw form."""
        if rows <= self._record_rows:
            self._append(rows, _raw(arrays), mark, time)
            return
        for start in range(0, min(rows, self._most_rows), self._record_rows):
            part = [array[start : start + self._record_rows] for array in arrays]
            self._append(len(part[0]), _raw(part), mark + start, time)
        if rows > self._most_rows:
            self._drop(rows - self._most_rows)


def _raw(arrays: Sequence[Array]) -> list[bytes]:
    """Return the raw form of arrays."""
    return [cut_texts(array.ravel().tolist()) if array.dtype == object else array.tobytes() for array in arrays]
