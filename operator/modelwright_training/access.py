"""How the job's stores are reached: what the job says of them, and the credentials in this container's environment."""

from collections.abc import Mapping

from modelwright_server import stores
from modelwright_training.contract import StoreAccess


def access_to(given: StoreAccess | None, environment: Mapping[str, str]) -> stores.Access:
    """Return how a store is reached, with the credentials of the Secret that is named."""
    if given is None:
        return stores.Access()
    return stores.Access.from_env(
        environment, endpoint=given.endpoint or "", region=given.region or "", secret=given.secret or ""
    )
