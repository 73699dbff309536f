"""The StorageClass `standard`: which volume a claim needs, and when a volume may go."""

from pathlib import Path

from tests.cluster.api import Json

CLASS = "standard"
PROVISIONER = "modelwright.dev/folder"
STORAGE_CLASS: Json = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",  # as on most clusters
}
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"


def volume_for(claim: Json, folder: Path) -> Json | None:
    """Return the PersistentVolume that a claim needs, None if it needs none now."""
    metadata, spec = claim["metadata"], claim["spec"]
    waits = _SELECTED_NODE in metadata.get("annotations", {}) and not spec.get("volumeName")
    if spec.get("storageClassName") != CLASS or not waits or "deletionTimestamp" in metadata:
        return None
    name = f"pvc-{metadata['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "storageClassName": CLASS,
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": str(folder / name), "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def is_released(volume: Json) -> bool:
    """Tell whether a volume is ours and its claim is gone."""
    ours = volume["metadata"].get("annotations", {}).get(_PROVISIONED_BY) == PROVISIONER
    return bool(ours and volume.get("status", {}).get("phase") == "Released")
