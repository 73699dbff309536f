"""An artifact into an object store, as if it appeared there at once.

The manifest comes last, and put under the condition that there is none: until it is there, nothing is published. Every
other object is put under the same condition, or, if it is large, in parts that appear together; what is there already
is kept if it is what the manifest says. So any number of jobs, retries and crashes end in the one artifact.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from modelwright_server import artifact, stores, transfer
from modelwright_server.stores.objects import UPLOAD_PART_BYTES, Bucket
from modelwright_server.stores.sink import Sink
from modelwright_training.log import logger, progress

if TYPE_CHECKING:
    from modelwright_training.publish import Beside


def store(source: Path, address: stores.ObjectAddress, access: stores.Access, digest: str, beside: "Beside") -> bool:
    """Upload the verified artifact in the folder `source`, and what goes beside; return whether it was there, whole.

    One that was there gets the signature, if it has none or another.

    Raises:
        stores.StoreError: the store cannot be reached, or refuses.
        artifact.ArtifactError: the source changed meanwhile.
        OSError: the source cannot be read.

    """
    bucket = Bucket(address, access)
    manifest = artifact.verify(source, digest)
    if _is_whole(bucket, address, digest):
        _sign(bucket, address, beside.signature)
        return True
    for index, item in enumerate(manifest.files):
        progress(100 * index // len(manifest.files), f"uploading {item.path}")
        _put(bucket, address, item, source / item.path)
    if beside.report is not None:
        bucket.create(address.child(artifact.REPORT).path, beside.report)
    _sign(bucket, address, beside.signature)
    path, data = address.child(artifact.MANIFEST).path, manifest.to_bytes()
    if not bucket.create(path, data) and bucket.read(path, artifact.MAX_MANIFEST_BYTES) != data:
        logger.warning("%s/%s is damaged and will be replaced", address, artifact.MANIFEST)
        bucket.replace(path, data)
    return False


def _sign(bucket: Bucket, address: stores.ObjectAddress, signature: bytes | None) -> None:
    """Have the signature be there."""
    path = address.child(artifact.SIGNATURE).path
    if signature is None or bucket.create(path, signature):
        return
    if bucket.read(path, artifact.MAX_SIGNATURE_BYTES) != signature:
        bucket.replace(path, signature)


def _put(bucket: Bucket, address: stores.ObjectAddress, item: artifact.Entry, file: Path) -> None:
    """Have one object be there as the manifest says."""
    path = address.child(item.path).path
    if item.size <= UPLOAD_PART_BYTES and bucket.create(path, file.read_bytes()):
        return
    try:
        _check(bucket, address, item)
    except artifact.DigestMismatchError as problem:
        if item.size <= UPLOAD_PART_BYTES:  # then there was one
            logger.warning("%s: %s; it will be replaced", address, problem)
        bucket.replace(path, file)


def _is_whole(bucket: Bucket, address: stores.ObjectAddress, digest: str) -> bool:
    try:
        for item in transfer.read_manifest(bucket, address, digest).files:
            _check(bucket, address, item)
    except artifact.ArtifactError:
        return False
    return True


def _check(bucket: Bucket, address: stores.ObjectAddress, item: artifact.Entry) -> None:
    with Path(os.devnull).open("wb") as nowhere:
        transfer.check_object(bucket, address, item, Sink(nowhere, item.size, item.path))
