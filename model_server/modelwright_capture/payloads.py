"""Payload logging: chosen rows as CloudEvents, a request and a response for each, as KServe's logger sends them.

Binary mode over HTTP (CloudEvents HTTP binding 1.0.2, §3.1) with KServe's types and extensions, so that sinks made for
it work.  A row is a request of its own: the server answers several in one call of the model, and keeps no borders
between them.  Both events of a row have the prediction's id.

A sink that is slow or away loses events, which are counted; nobody waits for it.  One that hangs up while it answers
may get an event twice, with the same id.
"""

import http.client
import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from modelwright_capture import rows
from modelwright_capture.counts import CHOSEN, DROPPED, LOST, SENT, UNREADABLE, Counts
from modelwright_capture.rows import Chunk
from modelwright_capture.source import News, Source
from modelwright_capture.table import check_redacted, decoded, issuer_of
from modelwright_server.contract import CANARY, capture
from modelwright_server.contract.capture import CaptureSettings
from modelwright_server.logs import log_error
from modelwright_server.prediction import Issuer, track_of
from modelwright_server.ring import Origin, RingError
from modelwright_server.schema import Schema, TensorSpec

REQUEST: Final = "org.kubeflow.serving.inference.request"
RESPONSE: Final = "org.kubeflow.serving.inference.response"
_TIMEOUT_SECONDS = 5.0
_WAITING = 1000
_SAID_SECONDS = 60.0
_END_SECONDS = 5.0

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Payload:
    """What an event carries.

    Attributes:
        kind: `REQUEST` or `RESPONSE`.
        id: of the prediction.
        time: nanoseconds since 1970.
        track: that answered.
        body: as the Open Inference Protocol has it, JSON.
    """

    kind: str
    id: str
    time: int
    track: str
    body: bytes


class SinkError(Exception):
    """An event was not taken; the text says why."""


class Sink(Protocol):
    """Takes events."""

    def post(self, payload: Payload) -> None:
        """Send one.

        Raises:
            SinkError: nobody took it.
        """
        ...

    def close(self) -> None:
        """Give back what is held open."""
        ...


class HttpSink:
    """An HTTP server, over one connection that stays open."""

    def __init__(self, settings: CaptureSettings) -> None:
        self._settings, self._address = settings, urlsplit(settings.log_url)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, payload: Payload) -> None:
        """Send an event; see `Sink`."""
        headers, body = _encoded(self._settings, payload)
        fresh = self._connection is None
        try:
            status = self._send(headers, body)
        except (http.client.HTTPException, OSError) as error:
            self.close()
            if fresh:
                message = f"{type(error).__name__}: {error}"
                raise SinkError(message) from error
            self.post(payload)  # the server may have closed the connection meanwhile
            return
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            message = f"the sink answered {status}"
            raise SinkError(message)

    def _send(self, headers: Mapping[str, str], body: bytes) -> int:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._address.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(self._address.hostname or "", self._address.port, timeout=_TIMEOUT_SECONDS)
        path = self._address.path or "/"
        target = f"{path}?{self._address.query}" if self._address.query else path
        self._connection.request("POST", target, body, dict(headers))
        answer = self._connection.getresponse()
        answer.read(1 << 16)
        if not answer.isclosed():  # there is more, which nobody wants
            self.close()
        return answer.status

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _encoded(settings: CaptureSettings, payload: Payload) -> tuple[dict[str, str], bytes]:
    """Return an event's headers and body."""
    from cloudevents.core.bindings.http import to_binary_event  # noqa: PLC0415 - 10 MiB, for those who want events
    from cloudevents.core.formats.json import JSONFormat  # noqa: PLC0415
    from cloudevents.core.v1.event import CloudEvent  # noqa: PLC0415

    event = CloudEvent(
        attributes={
            "specversion": "1.0",
            "id": payload.id,
            "type": payload.kind,
            "source": f"/apis/modelwright.dev/v1alpha1/namespaces/{settings.namespace}"
            f"/modeldeployments/{settings.deployment}",
            "time": datetime.fromtimestamp(payload.time / 1e9, UTC),
            "datacontenttype": "application/json",
            "inferenceservicename": settings.deployment,
            "namespace": settings.namespace,
            "component": "predictor",
            "endpoint": "canary" if payload.track == CANARY else "default",
        },
        data=payload.body,
    )
    made = to_binary_event(event, JSONFormat())
    return dict(made.headers), bytes(made.body)


class PayloadLog:
    """Rings into events, and those to a sink by a thread of their own."""

    def __init__(self, settings: CaptureSettings, signature: Schema, digest: str, sink: Sink, counts: Counts) -> None:
        """Begin with what is answered from now on.

        Raises:
            RedactError: what is to be left out is no feature.
        """
        self._settings, self._schema, self._digest, self._sink, self._counts = settings, signature, digest, sink, counts
        check_redacted(signature, settings.log_redacted, "payloadLog")
        self._hidden = frozenset(settings.log_redacted)
        self._source = Source(Path(settings.ring_dir), signature, digest, {})
        self._waiting: queue.Queue[Payload | None] = queue.Queue(_WAITING)
        self._said = 0.0
        self._thread = threading.Thread(target=self._send, name="payloads", daemon=True)
        self._thread.start()

    def step(self) -> bool:
        """Look at the rings once; tell whether there was anything."""
        busy = False
        for news in self._source.poll():
            self._counts.add(capture.METRIC_EVENTS, LOST, news.lost)
            busy |= bool(news.records)
            chosen, unreadable = rows.cut(news.records, self._settings.log_percent)
            self._counts.add(capture.METRIC_EVENTS, UNREADABLE, unreadable)
            for payload in self._payloads(news, chosen):
                self._counts.add(capture.METRIC_EVENTS, CHOSEN)
                try:
                    self._waiting.put_nowait(payload)
                except queue.Full:
                    self._counts.add(capture.METRIC_EVENTS, DROPPED)
        return busy

    def end(self, deadline: float) -> None:
        """Read what is left, and send what waits until a time of the monotonic clock."""
        self.step()
        left = min(_END_SECONDS, max(0.0, deadline - time.monotonic()))
        self._source.close()
        try:
            self._waiting.put(None, timeout=left)
        except queue.Full:
            return
        self._thread.join(left)

    def _send(self) -> None:
        while (payload := self._waiting.get()) is not None:
            try:
                self._sink.post(payload)
            except SinkError as error:
                self._counts.add(capture.METRIC_EVENTS, DROPPED)
                if time.monotonic() - self._said > _SAID_SECONDS:
                    self._said = time.monotonic()
                    log_error("payloads are dropped", problem=str(error)[:500])
            else:
                self._counts.add(capture.METRIC_EVENTS, SENT)
        self._sink.close()

    def _payloads(self, news: News, chosen: Sequence[Chunk]) -> Iterator[Payload]:
        issuer = issuer_of(self._schema, self._digest, news.origin.nonce)
        for chunk in chosen:
            try:
                yield from self._of_chunk(issuer, news.origin, chunk)
            except (RingError, ValueError):
                self._counts.add(capture.METRIC_EVENTS, UNREADABLE, len(chunk.marks))

    def _of_chunk(self, issuer: Issuer, origin: Origin, chunk: Chunk) -> Iterator[Payload]:
        given, answered, ids = decoded(issuer, origin, chunk)
        mode = self._settings.log_mode
        for at, (name, mark) in enumerate(zip(ids, chunk.marks, strict=True)):
            track = track_of(int(mark))
            if mode != capture.RESPONSES:
                inputs = list(_tensors(self._schema.inputs, given, at, self._hidden))
                yield Payload(REQUEST, name, chunk.time, track, _json({"id": name, "inputs": inputs}))
            if mode != capture.REQUESTS:
                stated = {"model_name": origin.model, "model_version": origin.version, "id": name}
                outputs = list(_tensors(self._schema.outputs, answered, at, frozenset()))
                yield Payload(RESPONSE, name, chunk.time, track, _json({**stated, "outputs": outputs}))


def _tensors(
    specs: Sequence[TensorSpec], arrays: Sequence[Array], at: int, hidden: frozenset[str]
) -> Iterator[dict[str, Any]]:
    """Return one row of tensors, as the protocol has them; a column that is left out is null, a tensor is not there."""
    for spec, array in zip(specs, arrays, strict=True):
        if not spec.columns and spec.name in hidden:
            continue
        values = [_value(item) for item in array[at : at + 1].ravel().tolist()]
        if spec.columns and hidden:
            values = [None if name in hidden else item for name, item in zip(spec.columns, values, strict=True)]
        shape = [1, *(int(length) for length in array.shape[1:])]
        yield {"name": spec.name, "shape": shape, "datatype": spec.datatype.value, "data": values}


def _value(item: object) -> object:
    """Return a value as JSON has it: it knows no NaN and no infinity."""
    return None if isinstance(item, float) and not np.isfinite(item) else item


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
