"""PID 1 of the sidecar's container: starts the worker again whenever it ends, so that the container never does.

A container that ends over and over makes its whole pod unready, and so takes a model that answers well out of service
for the sake of what only looks on.  Therefore this process does next to nothing: it imports nothing that can fail,
forks, and waits.
"""

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# A worker that ran for so long ended for a new reason: the pauses begin anew.
STEADY_SECONDS = 60.0
# How long a worker may take to end; then it hangs.
LAST_SECONDS = 5.0

_STOP = {signal.SIGTERM, signal.SIGINT}
_WAITED_FOR = {*_STOP, signal.SIGCHLD}


def supervise(work: Callable[[], int], last_seconds: float = LAST_SECONDS) -> int:
    """Run ``work`` in a process of its own, again and again, until SIGTERM or SIGINT; return the exit code.

    Then it has so many seconds to end by itself.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    gc.freeze()  # the worker's collector leaves these pages alone, so they stay shared
    pause = FIRST_PAUSE_SECONDS
    while True:
        started = time.monotonic()
        worker = _start(work)
        status = _wait(worker)
        if status is None:
            _end(worker, last_seconds)
            return 0
        if time.monotonic() - started >= STEADY_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        _tell("worker ended", status=status, againInSeconds=pause)
        if _stopped_within(pause):
            return 0
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _start(work: Callable[[], int]) -> int:
    """Return the process id of a new worker."""
    worker = os.fork()
    if worker:
        return worker
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)
        code = work()
    except BaseException:  # noqa: BLE001 - whatever it is, it ends here and not in the supervisor's loop
        traceback.print_exc()
    finally:
        os._exit(code)


def _wait(worker: int) -> int | None:
    """Return how the worker ended, as `os.waitstatus_to_exitcode` has it; None: this process is to end."""
    while True:
        told = signal.sigwaitinfo(_WAITED_FOR)
        if told.si_signo in _STOP:
            return None
        status = _collect(worker)
        if status is not None:
            return status


def _collect(worker: int) -> int | None:
    """Collect every process that has ended, orphans too; return how the worker ended if it is among them."""
    found = None
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not process:
            return found
        if process == worker:
            found = os.waitstatus_to_exitcode(status)


def _end(worker: int, seconds: float) -> None:
    os.kill(worker, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while _collect(worker) is None:
        left = deadline - time.monotonic()
        if left <= 0 or (signal.sigtimedwait({signal.SIGCHLD}, left) is None):
            os.kill(worker, signal.SIGKILL)
            return


def _stopped_within(seconds: float) -> bool:
    return signal.sigtimedwait(_STOP, seconds) is not None


def _tell(event: str, **fields: object) -> None:
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "level": "error", "event": event, **fields}
    sys.stderr.write(json.dumps(line) + "\n")
