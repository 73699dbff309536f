"""Remove one artifact that no ModelVersion needs any more: `python -m modelwright_training.cleanup`.

Exactly the folder that bears its digest as its name, and only if that is what lies there. On a claim it is moved out of
sight in one step and then removed, so that nobody meets half of it. In an object store its manifest goes last, since by
it a second run knows what a first one left; who publishes the same meanwhile looks at each file and puts it again.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from modelwright_server import artifact, stores
from modelwright_training import contract
from modelwright_training.contract import ExitCode

_PREFIX = "sha256:"
_MOST_OBJECTS = 10_000


class CleanupError(Exception):
    """What lies there is not to be removed; the text says why."""


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Remove the artifact that the environment names; return an exit code of the contract."""
    uri, digest = environment.get(contract.ENV_CLEANUP_URI, ""), environment.get(contract.ENV_CLEANUP_DIGEST, "")
    folder = Path(environment.get(contract.ENV_STORES_DIR, contract.DEFAULT_STORES_DIR))
    try:
        removed = remove(uri, digest, folder, environment)
    except (CleanupError, stores.StoreAddressError, stores.StoreForbiddenError, stores.StoreLimitError) as error:
        sys.stderr.write(f"{uri}: {error}\n")
        return ExitCode.PERMANENT
    except (OSError, stores.StoreError) as error:
        sys.stderr.write(f"{uri}: {error}\n")
        return ExitCode.RETRYABLE
    sys.stderr.write(f"{uri}: {'removed' if removed else 'was gone already'}\n")
    return ExitCode.DONE


def remove(uri: str, digest: str, folder: Path, environment: Mapping[str, str]) -> bool:
    """Remove the artifact; return whether there was one.

    Args:
        uri: of the artifact.
        digest: of its manifest.
        folder: where claims are mounted.
        environment: says how an object store is reached.

    Raises:
        CleanupError: it is not the artifact with that digest, or not under its digest.
        stores.StoreError: the address is none, or the store cannot be reached or written.
        OSError: the claim cannot be written.

    """
    address = stores.parse(uri)
    if isinstance(address, stores.ObjectAddress):
        return _remove_objects(address, digest, environment)
    if not isinstance(address, stores.PvcAddress):
        message = "only artifacts on claims and in object stores are removed"
        raise CleanupError(message)
    return _remove_folder(_place(address, digest, folder), digest)


def _remove_objects(address: stores.ObjectAddress, digest: str, environment: Mapping[str, str]) -> bool:
    from modelwright_server.stores.objects import Bucket  # noqa: PLC0415 - large, and claims need none

    _check_name(address.path.rpartition("/")[2], digest)
    access = stores.Access.from_env(
        environment,
        endpoint=environment.get(contract.ENV_CLEANUP_ENDPOINT, ""),
        region=environment.get(contract.ENV_CLEANUP_REGION, ""),
        secret=environment.get(contract.ENV_CLEANUP_SECRET, ""),
    )
    bucket, manifest = Bucket(address, access), address.child(artifact.MANIFEST).path
    there = [item.path for item in bucket.below(address.path, _MOST_OBJECTS)]
    if not there:
        return False
    if manifest not in there:
        message = f"there is no {artifact.MANIFEST}, so it may hold something else"
        raise CleanupError(message)
    _check_manifest(bucket.read(manifest, artifact.MAX_MANIFEST_BYTES), digest)
    for path in (*(path for path in there if path != manifest), manifest):
        bucket.delete(path)
    return True


def _remove_folder(target: Path, digest: str) -> bool:
    aside = target.with_name(f".removing-{target.name[:16]}")
    there = target.exists()
    if there:
        _check(target, digest)
        shutil.rmtree(aside, ignore_errors=True)
        target.rename(aside)
    if aside.exists():
        shutil.rmtree(aside)
        there = True
    return there


def _place(address: stores.PvcAddress, digest: str, folder: Path) -> Path:
    """Return the folder of the artifact, to which no link leads."""
    target = stores.resolve(address, folder)
    _check_name(target.name, digest)
    if target != (folder / address.claim).resolve() / address.path:
        message = "a link leads to the folder, so it may belong to something else"
        raise CleanupError(message)
    return target


def _check_name(name: str, digest: str) -> None:
    if not artifact.is_digest(digest) or name != digest.removeprefix(_PREFIX):
        message = f"the folder does not bear the digest {digest} as its name, so it may hold something else"
        raise CleanupError(message)


def _check(target: Path, digest: str) -> None:
    try:
        manifest = (target / artifact.MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"there is no {artifact.MANIFEST}, so it may hold something else"
        raise CleanupError(message) from error
    _check_manifest(manifest, digest)


def _check_manifest(manifest: bytes, digest: str) -> None:
    found = _PREFIX + hashlib.sha256(manifest).hexdigest()
    if found != digest:
        message = f"its {artifact.MANIFEST} has the digest {found}, not {digest}"
        raise CleanupError(message)


if __name__ == "__main__":
    sys.exit(main())
