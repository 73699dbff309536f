"""Where data and artifacts lie: claims, object stores and web servers, each by its address.

Shared by the training and the serving image.  What is imported here needs the standard library only; `objects` brings
the client of the object stores along, and is imported where an address of one is met.
"""

from modelwright_server.stores.access import Access
from modelwright_server.stores.addresses import (
    MAX_ADDRESS,
    SCHEME,
    Address,
    Found,
    ObjectAddress,
    PvcAddress,
    WebAddress,
    parse,
)
from modelwright_server.stores.claims import resolve
from modelwright_server.stores.errors import (
    StoreAddressError,
    StoreError,
    StoreForbiddenError,
    StoreLimitError,
    StoreMissingError,
    StoreUnavailableError,
)

__all__ = [
    "MAX_ADDRESS",
    "SCHEME",
    "Access",
    "Address",
    "Found",
    "ObjectAddress",
    "PvcAddress",
    "StoreAddressError",
    "StoreError",
    "StoreForbiddenError",
    "StoreLimitError",
    "StoreMissingError",
    "StoreUnavailableError",
    "WebAddress",
    "parse",
    "resolve",
]
