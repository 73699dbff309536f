"""How a store is reached: its endpoint and region, and the credentials that the pod was given for it.

The operator hands a Secret over as environment variables under a prefix of its own (`contract.secret_prefix`): two
Secrets of one pod do not mix, and no key of one can set a variable that means something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelwright_server.contract import secret_prefix
from modelwright_server.stores.errors import StoreForbiddenError

CA_CERTIFICATE = "CA_CERTIFICATE"
"""Key, for every kind of store: PEM of the authorities that are trusted beside the system's."""

AUTHORIZATION = "HTTP_AUTHORIZATION"
"""Key, for ``https://``: the whole value of the header, for example ``Bearer …``."""

_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Access:
    """Endpoint, region and credentials of one store; empty texts stand for what is not given.

    Attributes:
        endpoint: base URL of a store other than the cloud's own.
        region: region of the bucket.
        secret: name of the Secret the credentials came from; empty: the pod's own identity is used.
        credentials: the Secret's values by their keys; never shown.
    """

    endpoint: str = ""
    region: str = ""
    secret: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, endpoint: str = "", region: str = "", secret: str = "") -> "Access":
        """Return the access with the credentials that ``env`` holds for the Secret."""
        prefix = secret_prefix(secret)
        found = {name.removeprefix(prefix): value for name, value in env.items() if name.startswith(prefix)}
        return cls(endpoint, region, secret, found if secret else _NONE)

    def pick(self, names: Mapping[str, str]) -> dict[str, str]:
        """Return the credentials by the names they have elsewhere, without those that are absent or empty.

        Raises:
            StoreForbiddenError: a Secret is named, but has none of these keys.
        """
        found = {names[key]: self.credentials[key].strip() for key in names if self.credentials.get(key, "").strip()}
        if self.secret and not found and CA_CERTIFICATE not in self.credentials:
            message = f"the Secret {self.secret!r} has none of the keys {', '.join(names)}; add what the store asks for"
            raise StoreForbiddenError(message)
        return found
