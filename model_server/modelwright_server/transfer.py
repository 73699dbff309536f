"""An artifact's way from where it is stored into a folder of this pod, with every byte checked.

Of an object store only the listed files are read; what else lies beside them is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_server import artifact, stores
from modelwright_server.stores.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from modelwright_server.artifact import Entry, Manifest
    from modelwright_server.stores.objects import Bucket


@dataclass(frozen=True, slots=True)
class Source:
    """Where an artifact lies.

    Attributes:
        address: its folder, on a claim or in an object store.
        access: how the object store is reached.
        stores_dir: folder under which each claim is mounted by its name.
    """

    address: stores.Address
    access: stores.Access
    stores_dir: Path


def copy_verified(  # noqa: PLR0913 - what is brought where, and who has a say
    source: Source,
    target: Path,
    digest: str,
    *,
    max_bytes: int = artifact.MAX_BYTES,
    accept: Callable[[Path], None] = lambda _: None,
    endorse: Callable[[Manifest, bytes | None], None] | None = None,
) -> Manifest:
    """Bring the artifact with this digest into ``target``; see `artifact.copy_verified`.

    ``endorse`` is asked before any file is read; it is given the manifest and the signature, None where there is none.

    Raises:
        artifact.ArtifactError: there is none, or it is not the one; nothing is added to ``target`` then.
        stores.StoreError: the store cannot be reached, or refuses.
        OSError: ``target`` cannot be written.
    """
    if not isinstance(source.address, stores.ObjectAddress):
        folder = stores.resolve(source.address, source.stores_dir)
        if endorse is not None:
            endorse(*artifact.read_signed(folder, digest, max_bytes))
        return artifact.copy_verified(folder, target, digest, max_bytes=max_bytes, accept=accept)
    from modelwright_server.stores.objects import Bucket  # noqa: PLC0415 - its client is large, and claims need none

    address = source.address
    bucket = Bucket(address, source.access)
    manifest = read_manifest(bucket, address, digest, max_bytes)
    if endorse is not None:
        endorse(manifest, read_signature(bucket, address))

    def bring(item: Entry, path: Path) -> None:
        with path.open("xb") as file:
            check_object(bucket, address, item, Sink(file, item.size, item.path))

    artifact.place(manifest, target, bring, accept)
    return manifest


def read_manifest(
    bucket: Bucket, address: stores.ObjectAddress, digest: str, max_bytes: int = artifact.MAX_BYTES
) -> Manifest:
    """Return the manifest of the artifact at an address, if it has this digest.

    Raises:
        artifact.ArtifactError: there is none, or another.
        stores.StoreError: the store cannot be reached, or refuses.
    """
    try:
        data = bucket.read(address.child(artifact.MANIFEST).path, artifact.MAX_MANIFEST_BYTES)
    except stores.StoreMissingError as error:
        raise artifact.ArtifactNotFoundError(address, f"holds no {artifact.MANIFEST} ({error})") from error
    except stores.StoreLimitError as error:
        raise artifact.ArtifactInvalidError(artifact.MANIFEST, f"is too large: {error}") from error
    return artifact.parse_pinned(data, digest, max_bytes)


def read_signature(bucket: Bucket, address: stores.ObjectAddress) -> bytes | None:
    """Return the signature of the artifact at an address, None where there is none.

    Raises:
        artifact.ArtifactInvalidError: it is too large for one.
        stores.StoreError: the store cannot be reached, or refuses.
    """
    try:
        return bucket.read(address.child(artifact.SIGNATURE).path, artifact.MAX_SIGNATURE_BYTES)
    except stores.StoreMissingError:
        return None
    except stores.StoreLimitError as error:
        raise artifact.ArtifactInvalidError(artifact.SIGNATURE, f"is too large: {error}") from error


def check_object(bucket: Bucket, address: stores.ObjectAddress, item: Entry, sink: Sink) -> None:
    """Read one listed object into the sink and check it.

    Raises:
        artifact.DigestMismatchError: it is missing, or not what the manifest says.
        stores.StoreError: the store cannot be reached, or refuses.
    """
    try:
        found = bucket.head(address.child(item.path).path)
    except stores.StoreMissingError as error:
        raise artifact.DigestMismatchError(item.path, "is listed in the manifest but missing") from error
    if found.size != item.size:
        raise artifact.DigestMismatchError(item.path, f"has {found.size} bytes, the manifest says {item.size}")
    bucket.download(found, sink)
    if sink.sha256 != item.sha256:
        raise artifact.DigestMismatchError(item.path, f"has the sha256 {sink.sha256}, the manifest says {item.sha256}")
