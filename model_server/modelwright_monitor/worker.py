"""The worker: what the sidecar does, in a process that may end at any moment and is started again."""

import os
from pathlib import Path

from modelwright_monitor import apiserver, memory
from modelwright_monitor.control import Control
from modelwright_monitor.follow import Follower
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
    Follower(
        lambda: apiserver.connect(identity, settings.namespace, settings.deployment),
        Control(Path(settings.control_dir)),
    ).run()
