"""How a store can fail.

StoreError
├── StoreAddressError        the address or its access is wrong, or leads outside its claim
├── StoreMissingError        there is nothing at the address
├── StoreForbiddenError      the store refuses these credentials
├── StoreLimitError          what is there is larger than it may be
└── StoreUnavailableError    it does not answer, or not now: another try may help
"""


class StoreError(Exception):
    """A store that cannot be used as asked; the text names the address, never a credential."""


class StoreAddressError(StoreError):
    """The address is malformed, leads outside its claim, or lacks what is needed to reach it."""


class StoreMissingError(StoreError):
    """There is nothing at the address."""


class StoreForbiddenError(StoreError):
    """The store refuses these credentials, or asks for some."""


class StoreLimitError(StoreError):
    """What is there is larger than it may be."""


class StoreUnavailableError(StoreError):
    """The claim is not mounted here, or the store does not answer: another try may help."""
