"""The local path that ``pvc://<claim>/<path>`` has in a pod.

The operator mounts each claim a pod needs at ``/stores/<claim>``.  A claim holds files of the
namespace's users, so a link in it may lead anywhere: what resolves to a place outside its claim
is refused.  Standard library only.
"""

from pathlib import Path

from modelwright_server.stores.addresses import Address, PvcAddress
from modelwright_server.stores.errors import StoreAddressError, StoreUnavailableError


def resolve(address: Address, stores: Path) -> Path:
    """Return the local path of ``address``, free of links; it need not exist.

    Raises:
        StoreUnavailableError: the claim is not mounted under ``stores``.
        StoreAddressError: links lead out of the claim, or the address is of no claim.
    """
    if not isinstance(address, PvcAddress):
        message = f"{str(address)!r} is not a place on a claim"
        raise StoreAddressError(message)
    claim = stores / address.claim
    if not claim.is_dir():
        message = f"'{address}': the claim {address.claim!r} is not mounted at {claim}"
        raise StoreUnavailableError(message)
    root = claim.resolve()
    try:
        path = (root / address.path).resolve()
    except (OSError, RuntimeError) as error:
        message = f"{str(address)!r} cannot be followed: {error}"
        raise StoreAddressError(message) from error
    if not path.is_relative_to(root):
        message = f"{str(address)!r} leads through a link to a place outside its claim"
        raise StoreAddressError(message)
    return path
