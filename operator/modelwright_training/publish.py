"""Stage publish: the verified artifact to `<storage>/<model>/<digest in hex>/`.

It sees ONNX and JSON only, and imports nothing beyond the standard library, the artifact's format, the client of object
stores and, where it signs, cryptography.
"""

import errno
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from modelwright_server import artifact, stores
from modelwright_training import measures, signing
from modelwright_training.access import access_to
from modelwright_training.contract import JobConfig, PublishResult, Reason, Schema
from modelwright_training.errors import StageError
from modelwright_training.log import logger, progress
from modelwright_training.settings import Settings
from modelwright_training.strict_json import decode, loads


@dataclass(frozen=True, slots=True)
class Beside:
    """What lies beside an artifact's files and belongs to no digest."""

    report: bytes | None = None
    signature: bytes | None = None

    @property
    def files(self) -> dict[str, bytes]:
        """What there is of it, by its names."""
        found = {artifact.REPORT: self.report, artifact.SIGNATURE: self.signature}
        return {name: data for name, data in found.items() if data is not None}


def run(settings: Settings) -> PublishResult:
    """Store the artifact; the same one twice is one.

    Raises:
        StageError: ArtifactInvalid, SigningKeyInvalid, StorageForbidden or StorageUnavailable.

    """
    digest = _own_digest(settings.artifact)
    progress(0, f"publishing {digest}")
    try:
        report = measures.report(settings.artifact, settings.measures, timed=settings.job.latency is not None)
        manifest = artifact.verify(settings.artifact, digest)
        schema = decode(Schema, loads((settings.artifact / artifact.SCHEMA).read_text(encoding="utf-8")))
    except (artifact.ArtifactError, ValueError) as error:
        message = f"what evaluate wrote is not the artifact it describes: {error}; run the TrainingJob again"
        raise StageError(Reason.ARTIFACT_INVALID, message) from error
    beside = Beside(report, signing.sign(settings, manifest))
    address, reused = _publish(settings, digest, beside)
    logger.info("%s %s", "already stored:" if reused else "stored:", address)
    progress(100, "published")
    return PublishResult(f"{address}/", digest, manifest.size, reused, schema)


def _publish(settings: Settings, digest: str, beside: Beside) -> tuple[stores.Address, bool]:
    """Return where the artifact is, and whether it was there already."""
    job = settings.job
    try:
        address = stores.parse(job.storage.uri).child(job.model, digest.removeprefix("sha256:"))
        if isinstance(address, stores.ObjectAddress):
            from modelwright_training import uploads  # noqa: PLC0415 - its client is large, and claims need none

            access = access_to(job.storage.access, os.environ)
            return address, uploads.store(settings.artifact, address, access, digest, beside)
        target = stores.resolve(address, settings.stores)
        return address, store(settings.artifact, target, digest, job.uid, beside)
    except stores.StoreForbiddenError as error:
        raise StageError(Reason.STORAGE_FORBIDDEN, _told(job, str(error))) from error
    except stores.StoreError as error:
        raise StageError(Reason.STORAGE_UNAVAILABLE, _told(job, str(error))) from error
    except OSError as error:
        raise StageError(Reason.STORAGE_UNAVAILABLE, _told(job, _why(error))) from error


def store(source: Path, target: Path, digest: str, owner: str, beside: Beside) -> bool:
    """Put a verified copy of `source`, and what goes beside, at `target` in one step; return whether it was there.

    The copy is made beside the target, under a name that a retry of the same `owner` takes over. A damaged artifact at
    the target is moved aside first. One that is there gets the signature, if it has none or another.

    Raises:
        OSError: the store cannot be read or written.
        artifact.ArtifactError: the source changed meanwhile.

    """
    if _is_whole(target, digest):
        _sign(target, beside.signature, owner)
        return True
    partial = target.with_name(f".partial-{hashlib.sha256(f'{owner} {digest}'.encode()).hexdigest()[:16]}")
    broken = partial.with_name(f"{partial.name}-broken")
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial, broken)
    try:
        artifact.copy_verified(source, partial, digest)
        for name, data in beside.files.items():
            _write(partial / name, data)
        _sync(partial)
        if target.exists():
            logger.warning("%s is damaged and will be replaced", target.name)
            target.rename(broken)
        try:
            partial.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or not _is_whole(target, digest):
                raise
            _sign(target, beside.signature, owner)
            return True  # another job was faster with the same artifact
        _sync(target.parent)
    finally:
        _remove(partial, broken)
    return False


def _own_digest(folder: Path) -> str:
    try:
        return "sha256:" + hashlib.sha256((folder / artifact.MANIFEST).read_bytes()).hexdigest()
    except OSError as error:
        message = f"evaluate left no manifest ({error.strerror}); run the TrainingJob again"
        raise StageError(Reason.ARTIFACT_INVALID, message) from error


def _is_whole(target: Path, digest: str) -> bool:
    try:
        artifact.verify(target, digest)
    except artifact.ArtifactError:
        return False
    return True


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sign(target: Path, signature: bytes | None, owner: str) -> None:
    """Put the signature into an artifact that is there, in one step."""
    place = target / artifact.SIGNATURE
    if signature is None or (place.is_file() and place.read_bytes() == signature):
        return
    partial = target.with_name(f".signature-{hashlib.sha256(f'{owner} {target.name}'.encode()).hexdigest()[:16]}")
    _write(partial, signature)
    partial.replace(place)
    _sync(target)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())


def _sync(folder: Path) -> None:
    """Make the names in a folder last, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "it is full; enlarge the claim or remove artifacts no ModelVersion names"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"it cannot be written ({error.strerror}); let gid 65532 write to it and mount it read-write"
    return error.strerror or str(error)


def _told(job: JobConfig, problem: str) -> str:
    return f"storage.uri {job.storage.uri}: {problem}"
