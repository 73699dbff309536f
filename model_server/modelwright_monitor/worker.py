"""The worker: what the sidecar does, in a process that may end at any moment and is started again."""

import os
import signal
import socket
import threading
import traceback
from contextlib import AbstractContextManager
from pathlib import Path

from modelwright_monitor import apiserver, memory
from modelwright_monitor.addresses import by_name
from modelwright_monitor.apiserver import Object
from modelwright_monitor.control import Control
from modelwright_monitor.follow import Follower
from modelwright_monitor.keeper import Keeper
from modelwright_monitor.labels import Labels
from modelwright_server.contract import MonitorSettings, monitoring
from modelwright_server.logs import configure

_LEAVE_SECONDS = 2.0


def main() -> int:
    """Work until told to end.

    Raises:
        SettingsError: the environment lacks something.
        ApiError: this is no pod.
    """
    settings = MonitorSettings.from_env(os.environ)
    configure(namespace=settings.namespace, deployment=settings.deployment)
    memory.bound(memory.container_limit())
    identity = apiserver.Identity.of_pod(os.environ, Path(settings.credentials_dir))

    def connect() -> AbstractContextManager[apiserver.Connection]:
        return apiserver.connect(identity, settings.namespace, settings.deployment)

    def observe(seen: Object | None) -> None:
        labels.take(seen)
        keeper.take(seen)

    address = _own_address(identity)
    service = f"{monitoring.service_name(settings.deployment)}.{settings.namespace}.svc"
    labels = Labels(settings, address, lambda: by_name(service), connect)
    keeper = Keeper(settings, socket.gethostname(), address, connect, labels)
    follower = Follower(connect, Control(Path(settings.control_dir)), observe)
    # No thread takes the signal by a handler: one that waits for the API server would come to it only with the answer.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_follow, args=(follower,), name="follower", daemon=True).start()
    labels.start()
    keeper.start()
    signal.sigwait({signal.SIGTERM})
    # The supervisor gives the worker five seconds: neither of the two is to wait for the other.
    ending = [
        threading.Thread(target=keeper.end, args=(_LEAVE_SECONDS,), daemon=True),
        threading.Thread(target=labels.end, daemon=True),
    ]
    for thread in ending:
        thread.start()
    for thread in ending:
        thread.join()
    return 0


def _follow(follower: Follower) -> None:
    """Follow; whatever ends that ends the worker, which the supervisor starts again."""
    try:
        follower.run()
    except BaseException:  # noqa: BLE001 - see above
        traceback.print_exc()
    finally:
        os._exit(1)


def _own_address(identity: apiserver.Identity) -> str:
    """Return the pod's address, as it is on the way to the API server; nothing is sent for that."""
    found = socket.getaddrinfo(identity.host, identity.port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])
