"""What can go wrong with a request.  The transport maps these to its own codes.

ServingError
├── BadRequestError     the request is not one this model can answer; the text names the field
├── NotReadyError       no model is loaded yet
├── OverloadedError     too many calls wait for the model
└── ModelFailedError    the model failed on a request its schema allows
"""


class ServingError(Exception):
    """A request that gets an error for its answer; the text is for the client."""

    def __init__(self, *, problem: str) -> None:
        super().__init__(problem)


class BadRequestError(ServingError):
    """The request is not one this model can answer."""


class NotReadyError(ServingError):
    """No model is loaded yet."""


class OverloadedError(ServingError):
    """Too many calls wait for the model."""


class ModelFailedError(ServingError):
    """The model failed on a request its schema allows."""
