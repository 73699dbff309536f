"""The worker: what the sidecar does, in a process that may end at any moment and is started again."""

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path

from modelwright_monitor import apiserver, memory
from modelwright_monitor.control import Control
from modelwright_monitor.follow import Follower
from modelwright_monitor.keeper import Keeper
from modelwright_server.contract import MonitorSettings
from modelwright_server.logs import configure


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

    keeper = Keeper(settings, socket.gethostname(), _own_address(identity), connect)
    keeper.start()
    Follower(connect, Control(Path(settings.control_dir)), keeper.take).run()


def _own_address(identity: apiserver.Identity) -> str:
    """Return the pod's address, as it is on the way to the API server; nothing is sent for that."""
    found = socket.getaddrinfo(identity.host, identity.port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])
