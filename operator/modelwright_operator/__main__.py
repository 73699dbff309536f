"""`python -m modelwright_operator`: everything is wired here, once."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
from typing import Any

import kopf
import structlog
import uvloop

from modelwright_operator import handlers
from modelwright_operator import settings as configuration
from modelwright_operator.cluster import health, kube
from modelwright_operator.cluster.check_reader import CheckReader
from modelwright_operator.cluster.evidence import EvidenceReader
from modelwright_operator.cluster.execute import Executor
from modelwright_operator.cluster.inbox import Inbox
from modelwright_operator.cluster.leader import Leader
from modelwright_operator.cluster.notify import Notifier
from modelwright_operator.cluster.progress import ProgressReader
from modelwright_operator.cluster.reconcile import Reconciler
from modelwright_operator.cluster.rejections import RejectionReader
from modelwright_operator.cluster.routes import RouteReader
from modelwright_operator.cluster.store import Owner, Store
from modelwright_operator.cluster.telemetry import Telemetry, conditions
from modelwright_operator.cluster.workqueue import WorkQueue
from modelwright_operator.errors import OperatorError, SettingsError

log = structlog.get_logger("modelwright_operator")

_STUCK_SECONDS = 300.0
_MISSED_RESYNCS = 3


def configure_logging(settings: configuration.Settings) -> None:
    """Send structured lines to stderr, kopf's and the libraries' among them."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(max(level, logging.WARNING))
    logging.getLogger("modelwright.audit").setLevel(logging.INFO)


class Operator:
    """One operator process."""

    def __init__(self, settings: configuration.Settings, port: kube.Kube) -> None:
        self._settings = settings
        self._port = port
        self._telemetry = Telemetry()
        self._store = Store()
        self._queue: WorkQueue[Owner] = WorkQueue()
        self._inbox = Inbox(settings, port, self._store, self._queue)
        self._progress = ProgressReader(settings, port, self._store, self._queue)
        self._evidence = EvidenceReader(settings, port, self._store, self._queue)
        self._checks = CheckReader(settings, port, self._store, self._queue)
        self._rejections = RejectionReader(settings, port, self._store, self._queue)
        self._routes = RouteReader(settings, port, self._store, self._queue)
        self._leader = Leader(settings, port)
        port.fence(lambda: self._leader.proven)
        self._notifier = Notifier(settings, self._telemetry)
        executor = Executor(port, self._store, settings, self._notifier)
        self._reconciler = Reconciler(settings, self._store, self._queue, executor, self._telemetry)
        self._telemetry.leader.set_function(lambda: float(self._leader.leading))
        self._telemetry.observe_conditions(lambda: conditions(self._store) if self._leader.leading else ())
        self._telemetry.observe(
            "modelwright_operator_queue_depth", "Objects waiting to be reconciled.", lambda: float(len(self._queue))
        )
        self._telemetry.observe(
            "modelwright_operator_queue_oldest_seconds",
            "Age of the oldest object waiting or in work, in seconds.",
            lambda: self._queue.oldest_seconds,
        )
        self._telemetry.observe(
            "modelwright_operator_last_resync_age_seconds",
            "Time since everything was last listed, in seconds.",
            lambda: self._inbox.resync_age_seconds,
        )

    def _live(self) -> str | None:
        if self._queue.oldest_seconds > _STUCK_SECONDS:
            return f"the queue is stuck: its oldest key is {self._queue.oldest_seconds:.0f} s old"
        if self._inbox.resync_age_seconds > self._settings.resync_seconds * _MISSED_RESYNCS + 60:
            return f"the last full list is {self._inbox.resync_age_seconds:.0f} s old"
        return None

    def _ready(self) -> str | None:
        if self._leader.leading and not self._inbox.synced:
            return "not synced yet"
        return self._live()

    async def run(self) -> int:
        """Run until told to stop; return the exit code."""
        runners = await health.serve(self._settings, self._telemetry, self._live, self._ready)
        try:
            await self._leader.acquire()
            return await self._lead()
        finally:
            await self._leader.release()
            self._queue.close()
            for runner in runners:
                await runner.cleanup()
            await self._port.close()

    async def _lead(self) -> int:
        # The first list of many objects may take longer than a Lease lasts.
        keeping = asyncio.create_task(self._leader.keep(), name="leadership")
        syncing = asyncio.create_task(self._first_sync(), name="first sync")
        try:
            await asyncio.wait({keeping, syncing}, return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                return 1
            await syncing
            return await self._work(keeping)
        finally:
            keeping.cancel()
            syncing.cancel()

    async def _work(self, keeping: asyncio.Task[None]) -> int:
        stopping = asyncio.Event()
        watching = asyncio.create_task(
            kopf.operator(
                registry=handlers.registry(self._inbox, stopping),
                settings=handlers.settings(),
                clusterwide=not self._settings.watch_namespaces,
                namespaces=self._settings.watch_namespaces,
                standalone=True,
            ),
            name="watching",
        )
        # kopf takes five seconds to end, for which no successor should have to wait: its cleaning up tells of a signal.
        told = asyncio.create_task(stopping.wait(), name="stopping")
        tasks: set[asyncio.Task[Any]] = {
            watching,
            told,
            asyncio.create_task(self._resync(), name="resync"),
            asyncio.create_task(self._progress.run(), name="progress"),
            asyncio.create_task(self._rejections.run(), name="rejections"),
            asyncio.create_task(self._evidence.run(), name="evidence"),
            asyncio.create_task(self._checks.run(), name="checks"),
            asyncio.create_task(self._routes.run(), name="routes"),
            asyncio.create_task(self._notifier.run(), name="notifications"),
            keeping,
            *(asyncio.create_task(self._reconciler.work(), name=f"worker-{i}") for i in range(self._settings.workers)),
        }
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        code = 0
        for task in tasks:
            error = task.exception() if not task.cancelled() else None
            if error is not None or (task in ended and task not in {watching, told}):
                log.error("ended", task=task.get_name(), error=str(error) if error else "leadership lost")
                code = 1
        return code

    async def _first_sync(self) -> None:
        while True:
            try:
                await self._inbox.resync()
            except OperatorError as error:
                log.warning("not synced yet; is the chart's RBAC and are its CRDs installed?", error=str(error))
                await asyncio.sleep(2.0)
            else:
                return

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds * random.uniform(0.9, 1.1))  # noqa: S311  # jitter
            try:
                await self._inbox.resync()
            except OperatorError as error:
                log.warning("resync failed; tried again at the next turn", error=str(error))


async def _run(settings: configuration.Settings) -> int:
    running = asyncio.create_task(Operator(settings, await kube.connect(settings)).run())
    # Before kopf handles signals, for who stands by: PID 1 of a container does not end by those it does not handle.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        return 0


def main() -> int:
    """Run the operator with the settings of the environment."""
    try:
        settings = configuration.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"modelwright-operator: {error}\n")
        return 2
    configure_logging(settings)
    log.info("starting", settings=str(settings))
    return uvloop.run(_run(settings))


if __name__ == "__main__":
    sys.exit(main())
