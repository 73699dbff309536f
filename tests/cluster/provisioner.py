"""Provisions the StorageClass `standard`: a folder of the machine for each claim, as many as are asked for.

Each pass starts from what is there, so that a missed event or a
restart loses nothing.
"""

import shutil
import sys
import threading
import time
from http import HTTPStatus
from pathlib import Path

from tests.cluster.api import Api, ApiError
from tests.cluster.storage import is_released, volume_for

_CLAIMS = "/api/v1/persistentvolumeclaims"
_VOLUMES = "/api/v1/persistentvolumes"
_RETRY_SECONDS = 1.0
_RESYNC_SECONDS = 30.0


def reconcile(api: Api, folder: Path) -> None:
    """Create the volumes that claims wait for, and delete those whose claims are gone."""
    for claim in api.request("GET", _CLAIMS)["items"]:
        volume = volume_for(claim, folder)
        if volume is None:
            continue
        path = Path(volume["spec"]["hostPath"]["path"])
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)  # fsGroup does not apply to a hostPath, and pods run as users of their own
        try:
            api.request("POST", _VOLUMES, volume)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:  # made by an earlier pass and not bound yet
                raise
    for volume in api.request("GET", _VOLUMES)["items"]:
        if is_released(volume):
            shutil.rmtree(folder / volume["metadata"]["name"], ignore_errors=True)
            api.request("DELETE", f"{_VOLUMES}/{volume['metadata']['name']}")


def _signal_changes(api: Api, path: str, changed: threading.Event) -> None:
    """Set the event at every change below a path, and whenever some may have been missed."""
    while True:
        changed.set()
        try:
            for _ in api.watch(f"{path}?watch=true"):
                changed.set()
        except (OSError, ApiError, ValueError) as error:
            print(f"watching {path}: {error}", flush=True)
            time.sleep(_RETRY_SECONDS)


def main(kubeconfig: Path, folder: Path) -> None:
    """Serve claims until killed."""
    api = Api(kubeconfig)
    changed = threading.Event()
    for path in (_CLAIMS, _VOLUMES):
        threading.Thread(target=_signal_changes, args=(api, path, changed), daemon=True).start()
    while True:
        changed.wait(_RESYNC_SECONDS)
        changed.clear()
        try:
            reconcile(api, folder)
        except (OSError, ApiError, ValueError) as error:
            print(f"reconciling: {error}", flush=True)
            time.sleep(_RETRY_SECONDS)
            changed.set()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
