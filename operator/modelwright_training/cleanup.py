"""Remove one artifact that no ModelVersion needs any more: `python -m modelwright_training.cleanup`.

Exactly the folder that bears its digest as its name, and only if that is what lies there. It is moved out of sight in
one step and then removed, so that nobody meets half of it; a second run takes up what a first one left.
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


class CleanupError(Exception):
    """What lies there is not to be removed; the text says why."""


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Remove the artifact that the environment names; return an exit code of the contract."""
    uri, digest = environment.get(contract.ENV_CLEANUP_URI, ""), environment.get(contract.ENV_CLEANUP_DIGEST, "")
    folder = Path(environment.get(contract.ENV_STORES_DIR, contract.DEFAULT_STORES_DIR))
    try:
        removed = remove(uri, digest, folder)
    except (CleanupError, stores.StoreAddressError) as error:
        sys.stderr.write(f"{uri}: {error}\n")
        return ExitCode.PERMANENT
    except (OSError, stores.StoreUnavailableError) as error:
        sys.stderr.write(f"{uri}: {error}\n")
        return ExitCode.RETRYABLE
    sys.stderr.write(f"{uri}: {'removed' if removed else 'was gone already'}\n")
    return ExitCode.DONE


def remove(uri: str, digest: str, folder: Path) -> bool:
    """Remove the artifact; return whether there was one.

    Raises:
        CleanupError: it is not the artifact with that digest, or not under its digest.
        stores.StoreAddressError: the address is none of a claim.
        stores.StoreUnavailableError: the claim is not mounted.
        OSError: the claim cannot be written.

    """
    target = _place(uri, digest, folder)
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


def _place(uri: str, digest: str, folder: Path) -> Path:
    """Return the folder of the artifact, to which no link leads."""
    address = stores.parse(uri)
    if not isinstance(address, stores.PvcAddress):
        message = "only artifacts on claims are removed"
        raise CleanupError(message)
    target = stores.resolve(address, folder)
    if not artifact.is_digest(digest) or target.name != digest.removeprefix(_PREFIX):
        message = f"the folder does not bear the digest {digest} as its name, so it may hold something else"
        raise CleanupError(message)
    if target != (folder / address.claim).resolve() / address.path:
        message = "a link leads to the folder, so it may belong to something else"
        raise CleanupError(message)
    return target


def _check(target: Path, digest: str) -> None:
    try:
        found = _PREFIX + hashlib.sha256((target / artifact.MANIFEST).read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"there is no {artifact.MANIFEST}, so it may hold something else"
        raise CleanupError(message) from error
    if found != digest:
        message = f"its {artifact.MANIFEST} has the digest {found}, not {digest}"
        raise CleanupError(message)


if __name__ == "__main__":
    sys.exit(main())
