"""Storage addresses: ``pvc://<claim>/<path>`` and the local path it has in a pod.

The operator mounts each claim a pod needs at ``/stores/<claim>``.  A claim holds files of the
namespace's users, so a link in it may lead anywhere: what resolves to a place outside its claim
is refused.  Standard library only; shared by the training and the serving image.

StoreError
├── StoreAddressError        the address is wrong or leads outside its claim
└── StoreUnavailableError    the claim is not mounted here
"""

import re
from dataclasses import dataclass
from pathlib import Path

SCHEME = "pvc://"
MAX_ADDRESS = 1024
_MAX_CLAIM = 253
_MAX_SEGMENT = 255
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_CLAIM = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class StoreError(Exception):
    """A storage address that cannot be used; the text names it."""


class StoreAddressError(StoreError):
    """The address is malformed, or leads outside its claim."""


class StoreUnavailableError(StoreError):
    """The claim is not mounted here."""


@dataclass(frozen=True, slots=True)
class PvcAddress:
    """A place in a PersistentVolumeClaim of the namespace.

    Attributes:
        claim: the claim's name.
        path: segments joined by ``/``, without one at either end; empty for the claim's root.
    """

    claim: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.claim}/{self.path}"

    def child(self, *segments: str) -> "PvcAddress":
        """Return the address of a place below this one.

        Raises:
            StoreAddressError: a segment is not a plain name.
        """
        return parse(SCHEME + "/".join([self.claim, *filter(None, [self.path]), *segments]))


def parse(uri: str) -> PvcAddress:
    """Read ``pvc://<claim>/<path>``; one ``/`` at the end is allowed, escapes have no meaning.

    Raises:
        StoreAddressError: names the address and what is wrong with it.
    """
    if not uri.startswith(SCHEME):
        raise _wrong(uri, f"must start with {SCHEME}")
    if len(uri) > MAX_ADDRESS:
        raise _wrong(uri, f"has {len(uri)} characters, the limit is {MAX_ADDRESS}")
    claim, _, path = uri.removeprefix(SCHEME).partition("/")
    if len(claim) > _MAX_CLAIM or not _CLAIM.fullmatch(claim):
        raise _wrong(uri, "needs the name of a PersistentVolumeClaim after pvc:// (a DNS-1123 subdomain)")
    segments = path.removesuffix("/").split("/") if path else []
    for segment in segments:
        if segment in {"", ".", ".."} or not segment.isprintable() or "\\" in segment or len(segment) > _MAX_SEGMENT:
            raise _wrong(uri, "must not have empty segments, '.', '..', backslashes or control characters")
    return PvcAddress(claim, "/".join(segments))


def resolve(address: PvcAddress, stores: Path) -> Path:
    """Return the local path of ``address``, free of links; it need not exist.

    Raises:
        StoreUnavailableError: the claim is not mounted under ``stores``.
        StoreAddressError: links lead out of the claim.
    """
    claim = stores / address.claim
    if not claim.is_dir():
        message = f"'{address}': the claim {address.claim!r} is not mounted at {claim}"
        raise StoreUnavailableError(message)
    root = claim.resolve()
    try:
        path = (root / address.path).resolve()
    except (OSError, RuntimeError) as error:
        raise _wrong(str(address), f"cannot be followed: {error}") from error
    if not path.is_relative_to(root):
        raise _wrong(str(address), "leads through a link to a place outside its claim")
    return path


def _wrong(uri: str, problem: str) -> StoreAddressError:
    return StoreAddressError(f"{uri!r} {problem}" if len(uri) <= MAX_ADDRESS else f"{uri[:64]!r}… {problem}")
