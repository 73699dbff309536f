"""The worker: what the container does, in a process that may end at any moment and is started again."""

import os
import signal
import socket
import time
from http import HTTPStatus
from pathlib import Path

from modelwright_capture import capturing
from modelwright_capture.capturing import BUSY_SECONDS, IDLE_SECONDS, Capture
from modelwright_capture.counts import Counts
from modelwright_capture.payloads import HttpSink, PayloadLog
from modelwright_capture.store import ObjectPlace
from modelwright_capture.table import RedactError, model_of
from modelwright_monitor import memory
from modelwright_monitor.exposition import CONTENT_TYPE
from modelwright_monitor.listener import Answer, Listener
from modelwright_server.contract import METRICS_PATH
from modelwright_server.contract.capture import CaptureSettings
from modelwright_server.logs import configure, log_error
from modelwright_server.stores import StoreAddressError

_END_SECONDS = 10.0


def main() -> int:
    """Work until told to end.

    Raises:
        SettingsError: the environment lacks something.
    """
    settings = CaptureSettings.from_env(os.environ)
    configure(namespace=settings.namespace, deployment=settings.deployment)
    memory.bound(memory.container_limit())
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    counts = Counts({"namespace": settings.namespace, "deployment": settings.deployment})
    listener = Listener(settings.host, settings.port, {METRICS_PATH: lambda _: _page(counts)})
    listener.start()
    try:
        made = Capture(settings, socket.gethostname(), ObjectPlace(settings), counts, _now) if settings.uri else None
        payloads = _payloads(settings, counts) if settings.log_url else None
    except (RedactError, StoreAddressError) as error:  # nothing is captured rather than too much
        log_error("nothing is captured", problem=str(error)[:500])
        signal.sigwait({signal.SIGTERM})
        return 0
    capturing.announce(settings)
    pause = 0.0
    while signal.sigtimedwait({signal.SIGTERM}, pause) is None:
        pause = made.step() if made is not None else IDLE_SECONDS
        if payloads is not None and payloads.step():
            pause = min(pause, BUSY_SECONDS)
    if payloads is not None:
        payloads.end(time.monotonic() + _END_SECONDS / 2)
    if made is not None:
        made.end(_now() + _END_SECONDS)
    return 0


def _payloads(settings: CaptureSettings, counts: Counts) -> PayloadLog:
    signature, digest = model_of(Path(settings.model_dir))
    return PayloadLog(settings, signature, digest, HttpSink(settings), counts)


def _now() -> float:
    return time.time_ns() / 1e9


def _page(counts: Counts) -> Answer:
    return Answer(HTTPStatus.OK, counts.page().encode(), CONTENT_TYPE)
